//! `/pops`: every POP and what each name server believes of every target.

use askama::Template;
use axum::extract::State;
use popnet_terms::Timestamp;
use popnet_wire::status::RoleStatus;

use super::frame::Frame;
use super::{Page, html};
use crate::access::Operator;
use crate::app::App;
use crate::panels;
use crate::pulse::Snapshot;
use crate::topic::Topic;
use crate::view::format::{self, Moment};
use crate::view::pops::{answering, rows};
use crate::view::state::State as Shown;

/// One name server's verdict on one target.
struct VerdictRow {
    target: String,
    by: String,
    state: Shown,
    since: Moment,
    age: String,
    load: String,
    response: String,
    seen_by: String,
    why: String,
}

#[derive(Template)]
#[template(path = "pops.html")]
struct Pops {
    frame: Frame,
    pops: String,
    verdicts: Vec<VerdictRow>,
}

pub(crate) async fn pops(State(app): State<App>, Operator(who): Operator) -> Page {
    let snapshot = app.shared.pulse.snapshot();
    let page = Pops {
        frame: Frame::new(&app, &snapshot, &who, "POPs", "pops").live(&[Topic::Pops]),
        pops: panels::pops(&snapshot, &rows(&snapshot))?,
        verdicts: verdicts(&snapshot),
    };
    html(&page)
}

/// Worst first, then by target.
fn verdicts(snapshot: &Snapshot) -> Vec<VerdictRow> {
    let mut rows = Vec::new();
    for node in answering(snapshot) {
        for role in &node.roles {
            let RoleStatus::Nameserver { targets, .. } = role else { continue };
            rows.extend(targets.iter().map(|target| VerdictRow {
                target: target.target.to_string(),
                by: node.node.to_string(),
                state: Shown(target.state),
                since: Moment(target.since),
                age: since(snapshot.at, target.since),
                load: target.load.map_or_else(
                    || "?".to_owned(),
                    |load| format!("{:.2}", f64::from(load) / 1000.0),
                ),
                response: target.response.map_or_else(|| "?".to_owned(), format::millis),
                seen_by:
                    target.seen_by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
                why: target.why.to_string(),
            }));
        }
    }
    rows.sort_by(|a, b| {
        let worst = b.state.severity().cmp(&a.state.severity());
        worst.then_with(|| (&a.target, &a.by).cmp(&(&b.target, &b.by)))
    });
    rows
}

fn since(now: Timestamp, then: Timestamp) -> String {
    format::age(now.since(then))
}
