//! POPs: the verdict of the name servers, what they do, and why they are not up.

use std::collections::BTreeMap;

use popnet_config::network::Pop;
use popnet_terms::{NodeName, PopId, Role, TargetId};
use popnet_wire::status::{NodeStatus, RoleStatus, TargetState, TargetStatus};
use serde::Serialize;

use super::format::{self, Moment};
use super::state::State;
use crate::pulse::{Snapshot, per_second};

/// Seconds over which a rate is taken: calm to the eye, quick to show.
const RATE_OVER: usize = 5;

/// Seconds over which a hit ratio is taken.
const HITS_OVER: usize = 60;

/// One POP.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PopRow {
    pub(crate) id: PopId,
    pub(crate) title: String,
    pub(crate) region: String,
    pub(crate) state: State,
    pub(crate) since: Option<Moment>,
    /// Why it is not up; empty when it is.
    pub(crate) why: String,
    /// Who says so.
    pub(crate) seen_by: Vec<String>,
    pub(crate) requests_s: f64,
    pub(crate) bits_s: f64,
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) queries_s: f64,
    /// 0 to 1.
    pub(crate) load: Option<f64>,
    pub(crate) nodes: usize,
    pub(crate) nodes_up: usize,
    /// Whether anything of it is named in answers: POPs without caches have no verdict.
    pub(crate) serves: bool,
}

impl PopRow {
    pub(crate) fn requests(&self) -> String {
        format::si(self.requests_s)
    }

    pub(crate) fn bits(&self) -> String {
        format::with_unit(self.bits_s, "bps")
    }

    pub(crate) fn hits(&self) -> String {
        format::percent(self.hit_ratio)
    }

    pub(crate) fn queries(&self) -> String {
        format::si(self.queries_s)
    }

    pub(crate) fn load_text(&self) -> String {
        self.load.map_or_else(|| "?".to_owned(), |load| format!("{load:.2}"))
    }

    /// Of the load's bar, 0 to 100.
    pub(crate) fn load_width(&self) -> f64 {
        self.load.map_or(0.0, |load| (load * 100.0).clamp(0.0, 100.0))
    }

    pub(crate) fn seen_text(&self) -> String {
        self.seen_by.join(", ")
    }
}

/// Every configured POP, in order of its key.
pub(crate) fn rows(snapshot: &Snapshot) -> Vec<PopRow> {
    let verdicts = verdicts(snapshot);
    let pops = snapshot.held.network.pops.iter();
    pops.map(|(id, pop)| row(snapshot, id, pop, verdicts.get(id).map_or(&[][..], Vec::as_slice)))
        .collect()
}

/// Each POP's verdicts: one a name server that has one.
fn verdicts(snapshot: &Snapshot) -> BTreeMap<PopId, Vec<(NodeName, TargetStatus)>> {
    let mut verdicts: BTreeMap<PopId, Vec<(NodeName, TargetStatus)>> = BTreeMap::new();
    for node in answering(snapshot) {
        for role in &node.roles {
            let RoleStatus::Nameserver { targets, .. } = role else { continue };
            for target in targets {
                if let TargetId::Pop(pop) = &target.target {
                    let word = (node.node.clone(), target.clone());
                    verdicts.entry(pop.clone()).or_default().push(word);
                }
            }
        }
    }
    verdicts
}

/// Every node that has answered.
pub(crate) fn answering(snapshot: &Snapshot) -> impl Iterator<Item = &NodeStatus> {
    let nodes = snapshot.status.value.as_ref().map_or(&[][..], |(status, _)| &status.nodes);
    nodes.iter().filter_map(|(_, _, answer)| answer.as_ref().ok())
}

fn row(
    snapshot: &Snapshot,
    id: &PopId,
    pop: &Pop,
    verdicts: &[(NodeName, TargetStatus)],
) -> PopRow {
    let (work, span) = snapshot.beats.last_of(id, RATE_OVER);
    let (minute, _) = snapshot.beats.last_of(id, HITS_OVER);
    let nodes_up = answering(snapshot).filter(|node| node.node.pop() == *id).count();
    let serves = pop.nodes.values().any(|node| node.runs(Role::Webcache));
    let (state, since, why, seen_by) = judge(snapshot, id, pop, verdicts, nodes_up);
    PopRow {
        id: id.clone(),
        title: pop.title.clone(),
        region: pop.location.as_ref().and_then(|place| place.region.clone()).unwrap_or_default(),
        state,
        since,
        why,
        seen_by,
        requests_s: per_second(work.requests, span),
        bits_s: per_second(work.bytes.saturating_mul(8), span),
        hit_ratio: minute.hit_ratio(),
        queries_s: per_second(work.queries, span),
        load: verdicts
            .iter()
            .filter_map(|(_, verdict)| verdict.load)
            .max()
            .map(|load| f64::from(load) / 1000.0),
        nodes: pop.nodes.len(),
        nodes_up,
        serves,
    }
}

type Judged = (State, Option<Moment>, String, Vec<String>);

/// The worst verdict counts: an operator wants to know what any name server believes.
fn judge(
    snapshot: &Snapshot,
    id: &PopId,
    pop: &Pop,
    verdicts: &[(NodeName, TargetStatus)],
    nodes_up: usize,
) -> Judged {
    if let Some((by, worst)) =
        verdicts.iter().max_by_key(|(_, verdict)| State(verdict.state).severity())
    {
        let state = State(worst.state);
        let alike = verdicts.iter().filter(|(_, other)| other.state == worst.state).count();
        let mut why = worst.why.to_string();
        if alike < verdicts.len() {
            why = format!("{why} (says {by}; {alike} of {} name servers)", verdicts.len());
        }
        let seen = worst.seen_by.iter().map(ToString::to_string).collect();
        return (state, Some(Moment(worst.since)), why.trim().to_owned(), seen);
    }
    if pop.drain {
        let why = "drained in the configuration".to_owned();
        return (State(TargetState::Draining), None, why, Vec::new());
    }
    if snapshot.status.value.is_none() {
        return (State::UNKNOWN, None, "no report yet".to_owned(), Vec::new());
    }
    if nodes_up == 0 && !pop.nodes.is_empty() {
        let why = format!("no node of {id} answers the master");
        return (State::UNKNOWN, None, why, Vec::new());
    }
    let caches = pop.nodes.values().any(|node| node.runs(Role::Webcache));
    match (caches, nodes_up == pop.nodes.len()) {
        (true, _) => (State::UNKNOWN, None, "no name server has a verdict".to_owned(), Vec::new()),
        (false, true) => (State::UP, None, String::new(), Vec::new()),
        (false, false) => {
            let why = format!("{nodes_up} of {} nodes answer", pop.nodes.len());
            (State(TargetState::Degraded), None, why, Vec::new())
        }
    }
}
