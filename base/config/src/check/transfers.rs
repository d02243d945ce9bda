//! Zone transfers and updates: what one zone says must fit together. Whether the keys that it
//! names are there only the nodes know.

use super::{At, Checker};
use crate::names::is_zone;
use crate::network::{UpdateGrant, Who, Zone};
use crate::path::TreePath;

pub(super) fn check(checker: &mut Checker<'_>) {
    let network = checker.network;
    if let Some(from) = &network.zones_from {
        let (each, path) = (from.each(), TreePath::of(["zones_from"]));
        keys(checker, &each, &path);
        tls(checker, &each, &path);
        group(checker, each.group.as_deref(), &path);
    }
    for (name, zone) in &network.zones {
        let path = TreePath::of(["zones", name]);
        agreements(checker, zone, &path);
        for (at, grant) in zone.allow_update.iter().enumerate() {
            let path = path.key("allow_update").index(at);
            self::grant(checker, name, grant, &path);
        }
        if zone.file.is_none() && !zone.allow_update.is_empty() {
            let message = format!("zone {name} is transferred: it cannot be updated here");
            let found = checker.error("E0432", message, &path.key("allow_update"), At::Key);
            found.help =
                "send updates to the primary, or let forward_updates = true do that".into();
        }
        if zone.forward_updates && !zone.is_secondary() {
            let message = format!("zone {name} has no primary to pass updates on to");
            let found = checker.error("E0428", message, &path.key("forward_updates"), At::Key);
            found.help = "say in allow_update who may change it here".into();
        }
        if zone.catalog && zone.file.is_some() {
            let message = format!("catalog {name} comes from a file");
            let found = checker.error("E0436", message, &path.key("catalog"), At::Key);
            found.help = "leave out `file`: then it lists our zones; or give it primaries, whose \
                          zones it lists"
                .into();
        }
        group(checker, zone.group.as_deref(), &path);
        for key in ["max_records", "max_size"] {
            let zero = match key {
                "max_records" => zone.max_records == Some(0),
                _ => zone.max_size.is_some_and(|size| size.0 == 0),
            };
            if zero {
                let message = "a zone of nothing";
                let found = checker.error("E0322", message, &path.key(key), At::Value);
                found.help = "leave it out for the usual limit".into();
            }
        }
    }
}

/// It is one text of a TXT record.
fn group(checker: &mut Checker<'_>, group: Option<&str>, path: &TreePath) {
    if group.is_some_and(|group| group.is_empty() || group.len() > 255) {
        let message = "no such group can be told";
        let found = checker.error("E0448", message, &path.key("group"), At::Value);
        found.help = "1 to 255 letters, as those who follow the catalog know it".into();
    }
}

/// With whom, and who may.
pub(super) fn agreements(checker: &mut Checker<'_>, zone: &Zone, path: &TreePath) {
    keys(checker, zone, path);
    peers(checker, zone, path);
    tls(checker, zone, path);
}

fn keys(checker: &mut Checker<'_>, zone: &Zone, path: &TreePath) {
    let mut named: Vec<(&str, TreePath)> = Vec::new();
    named.extend(zone.tsig_key.iter().map(|key| (key.as_str(), path.key("tsig_key"))));
    for (list, entries) in
        [("allow_transfer", &zone.allow_transfer), ("allow_notify", &zone.allow_notify)]
    {
        for (at, who) in entries.iter().enumerate() {
            if let Who::Key(key) = who {
                named.push((key, path.key(list).index(at)));
            }
        }
    }
    for (at, grant) in zone.allow_update.iter().enumerate() {
        let path = path.key("allow_update").index(at).key("key");
        named.extend(grant.key.iter().map(|key| (key.as_str(), path.clone())));
    }
    for (name, path) in named {
        key(checker, name, &path);
    }
}

/// A key is named like a domain, since messages carry its name so; it is also a file's name.
pub(super) fn key(checker: &mut Checker<'_>, name: &str, path: &TreePath) {
    if !is_zone(name) {
        let message = format!("{name:?} cannot name a key");
        let found = checker.error("E0331", message, path, At::Value);
        found.notes.push("a key NAME is read from keys/tsig/NAME.key on each node".into());
        found.help = "names of keys are written like lower-case domain names".into();
    }
}

fn peers(checker: &mut Checker<'_>, zone: &Zone, path: &TreePath) {
    for (at, peer) in zone.secondaries.iter().enumerate() {
        if zone.primaries.contains(peer) {
            let path = path.key("secondaries").index(at);
            let message = format!("{peer} is primary and secondary of this zone");
            let found = checker.error("E0431", message, &path, At::Value);
            found.help = "a server has a zone from us, or we have it from it".into();
        }
    }
}

/// Over TLS everybody must be known: a name without an authority proves nothing.
fn tls(checker: &mut Checker<'_>, zone: &Zone, path: &TreePath) {
    let network = checker.network;
    let has_authority = network.dns.transfer_ca.is_some();
    let mut named: Vec<TreePath> = Vec::new();
    for (at, tls) in zone.tls_primaries.iter().enumerate() {
        let path = path.key("tls_primaries").index(at);
        if tls.name.is_none() && tls.pins.is_empty() {
            let message = "whoever answers at this address would be believed";
            let found = checker.error("E0437", message, &path, At::Value);
            found.help = "give name = \"NAME\" and dns.transfer_ca, or pins = [\"BASE64\"]".into();
        }
        if let Some(name) = tls.certificate.as_ref()
            && !network.certificates.contains_key(name)
        {
            let message = format!("there is no certificate {name}");
            let found = checker.error("E0439", message, &path.key("certificate"), At::Value);
            found.help = format!("write [certificates.{name}] with its chain and key");
        }
        named.extend(tls.name.iter().map(|_| path.key("name")));
    }
    for (at, who) in zone.allow_transfer.iter().enumerate() {
        if let Who::Tls(_) = who {
            named.push(path.key("allow_transfer").index(at));
        }
    }
    for (at, who) in zone.allow_notify.iter().enumerate() {
        if let Who::Tls(_) | Who::Pin(_) = who {
            let message = "notifications do not come over TLS";
            let path = path.key("allow_notify").index(at);
            let found = checker.error("E0429", message, &path, At::Value);
            found.help = "name addresses, or a key as \"key:NAME\"".into();
        }
    }
    for path in named.iter().filter(|_| !has_authority) {
        let message = "nobody says whose certificates for this name count";
        let found = checker.error("E0438", message, path, At::Value);
        found.help = "write transfer_ca = \"FILE.pem\" under [dns], or use pins".into();
    }
}

fn grant(checker: &mut Checker<'_>, zone: &str, grant: &UpdateGrant, path: &TreePath) {
    if grant.key.is_none() && grant.from.is_empty() {
        let message = "this lets everybody change the zone";
        let found = checker.error("E0433", message, path, At::Value);
        found.help =
            "name a key, as key = \"NAME\", or addresses, as from = [\"127.0.0.1/32\"]".into();
    } else if grant.key.is_none() {
        let message = "whoever forges these addresses may change the zone";
        let found = checker.warning("W0705", message, path, At::Value);
        found.help = "name a key, as key = \"NAME\"; addresses of UDP are easily forged".into();
    }
    for (at, name) in grant.names.iter().enumerate() {
        let is_inside =
            name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'));
        if !is_inside {
            let message = format!("{name} is not in zone {zone}");
            let path = path.key("names").index(at);
            let found = checker.error("E0434", message, &path, At::Value);
            found.help = format!("write whole names, such as \"dyn.{zone}\"");
        }
    }
    for (at, rtype) in grant.types.iter().enumerate() {
        if rtype.parse::<popnet_dns::Rtype>().is_err() {
            let message = format!("{rtype:?} is no record type");
            let path = path.key("types").index(at);
            let found = checker.error("E0435", message, &path, At::Value);
            found.help = "types as in zone files: A, AAAA, TXT, TYPE65280".into();
        }
    }
}
