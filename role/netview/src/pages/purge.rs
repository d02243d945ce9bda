//! `/c/CUSTOMER/purge`: the form, and a job's page.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use popnet_wire::purging::PurgeKind;
use serde::Deserialize;

use super::frame::Frame;
use super::{Page, html};
use crate::access::{Visible, Who};
use crate::app::App;
use crate::order::{self, Wish};
use crate::panels;
use crate::refusal::Refusal;
use crate::topic::{Topic, jobs};
use crate::view::purges::JobRow;

#[derive(Template)]
#[template(path = "purge.html")]
struct Form_ {
    frame: Frame,
    id: String,
    title: String,
    sites: Vec<String>,
    jobs: String,
    problem: String,
    /// What was typed, so that a mistake costs no typing.
    by: &'static str,
    text: String,
    hard: bool,
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    id: String,
    title: String,
    job: String,
    row: JobRow,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Given {
    token: String,
    #[serde(default)]
    what: order::By,
    #[serde(default)]
    text: String,
    #[serde(default)]
    kind: String,
}

/// The form and the last jobs.
pub(crate) async fn form(State(app): State<App>, who: Who, Path(id): Path<String>) -> Page {
    let customer = who.customer(&app.shared.pulse.held(), &id)?;
    may_purge(&who)?;
    html(&filled(&app, &who, &customer, &Given::empty(), String::new())?)
}

/// The form comes back.
pub(crate) async fn begin(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    Form(given): Form<Given>,
) -> Result<Response, Refusal> {
    let held = app.shared.pulse.held();
    let customer = who.customer(&held, &id)?;
    may_purge(&who)?;
    who.check_form(&given.token)?;
    let kind = if given.kind == "hard" { PurgeKind::Hard } else { PurgeKind::Soft };
    let wish =
        Wish { by: given.what, what: given.text.clone(), kind, actor: Arc::from(who.name()) };
    let orders = match order::orders(&held, &customer, &wish) {
        Ok(orders) => orders,
        Err(mistake) => {
            let page = filled(&app, &who, &customer, &given, mistake)?.render()?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, Html(page)).into_response());
        }
    };
    let several = orders.len() > 1;
    let mut last = String::new();
    for order in orders {
        last = order::begin(&app, order)?;
    }
    let to = if several {
        format!("/c/{}/purge", customer.id())
    } else {
        format!("/c/{}/purge/{last}", customer.id())
    };
    Ok(Redirect::to(&to).into_response())
}

/// One job.
pub(crate) async fn job(
    State(app): State<App>,
    who: Who,
    Path((id, job)): Path<(String, String)>,
) -> Page {
    let customer = who.customer(&app.shared.pulse.held(), &id)?;
    let found = app.shared.jobs.job(&customer.scope(), &job).ok_or_else(Refusal::not_found)?;
    let snapshot = app.shared.pulse.snapshot();
    let row = JobRow::of(&found);
    let title = format!("Purge {}", if row.number.is_empty() { &row.id } else { &row.number });
    let frame = Frame::new(&app, &snapshot, &who, &title, "purge").of(&customer);
    let page = JobPage {
        frame: frame.live(&[Topic::Purge(job)]),
        id: customer.id().to_string(),
        title: customer.title().to_owned(),
        job: panels::purge(&row)?,
        row,
    };
    html(&page)
}

fn may_purge(who: &Who) -> Result<(), Refusal> {
    if who.role().may_purge() {
        Ok(())
    } else {
        Err(Refusal::not_allowed("Your role may look, and not purge."))
    }
}

fn filled(
    app: &App,
    who: &Who,
    customer: &Visible,
    given: &Given,
    problem: String,
) -> Result<Form_, Refusal> {
    let snapshot = app.shared.pulse.snapshot();
    let frame = Frame::new(app, &snapshot, who, "Purge", "purge").of(customer);
    let sites = customer.sites(&app.shared.pulse.held());
    Ok(Form_ {
        frame: frame.live(&[Topic::Purges(customer.clone())]),
        id: customer.id().to_string(),
        title: customer.title().to_owned(),
        sites: sites.iter().map(ToString::to_string).collect(),
        jobs: panels::purges(customer.id().as_str(), &jobs(&app.shared, &customer.scope()))?,
        problem,
        by: given.what.word(),
        text: given.text.clone(),
        hard: given.kind == "hard",
    })
}

impl Given {
    fn empty() -> Self {
        Self {
            token: String::new(),
            what: order::By::default(),
            text: String::new(),
            kind: String::new(),
        }
    }
}
