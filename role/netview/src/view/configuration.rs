//! Which configuration each node runs.

use popnet_terms::{NodeName, Role};
use popnet_wire::rollout::{Epoch, Version};
use popnet_wire::status::{NodeStatus, RoleStatus};
use serde::Serialize;

use super::format::{self, Moment};
use super::state::State;
use crate::pulse::Snapshot;

/// One node.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeRow {
    pub(crate) node: NodeName,
    pub(crate) roles: Vec<Role>,
    pub(crate) state: State,
    /// Configuration in force there: its own, or that of its role sheets.
    pub(crate) epoch: Option<u64>,
    pub(crate) digest: String,
    pub(crate) version: String,
    pub(crate) started: Option<Moment>,
    pub(crate) purge: String,
    pub(crate) why: String,
}

impl NodeRow {
    pub(crate) fn roles_text(&self) -> String {
        self.roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn epoch_text(&self) -> String {
        self.epoch.map_or_else(|| "?".to_owned(), |epoch| Epoch(epoch).to_string())
    }
}

/// One version of the history.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct VersionRow {
    pub(crate) epoch: u64,
    pub(crate) digest: String,
    pub(crate) author: String,
    pub(crate) message: String,
    pub(crate) at: Moment,
    pub(crate) in_force: bool,
}

impl VersionRow {
    pub(crate) fn of(version: &Version, in_force: Epoch) -> Self {
        Self {
            epoch: version.epoch.0,
            digest: short(&version.digest.to_string()),
            author: version.author.clone(),
            message: version.message.clone(),
            at: Moment(version.at),
            in_force: version.epoch == in_force,
        }
    }
}

/// The version at the master, when it has answered.
pub(crate) fn in_force(snapshot: &Snapshot) -> Epoch {
    snapshot.status.value.as_ref().map_or(snapshot.held.epoch, |(status, _)| status.epoch)
}

/// Every configured node; without a master, as the local configuration has them.
pub(crate) fn nodes(snapshot: &Snapshot) -> Vec<NodeRow> {
    match &snapshot.status.value {
        Some((status, _)) => status
            .nodes
            .iter()
            .map(|(name, roles, answer)| match answer {
                Ok(node) => answered(name, roles, node, status.epoch),
                Err(why) => unheard(name, roles, State::DOWN, why),
            })
            .collect(),
        None => snapshot
            .held
            .network
            .nodes()
            .map(|(name, _, node)| unheard(&name, &node.roles, State::UNKNOWN, "no report yet"))
            .collect(),
    }
}

fn answered(name: &NodeName, roles: &[Role], node: &NodeStatus, master: Epoch) -> NodeRow {
    let lag = behind(master, node);
    NodeRow {
        node: name.clone(),
        roles: roles.to_vec(),
        state: if lag.is_some() { State::BEHIND } else { State::UP },
        epoch: epoch(node).map(|epoch| epoch.0),
        digest: if node.epoch == Epoch(0) {
            String::new()
        } else {
            short(&node.digest.to_string())
        },
        version: node.version.to_string(),
        started: Some(Moment(node.started)),
        purge: node.purge.to_string(),
        why: lag.unwrap_or_default(),
    }
}

fn unheard(name: &NodeName, roles: &[Role], state: State, why: &str) -> NodeRow {
    NodeRow {
        node: name.clone(),
        roles: roles.to_vec(),
        state,
        epoch: None,
        digest: String::new(),
        version: String::new(),
        started: None,
        purge: String::new(),
        why: why.to_owned(),
    }
}

/// Why `node` does not run the master's version; `None` when it does.
pub(crate) fn behind(master: Epoch, node: &NodeStatus) -> Option<String> {
    let runs = epoch(node)?;
    (runs < master).then(|| format!("runs {runs}, in force is {master}"))
}

/// Its own configuration; caches have none, their sheets say what they were drawn from (G6).
fn epoch(node: &NodeStatus) -> Option<Epoch> {
    let sheets = node.roles.iter().filter_map(|role| match role {
        RoleStatus::Cache { sheet, .. } => Some(*sheet),
        RoleStatus::Plain { .. } | RoleStatus::Nameserver { .. } | RoleStatus::Logserver { .. } => {
            None
        }
    });
    let own = Some(node.epoch).filter(|epoch| *epoch != Epoch(0));
    own.into_iter().chain(sheets).min()
}

/// How many nodes run which version, newest first: "v3 on 5 nodes".
pub(crate) fn spread(nodes: &[NodeRow]) -> String {
    let mut counts = std::collections::BTreeMap::<u64, usize>::new();
    for epoch in nodes.iter().filter_map(|node| node.epoch) {
        *counts.entry(epoch).or_default() += 1;
    }
    let parts: Vec<String> = counts
        .iter()
        .rev()
        .map(|(epoch, count)| {
            let count = format::count(u64::try_from(*count).unwrap_or(u64::MAX));
            format!("{} on {count}", Epoch(*epoch))
        })
        .collect();
    if parts.is_empty() { "not known".to_owned() } else { parts.join(", ") }
}

fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}
