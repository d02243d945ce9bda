//! References: every name that one part of the file uses, another part gives.

use std::collections::BTreeSet;

use popnet_terms::{NodeName, PopId, Role, TargetId};

use super::{At, Checker, listed};
use crate::diagnostic::Mark;
use crate::nearest::nearest;
use crate::path::TreePath;

/// A name where it is used.
struct Use<'a> {
    name: &'a str,
    path: TreePath,
    at: At,
}

fn used(name: &str, path: TreePath) -> Use<'_> {
    Use { name, path, at: At::Value }
}

/// What a name should be: the table that has it, in one word, in several, and the names there.
struct Known<'a> {
    table: &'static str,
    one: &'static str,
    many: &'static str,
    names: BTreeSet<&'a str>,
}

pub(super) fn check(checker: &mut Checker<'_>) {
    pops(checker);
    if named_things(checker) {
        unused(checker);
    }
    nodes(checker);
    certificates(checker);
}

fn pops(checker: &mut Checker<'_>) {
    let network = checker.network;
    let mut uses = Vec::new();
    for (id, probe) in &network.probes {
        let path = TreePath::of(["probes", id.as_str(), "from", "pops"]);
        uses.extend(probe.from.iter().flat_map(|from| selected(&from.pops, &path)));
    }
    for (name, site) in &network.sites {
        let path = TreePath::of(["sites", name.as_str(), "pops"]);
        uses.extend(site.pops.iter().flat_map(|pops| selected(pops, &path)));
    }
    if let Some(simulate) = &network.simulate {
        for (table, keys) in [
            ("load", simulate.load.keys().collect::<Vec<_>>()),
            ("slow", simulate.slow.keys().collect()),
        ] {
            for pop in keys {
                let path = TreePath::of(["simulate", table, pop.as_str()]);
                uses.push(Use { name: pop.as_str(), path, at: At::Key });
            }
        }
    }
    let known = pop_names(checker);
    exist(checker, uses, &known);
    distances(checker);
}

fn pop_names<'a>(checker: &Checker<'a>) -> Known<'a> {
    let names = checker.network.pops.keys().map(PopId::as_str).collect();
    Known { table: "pops", one: "a POP", many: "POPs", names }
}

/// The entries of a list of POPs; `*` is all of them.
fn selected<'a>(pops: &'a [String], path: &TreePath) -> Vec<Use<'a>> {
    let named = pops.iter().enumerate().filter(|(_, name)| *name != "*");
    named.map(|(at, name)| used(name, path.index(at))).collect()
}

/// Simulated distances and thumbs on the scale are about POPs and origins.
fn distances(checker: &mut Checker<'_>) {
    let network = checker.network;
    let servers: BTreeSet<String> = network
        .origin_groups
        .iter()
        .flat_map(|(group, of)| of.servers.keys().map(move |server| format!("{group}/{server}")))
        .collect();
    let names = network.pops.keys().map(PopId::as_str).chain(servers.iter().map(String::as_str));
    let known = Known {
        table: "pops",
        one: "a POP or GROUP/SERVER",
        many: "targets",
        names: names.collect(),
    };
    let mut uses = Vec::new();
    for (city, of) in network.simulate.iter().flat_map(|simulate| &simulate.cities) {
        for target in of.rtt.keys() {
            let path = TreePath::of(["simulate", "cities", city, "rtt", target]);
            uses.push(Use { name: target, path, at: At::Key });
        }
    }
    for (name, site) in &network.sites {
        let path = TreePath::of(["sites", name.as_str(), "bias_ms"]);
        let keys = site.bias_ms.keys();
        uses.extend(keys.map(|target| Use { name: target, path: path.key(target), at: At::Key }));
    }
    debug_assert!(known.names.iter().all(|name| name.parse::<TargetId>().is_ok()));
    exist(checker, uses, &known);
}

/// Whether all of these names exist.
fn named_things(checker: &mut Checker<'_>) -> bool {
    let network = checker.network;
    let (mut customers, mut policies, mut groups, mut probes) = (vec![], vec![], vec![], vec![]);
    for (name, site) in &network.sites {
        let path = TreePath::of(["sites", name.as_str()]);
        customers.push(used(site.customer.as_str(), path.key("customer")));
        policies.extend(site.policy.iter().map(|policy| used(policy, path.key("policy"))));
        groups.push(used(site.origins.as_str(), path.key("origins")));
        groups.extend(site.backup.iter().map(|group| used(group.as_str(), path.key("backup"))));
    }
    for (id, probe) in &network.probes {
        let group = probe.target.as_ref().and_then(|target| target.origin_group.as_ref());
        let path = TreePath::of(["probes", id.as_str(), "target", "origin_group"]);
        groups.extend(group.map(|group| used(group.as_str(), path)));
    }
    for (group, of) in &network.origin_groups {
        for (key, server) in &of.servers {
            let path = TreePath::of(["origin_groups", group.as_str(), "servers", key, "probe"]);
            probes.extend(server.probe.iter().map(|probe| used(probe.as_str(), path.clone())));
        }
    }
    let ids = network.customers.keys().map(|id| id.as_str()).collect();
    let known = Known { table: "customers", one: "a customer", many: "customers", names: ids };
    let mut good = exist(checker, customers, &known);
    let ids = network.policies.keys().map(String::as_str).collect();
    let known = Known { table: "policies", one: "a policy", many: "policies", names: ids };
    good &= exist(checker, policies, &known);
    let ids = network.origin_groups.keys().map(|id| id.as_str()).collect();
    let (one, many) = ("an origin group", "origin groups");
    let known = Known { table: "origin_groups", one, many, names: ids };
    good &= exist(checker, groups, &known);
    let ids = network.probes.keys().map(|id| id.as_str()).collect();
    let known = Known { table: "probes", one: "a probe", many: "probes", names: ids };
    good & exist(checker, probes, &known)
}

fn nodes(checker: &mut Checker<'_>) {
    let network = checker.network;
    let mut uses = Vec::new();
    let allow = TreePath::of(["masters", "allow"]);
    uses.extend(in_list(&network.masters.allow, &allow));
    for (parent, children) in &network.masters.relay {
        let path = TreePath::of(["masters", "relay", parent.as_str()]);
        uses.push(Use { name: parent.as_str(), path: path.clone(), at: At::Key });
        uses.extend(in_list(children, &path));
    }
    let mut log_uses = in_list(&network.logs.default, &TreePath::of(["logs", "default"]));
    for (customer, of) in &network.customers {
        let servers = of.logs.as_ref().map_or(&[][..], |logs| &logs.servers);
        let path = TreePath::of(["customers", customer.as_str(), "logs", "servers"]);
        log_uses.extend(in_list(servers, &path));
    }
    let runs_none = log_uses.iter().filter_map(|log| {
        let node = network.node(&NodeName::new(log.name))?;
        let name = NodeName::new(log.name);
        let at = TreePath::of(["pops", name.pop().as_str(), "nodes", name.node(), "roles"]);
        (!node.runs(Role::Logserver) && checker.is_whole(&at)).then(|| (log.name, log.path.clone()))
    });
    let wrong: Vec<_> = runs_none.collect();
    uses.extend(log_uses);
    let all: Vec<String> = network.nodes().map(|(name, _, _)| name.to_string()).collect();
    let names = all.iter().map(String::as_str).collect();
    exist(checker, uses, &Known { table: "pops", one: "a node", many: "nodes", names });
    for (name, path) in wrong {
        let able: Vec<_> = network.running(Role::Logserver).map(|(name, _, _)| name).collect();
        let message = format!("{name} is not a log server");
        let found = checker.error("E0202", message, &path, At::Value);
        found.notes.push(format!("log servers: {}", listed(able.iter().map(NodeName::as_str))));
        found.help = format!("add \"logserver\" to the roles of {name}, or name another node");
    }
}

fn in_list<'a>(names: &'a [NodeName], path: &TreePath) -> Vec<Use<'a>> {
    names.iter().enumerate().map(|(at, name)| used(name.as_str(), path.index(at))).collect()
}

/// Reports each unknown name once, with every other place where it stands. Whether all exist.
fn exist(checker: &mut Checker<'_>, uses: Vec<Use<'_>>, known: &Known<'_>) -> bool {
    if !checker.has_keys(&TreePath::of([known.table])) {
        return false;
    }
    let mut wrong: Vec<(Mark, Use<'_>)> = uses
        .into_iter()
        .filter(|one| !known.names.contains(one.name))
        .map(|one| (checker.mark(&one.path, one.at, String::new()), one))
        .collect();
    wrong.sort_by_key(|(mark, _)| (mark.line, mark.column));
    let mut seen = BTreeSet::new();
    for (_, one) in &wrong {
        if !seen.insert(one.name) {
            continue;
        }
        let also: Vec<_> =
            wrong.iter().filter(|(_, other)| other.name == one.name).skip(1).collect();
        let message = format!("{:?} is not {}", one.name, known.one);
        let found = checker.error("E0201", message, &one.path, one.at);
        found.notes.push(format!(
            "{} in this file: {}",
            known.many,
            listed(known.names.iter().copied())
        ));
        for (mark, other) in also {
            let place = other.path.without_indices();
            found.notes.push(format!("also: line {}, {place}", mark.line));
        }
        if let Some(name) = nearest(one.name, known.names.iter().copied()) {
            found.help = format!("did you mean \"{name}\"?");
        }
    }
    seen.is_empty()
}

/// A certificate may lie in the nodes' own stores, which this file does not know. Only when the
/// file gives some itself is a name that is not among them worth a word.
fn certificates(checker: &mut Checker<'_>) {
    let network = checker.network;
    // Name servers hold this file, and look nowhere else.
    let names = network.certificates.keys().map(String::as_str).collect();
    let (one, many) = ("a certificate", "certificates");
    let known = Known { table: "certificates", one, many, names };
    let own = network.dns.certificate.iter();
    let own = own.map(|name| used(name, TreePath::of(["dns", "certificate"]))).collect();
    exist(checker, own, &known);
    if network.certificates.is_empty() {
        return;
    }
    for (name, site) in &network.sites {
        let Some(tls) = &site.tls else { continue };
        if network.certificates.contains_key(&tls.certificate) {
            continue;
        }
        let path = TreePath::of(["sites", name.as_str(), "tls", "certificate"]);
        let message = format!("certificate {:?} is not in this file", tls.certificate);
        let found = checker.warning("W0703", message, &path, At::Value);
        found.notes.push("every cache of the site must then have it in its own store".into());
        let names = network.certificates.keys().map(String::as_str);
        if let Some(near) = nearest(&tls.certificate, names) {
            found.help = format!("did you mean \"{near}\"?");
        }
    }
}

/// Things with a name that nothing uses: often a name that was changed in one place only.
fn unused(checker: &mut Checker<'_>) {
    let network = checker.network;
    let sites = || network.sites.values();
    let policies: BTreeSet<_> = sites().filter_map(|site| site.policy.as_ref()).collect();
    let groups: BTreeSet<_> =
        sites().flat_map(|site| [&site.origins].into_iter().chain(&site.backup)).collect();
    let servers = network.origin_groups.values().flat_map(|group| group.servers.values());
    let probes: BTreeSet<_> = servers.filter_map(|server| server.probe.as_ref()).collect();
    let mut idle = Vec::new();
    for name in network.policies.keys() {
        if !policies.contains(name) {
            idle.push(("policy", "no site names it", TreePath::of(["policies", name])));
        }
    }
    for id in network.origin_groups.keys() {
        if !groups.contains(id) {
            let path = TreePath::of(["origin_groups", id.as_str()]);
            idle.push(("origin group", "no site names it", path));
        }
    }
    for (id, probe) in &network.probes {
        let of_group = probe.target.as_ref().is_some_and(|target| target.origin_group.is_some());
        if of_group && !probes.contains(id) {
            let path = TreePath::of(["probes", id.as_str()]);
            idle.push(("probe", "no server of an origin group names it", path));
        }
    }
    if !checker.is_whole(&TreePath::of(["sites"])) {
        return;
    }
    for (what, why, path) in idle {
        let found = checker.warning("W0702", format!("this {what} is not used"), &path, At::Key);
        found.label = why.to_owned();
    }
}
