//! Sites and origins: each can be answered, and has only keys that do something.

use std::path::{Component, Path};

use popnet_terms::{OriginGroupId, PopId, Role, SiteName};

use super::delivery::{self, is_token};
use super::{At, Checker, listed};
use crate::network::{CacheSettings, Delivery, LastResort, Site, SiteKind};
use crate::path::TreePath;

pub(super) fn check(checker: &mut Checker<'_>) {
    for (name, site) in &checker.network.sites {
        let path = TreePath::of(["sites", name.as_str()]);
        match site.kind {
            SiteKind::Direct => direct(checker, name, site, &path),
            SiteKind::Cached => cached(checker, name, site, &path),
        }
        last_resort(checker, name, site, &path);
    }
    for (group, of) in &checker.network.origin_groups {
        let path = TreePath::of(["origin_groups", group.as_str(), "servers"]);
        if let Some(folder) = &of.directory {
            directory(checker, group, folder);
        } else if of.servers.is_empty() {
            let message = format!("origin group {group} has no server");
            let found = checker.error("E0422", message, &path, At::Key);
            found.help = "add one, such as main = { address = \"203.0.113.1:80\" }; or, for \
                          content that we host, directory = \"/srv/www\" in the group"
                .into();
        }
        for (key, server) in &of.servers {
            if server.endpoint().is_none() {
                let path = path.key(key).key("address");
                let message = format!("{:?} is not the address of a server", server.address);
                let found = checker.error("E0335", message, &path, At::Value);
                found.help = match server.address.split_once("://") {
                    Some(("https", host)) => {
                        format!("write address = \"{}\", tls = true", host.trim_end_matches('/'))
                    }
                    Some((_, host)) => format!("write \"{}\"", host.trim_end_matches('/')),
                    None => "write HOST, HOST:PORT, an IP address or [IPV6]:PORT".into(),
                };
            }
        }
    }
}

/// Hosted content lies in one folder and in nothing else, and only caches can send it.
fn directory(checker: &mut Checker<'_>, group: &OriginGroupId, folder: &str) {
    let network = checker.network;
    let path = TreePath::of(["origin_groups", group.as_str(), "directory"]);
    let plain = Path::new(folder)
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !folder.starts_with('/') || !plain || folder.contains('\0') {
        let message = format!("{folder:?} is not the path of a folder");
        let found = checker.error("E0481", message, &path, At::Value);
        found.help = "write it from the root on, such as \"/srv/www/acme\"".into();
    }
    if network.origin_groups.get(group).is_some_and(|of| !of.servers.is_empty()) {
        let message = format!("origin group {group} has servers and a folder");
        let found = checker.error("E0482", message, &path, At::Key);
        found.help = "keep one of them: a second group can have the other".into();
    }
    for (name, site) in &network.sites {
        let direct = site.kind == SiteKind::Direct && site.origins == *group;
        for (key, used) in [("origins", direct), ("backup", site.backup.as_ref() == Some(group))] {
            if used {
                let place = TreePath::of(["sites", name.as_str()]).key(key);
                let message = format!("{group} is a folder, which no answer can name");
                let found = checker.error("E0483", message, &place, At::Value);
                found.help = "name a group of servers here, or write kind = \"cached\"".into();
            }
        }
    }
}

fn direct(checker: &mut Checker<'_>, name: &SiteName, site: &Site, path: &TreePath) {
    let set = [
        ("pops", site.pops.is_some()),
        ("cache", site.cache != CacheSettings::default()),
        ("rules", !site.rules.is_empty()),
        ("preload", site.preload.is_some()),
        ("delivery", site.delivery != Delivery::default()),
        ("tls", site.tls.is_some()),
        ("answer_with_origins", site.answer_with_origins),
    ];
    for (key, _) in set.iter().filter(|(_, set)| *set) {
        let message = format!("{key} does nothing for a direct site");
        let kind = checker.mark(&path.key("kind"), At::Value, "no traffic of the site passes us");
        let found = checker.error("E0420", message, &path.key(key), At::Key);
        found.others.push(kind);
        found.help = format!("remove {key}, or write kind = \"cached\"");
    }
    if name.as_str() == "*" {
        let message = "a direct site needs a name";
        let found = checker.error("E0421", message, path, At::Key);
        found
            .notes
            .push("* is the host of requests that no site names; queries have a name".into());
    }
}

fn cached(checker: &mut Checker<'_>, name: &SiteName, site: &Site, path: &TreePath) {
    let network = checker.network;
    if site.pops.as_ref().is_some_and(Vec::is_empty) {
        let found =
            checker.error("E0425", format!("site {name} has no POP"), &path.key("pops"), At::Value);
        found.help = "write [\"*\"] for all, or leave the key out".into();
    } else if checker.is_whole(&TreePath::of(["pops"]))
        && !network.running(Role::Webcache).any(|(_, pop, _)| network.serves(pop, site))
    {
        let pops = network.pops.keys().filter(|pop| network.serves(pop, site)).map(PopId::as_str);
        let note = format!("its POPs: {}", listed(pops));
        let message = format!("no cache serves site {name}");
        let found = checker.warning("W0705", message, path, At::Key);
        found.notes.push(note);
        found.help = "give a node of these POPs the role \"webcache\"".into();
    }
    fields(checker, site, path);
    let has_tls = site.tls.is_some();
    delivery::check(checker, &site.delivery, has_tls, &path.key("delivery"));
    for (at, rule) in site.rules.iter().enumerate() {
        if let Some(own) = &rule.delivery {
            let path = path.key("rules").index(at).key("delivery");
            delivery::check(checker, own, has_tls, &path);
        }
    }
    rules(checker, site, path);
}

/// Fields that are obeyed and fields that carry tags have to be field names (RFC 9110 5.1).
fn fields(checker: &mut Checker<'_>, site: &Site, path: &TreePath) {
    for (key, list) in [("obey", &site.cache.obey), ("tags", &site.cache.tags)] {
        for (at, name) in list.iter().flatten().enumerate() {
            if !is_token(name) {
                let path = path.key("cache").key(key).index(at);
                let message = format!("{name:?} is not a field name");
                let found = checker.error("E0424", message, &path, At::Value);
                found.help = "such as \"Cache-Control\"".into();
            }
        }
    }
}

fn rules(checker: &mut Checker<'_>, site: &Site, path: &TreePath) {
    for (at, rule) in site.rules.iter().enumerate() {
        let path = path.key("rules").index(at);
        let inner = rule.path.strip_suffix('*').unwrap_or(&rule.path);
        if !rule.path.starts_with('/') || inner.contains('*') {
            let message = format!("{:?} is not a path of a rule", rule.path);
            let found = checker.error("E0423", message, &path.key("path"), At::Value);
            found.help = "a path begins with /, and only its last character may be *".into();
        }
        let nothing = rule.action.is_none()
            && rule.set_cookie.is_none()
            && rule.default_ttl.is_none()
            && rule.delivery.is_none();
        if nothing && checker.is_whole(&path) {
            let message = format!("the rule for {:?} changes nothing", rule.path);
            let found = checker.warning("W0709", message, &path.key("path"), At::Value);
            found.help = "add action, set_cookie, default_ttl or delivery".into();
        }
    }
}

/// A list of last resorts has to end with something that always has an answer.
fn last_resort(checker: &mut Checker<'_>, name: &SiteName, site: &Site, path: &TreePath) {
    let Some((policy_name, policy)) =
        site.policy.as_ref().and_then(|policy| checker.network.policies.get_key_value(policy))
    else {
        return;
    };
    let zone = checker.network.zone_of(name.as_str()).is_some();
    let answers = |step: &LastResort| match step {
        LastResort::All | LastResort::Empty | LastResort::Refuse => true,
        LastResort::Static => zone,
        LastResort::Unknown | LastResort::Damped | LastResort::Backup => false,
    };
    if policy.last_resort.is_empty() || policy.last_resort.iter().any(answers) {
        return;
    }
    let there = TreePath::of(["policies", policy_name, "last_resort"]);
    let here = checker.mark(&path.key("policy"), At::Value, format!("in {}", path.key("policy")));
    let message = format!("site {name} can end with no answer");
    let found = checker.error("E0608", message, &there, At::Value);
    found.others.push(here);
    found.label = "when every target is down, none of these has an answer".into();
    if policy.last_resort.contains(&LastResort::Static) {
        found.notes.push(format!("\"static\" needs a zone with records for {name}"));
    }
    found.help = "add \"all\": an answer that may be down is better than none".into();
}
