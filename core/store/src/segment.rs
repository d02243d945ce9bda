//! The format of a segment's file: a head of 40 octets, then records without gaps.
//!
//! ```text
//!  0  "popnetsg"      8  version (2), zeros (6)
//! 16  segment (8)    24  store (8): a number drawn when the folder was made
//! 32  CRC-32 of octets 0..32 (4), zeros (4)
//! ```
//! Version 2 knows purges, version 1 did not.
//! [`scan`] reads any octets at all; it is what a fuzz target calls.

use bytes::{BufMut, Bytes, BytesMut};

use crate::plan::{Extent, SegmentId};
use crate::record::{self, RECORD_HEAD, RecordHead, take};

pub use crate::record::{Kind, RecordHead as Head};

/// Octets of a segment's head.
pub const SEGMENT_HEAD: usize = 40;

/// The format that this program writes.
pub const VERSION: u16 = 2;

const MAGIC: [u8; 8] = *b"popnetsg";

/// The octets of a segment's head.
#[must_use]
pub fn encode(segment: SegmentId, store: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(SEGMENT_HEAD);
    out.put_slice(&MAGIC);
    out.put_u16_le(VERSION);
    out.put_bytes(0, 6);
    out.put_u64_le(segment.0);
    out.put_u64_le(store);
    let crc = crc32fast::hash(&out);
    out.put_u32_le(crc);
    out.put_bytes(0, 4);
    out.freeze()
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Its number.
    pub segment: SegmentId,
    /// Whose it is.
    pub store: u64,
    /// Its records in order.
    pub records: Vec<Found>,
    /// Octets that are whole records.
    pub valid: u32,
    /// How it ends.
    pub end: End,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its head.
    pub head: RecordHead,
    /// Where its content lies.
    pub at: Extent,
    /// Whether the content is what was written.
    pub sound: bool,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a whole record.
    Whole,
    /// Inside a record: the write was cut by a crash. Nothing was ever behind it.
    Torn,
    /// With octets that are no record: more may have been behind them.
    Damaged,
}

/// Reads a whole file, or says `None` when it is not a segment that this program knows.
#[must_use]
pub fn scan(octets: &[u8]) -> Option<Scan> {
    let (segment, store) = decode(octets)?;
    let mut records = Vec::new();
    let mut valid = SEGMENT_HEAD;
    let end = loop {
        let rest = octets.get(valid..)?;
        match next(segment, rest) {
            Step::Record(head, content) => {
                let offset = u32::try_from(valid.checked_add(RECORD_HEAD)?).ok()?;
                let at = Extent { segment, offset, length: head.length, crc: head.crc };
                records.push(Found { head, at, sound: at.holds(content) });
                valid = valid.checked_add(RECORD_HEAD)?.checked_add(content.len())?;
            }
            Step::End(end) => break end,
        }
    };
    Some(Scan { segment, store, records, valid: u32::try_from(valid).ok()?, end })
}

enum Step<'a> {
    Record(RecordHead, &'a [u8]),
    End(End),
}

fn next(segment: SegmentId, rest: &[u8]) -> Step<'_> {
    if rest.is_empty() {
        return Step::End(End::Whole);
    }
    // A crash of the machine may leave a tail of zeros: the length reached the disk, octets not.
    if rest.len() < RECORD_HEAD || rest.iter().all(|octet| *octet == 0) {
        return Step::End(End::Torn);
    }
    let Some(head) = record::decode(segment, rest) else { return Step::End(End::Damaged) };
    let content = usize::try_from(head.length)
        .ok()
        .and_then(|length| rest.get(RECORD_HEAD..RECORD_HEAD + length));
    match content {
        Some(content) => Step::Record(head, content),
        None => Step::End(End::Torn),
    }
}

fn decode(octets: &[u8]) -> Option<(SegmentId, u64)> {
    let (head, _) = octets.split_first_chunk::<SEGMENT_HEAD>()?;
    let (checked, tail) = head.split_first_chunk::<32>()?;
    let mut tail: &[u8] = tail;
    let crc = u32::from_le_bytes(take(&mut tail)?);
    let mut rest: &[u8] = checked;
    let magic: [u8; 8] = take(&mut rest)?;
    let version = u16::from_le_bytes(take(&mut rest)?);
    let zeros: [u8; 6] = take(&mut rest)?;
    let segment = SegmentId(u64::from_le_bytes(take(&mut rest)?));
    let store = u64::from_le_bytes(take(&mut rest)?);
    (magic == MAGIC
        && (1..=VERSION).contains(&version)
        && zeros == [0; 6]
        && crc == crc32fast::hash(checked)
        && tail == [0; 4])
        .then_some((segment, store))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_segment_reads_back() {
        let octets = encode(SegmentId(5), 8);
        let scan = scan(&octets).unwrap();
        assert_eq!((scan.segment, scan.store, scan.end), (SegmentId(5), 8, End::Whole));
    }

    #[test]
    fn ends() {
        let mut octets = encode(SegmentId(5), 8).to_vec();
        octets.extend_from_slice(&[0; 100]);
        assert_eq!(scan(&octets).unwrap().end, End::Torn, "zeros");
        octets.truncate(SEGMENT_HEAD);
        octets.extend_from_slice(b"short");
        assert_eq!(scan(&octets).unwrap().end, End::Torn, "part of a record's head");
        octets.extend_from_slice(&[1; 100]);
        assert_eq!(scan(&octets).unwrap().end, End::Damaged, "no record");
        assert_eq!(scan(&octets[..39]), None, "part of the segment's head");
    }
}
