//! `/config`: versions, and which node runs which.

use askama::Template;
use axum::extract::State;

use super::frame::Frame;
use super::{Page, html};
use crate::access::Operator;
use crate::app::App;
use crate::panels;
use crate::topic::Topic;
use crate::view::configuration::{self, VersionRow};

/// Versions shown.
const VERSIONS: u32 = 50;

#[derive(Template)]
#[template(path = "config.html")]
struct Config {
    frame: Frame,
    nodes: String,
    versions: Vec<VersionRow>,
    problem: String,
}

pub(crate) async fn config(State(app): State<App>, Operator(who): Operator) -> Page {
    let snapshot = app.shared.pulse.snapshot();
    let in_force = configuration::in_force(&snapshot);
    let (versions, problem) = match app.shared.pulse.master().history(VERSIONS).await {
        Ok(versions) => {
            (versions.iter().map(|one| VersionRow::of(one, in_force)).collect(), String::new())
        }
        Err(problem) => (Vec::new(), problem.what),
    };
    let page = Config {
        frame: Frame::new(&app, &snapshot, &who, "Configuration", "config").live(&[Topic::Config]),
        nodes: panels::nodes(&snapshot, &configuration::nodes(&snapshot))?,
        versions,
        problem,
    };
    html(&page)
}
