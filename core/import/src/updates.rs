//! Who may change a zone's records from afar: `allow-update` and `update-policy`.

use popnet_dns::{Name, Rtype};

use crate::access::key_name;
use crate::bind::{Top, find, note};
use crate::report::{Kind, Note};
use crate::tree::Statement;
use crate::zones::{Grant, Scope, list};

/// The grants of a primary zone.
pub(crate) fn grants(
    top: &Top<'_>,
    scope: Scope<'_>,
    zone: &str,
    notes: &mut Vec<Note>,
) -> Vec<Grant> {
    if let Some(policy) = find(scope.zone, "update-policy") {
        return rules(policy, zone, notes);
    }
    let Some(list) = list(top, scope, "allow-update", notes) else { return Vec::new() };
    let mut grants: Vec<Grant> =
        list.keys.iter().map(|key| Grant { key: Some(key.clone()), ..Grant::default() }).collect();
    if list.is_any() {
        if let Some(statement) = scope.find("allow-update") {
            let why = "everybody may change this zone there; name keys in allow_update";
            notes.push(note(Kind::Left, statement, why));
        }
    } else if !list.prefixes.is_empty() {
        grants.push(Grant { from: list.prefixes, ..Grant::default() });
    }
    grants
}

/// `grant KEY RULE [NAME] [TYPES];` and `deny …`: the first that fits decides, so what comes after
/// a denial is not taken.
fn rules(policy: &Statement, zone: &str, notes: &mut Vec<Note>) -> Vec<Grant> {
    let Some(block) = policy.block() else {
        let why = "the session key of a running named is no key of ours: name one in allow_update";
        notes.push(note(Kind::Left, policy, why));
        return Vec::new();
    };
    let mut grants = Vec::new();
    let mut denied = false;
    for rule in block {
        denied |= rule.name() != "grant";
        let grant = if denied {
            Err("a denial, or after one: grants of ours only allow".to_owned())
        } else {
            one(rule, zone)
        };
        match grant {
            Ok(grant) => {
                notes.push(note(Kind::Taken, rule, "allow_update"));
                grants.push(grant);
            }
            Err(why) => notes.push(note(Kind::Left, rule, why)),
        }
    }
    grants
}

fn one(rule: &Statement, zone: &str) -> Result<Grant, String> {
    let mut words = rule.words().skip(1).map(|word| word.text.as_str());
    let (Some(who), Some(kind)) = (words.next(), words.next()) else {
        return Err("a key and a kind of rule are needed".to_owned());
    };
    if who == "*" || who == "." {
        return Err("any signer: name the key".to_owned());
    }
    let mut grant = Grant { key: Some(key_name(who)), ..Grant::default() };
    match kind.to_ascii_lowercase().as_str() {
        "zonesub" => {}
        "subdomain" | "wildcard" => {
            let name = words.next().unwrap_or_default();
            // A star's own subtree is all that it matches.
            let name = name.strip_prefix("*.").unwrap_or(name);
            let name: Name = name.parse().map_err(|_| format!("{name:?} is no domain name"))?;
            let apex: Name = zone.parse().map_err(|_| "the zone has no name".to_owned())?;
            if !name.is_within(&apex) {
                return Err(format!("{} is not in this zone", name.to_host()));
            }
            if kind.eq_ignore_ascii_case("wildcard") {
                return Err("a grant of ours would hold for the name itself, too".to_owned());
            }
            grant.name = Some(name.to_host());
        }
        "name" => return Err("a grant of ours would hold below the name, too".to_owned()),
        other => return Err(format!("rules of kind {other} are not taken")),
    }
    for word in words {
        let rtype: Rtype = word
            .to_ascii_uppercase()
            .parse()
            .map_err(|_| format!("{word:?} is no record type that is known here"))?;
        if rtype == Rtype::ANY {
            grant.types.clear();
            return Ok(grant);
        }
        grant.types.push(rtype.to_string());
    }
    Ok(grant)
}
