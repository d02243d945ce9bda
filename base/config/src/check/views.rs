//! Views: each has a name and somebody who sees it, and its zones ask for nothing that only the
//! zones of everybody can have.

use super::{At, Checker, spelling, transfers};
use crate::names::is_key;
use crate::network::{VIEWS_MAX, View, Who, Zone};
use crate::path::TreePath;

pub(super) fn check(checker: &mut Checker<'_>) {
    let network = checker.network;
    let all = TreePath::of(["views"]);
    if network.views.len() > VIEWS_MAX {
        let message = format!("{} views are more than {VIEWS_MAX}", network.views.len());
        let found = checker.error("E0452", message, &all.index(VIEWS_MAX), At::Value);
        found.help = "views with the same zones can be one: list the clients of both".into();
    }
    for (at, view) in network.views.iter().enumerate() {
        let path = all.index(at);
        name(checker, at, view, &path);
        clients(checker, view, &path);
        for (name, zone) in &view.zones {
            let path = path.key("zones").key(name);
            spelling::zone(checker, name, &path);
            transfers::agreements(checker, zone, &path);
            limits(checker, name, zone, &path);
        }
    }
}

fn name(checker: &mut Checker<'_>, at: usize, view: &View, path: &TreePath) {
    let here = path.key("name");
    if !is_key(&view.name) {
        spelling::label(checker, &view.name, "view", &here, At::Value);
    }
    let mut before = checker.network.views.iter().take(at);
    if let Some(first) = before.position(|other| other.name == view.name) {
        let message = format!("two views are called {}", view.name);
        let there = TreePath::of(["views"]).index(first).key("name");
        let mark = checker.mark(&there, At::Value, "the first");
        let found = checker.error("E0453", message, &here, At::Value);
        found.others.push(mark);
        found.help = "give each a name of its own".into();
    }
}

fn clients(checker: &mut Checker<'_>, view: &View, path: &TreePath) {
    if view.clients.is_empty() && view.keys.is_empty() {
        let message = format!("nobody sees view {}", view.name);
        let found = checker.error("E0454", message, path, At::Value);
        found.help = "say whose it is: clients = [\"10.0.0.0/8\"], or keys = [\"NAME\"]".into();
    }
    for (at, who) in view.clients.iter().enumerate() {
        let help = match who {
            Who::Any | Who::Net(_) => continue,
            Who::Key(key) => format!("write keys = [\"{key}\"] beside clients"),
            Who::Tls(_) | Who::Pin(_) => "name addresses, networks or \"any\"".to_owned(),
        };
        let message = format!("clients are known by address, not by {who}");
        let path = path.key("clients").index(at);
        checker.error("E0455", message, &path, At::Value).help = help;
    }
    for (at, key) in view.keys.iter().enumerate() {
        transfers::key(checker, key, &path.key("keys").index(at));
    }
}

/// A zone of a view is read from a file, and answered as it stands there.
fn limits(checker: &mut Checker<'_>, name: &str, zone: &Zone, path: &TreePath) {
    if zone.file.is_none() && !zone.is_secondary() {
        let message = format!("zone {name} has no file");
        let found = checker.error("E0430", message, path, At::Key);
        found.help = "write file = \"FILE\": a zone of a view is read from a file".into();
    }
    let primaries = "transfer it as a zone of everybody, under [zones], or give the view a file";
    let refused = [
        ("primaries", !zone.primaries.is_empty(), primaries),
        ("tls_primaries", !zone.tls_primaries.is_empty(), primaries),
        ("catalog", zone.catalog, "catalogs list the zones of everybody: write it under [zones]"),
        ("group", zone.group.is_some(), "catalogs list the zones of everybody: leave it out"),
        ("allow_update", !zone.allow_update.is_empty(), "change its file and reload"),
        ("forward_updates", zone.forward_updates, "send updates to the primary"),
        (
            "dnssec",
            zone.dnssec.is_some(),
            "sign the file before it is read, as with ldns-signzone; only zones of everybody are \
             signed here",
        ),
    ];
    for (key, _, help) in refused.into_iter().filter(|(_, is_set, _)| *is_set) {
        let message = format!("a zone of a view has no {key}");
        checker.error("E0456", message, &path.key(key), At::Key).help = help.into();
    }
}
