//! Probes: each kind has the keys it needs, and can come to a verdict.

mod kinds;

use popnet_terms::{ProbeId, Role};

use super::{At, Checker};
use crate::network::{Probe, ProbeKind, ProbeTarget};
use crate::path::TreePath;

pub(super) fn check(checker: &mut Checker<'_>) {
    for (id, probe) in &checker.network.probes {
        let path = TreePath::of(["probes", id.as_str()]);
        match probe.kind {
            ProbeKind::Http => http(checker, probe, &path),
            ProbeKind::Tcp => tcp(checker, probe, &path),
            ProbeKind::Latency => latency(checker, probe, &path),
            ProbeKind::Ftp
            | ProbeKind::Dns
            | ProbeKind::Stream
            | ProbeKind::Icmp
            | ProbeKind::Command
            | ProbeKind::Metrics
            | ProbeKind::Snmp => other(checker, probe, &path),
        }
        kinds::tables(checker, probe, &path);
        numbers(checker, probe, &path);
        agreement(checker, probe, &path);
    }
    servers(checker);
}

fn http(checker: &mut Checker<'_>, probe: &Probe, path: &TreePath) {
    if probe.request.is_none() {
        let found = checker.error("E0410", "an HTTP probe needs a request", path, At::Key);
        found.help = "add request = { path = \"/health\" }".into();
    }
    target(checker, probe, path);
    no_latency_keys(checker, probe, path);
    if let Some(request) = &probe.request
        && !request.path.starts_with('/')
    {
        let path = path.key("request").key("path");
        let message = format!("{:?} is not a path", request.path);
        let found = checker.error("E0423", message, &path, At::Value);
        found.help = "a path begins with /".into();
    }
    expectations(checker, probe, path);
}

fn expectations(checker: &mut Checker<'_>, probe: &Probe, path: &TreePath) {
    let Some(expect) = &probe.expect else { return };
    let path = path.key("expect");
    for (at, status) in expect.status.iter().enumerate() {
        if !(100..600).contains(status) {
            let path = path.key("status").index(at);
            let found =
                checker.error("E0303", format!("{status} is no HTTP status"), &path, At::Value);
            found.help = "100 to 599".into();
        }
    }
    if let Some(digest) = &expect.body_sha256
        && !(digest.len() == 64 && digest.bytes().all(|octet| octet.is_ascii_hexdigit()))
    {
        let path = path.key("body_sha256");
        let found = checker.error("E0305", "not a SHA-256 digest", &path, At::Value);
        found.help = "64 hexadecimal digits, as sha256sum prints them".into();
    }
    if expect.body_range.is_some() && probe.digest_range().is_none() {
        let path = path.key("body_range");
        let found = checker.error("E0305", "not a range of octets", &path, At::Value);
        found.help = "the first and the last octet, such as \"0-65535\"".into();
    }
}

/// Kinds whose question is in a table of their own.
fn other(checker: &mut Checker<'_>, probe: &Probe, path: &TreePath) {
    target(checker, probe, path);
    no_latency_keys(checker, probe, path);
    let set = [("request", probe.request.is_some())];
    foreign(checker, "only HTTP probes have it", &set, path);
    expectations(checker, probe, path);
}

fn tcp(checker: &mut Checker<'_>, probe: &Probe, path: &TreePath) {
    target(checker, probe, path);
    no_latency_keys(checker, probe, path);
    let set = [("request", probe.request.is_some()), ("expect", probe.expect.is_some())];
    foreign(checker, "a TCP probe only opens a connection", &set, path);
}

fn latency(checker: &mut Checker<'_>, probe: &Probe, path: &TreePath) {
    let set = [
        ("target", probe.target.is_some()),
        ("request", probe.request.is_some()),
        ("expect", probe.expect.is_some()),
        ("interval", probe.interval.is_some()),
        ("fall", probe.fall.is_some()),
        ("rise", probe.rise.is_some()),
    ];
    foreign(checker, "a latency probe measures resolvers that name servers ask for", &set, path);
}

fn no_latency_keys(checker: &mut Checker<'_>, probe: &Probe, path: &TreePath) {
    let set = [
        ("methods", !probe.methods.is_empty()),
        ("samples", probe.samples.is_some()),
        ("refresh", probe.refresh.is_some()),
        ("expire", probe.expire.is_some()),
        ("budget", probe.budget.is_some()),
    ];
    foreign(checker, "only latency probes have it", &set, path);
}

/// Reports keys that are set but belong to another kind of probe.
fn foreign(checker: &mut Checker<'_>, why: &str, set: &[(&str, bool)], path: &TreePath) {
    for (key, _) in set.iter().filter(|(_, set)| *set) {
        let message = format!("{key} does not belong to this kind of probe");
        let found = checker.error("E0411", message, &path.key(key), At::Key);
        found.notes.push(why.to_owned());
    }
}

fn target(checker: &mut Checker<'_>, probe: &Probe, path: &TreePath) {
    let (place, at, what) = match &probe.target {
        None => (path.clone(), At::Key, "no target"),
        Some(ProbeTarget { role: None, origin_group: None }) => {
            (path.key("target"), At::Value, "an empty target")
        }
        Some(ProbeTarget { role: Some(_), origin_group: Some(_) }) => {
            (path.key("target"), At::Value, "two targets")
        }
        Some(_) => return,
    };
    let found = checker.error("E0412", format!("a service probe with {what}"), &place, at);
    found.help =
        "write target = { role = \"webcache\" } or target = { origin_group = \"…\" }".into();
}

fn numbers(checker: &mut Checker<'_>, probe: &Probe, path: &TreePath) {
    for (key, number) in [("fall", probe.fall), ("rise", probe.rise), ("samples", probe.samples)] {
        if number == Some(0) {
            let found = checker.error("E0303", "0 is out of range", &path.key(key), At::Value);
            found.help = "1 or more".into();
        }
    }
    for (key, span) in [("interval", probe.interval), ("timeout", probe.timeout)] {
        if span.is_some_and(|span| span.0 == 0) {
            let found = checker.error("E0303", "0 is out of range", &path.key(key), At::Value);
            found.help = "longer than nothing".into();
        }
    }
    if probe.kind != ProbeKind::Latency && probe.timeout() > probe.interval() {
        let message = format!(
            "an attempt may last {}, the next begins after {}",
            probe.timeout(),
            probe.interval()
        );
        let key = if probe.timeout.is_some() { "timeout" } else { "interval" };
        let found = checker.warning("W0707", message, &path.key(key), At::Value);
        found.notes.push("attempts do not overlap: a silent target is looked at less often".into());
    }
}

/// As many POPs as must agree have to be able to look.
fn agreement(checker: &mut Checker<'_>, probe: &Probe, path: &TreePath) {
    let Some(agree) = probe.from.as_ref().and_then(|from| from.agree) else { return };
    let path = path.key("from").key("agree");
    let network = checker.network;
    let named = probe.from.iter().flat_map(|from| &from.pops);
    let known = |name: &String| name == "*" || network.pops.contains_key(name.as_str());
    if !checker.is_whole(&TreePath::of(["pops"])) || !named.into_iter().all(known) {
        return;
    }
    let able = network.pops.iter().filter(|(pop, of)| {
        probe.is_from(pop) && of.nodes.values().any(|node| node.runs(Role::Netprobe))
    });
    let able = able.count();
    if agree == 0 {
        let found = checker.error("E0303", "0 is out of range", &path, At::Value);
        found.help = "1 or more".into();
    } else if usize::from(agree) > able {
        let message = format!("{agree} POPs must agree, {able} can look");
        let found = checker.error("E0414", message, &path, At::Value);
        found.notes.push("nothing would ever be called down".into());
        found.help = "name more POPs with a netprobe in `from.pops`, or lower `agree`".into();
    }
}

/// The probe that a server names has to look at that server's group.
fn servers(checker: &mut Checker<'_>) {
    let network = checker.network;
    for (group, of) in &network.origin_groups {
        for (key, server) in &of.servers {
            let Some(id) = &server.probe else { continue };
            let Some(probe) = network.probes.get::<ProbeId>(id) else { continue };
            let watched = probe.target.as_ref().and_then(|target| target.origin_group.as_ref());
            if probe.kind != ProbeKind::Latency
                && (watched == Some(group) || probe.target.is_none())
            {
                continue;
            }
            let path = TreePath::of(["origin_groups", group.as_str(), "servers", key, "probe"]);
            let message = format!("probe {id} does not look at {group}");
            let there = TreePath::of(["probes", id.as_str()]);
            let mark = match watched {
                Some(_) => checker.mark(&there.key("target"), At::Value, "it looks at this"),
                None => checker.mark(&there, At::Key, "this probe"),
            };
            let found = checker.error("E0413", message, &path, At::Value);
            found.others.push(mark);
            found.help = format!("name a probe with target = {{ origin_group = \"{group}\" }}");
        }
    }
}
