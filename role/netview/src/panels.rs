//! Panels: the parts of pages that a stream can replace, as HTML. A panel always says something:
//! what it shows, why it is empty, or who does not answer.

use askama::Template;
use popnet_runtime::clock;

use crate::access::Visible;
use crate::pulse::Snapshot;
use crate::view::configuration::{self, NodeRow};
use crate::view::decisions::DecisionLine;
use crate::view::figures::Figures;
use crate::view::format::{self, Moment};
use crate::view::pops::PopRow;
use crate::view::problems::Problem;
use crate::view::purges::JobRow;
use crate::view::traffic::{AccessLine, Chart, Traffic};

type Html = Result<String, askama::Error>;

#[derive(Template)]
#[template(path = "panel/figures.html")]
struct FiguresPanel<'a> {
    figures: &'a Figures,
}

/// The six figures.
pub(crate) fn figures(figures: &Figures) -> Html {
    FiguresPanel { figures }.render()
}

#[derive(Template)]
#[template(path = "panel/pops.html")]
struct PopsPanel<'a> {
    pops: &'a [PopRow],
    note: String,
}

/// The POP table.
pub(crate) fn pops(snapshot: &Snapshot, pops: &[PopRow]) -> Html {
    PopsPanel { pops, note: status_note(snapshot) }.render()
}

#[derive(Template)]
#[template(path = "panel/problems.html")]
struct ProblemsPanel<'a> {
    problems: &'a [Problem],
    heard: bool,
}

/// What is wrong.
pub(crate) fn problems(snapshot: &Snapshot, problems: &[Problem]) -> Html {
    ProblemsPanel { problems, heard: snapshot.status.value.is_some() }.render()
}

#[derive(Template)]
#[template(path = "panel/decisions.html")]
struct DecisionsPanel<'a> {
    lines: &'a [DecisionLine],
    note: String,
    example: String,
}

/// The last decisions.
pub(crate) fn decisions(snapshot: &Snapshot, lines: &[DecisionLine]) -> Html {
    let site = snapshot.held.network.sites.keys().find(|site| site.as_str() != "*");
    let example = site.map_or_else(String::new, ToString::to_string);
    DecisionsPanel { lines, note: logs_note(snapshot), example }.render()
}

#[derive(Template)]
#[template(path = "panel/nodes.html")]
struct NodesPanel<'a> {
    nodes: &'a [NodeRow],
    spread: String,
    in_force: String,
    note: String,
}

/// Nodes and their configuration.
pub(crate) fn nodes(snapshot: &Snapshot, nodes: &[NodeRow]) -> Html {
    NodesPanel {
        nodes,
        spread: configuration::spread(nodes),
        in_force: configuration::in_force(snapshot).to_string(),
        note: status_note(snapshot),
    }
    .render()
}

#[derive(Template)]
#[template(path = "panel/traffic.html")]
struct TrafficPanel<'a> {
    traffic: &'a Traffic,
    figures: Vec<(&'static str, String, &'static str)>,
    charts: Vec<Chart>,
    example: String,
    customer: &'a str,
    note: String,
    as_of: Moment,
}

/// One customer's hour.
pub(crate) fn traffic(snapshot: &Snapshot, customer: &Visible, traffic: &Traffic) -> Html {
    let sites = customer.sites(&snapshot.held);
    let example = sites.iter().find(|site| site.as_str() != "*");
    TrafficPanel {
        traffic,
        figures: traffic.figures(),
        charts: traffic.charts(),
        example: example.map_or_else(String::new, ToString::to_string),
        customer: customer.title(),
        note: logs_note(snapshot),
        as_of: Moment(snapshot.at),
    }
    .render()
}

#[derive(Template)]
#[template(path = "panel/lines.html")]
struct LinesPanel<'a> {
    lines: &'a [AccessLine],
    failing: &'a [String],
    as_of: Moment,
}

/// The last requests.
pub(crate) fn lines(lines: &[AccessLine], failing: &[String]) -> Html {
    LinesPanel { lines, failing, as_of: Moment(clock::now()) }.render()
}

#[derive(Template)]
#[template(path = "panel/purges.html")]
struct PurgesPanel<'a> {
    customer: &'a str,
    jobs: &'a [JobRow],
}

/// A customer's last purges.
pub(crate) fn purges(customer: &str, jobs: &[JobRow]) -> Html {
    PurgesPanel { customer, jobs }.render()
}

#[derive(Template)]
#[template(path = "panel/purge.html")]
struct PurgePanel<'a> {
    job: &'a JobRow,
}

/// One purge.
pub(crate) fn purge(job: &JobRow) -> Html {
    PurgePanel { job }.render()
}

/// What is not as new as it should be in the network's state; empty when all is well.
pub(crate) fn status_note(snapshot: &Snapshot) -> String {
    match (&snapshot.status.failing, &snapshot.status.value) {
        (None, _) => String::new(),
        (Some(failing), None) => {
            format!("The configuration daemon has not answered yet: {}", failing.why)
        }
        (Some(failing), Some((_, at))) => format!(
            "The configuration daemon has not answered for {}; this is from {}. {}",
            format::age(snapshot.at.since(failing.since)),
            Moment(*at).clock(),
            failing.why
        ),
    }
}

/// Which log servers are not heard; empty when all are.
pub(crate) fn logs_note(snapshot: &Snapshot) -> String {
    let servers: Vec<_> = snapshot.logs().servers().collect();
    let silent: Vec<String> = servers
        .iter()
        .filter_map(|(name, server)| server.failing.as_ref().map(|failing| (name, failing)))
        .map(|(name, failing)| {
            let age = format::age(snapshot.at.since(failing.since));
            format!("{name} has not answered for {age} ({})", failing.why)
        })
        .collect();
    if silent.is_empty() {
        return String::new();
    }
    let heard = servers.len() - silent.len();
    format!("Showing {heard} of {} log servers; {}.", servers.len(), silent.join("; "))
}
