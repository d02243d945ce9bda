//! Catalog zones (RFC 9432): a zone that lists zones.

use std::collections::BTreeMap;

use popnet_dns::{Name, Rtype, nsec3_hash, nsec3_label, suffixes};

use crate::content::Content;
use crate::record::{Line, Rr};
use crate::serial::Serial;

/// No catalog has more: a list that fills our memory is no list.
const MEMBERS_MAX: usize = 100_000;

/// The zones that a catalog lists, each with the label that stands for it; records of the zone
/// `apex` have their owners relative to it. Groups and changes of ownership are left out.
///
/// # Errors
/// The catalog is broken, and why: then what it said before stays in force (RFC 9432 5.1).
pub fn members<'a>(
    apex: &Name,
    records: impl Iterator<Item = Line<'a>>,
) -> Result<BTreeMap<Name, Box<[u8]>>, String> {
    let (mut versions, mut is_known) = (0u32, false);
    let mut labels: BTreeMap<Box<[u8]>, Name> = BTreeMap::new();
    for line in records {
        let own: Vec<&[u8]> =
            suffixes(line.owner).take_while(|rest| !rest.is_empty()).filter_map(label).collect();
        match (own.as_slice(), line.rtype) {
            ([b"version"], Rtype::TXT) => {
                versions += 1;
                is_known |= line.rdata == b"\x012";
            }
            ([id, b"zones"], Rtype::PTR) => {
                let Some(member) = Name::from_wire(line.rdata) else { continue };
                if labels.insert((*id).into(), member).is_some() {
                    // RFC 9432 4.1.
                    return Err(format!("catalog {apex} has two zones under one label"));
                }
            }
            _ => {}
        }
        if labels.len() > MEMBERS_MAX {
            return Err(format!("catalog {apex} lists more than {MEMBERS_MAX} zones"));
        }
    }
    match (versions, is_known) {
        (1, true) => {}
        (0 | 1, _) => return Err(format!("catalog {apex} is not of version 2")),
        (_, _) => return Err(format!("catalog {apex} has two versions")),
    }
    let mut members = BTreeMap::new();
    for (id, member) in labels {
        if member == *apex || members.insert(member.clone(), id).is_some() {
            return Err(format!("catalog {apex} lists {member} twice, or itself"));
        }
    }
    Ok(members)
}

/// The timers that RFC 9432 4.1 shows: asked every hour, good for ever, and no "no" is kept.
const TIMERS: [u32; 4] = [3_600, 600, i32::MAX as u32 - 1, 0];

/// The catalog `apex` of `members`, each with its group. `None`: it is as it was `before`. A new
/// state has a later serial number, and not before `now`, in seconds: also where the last is lost.
#[must_use]
pub fn listing(
    apex: &Name,
    members: &[(&Name, Option<&str>)],
    before: Option<&Content>,
    now: u32,
) -> Option<Content> {
    let last = before.and_then(Content::numbers).map(|soa| soa.serial);
    let state = |serial| Content::of(apex.clone(), records(apex, serial, members));
    if let (Some(before), Some(last)) = (before, last)
        && state(last) == *before
    {
        return None;
    }
    let now = Serial(now.max(1));
    Some(state(last.filter(|last| !now.is_after(*last)).map_or(now, Serial::next)))
}

fn records(apex: &Name, serial: Serial, members: &[(&Name, Option<&str>)]) -> Vec<Rr> {
    let mut records = Vec::new();
    let mut add = |front: &[u8], rtype, rdata: Vec<u8>| {
        let owner = Name::from_wire(&[front, apex.as_wire()].concat());
        // An apex that leaves no room for labels has no members.
        records.extend(owner.map(|owner| Rr { owner, rtype, ttl: 0, rdata: rdata.into() }));
    };
    let text = |text: &[u8]| [&[u8::try_from(text.len()).unwrap_or(0)], text].concat();
    // Nobody asks for its servers (RFC 9432 4.1).
    let nobody = b"\x07invalid\0".as_slice();
    let numbers = [&[serial.0], &TIMERS[..]].concat();
    let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    add(b"", Rtype::SOA, [nobody, nobody, &numbers].concat());
    add(b"", Rtype::NS, nobody.to_vec());
    add(b"\x07version", Rtype::TXT, text(b"2"));
    for (member, group) in members.iter().filter(|(member, _)| *member != apex) {
        // The label must stay with the member (RFC 9432 4.2): it is made from nothing else.
        let label = nsec3_label(&nsec3_hash(member.as_wire(), 0, &[]));
        let front = [label.as_slice(), b"\x05zones"].concat();
        add(&front, Rtype::PTR, member.as_wire().to_vec());
        if let Some(group) = group {
            add(&[b"\x05group", &*front].concat(), Rtype::TXT, text(group.as_bytes()));
        }
    }
    records
}

fn label(name: &[u8]) -> Option<&[u8]> {
    let (length, rest) = name.split_first()?;
    rest.get(..usize::from(*length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{name, zone};

    fn list(lines: &[&str]) -> Result<Vec<String>, String> {
        let zone = zone(1, lines);
        let apex = name("example");
        let records: Vec<_> = zone.records().collect();
        let front = |wire: &[u8]| wire.len() - apex.as_wire().len();
        let lines = records.iter().map(|record| {
            let line = record.line();
            Line { owner: &line.owner[..front(line.owner)], ..line }
        });
        members(&apex, lines).map(|members| members.keys().map(ToString::to_string).collect())
    }

    #[test]
    fn a_listing_is_read_back_and_counts_its_changes() {
        let apex = name("catalog.test");
        let write = |zones: &[(&str, Option<&'static str>)], before: Option<&Content>, now| {
            let zones: Vec<(Name, Option<&str>)> =
                zones.iter().map(|(zone, group)| (name(zone), *group)).collect();
            let zones: Vec<_> = zones.iter().map(|(zone, group)| (zone, *group)).collect();
            listing(&apex, &zones, before, now)
        };
        let read = |content: &Content| {
            let records: Vec<_> = content.records().collect();
            let front = |wire: &[u8]| wire.len() - apex.as_wire().len();
            let lines = records.iter().map(|record| {
                let line = record.line();
                Line { owner: &line.owner[..front(line.owner)], ..line }
            });
            members(&apex, lines).unwrap()
        };
        let serial = |content: &Content| content.numbers().unwrap().serial.0;
        let one = [("one.test", None), ("catalog.test", None)];
        let two = [("one.test", None), ("two.test", Some("signed"))];
        let first = write(&one, None, 1_000).unwrap();
        assert_eq!((first.fault(), serial(&first)), (None, 1_000));
        assert_eq!(read(&first).into_keys().collect::<Vec<_>>(), [name("one.test")]);
        assert_eq!(write(&one, Some(&first), 2_000), None, "nothing has changed");
        let second = write(&two, Some(&first), 1_000).unwrap();
        assert_eq!(serial(&second), 1_001);
        // The label of a member that stays stays.
        assert_eq!(read(&second)[&name("one.test")], read(&first)[&name("one.test")]);
        let texts = second.records().filter(|record| record.rtype == Rtype::TXT);
        assert_eq!(texts.filter(|record| *record.rdata == *b"\x06signed").count(), 1);
        let third = write(&one, Some(&second), 3_000).unwrap();
        assert_eq!((serial(&third), third.len()), (3_000, first.len()));
        // A clock that is wrong does not turn the number back.
        assert_eq!(serial(&write(&two, Some(&third), 7).unwrap()), 3_001);
    }

    #[test]
    fn lists() {
        let version = "version TXT \"2\"";
        let good = [
            version,
            "a.zones PTR One.test.",
            "b.zones PTR two.test.",
            "x.zones TXT y",
            "group.a.zones TXT g",
            "coo.a.zones PTR old.test.",
        ];
        assert_eq!(list(&good), Ok(vec!["one.test.".into(), "two.test.".into()]));
        assert_eq!(list(&[version]), Ok(vec![]));
        for (lines, why) in [
            (&["a.zones PTR one.test."][..], "not of version 2"),
            (&["version TXT \"1\""], "not of version 2"),
            (&[version, "version TXT \"3\""], "two versions"),
            (&[version, "a.zones PTR one.test.", "a.zones PTR two.test."], "one label"),
            (&[version, "a.zones PTR one.test.", "b.zones PTR one.test."], "twice"),
            (&[version, "a.zones PTR example."], "itself"),
        ] {
            let said = list(lines).unwrap_err();
            assert!(said.contains(why), "{lines:?}: {said}");
        }
    }
}
