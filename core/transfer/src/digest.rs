//! Digests of whole zones (RFC 8976): whether a zone arrived as it was sent.

use aws_lc_rs::digest::{Context, SHA384, SHA512};
use popnet_dns::{Name, Rtype, suffixes};

use crate::content::Content;
use crate::record::canonical;

const ZONEMD: u16 = 63;
/// RFC 8976 2.2.2: the only scheme, one digest over all records.
const SIMPLE: u8 = 1;

/// Checks the ZONEMD records of a zone. `None`: it has none that we understand, or for this serial
/// number, and says nothing about itself.
#[must_use]
pub fn is_intact(content: &Content) -> Option<bool> {
    let serial = content.numbers()?.serial.0;
    let set = content.set(content.apex(), Rtype::from_int(ZONEMD))?;
    let mut verdict = None;
    for rdata in set.keys() {
        let Some(([s0, s1, s2, s3, scheme, algorithm], said)) = rdata.split_first_chunk::<6>()
        else {
            continue;
        };
        if u32::from_be_bytes([*s0, *s1, *s2, *s3]) != serial || *scheme != SIMPLE {
            continue;
        }
        let context = match algorithm {
            1 => Context::new(&SHA384),
            2 => Context::new(&SHA512),
            _ => continue,
        };
        let is_right = digest(content, context) == said;
        // RFC 8976 4: one that fits is enough.
        verdict = Some(verdict.unwrap_or(false) || is_right);
    }
    verdict
}

/// RFC 8976 3.3.1: all records in canonical order and form, but not the ZONEMD records of the apex
/// and their signatures.
fn digest(content: &Content, mut context: Context) -> Vec<u8> {
    let mut owners: Vec<(Vec<&[u8]>, &Name)> = Vec::new();
    for (owner, _) in content.sets.keys() {
        if owners.last().is_none_or(|(_, last)| *last != owner) {
            owners.push((labels(owner), owner));
        }
    }
    owners.sort();
    for (_, owner) in owners {
        let is_apex = owner == content.apex();
        for (rtype, set) in content.sets_of(owner) {
            if is_apex && rtype.to_int() == ZONEMD {
                continue;
            }
            let mut records: Vec<(Box<[u8]>, u32)> =
                set.iter().map(|(rdata, ttl)| (canonical(rtype, rdata), *ttl)).collect();
            records.sort();
            for (rdata, ttl) in records {
                let covers_zonemd =
                    rtype == Rtype::RRSIG && rdata.starts_with(&ZONEMD.to_be_bytes());
                if is_apex && covers_zonemd {
                    continue;
                }
                context.update(owner.as_wire());
                context.update(&rtype.to_int().to_be_bytes());
                context.update(&[0, 1]);
                context.update(&ttl.to_be_bytes());
                context.update(&u16::try_from(rdata.len()).unwrap_or(0).to_be_bytes());
                context.update(&rdata);
            }
        }
    }
    context.finish().as_ref().to_vec()
}

/// The labels of a name, the rightmost first: their order is that of RFC 4034 6.1.
fn labels(name: &Name) -> Vec<&[u8]> {
    let mut labels: Vec<&[u8]> = suffixes(name.as_wire())
        .filter_map(|rest| {
            let (length, rest) = rest.split_first()?;
            rest.get(..usize::from(*length))
        })
        .collect();
    labels.reverse();
    labels
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use popnet_dns::read_zone;

    use super::*;
    use crate::testing::name;

    /// The zone of RFC 8976 A.1.
    const SIMPLE_ZONE: &str = "\
@ 86400 SOA ns1 admin 2018031900 1800 900 604800 86400\n@ 86400 NS ns1\n@ 86400 NS ns2\n\
@ 86400 ZONEMD 2018031900 1 1 c68090d90a7aed716bc459f9340e3d7c1370d4d24b7e2fc3a1ddc0b9a87153b9\
a9713b3c9ae5cc27777f98b8e730044c\nns1 3600 A 203.0.113.63\nns2 3600 AAAA 2001:db8::63\n";

    fn verdict(text: &str) -> Option<bool> {
        let mut none = |_: &Path| Err("no files".to_owned());
        let zone = read_zone(&name("example"), Path::new("t"), text.as_bytes(), &mut none);
        is_intact(&Content::from(&zone.unwrap()))
    }

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(verdict(SIMPLE_ZONE), Some(true));
        let cases = [
            ("203.0.113.63", "203.0.113.64", Some(false)),
            ("ns1 3600 A", "ns1 3601 A", Some(false)),
            ("2018031900 1 1 c680", "2018031900 1 1 c780", Some(false)),
            // Of another state, another scheme, another algorithm: nothing is said.
            ("2018031900 1 1", "2018031901 1 1", None),
            ("2018031900 1 1", "2018031900 240 1", None),
            ("2018031900 1 1", "2018031900 1 240", None),
            ("2018031900 1 1", "2018031900 1 2", Some(false)),
        ];
        for (from, to, expected) in cases {
            assert_eq!(verdict(&SIMPLE_ZONE.replace(from, to)), expected, "{from} -> {to}");
        }
    }
}
