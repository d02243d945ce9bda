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
            zone(checker, rules, &TreePath::of(["zones", name, "dnssec"]));
            elsewhere(checker, name, of, rules);
        }
    }
}

/// Who has a zone from us has no keys, and can prove nothing that we make for each question.
fn elsewhere(checker: &mut Checker<'_>, name: &str, zone: &Zone, rules: &Dnssec) {
    if rules.denial() != DnssecDenial::Compact || zone.secondaries.is_empty() {
        return;
    }
    let path = TreePath::of(["zones", name, "dnssec", "denial"]);
    let message = format!("secondaries of {name} cannot prove what does not exist");
    let found = checker.error("E0445", message, &path, At::Value);
    found.notes.push("compact denials are made with the zone's keys, which stay here".into());
    found.help = "use \"nsec\" or \"nsec3\", or leave out `secondaries`".into();
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
