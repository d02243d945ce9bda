//! `popnet zone sign` and `popnet zone keys`: signing without a running node, and what a parent
//! has to know.

use std::path::Path;

use popnet_config::network::{Dnssec, DnssecAlgorithm, DnssecDenial};
use popnet_dns::{Name, Rtype, ZoneFile, ZoneRecord, rdata_text, read_zone};
use popnet_nameserver::{KeyFolder, plan_of, policy_of};
use popnet_runtime::clock;
use popnet_runtime::files::write_atomic;
use popnet_sign::{DsStage, Role, Stage, Tracked, sign_zone};
use popnet_terms::Timestamp;
use popnet_wire::control::Problem;
use serde_json::json;

use super::zone::{apex_of, broken, name_of, read};
use crate::cli::{KeyAlgorithm, KeyRole, ZoneKeysArguments, ZoneSignArguments};
use crate::output::{Done, Outcome, Style, print_json};

pub(crate) fn sign(arguments: &ZoneSignArguments, style: Style) -> Outcome {
    let apex = apex_of(&arguments.file, arguments.name.as_deref())?;
    let zone = read(&arguments.file, &apex)?
        .map_err(|mistakes| broken(&arguments.file, &apex, &mistakes))?;
    let rules = rules(arguments.algorithm, arguments.nsec3, arguments.single_key);
    let now = clock::now();
    let mut keys = open(&arguments.key_dir, &apex)?;
    keys.advance(&policy_of(&rules, &zone), now, None, true).map_err(|why| no_key(&why))?;
    let duties = keys.duties();
    let before = arguments.out.as_deref().and_then(|out| signed_before(out, &apex));
    let signed = sign_zone(&zone, &plan_of(&rules, &duties, now), before.as_ref());
    let signed = signed.map_err(|error| {
        Problem::new("U0053", error.to_string(), "popnet zone keys ZONE --dir DIR")
    })?;
    let text: String = signed.zone.records.iter().map(line).collect();
    match &arguments.out {
        Some(out) => write_atomic(out, text.as_bytes()).map_err(|error| {
            let what = format!("{}: {error}", out.display());
            Problem::new("U0057", what, "popnet zone sign FILE --key-dir DIR --out FILE")
        })?,
        None if style.json => {}
        None => print!("{text}"),
    }
    if style.json {
        let done = json!({
            "zone": apex.to_host(),
            "out": arguments.out,
            "serial": signed.serial,
            "records": signed.zone.records.len(),
            "signatures": { "made": signed.made, "kept": signed.kept },
            "renew_at": at(signed.renew_at),
        });
        print_json("zone.sign/v1", &done);
    } else if let Some(out) = &arguments.out {
        println!(
            "zone {} signed into {}: serial {}, {} signatures made, {} kept; sign again by {}",
            apex.to_host(),
            out.display(),
            signed.serial,
            signed.made,
            signed.kept,
            at(signed.renew_at),
        );
    }
    Ok(Done::WELL)
}

pub(crate) fn keys(arguments: &ZoneKeysArguments, style: Style) -> Outcome {
    let apex = name_of(&arguments.zone)?;
    let usual = || KeyFolder::of(&arguments.state_dir.join("keys").join("dnssec"), &apex);
    let folder = arguments.dir.clone().unwrap_or_else(usual);
    let mut keys = open(&folder, &apex)?;
    let now = clock::now();
    if arguments.create {
        let rules = rules(arguments.algorithm, false, arguments.single_key);
        let nothing = ZoneFile { apex: apex.clone(), records: Vec::new() };
        keys.advance(&policy_of(&rules, &nothing), now, None, true).map_err(|why| no_key(&why))?;
    }
    if keys.keys().next().is_none() {
        let what = format!("{} has no keys of zone {}", folder.display(), apex.to_host());
        let next =
            format!("popnet zone keys {} --dir {} --create", apex.to_host(), folder.display());
        return Err(Problem::new("U0054", what, next).with_exit(3));
    }
    if let Some(role) = arguments.roll {
        let begun = keys.start_change(role_of(role), now).map_err(|why| no_key(&why))?;
        if !begun {
            let what = "there is no such key in use, or its change is under way already";
            let next = format!("popnet zone keys {}", apex.to_host());
            return Err(Problem::new("U0055", what, next));
        }
    }
    show(&apex, &folder, &keys, style);
    Ok(Done::WELL)
}

fn show(apex: &Name, folder: &Path, keys: &KeyFolder, style: Style) {
    let all: Vec<&Tracked> = keys.keys().map(|(key, _)| key).collect();
    let named = |key: &&&Tracked| {
        key.role != Role::Zsk && matches!(key.stage, Stage::Active | Stage::Published)
    };
    let ds: Vec<String> =
        all.iter().filter(named).map(|key| rdata_text(Rtype::DS, &key.ds)).collect();
    if style.json {
        let keys = all.iter().map(|key| {
            json!({
                "key": key.stem,
                "role": key.role,
                "algorithm": key.algorithm,
                "stage": key.stage,
                "since": at(key.since),
                "parent": parent(key),
            })
        });
        let keys: Vec<_> = keys.collect();
        let done = json!({ "zone": apex.to_host(), "folder": folder, "keys": keys, "ds": ds });
        print_json("zone.keys/v1", &done);
        return;
    }
    println!("keys of zone {} in {}", apex.to_host(), folder.display());
    for key in all {
        let role = match key.role {
            Role::Csk => "csk",
            Role::Ksk => "ksk",
            Role::Zsk => "zsk",
        };
        let stage = match key.stage {
            Stage::Published => "published",
            Stage::Active => "active",
            Stage::Retired => "retired",
            Stage::Gone => "gone",
        };
        let parent = parent(key).map(|parent| format!(", {parent}")).unwrap_or_default();
        println!("  {role}  {}  {stage} since {}{parent}", key.stem, at(key.since));
    }
    println!("DS records for the parent:");
    for ds in ds {
        println!("{apex}\tIN\tDS\t{ds}");
    }
}

/// How far the parent is with a key that it is to name.
fn parent(key: &Tracked) -> Option<String> {
    if key.role == Role::Zsk {
        return None;
    }
    Some(match key.parent {
        DsStage::Hidden => "the parent is not asked yet".to_owned(),
        DsStage::Wanted => "the parent is asked to name it".to_owned(),
        DsStage::Seen(since) => format!("named by the parent since {}", at(since)),
        DsStage::Unwanted => "the parent is asked to forget it".to_owned(),
        DsStage::Missing(since) => format!("forgotten by the parent since {}", at(since)),
    })
}

fn open(folder: &Path, apex: &Name) -> Result<KeyFolder, Problem> {
    KeyFolder::open(folder, apex).map_err(|why| no_key(&why))
}

fn no_key(why: &str) -> Problem {
    Problem::new("U0056", why, "popnet zone keys ZONE --dir DIR")
}

/// The zone in `out` as it was signed last: what still holds of it is kept.
fn signed_before(out: &Path, apex: &Name) -> Option<ZoneFile> {
    let text = std::fs::read(out).ok()?;
    read_zone(apex, out, &text, &mut |_: &Path| Err("no includes".to_owned())).ok()
}

fn line(record: &ZoneRecord) -> String {
    let data = rdata_text(record.rtype, &record.rdata);
    format!("{}\t{}\tIN\t{}\t{data}\n", record.owner, record.ttl, record.rtype)
}

fn rules(algorithm: Option<KeyAlgorithm>, nsec3: bool, single_key: bool) -> Dnssec {
    Dnssec {
        sign: true,
        algorithm: algorithm.map(|algorithm| match algorithm {
            KeyAlgorithm::Ecdsap256sha256 => DnssecAlgorithm::Ecdsap256sha256,
            KeyAlgorithm::Ed25519 => DnssecAlgorithm::Ed25519,
        }),
        denial: nsec3.then_some(DnssecDenial::Nsec3),
        nsec3: false,
        single_key,
        validity: None,
        zsk_lifetime: None,
        ksk_lifetime: None,
        parents: Vec::new(),
    }
}

fn role_of(role: KeyRole) -> Role {
    match role {
        KeyRole::Csk => Role::Csk,
        KeyRole::Ksk => Role::Ksk,
        KeyRole::Zsk => Role::Zsk,
    }
}

fn at(time: Timestamp) -> String {
    // A key that was put there by hand has no beginning.
    if time.0 <= 1 {
        return "ever".to_owned();
    }
    jiff::Timestamp::from_second(time.unix_seconds())
        .map_or_else(|_| "?".to_owned(), |t| t.to_string())
}
