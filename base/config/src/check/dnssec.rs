//! Signing: times that can be kept, and changes of keys that somebody watches.

use popnet_terms::Span;

use super::{At, Checker};
use crate::network::{Dnssec, DnssecDenial, Network, Zone};
use crate::path::TreePath;

/// Signatures begin an hour before they are made and are made again after two thirds.
const VALIDITY_MIN: Span = Span::seconds(3_600);
const VALIDITY_MAX: Span = Span::seconds(365 * 86_400);
/// A key is made known, used and forgotten, each for as long as caches may keep a week's TTL.
const LIFETIME_MIN: Span = Span::seconds(30 * 86_400);

pub(super) fn check(checker: &mut Checker<'_>) {
    let network: &Network = checker.network;
    if let Some(rules) = &network.network.dnssec {
        zone(checker, rules, &TreePath::of(["network", "dnssec"]));
    }
    for (name, of) in &network.zones {
        if let Some(rules) = &of.dnssec {
            let path = TreePath::of(["zones", name, "dnssec"]);
            zone(checker, rules, &path);
            if of.is_listing() {
                let message = format!("catalog {name} is read by name servers, which do not ask");
                let found = checker.error("E0447", message, &path, At::Key);
                found.help = "sign the zones that it lists: under `zones` or `zones_from`".into();
            }
            elsewhere(checker, name, of, rules, &path);
        }
    }
    if let Some(from) = &network.zones_from
        && let Some(rules) = &from.dnssec
    {
        let path = TreePath::of(["zones_from", "dnssec"]);
        zone(checker, rules, &path);
        elsewhere(checker, "these zones", &from.each(), rules, &path);
    }
}

/// Who has a zone from us has no keys, and can prove nothing that we make for each question.
fn elsewhere(checker: &mut Checker<'_>, name: &str, zone: &Zone, rules: &Dnssec, path: &TreePath) {
    // Who follows a catalog of ours gets the zones that nobody else is said to get.
    let lists = |zone: &Zone| zone.is_listing() && !zone.secondaries.is_empty();
    let is_open = zone.tsig_key.is_none() && zone.allow_transfer.is_empty();
    let is_listed = is_open && checker.network.zones.values().any(lists);
    if rules.denial() != DnssecDenial::Compact || zone.secondaries.is_empty() && !is_listed {
        return;
    }
    let message = format!("secondaries of {name} cannot prove what does not exist");
    let found = checker.error("E0445", message, &path.key("denial"), At::Value);
    found.notes.push("compact denials are made with the zone's keys, which stay here".into());
    found.help =
        "use \"nsec\" or \"nsec3\", or leave out `secondaries`, here and of catalogs".into();
}

fn zone(checker: &mut Checker<'_>, rules: &Dnssec, path: &TreePath) {
    if let Some(validity) = rules.validity.filter(|v| *v < VALIDITY_MIN || *v > VALIDITY_MAX) {
        let message = format!("signatures cannot hold for {validity}");
        let found = checker.error("E0441", message, &path.key("validity"), At::Value);
        found.help = format!("from {VALIDITY_MIN} to {VALIDITY_MAX}; 14d is the usual");
    }
    if rules.nsec3 && rules.denial.is_some() {
        let message = "how absence is shown is said twice";
        let found = checker.error("E0446", message, &path.key("nsec3"), At::Key);
        found.help = "leave out `nsec3`: `denial` says it".into();
    }
    let lives = [("zsk_lifetime", rules.zsk_lifetime), ("ksk_lifetime", rules.ksk_lifetime)];
    for (key, life) in lives {
        if let Some(life) = life.filter(|life| *life < LIFETIME_MIN) {
            let message = format!("{life} is too short for a key");
            let found = checker.error("E0442", message, &path.key(key), At::Value);
            found
                .notes
                .push("a change of keys waits until caches have forgotten the old one".into());
            found.help = format!("{LIFETIME_MIN} or more; leave it out to change keys by hand");
        }
    }
    if rules.ksk_lifetime.is_some() && rules.parents.is_empty() {
        let message = "a key that the parent names cannot change unseen";
        let found = checker.error("E0443", message, &path.key("ksk_lifetime"), At::Key);
        found.help = "add `parents`: the addresses of the parent zone's name servers".into();
    }
    if rules.single_key && rules.zsk_lifetime.is_some() {
        let message = "there is no key for the records alone";
        let found = checker.error("E0444", message, &path.key("zsk_lifetime"), At::Key);
        found.help = "leave out `single_key`, or set `ksk_lifetime` instead".into();
    }
}
