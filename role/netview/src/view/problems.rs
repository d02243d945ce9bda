//! What is wrong now, most severe first: each with since when, one cause, and where to look.

use popnet_wire::status::{NodeStatus, RoleStatus};
use serde::Serialize;

use super::configuration;
use super::format::Moment;
use super::pops::PopRow;
use crate::pulse::Snapshot;

/// Most problems on a page; the rest is counted.
const SHOWN: usize = 50;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Users suffer, or nobody would notice if they did.
    Bad,
    /// Somebody should look today.
    Warn,
}

impl Severity {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Bad => "problem",
            Self::Warn => "notice",
        }
    }
}

/// One problem.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    pub(crate) severity: Severity,
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) since: Option<Moment>,
    /// Where to look.
    pub(crate) link: &'static str,
}

/// Every problem, most severe first.
pub(crate) fn problems(snapshot: &Snapshot, pops: &[PopRow]) -> Vec<Problem> {
    let mut list = Vec::new();
    sources(snapshot, &mut list);
    for pop in pops.iter().filter(|pop| !pop.state.is_up()) {
        let severity = if pop.state.severity() >= 4 { Severity::Bad } else { Severity::Warn };
        list.push(Problem {
            severity,
            what: format!("{} is {}", pop.id, pop.state.word()),
            why: pop.why.clone(),
            since: pop.since,
            link: "/pops",
        });
    }
    nodes(snapshot, &mut list);
    logs(snapshot, &mut list);
    list.sort_by_key(|problem| problem.severity);
    list.truncate(SHOWN);
    list
}

fn sources(snapshot: &Snapshot, list: &mut Vec<Problem>) {
    if let Some(failing) = &snapshot.status.failing {
        list.push(Problem {
            severity: Severity::Bad,
            what: "the network's state is not known".to_owned(),
            why: failing.why.clone(),
            since: Some(Moment(failing.since)),
            link: "/config",
        });
    }
}

fn nodes(snapshot: &Snapshot, list: &mut Vec<Problem>) {
    let Some((status, _)) = &snapshot.status.value else { return };
    for (name, _, answer) in &status.nodes {
        match answer {
            Err(why) => list.push(Problem {
                severity: Severity::Bad,
                what: format!("{name} does not answer"),
                why: why.clone(),
                since: None,
                link: "/config",
            }),
            Ok(node) => {
                silent_roles(node, list);
                if let Some(why) = configuration::behind(status.epoch, node) {
                    list.push(Problem {
                        severity: Severity::Warn,
                        what: format!("{name} is behind"),
                        why,
                        since: None,
                        link: "/config",
                    });
                }
            }
        }
    }
}

fn silent_roles(node: &NodeStatus, list: &mut Vec<Problem>) {
    for role in &node.roles {
        if let RoleStatus::Plain { role, up: false, why } = role {
            list.push(Problem {
                severity: Severity::Bad,
                what: format!("{role} on {} does not answer", node.node),
                why: why.to_string(),
                since: None,
                link: "/config",
            });
        }
    }
}

fn logs(snapshot: &Snapshot, list: &mut Vec<Problem>) {
    let mut asked = false;
    for (name, server) in snapshot.logs().servers() {
        asked = true;
        if let Some(failing) = &server.failing {
            list.push(Problem {
                severity: Severity::Bad,
                what: format!("log server {name} does not answer"),
                why: failing.why.clone(),
                since: Some(Moment(failing.since)),
                link: "/config",
            });
        }
        let missing: u64 = server.arrivals.iter().map(|arrival| arrival.missing).sum();
        if missing > 0 {
            let from: Vec<String> = server
                .arrivals
                .iter()
                .filter(|arrival| arrival.missing > 0)
                .map(|arrival| format!("{} {}", arrival.sender, arrival.role))
                .collect();
            list.push(Problem {
                severity: Severity::Warn,
                what: format!("{missing} log batches have not arrived at {name}"),
                why: format!("from {}", from.join(", ")),
                since: None,
                link: "/config",
            });
        }
        if server.truncated {
            list.push(Problem {
                severity: Severity::Warn,
                what: format!("figures of {name} are cut off"),
                why: "more sites and POPs than one page counts".to_owned(),
                since: None,
                link: "/config",
            });
        }
    }
    if !asked && snapshot.status.value.is_some() {
        list.push(Problem {
            severity: Severity::Warn,
            what: "no log server".to_owned(),
            why: "no node of the configuration has the role logserver".to_owned(),
            since: None,
            link: "/config",
        });
    }
}
