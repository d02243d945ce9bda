//! The relay tree: a new version reaches every node that holds one, each by one way (A3, G6).

use std::collections::{BTreeMap, BTreeSet};

use popnet_terms::{NodeName, Role};

use super::{At, Checker, listed};
use crate::path::TreePath;

pub(super) fn check(checker: &mut Checker<'_>) {
    if checker.network.is_managed() {
        a_master_may_push(checker);
    }
    holders_only(checker);
    one_parent(checker);
    let network = checker.network;
    let children = network.masters.relay.values().flatten();
    let known = children.into_iter().all(|name| network.node(name).is_some());
    if !loops(checker) && known && network.is_managed() {
        everybody_reached(checker);
    }
}

fn relay(parent: &NodeName) -> TreePath {
    TreePath::of(["masters", "relay", parent.as_str()])
}

fn a_master_may_push(checker: &mut Checker<'_>) {
    let network = checker.network;
    let is_master =
        |name: &NodeName| network.node(name).is_some_and(|node| node.runs(Role::Master));
    let known = network.masters.allow.iter().all(|name| network.node(name).is_some());
    if known && !network.masters.allow.iter().any(is_master) {
        let masters: Vec<_> = network.running(Role::Master).map(|(name, _, _)| name).collect();
        let path = TreePath::of(["masters", "allow"]);
        let found = checker.error("E0117", "no master may push", &path, At::Value);
        found.notes.push(format!(
            "nodes with the role \"master\": {}",
            listed(masters.iter().map(NodeName::as_str))
        ));
        found.help = "name one of them, or add \"master\" to the roles of one of these".into();
    }
}

/// Caches get sheets, not the configuration.
fn holders_only(checker: &mut Checker<'_>) {
    let network = checker.network;
    for (parent, children) in &network.masters.relay {
        let rows = children
            .iter()
            .enumerate()
            .map(|(at, child)| (child, relay(parent).index(at), At::Value));
        for (name, path, at) in std::iter::once((parent, relay(parent), At::Key)).chain(rows) {
            if network
                .node(name)
                .is_none_or(|node| node.holds_configuration() || node.roles.is_empty())
            {
                continue;
            }
            let found = checker.error("E0116", format!("{name} only caches"), &path, at);
            found.notes.push(
                "caches fetch small sheets about their sites; they hold no configuration".into(),
            );
            found.help = format!("remove {name} from masters.relay");
        }
    }
}

fn one_parent(checker: &mut Checker<'_>) {
    let mut fed: BTreeMap<&NodeName, (TreePath, &NodeName)> = BTreeMap::new();
    for (parent, children) in &checker.network.masters.relay {
        for (at, child) in children.iter().enumerate() {
            let path = relay(parent).index(at);
            let Some((before, other)) = fed.get(child) else {
                fed.insert(child, (path, parent));
                continue;
            };
            let message = format!("{child} receives from {other} and from {parent}");
            let mark = checker.mark(before, At::Value, "here already");
            let found = checker.error("E0114", message, &path, At::Value);
            found.others.push(mark);
            found.help = "every node has one parent: remove one of the two".into();
        }
    }
}

/// Reports loops; whether there are any.
fn loops(checker: &mut Checker<'_>) -> bool {
    let mut looped = BTreeSet::new();
    let relay_keys: Vec<&NodeName> = checker.network.masters.relay.keys().collect();
    for start in relay_keys {
        if looped.contains(start) {
            continue;
        }
        let Some(way) = way_back(checker, start) else { continue };
        looped.extend(way.iter().cloned());
        // Shown from the node that stands first in `allow`, so that its last step is the wrong one.
        let way = from_the_top(checker, way);
        report_loop(checker, &way);
    }
    !looped.is_empty()
}

/// The nodes of a loop through `start`, each once.
fn way_back(checker: &Checker<'_>, start: &NodeName) -> Option<Vec<NodeName>> {
    let mut from: BTreeMap<NodeName, NodeName> = BTreeMap::new();
    let mut waiting = vec![start.clone()];
    while let Some(node) = waiting.pop() {
        for child in checker.network.children(&node) {
            if child == start {
                let mut way = vec![node.clone()];
                while let Some(before) = way.last().and_then(|last| from.get(last)) {
                    way.push(before.clone());
                }
                way.reverse();
                return Some(way);
            }
            if !from.contains_key(child) {
                from.insert(child.clone(), node.clone());
                waiting.push(child.clone());
            }
        }
    }
    None
}

fn from_the_top(checker: &Checker<'_>, mut way: Vec<NodeName>) -> Vec<NodeName> {
    let allow = &checker.network.masters.allow;
    let rank = |name: &NodeName| allow.iter().position(|one| one == name).unwrap_or(usize::MAX);
    let top =
        way.iter().enumerate().min_by_key(|(at, name)| (rank(name), *at)).map_or(0, |(at, _)| at);
    way.rotate_left(top);
    way
}

fn report_loop(checker: &mut Checker<'_>, way: &[NodeName]) {
    let (Some(first), Some(last)) = (way.first(), way.last()) else { return };
    let names: Vec<&str> = way.iter().chain([first]).map(NodeName::as_str).collect();
    let child = checker.network.children(last).iter().position(|child| child == first);
    let path = relay(last).index(child.unwrap_or(0));
    let others: Vec<_> = way
        .iter()
        .take(way.len() - 1)
        .map(|name| {
            let mut mark = checker.mark(&relay(name), At::Key, "");
            mark.length = 0;
            mark
        })
        .collect();
    let found =
        checker.error("E0113", format!("relay loop   {}", names.join(" → ")), &path, At::Value);
    found.label = "a node cannot receive from one it sends to".into();
    found.others = others;
    found.help = format!("remove \"{first}\" from this list");
}

/// One push has to reach every holder, from one root.
fn everybody_reached(checker: &mut Checker<'_>) {
    let network = checker.network;
    let Some(root) = network.relay_root() else { return };
    let reached = network.reached_by_relay(root);
    let holders = network.nodes().filter(|(_, _, node)| node.holds_configuration());
    let missed: Vec<NodeName> =
        holders.map(|(name, _, _)| name).filter(|name| !reached.contains(name)).collect();
    for name in missed {
        // Below another node that is missed, only the top one is worth a word.
        if network.parent(&name).is_some() {
            continue;
        }
        let path = TreePath::of(["pops", name.pop().as_str(), "nodes", name.node()]);
        let message = format!("no push reaches {name}");
        let found = checker.error("E0115", message, &path, At::Key);
        found.notes.push(format!("it holds the configuration, and pushes begin at {root}"));
        found.help =
            format!("add \"{name}\" to a list in masters.relay, such as that of \"{root}\"");
    }
}
