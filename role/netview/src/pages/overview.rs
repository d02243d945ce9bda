//! `/`: the network at a glance. Customers are sent to their own page.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use super::frame::Frame;
use super::html;
use crate::access::Who;
use crate::app::App;
use crate::panels;
use crate::refusal::Refusal;
use crate::topic::{Topic, decision_lines};
use crate::view::{configuration, figures, pops, problems};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    figures: String,
    pops: String,
    problems: String,
    decisions: String,
    nodes: String,
}

pub(crate) async fn overview(State(app): State<App>, who: Who) -> Result<Response, Refusal> {
    if let Some(customer) = who.role().customer() {
        return Ok(Redirect::to(&format!("/c/{customer}")).into_response());
    }
    let snapshot = app.shared.pulse.snapshot();
    let rows = pops::rows(&snapshot);
    let nodes = configuration::nodes(&snapshot);
    let topics = [Topic::Figures, Topic::Pops, Topic::Problems, Topic::Decisions, Topic::Config];
    let page = Overview {
        frame: Frame::new(&app, &snapshot, &who, "Overview", "overview").live(&topics),
        figures: panels::figures(&figures::figures(&snapshot, &rows))?,
        pops: panels::pops(&snapshot, &rows)?,
        problems: panels::problems(&snapshot, &problems::problems(&snapshot, &rows))?,
        decisions: panels::decisions(&snapshot, &decision_lines(&snapshot, &who))?,
        nodes: panels::nodes(&snapshot, &nodes)?,
    };
    html(&page).map(IntoResponse::into_response)
}
