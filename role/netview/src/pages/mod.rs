//! The pages, one file each.

pub(crate) mod config;
pub(crate) mod customer;
pub(crate) mod explain;
mod frame;
pub(crate) mod login;
pub(crate) mod overview;
pub(crate) mod pops;
pub(crate) mod purge;

use askama::Template;
use axum::response::Html;

use crate::refusal::Refusal;

type Page = Result<Html<String>, Refusal>;

fn html(template: &impl Template) -> Page {
    Ok(Html(template.render()?))
}
