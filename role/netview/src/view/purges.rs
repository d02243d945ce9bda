//! Purge jobs: a row a node, as receipts come in.

use popnet_terms::NodeName;
use popnet_wire::purging::{PurgeKind, PurgeState};
use serde::Serialize;

use super::format::{self, Moment};
use crate::jobs::{Job, Progress};

/// A job in a list or on its own page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct JobRow {
    pub(crate) id: String,
    /// The master's number; empty until it has given one.
    pub(crate) number: String,
    pub(crate) customer: String,
    pub(crate) what: String,
    pub(crate) kind: &'static str,
    pub(crate) actor: String,
    pub(crate) at: Moment,
    /// `running`, `done`, `partly` or `failed`.
    pub(crate) state: &'static str,
    pub(crate) summary: String,
    pub(crate) next: String,
    pub(crate) applied: usize,
    pub(crate) nodes: Vec<ReceiptRow>,
}

/// One node's row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReceiptRow {
    pub(crate) node: NodeName,
    pub(crate) pop: String,
    /// `waiting`, `applied` or `unreachable`.
    pub(crate) state: &'static str,
    pub(crate) objects: Option<u64>,
    pub(crate) took: String,
    pub(crate) why: String,
}

impl ReceiptRow {
    pub(crate) fn objects_text(&self) -> String {
        self.objects.map_or_else(|| "?".to_owned(), format::count)
    }

    /// The state word whose shape and colour fit.
    pub(crate) fn shape(&self) -> super::state::State {
        match self.state {
            "applied" => super::state::State::UP,
            "unreachable" => super::state::State::BEHIND,
            _ => super::state::State::UNKNOWN,
        }
    }
}

impl JobRow {
    /// What the page shows of a job.
    pub(crate) fn of(job: &Job) -> Self {
        let nodes: Vec<ReceiptRow> = rows(job);
        let applied = nodes.iter().filter(|row| row.state == "applied").count();
        let away: Vec<&str> = nodes
            .iter()
            .filter(|row| row.state == "unreachable")
            .map(|row| row.node.as_str())
            .collect();
        let (state, summary, next) = sentence(job, applied, nodes.len(), &away);
        Self {
            id: job.id.clone(),
            number: job.number.map(|number| number.to_string()).unwrap_or_default(),
            customer: job.order.customer.to_string(),
            what: job.order.what.to_string(),
            kind: match job.order.kind {
                PurgeKind::Soft => "soft",
                PurgeKind::Hard => "hard",
            },
            actor: job.order.actor.to_string(),
            at: Moment(job.at),
            state,
            summary,
            next,
            applied,
            nodes,
        }
    }
}

fn sentence(
    job: &Job,
    applied: usize,
    nodes: usize,
    away: &[&str],
) -> (&'static str, String, String) {
    let count = format!("{applied} of {nodes} nodes applied it");
    match &job.progress {
        Progress::Running => ("running", format!("{count} so far"), String::new()),
        Progress::Failed(problem) => ("failed", problem.what.clone(), problem.next.clone()),
        Progress::Done if applied == nodes => ("done", count, String::new()),
        Progress::Done if away.is_empty() => ("partly", count, "popnet status".to_owned()),
        Progress::Done => {
            let who = away.join(", ");
            let text =
                format!("{count}; not reached: {who}, which applies it before it serves again");
            ("partly", text, "popnet status".to_owned())
        }
    }
}

fn rows(job: &Job) -> Vec<ReceiptRow> {
    let mut rows: Vec<ReceiptRow> =
        job.receipts.iter().map(|(node, state)| row(node, state)).collect();
    let waiting = job.expected.iter().filter(|node| !job.receipts.contains_key(*node));
    rows.extend(waiting.map(|node| ReceiptRow {
        node: node.clone(),
        pop: node.pop().to_string(),
        state: "waiting",
        objects: None,
        took: String::new(),
        why: String::new(),
    }));
    rows.sort_by(|a, b| (&a.pop, &a.node).cmp(&(&b.pop, &b.node)));
    rows
}

fn row(node: &NodeName, state: &PurgeState) -> ReceiptRow {
    let (state, objects, took, why) = match state {
        PurgeState::Applied { objects, took } => {
            ("applied", Some(*objects), format::millis(*took), String::new())
        }
        PurgeState::Unreachable(why) => ("unreachable", None, String::new(), why.clone()),
    };
    ReceiptRow { node: node.clone(), pop: node.pop().to_string(), state, objects, took, why }
}
