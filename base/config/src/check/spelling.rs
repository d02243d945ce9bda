//! Names: those that become part of hostnames have to be labels, and some are taken.

use super::{At, Checker};
use crate::names::{is_hostname, is_key, is_label, is_zone, respelt};
use crate::path::TreePath;
use crate::roster::is_below;

/// Labels below our own domain that the name servers use themselves (N24).
const TAKEN_IN_DOMAIN: [&str; 6] = ["config", "log", "origin", "origins", "store", "whoami"];
/// Labels below a POP that the name servers use themselves.
const TAKEN_IN_POP: [&str; 2] = ["origin", "store"];

pub(super) fn check(checker: &mut Checker<'_>) {
    let network = checker.network;
    let name = TreePath::of(["network", "name"]);
    if !is_key(&network.network.name) {
        label(checker, &network.network.name, "network", &name, At::Value);
    }
    let domain = TreePath::of(["network", "domain"]);
    if !is_hostname(&network.network.domain) {
        hostname(checker, &network.network.domain, &domain, At::Value);
    }
    machines(checker);
    keys(checker);
    sites(checker);
    zones(checker);
}

fn machines(checker: &mut Checker<'_>) {
    for (pop, of) in &checker.network.pops {
        let path = TreePath::of(["pops", pop.as_str()]);
        if !is_label(pop.as_str()) {
            label(checker, pop.as_str(), "POP", &path, At::Key);
        } else if TAKEN_IN_DOMAIN.contains(&pop.as_str()) {
            taken(checker, pop.as_str(), "POP", &path);
        }
        for key in of.nodes.keys() {
            let path = path.key("nodes").key(key);
            if !is_label(key) {
                label(checker, key, "node", &path, At::Key);
            } else if TAKEN_IN_POP.contains(&key.as_str()) {
                taken(checker, key, "node", &path);
            }
        }
    }
}

fn keys(checker: &mut Checker<'_>) {
    let network = checker.network;
    let mut keys: Vec<(&str, &str, TreePath)> = Vec::new();
    let mut add = |what, root, key| keys.push((what, key, TreePath::of([root, key])));
    network.customers.keys().for_each(|key| add("customer", "customers", key.as_str()));
    network.probes.keys().for_each(|key| add("probe", "probes", key.as_str()));
    network.policies.keys().for_each(|key| add("policy", "policies", key));
    network.origin_groups.keys().for_each(|key| add("origin group", "origin_groups", key.as_str()));
    network.certificates.keys().for_each(|key| add("certificate", "certificates", key));
    for (group, of) in &network.origin_groups {
        for key in of.servers.keys() {
            let path = TreePath::of(["origin_groups", group.as_str(), "servers", key]);
            keys.push(("server", key, path));
        }
    }
    for (what, key, path) in keys {
        if !is_key(key) {
            label(checker, key, what, &path, At::Key);
        }
    }
}

fn sites(checker: &mut Checker<'_>) {
    let network = checker.network;
    let domain = network.network.domain.as_str();
    for name in network.sites.keys().map(popnet_terms::SiteName::as_str).filter(|name| *name != "*")
    {
        let path = TreePath::of(["sites", name]);
        if !is_hostname(name) {
            hostname(checker, name, &path, At::Key);
            continue;
        }
        let of_pop = |pop: &popnet_terms::PopId| is_below(name, &format!("{pop}.{domain}"));
        if name == domain || network.pops.keys().any(of_pop) {
            let found =
                checker.error("E0333", format!("{name} is a name of our own"), &path, At::Key);
            found.notes.push(format!("name servers answer it with nodes and POPs of {domain}"));
            found.help = "give the site a name outside the POPs of network.domain".into();
        }
    }
}

fn zones(checker: &mut Checker<'_>) {
    for (name, zone) in &checker.network.zones {
        let path = TreePath::of(["zones", name]);
        self::zone(checker, name, &path);
        if zone.file.is_some() == zone.is_secondary() && !zone.is_listing() {
            let both = zone.file.is_some();
            let what =
                if both { "both a file and primaries" } else { "neither a file nor primaries" };
            let found = checker.error("E0430", format!("zone {name} has {what}"), &path, At::Key);
            found.help =
                "a zone is read from `file` or transferred from `primaries`: write one".into();
        }
    }
}

/// A zone's name is one, and not of a zone that we make.
pub(super) fn zone(checker: &mut Checker<'_>, name: &str, path: &TreePath) {
    if !is_zone(name) {
        hostname(checker, name, path, At::Key);
    } else if name == checker.network.network.domain {
        let message = format!("zone {name} is made by popnet itself");
        let found = checker.error("E0333", message, path, At::Key);
        found.help = "remove it, or give network.domain a name of its own below it".into();
    }
}

pub(super) fn label(checker: &mut Checker<'_>, text: &str, what: &str, path: &TreePath, at: At) {
    let found = checker.error("E0331", format!("{text:?} cannot name a {what}"), path, at);
    found
        .notes
        .push("names become labels in the DNS: 1 to 63 of a-z, 0-9 and inner hyphens".into());
    let plain: String = text.to_lowercase().replace([' ', '_', '.'], "-");
    if is_label(&plain) {
        found.help = format!("write {plain}");
    }
}

fn taken(checker: &mut Checker<'_>, text: &str, what: &str, path: &TreePath) {
    let found = checker.error("E0332", format!("no {what} may be called {text}"), path, At::Key);
    found.notes.push("name servers use this label to say where services are".into());
    found.help = "choose another name".into();
}

fn hostname(checker: &mut Checker<'_>, text: &str, path: &TreePath, at: At) {
    let found = checker.error("E0330", format!("{text:?} is not a hostname"), path, at);
    if let Some(better) = respelt(text) {
        found.help = format!("write \"{better}\"");
    } else if !text.is_ascii() {
        found.help = "write international names in their xn-- form".into();
    } else if text.contains('*') {
        found.help = "only \"*\" alone stands for other hosts; name each host of a group".into();
    } else {
        found.help = "letters a-z, digits, inner hyphens and dots between labels".into();
    }
}
