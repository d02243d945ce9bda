//! Zones and steps as octets on disk. Files around them carry kind, version and checksum.

use popnet_dns::{Name, QName, Rtype};
use popnet_terms::Timestamp;

use crate::content::Content;
use crate::difference::Difference;
use crate::record::{Rr, is_data};

/// A zone as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When a primary last confirmed it, or it was last changed here.
    pub confirmed: Timestamp,
    /// Its records.
    pub content: Content,
}

/// The octets of a kept zone.
#[must_use]
pub fn write_zone(content: &Content, confirmed: Timestamp) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.octets() + 64);
    out.extend_from_slice(&confirmed.0.to_be_bytes());
    out.extend_from_slice(content.apex().as_wire());
    for record in content.records() {
        write_record(&mut out, &record);
    }
    out
}

/// The zone in `octets`; `None`: they are something else.
#[must_use]
pub fn read_zone(octets: &[u8]) -> Option<Kept> {
    let (confirmed, rest) = octets.split_first_chunk::<8>()?;
    let (apex, mut rest) = name(rest)?;
    let mut content = Content::new(apex);
    while !rest.is_empty() {
        let (record, after) = record(rest)?;
        if !record.owner.is_within(content.apex()) {
            return None;
        }
        content.add(&record);
        rest = after;
    }
    // What could not be served was never kept.
    let kept = Kept { confirmed: Timestamp(i64::from_be_bytes(*confirmed)), content };
    kept.content.fault().is_none().then_some(kept)
}

/// The octets of a step.
#[must_use]
pub fn write_step(step: &Difference) -> Vec<u8> {
    let mut out = Vec::with_capacity(step.octets() + 8);
    let removed = u32::try_from(step.removed.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&removed.to_be_bytes());
    for record in step.records() {
        write_record(&mut out, record);
    }
    out
}

/// The step in `octets`; `None`: they are something else.
#[must_use]
pub fn read_step(octets: &[u8]) -> Option<Difference> {
    let (count, rest) = octets.split_first_chunk::<4>()?;
    let (old, mut rest) = record(rest)?;
    let mut removed = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (record, after) = record(rest)?;
        removed.push(record);
        rest = after;
    }
    let (new, mut rest) = record(rest)?;
    let mut added = Vec::new();
    while !rest.is_empty() {
        let (record, after) = record(rest)?;
        added.push(record);
        rest = after;
    }
    let soas = old.rtype == Rtype::SOA && new.rtype == Rtype::SOA && old.owner == new.owner;
    soas.then_some(Difference { old, removed, new, added })
}

fn write_record(out: &mut Vec<u8>, record: &Rr) {
    out.extend_from_slice(record.owner.as_wire());
    out.extend_from_slice(&record.rtype.to_int().to_be_bytes());
    out.extend_from_slice(&record.ttl.to_be_bytes());
    out.extend_from_slice(&u16::try_from(record.rdata.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&record.rdata);
}

fn record(octets: &[u8]) -> Option<(Rr, &[u8])> {
    let (owner, rest) = name(octets)?;
    let [t0, t1, s0, s1, s2, s3, l0, l1, rest @ ..] = rest else { return None };
    let rtype = Rtype::from_int(u16::from_be_bytes([*t0, *t1]));
    let ttl = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    let (rdata, rest) = rest.split_at_checked(length)?;
    is_data(rtype).then(|| (Rr { owner, rtype, ttl, rdata: rdata.into() }, rest))
}

fn name(octets: &[u8]) -> Option<(Name, &[u8])> {
    let name = QName::read(octets)?;
    let rest = octets.get(name.as_wire().len()..)?;
    Some((name.to_name(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::difference::between;
    use crate::testing::zone;

    #[test]
    fn there_and_back() {
        let (old, new) = (zone(1, &["a A 192.0.2.1", "b TXT x"]), zone(2, &["a A 192.0.2.2"]));
        let octets = write_zone(&old, Timestamp(5));
        assert_eq!(
            read_zone(&octets),
            Some(Kept { confirmed: Timestamp(5), content: old.clone() })
        );
        let step = between(&old, &new).unwrap();
        let written = write_step(&step);
        assert_eq!(read_step(&written), Some(step));
        // Cut anywhere it is refused or shorter, and never a panic.
        for cut in 0..octets.len() {
            let read = read_zone(&octets[..cut]);
            assert!(read.is_none_or(|kept| kept.content.len() < old.len()), "{cut}");
        }
        for cut in 0..written.len() {
            let _ = read_step(&written[..cut]);
        }
    }
}
