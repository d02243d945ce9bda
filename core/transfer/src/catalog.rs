//! Catalog zones (RFC 9432): a zone that lists zones.

use std::collections::BTreeMap;

use popnet_dns::{Name, Rtype, suffixes};

use crate::record::Line;

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
