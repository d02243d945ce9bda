//! Numbers: shares, degrees, and pairs of which one may not exceed the other.

use std::fmt::Display;

use popnet_terms::Span;

use super::{At, Checker};
use crate::network::{CacheSettings, Location, Node, Policy, Transit};
use crate::path::TreePath;

/// What is in force when a policy does not say: see the fields' own words.
const TTL_MIN: Span = Span::seconds(20);
const TTL_MAX: Span = Span::seconds(300);
const SHED_TARGET: f64 = 0.80;
const SHED_HARD: f64 = 0.95;
const BILLED_SLOT: Span = Span::seconds(300);
/// Longest lifetime of a stored response when the site does not say.
const CACHE_TTL_MAX: Span = Span::seconds(30 * 86_400);

pub(super) fn check(checker: &mut Checker<'_>) {
    let network = checker.network;
    for (pop, of) in &network.pops {
        let path = TreePath::of(["pops", pop.as_str()]);
        location(checker, of.location.as_ref(), &path);
        not_negative(checker, of.cost, &path.key("cost"));
        if let Some(of) = &of.transit {
            transit(checker, of, &path.key("transit"));
        }
        super::serve::check(checker, &of.serve, &path.key("serve"));
        for (key, node) in &of.nodes {
            machine(checker, node, &path.key("nodes").key(key));
        }
    }
    for (name, policy) in &network.policies {
        self::policy(checker, policy, &TreePath::of(["policies", name]));
    }
    for (group, of) in &network.origin_groups {
        for (key, server) in &of.servers {
            let path = TreePath::of(["origin_groups", group.as_str(), "servers", key]);
            location(checker, server.location.as_ref(), &path);
            not_negative(checker, server.weight, &path.key("weight"));
            not_negative(checker, server.cost, &path.key("cost"));
            share(checker, server.reserve, &path.key("reserve"));
            super::serve::check(checker, &server.serve, &path.key("serve"));
        }
    }
    for (name, site) in &network.sites {
        cache(checker, &site.cache, &TreePath::of(["sites", name.as_str(), "cache"]));
    }
    share(checker, network.logs.decision_sample, &TreePath::of(["logs", "decision_sample"]));
    let history = network.masters.history.map(u64::from);
    at_least_one(checker, history, &TreePath::of(["masters", "history"]));
    for (pop, load) in network.simulate.iter().flat_map(|simulate| &simulate.load) {
        share(checker, Some(*load), &TreePath::of(["simulate", "load", pop.as_str()]));
    }
}

fn location(checker: &mut Checker<'_>, location: Option<&Location>, path: &TreePath) {
    let Some(Location { lat, lon, .. }) = location else { return };
    for (key, value, bound) in [("lat", *lat, 90.0), ("lon", *lon, 180.0)] {
        if value.abs() > bound {
            let path = path.key("location").key(key);
            let message =
                format!("{value} is no {}", if key == "lat" { "latitude" } else { "longitude" });
            let found = checker.error("E0321", message, &path, At::Value);
            found.help = format!("degrees from -{bound} to {bound}");
            if key == "lat" && value.abs() <= 180.0 && lon.abs() <= 90.0 {
                found.help.push_str("; are lat and lon in each other's place?");
            }
        }
    }
}

/// A bill has at least twenty slots: of fewer no twentieth can be forgotten.
fn transit(checker: &mut Checker<'_>, transit: &Transit, path: &TreePath) {
    let mut out = |key: &str, value: String, help: &str| {
        let message = format!("{value} is out of range");
        let found = checker.error("E0303", message, &path.key(key), At::Value);
        found.help = help.into();
    };
    let share = transit.percentile.filter(|share| !(0.5..=0.99).contains(share));
    if let Some(share) = share {
        out("percentile", share.to_string(), "0.5 to 0.99; most bills say 0.95");
    }
    let length = transit.slot.unwrap_or(BILLED_SLOT);
    if !(Span::seconds(10)..=Span::seconds(3_600)).contains(&length) {
        out("slot", length.to_string(), "10s to 1h; most bills say 5m");
    }
    let Some(period) = transit.period else { return };
    if period.0 < length.0.saturating_mul(20) || period > Span::seconds(366 * 86_400) {
        out("period", period.to_string(), "twenty slots to 366d; leave it out for calendar months");
    }
}

fn machine(checker: &mut Checker<'_>, node: &Node, path: &TreePath) {
    if node.roles.is_empty() {
        let found = checker.error("E0409", "a node without a role", &path.key("roles"), At::Value);
        found.help =
            "roles: master nameserver netprobe webcache webserver logserver netview".into();
    }
    if node.address.is_empty() {
        let path = path.key("address");
        let found = checker.error("E0407", "a node without an address", &path, At::Value);
        found.help = "others reach a node by its first address: write at least one".into();
    }
    for (at, ip) in node.address.iter().enumerate() {
        if ip.is_unspecified() || ip.is_multicast() {
            let path = path.key("address").index(at);
            let found = checker.error(
                "E0408",
                format!("{ip} is not one machine's address"),
                &path,
                At::Value,
            );
            found.help = "write the address; to listen on all of them use listen".into();
        }
    }
    for (key, workers) in [("dns", node.workers.dns), ("http", node.workers.http)] {
        at_least_one(checker, workers.map(u64::from), &path.key("workers").key(key));
    }
}

fn policy(checker: &mut Checker<'_>, policy: &Policy, path: &TreePath) {
    let score = path.key("score");
    let weights = &policy.score;
    not_negative(checker, weights.latency, &score.key("latency"));
    not_negative(checker, weights.spread, &score.key("spread"));
    not_negative(checker, weights.loss, &score.key("loss"));
    not_negative(checker, weights.load, &score.key("load"));
    not_negative(checker, weights.cost_ms, &score.key("cost_ms"));
    share(checker, policy.tie.share, &path.key("tie").key("share"));
    let (target, hard) = (policy.shed.target, policy.shed.hard);
    let shed = path.key("shed");
    share(checker, target, &shed.key("target"));
    share(checker, hard, &shed.key("hard"));
    ordered(checker, &shed, ("target", target, SHED_TARGET), ("hard", hard, SHED_HARD));
    let answer = path.key("answer");
    at_least_one(checker, policy.answer.max.map(u64::from), &answer.key("max"));
    let (low, high) = (policy.answer.ttl_min, policy.answer.ttl_max);
    ordered(checker, &answer, ("ttl_min", low, TTL_MIN), ("ttl_max", high, TTL_MAX));
}

fn cache(checker: &mut Checker<'_>, cache: &CacheSettings, path: &TreePath) {
    let low = ("default_ttl", cache.default_ttl, Span(0));
    ordered(checker, path, low, ("max_ttl", cache.max_ttl, CACHE_TTL_MAX));
    at_least_one(checker, cache.vary_limit.map(u64::from), &path.key("vary_limit"));
}

/// The first value may not exceed the second; each with what is in force when it is unset.
fn ordered<T: PartialOrd + Copy + Display>(
    checker: &mut Checker<'_>,
    path: &TreePath,
    (low_key, low, low_unset): (&str, Option<T>, T),
    (high_key, high, high_unset): (&str, Option<T>, T),
) {
    let (Some(low_in_force), Some(high_in_force)) =
        (low.or(Some(low_unset)), high.or(Some(high_unset)))
    else {
        return;
    };
    if (low.is_none() && high.is_none()) || low_in_force <= high_in_force {
        return;
    }
    let (marked, other, said) = match (low, high) {
        (Some(_), high) => (low_key, high_key, high.is_some()),
        (None, _) => (high_key, low_key, false),
    };
    let message = format!("{low_key} {low_in_force} is above {high_key} {high_in_force}");
    let here = path.key(marked);
    let there =
        said.then(|| checker.mark(&path.key(other), At::Value, format!("in {}", path.key(other))));
    let found = checker.error("E0322", message, &here, At::Value);
    found.others.extend(there);
    if !said {
        let unset = if other == low_key { low_in_force } else { high_in_force };
        found.notes.push(format!("{other} is {unset} when unset"));
        found.help = format!("set {other} too");
    }
}

pub(super) fn share(checker: &mut Checker<'_>, value: Option<f64>, path: &TreePath) {
    let Some(value) = value else { return };
    if !(0.0..=1.0).contains(&value) {
        let found = checker.error("E0320", format!("{value} is not a share"), path, At::Value);
        found.help = if value > 1.0 && value <= 100.0 {
            format!("shares go from 0 to 1: for {value} % write {}", value / 100.0)
        } else {
            "shares go from 0 to 1".into()
        };
    }
}

fn not_negative(checker: &mut Checker<'_>, value: Option<f64>, path: &TreePath) {
    if let Some(value) = value.filter(|value| *value < 0.0) {
        let found = checker.error("E0303", format!("{value} is out of range"), path, At::Value);
        found.help = "0 or more".into();
    }
}

fn at_least_one(checker: &mut Checker<'_>, value: Option<u64>, path: &TreePath) {
    if value == Some(0) {
        let found = checker.error("E0303", "0 is out of range", path, At::Value);
        found.help = "1 or more; leave the key out for the usual value".into();
    }
}
