//! Name servers and those who ask: limits that can be kept, and listeners that somebody serves.

use popnet_terms::Role;

use super::{At, Checker};
use crate::network::{Network, RateLimit, SLIP_MAX, Service};
use crate::path::TreePath;

pub(super) fn check(checker: &mut Checker<'_>) {
    let network: &Network = checker.network;
    listeners(checker);
    let tcp = TreePath::of(["dns", "tcp"]);
    for (key, value) in
        [("connections", network.dns.tcp.connections), ("per_client", network.dns.tcp.per_client)]
    {
        if value == Some(0) {
            out_of_range(checker, 0, &tcp.key(key), "1 or more");
        }
    }
    if let Some(limit) = &network.dns.rate_limit {
        rate_limit(checker, limit, &TreePath::of(["dns", "rate_limit"]));
    }
}

/// The port that DNS over QUIC must leave alone: packets of both could be taken for each other.
const PORT_OF_DNS: u16 = 53;

/// Only a name server opens them: anywhere else the key stands for something that was forgotten.
fn listeners(checker: &mut Checker<'_>) {
    let network = checker.network;
    for (name, pop, node) in network.nodes() {
        let path = TreePath::of(["pops", pop.as_str(), "nodes", name.node(), "listen"]);
        let listed = node.listen.doq.iter().position(|at| at.port() == PORT_OF_DNS);
        if let Some(at) = listed {
            let path = path.key("doq").index(at);
            let message = "DNS over QUIC may not use port 53 (RFC 9250 4.1.1)";
            let found = checker.error("E0416", message, &path, At::Value);
            found.help = "853 is the usual one".into();
        }
        if node.runs(Role::Nameserver) {
            continue;
        }
        for service in [Service::Dot, Service::Doh, Service::Doq] {
            if node.listens(service).is_empty() {
                continue;
            }
            let message = format!("{name} has no role that serves {}", service.name());
            let found = checker.error("E0415", message, &path.key(service.name()), At::Key);
            found.help = "add \"nameserver\" to its roles, or leave the key out".into();
        }
    }
}

fn rate_limit(checker: &mut Checker<'_>, limit: &RateLimit, path: &TreePath) {
    for (key, value, most) in [
        ("slip", limit.slip, SLIP_MAX),
        ("ipv4_prefix", limit.ipv4_prefix, 32),
        ("ipv6_prefix", limit.ipv6_prefix, 128),
    ] {
        if let Some(value) = value.filter(|value| *value > most) {
            out_of_range(checker, value, &path.key(key), &format!("0 to {most}"));
        }
    }
    let rates =
        [limit.responses, limit.nodata, limit.nxdomains, limit.referrals, limit.errors, limit.all];
    if rates.iter().all(Option::is_none) {
        let found = checker.warning("W0704", "this rate limit limits nothing", path, At::Key);
        found.help = "write responses = \"20/s\", or leave the table out".into();
    }
}

fn out_of_range(checker: &mut Checker<'_>, value: u8, path: &TreePath, help: &str) {
    let found = checker.error("E0303", format!("{value} is out of range"), path, At::Value);
    found.help = help.to_owned();
}
