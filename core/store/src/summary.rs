//! What recovery needs of a segment that takes nothing more, without the contents: opening a store
//! reads this instead of the segment. It only saves time; without it the segment is read.
//!
//! ```text
//!  0  "popnetsm"      8  version (2), zeros (2)     12  octets of the segment (4)
//! 16  segment (8)    24  store (8)                  32  records
//!     kind (1)  object (8)  where the content lies (4)  its length (4)  its CRC-32 (4), then
//!     for heads and refreshes the key's hash (16), for commits and purges the content
//! at the end  CRC-32 of everything before (4)
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use crate::key_hash;
use crate::plan::{Extent, SegmentId};
use crate::record::{Kind, RecordHead, read_head, take};

const MAGIC: [u8; 8] = *b"popnetsm";

const VERSION: u16 = 1;

/// Octets before the records.
const HEAD: usize = 32;

/// Octets of a record's entry without what is kept of its content.
const ENTRY: usize = 21;

/// A summary that grows with its segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    records: BytesMut,
}

impl Draft {
    /// Octets of the summary if it ended after another record of `kind` with `length` octets.
    pub(crate) fn octets_with(&self, kind: Kind, length: u32) -> u32 {
        let before = u32::try_from(HEAD + self.records.len() + ENTRY + 4).unwrap_or(u32::MAX);
        before.saturating_add(kept(kind, length))
    }

    /// Adds a record: its head, where its content lies, and the content.
    pub(crate) fn add(&mut self, head: RecordHead, offset: u32, content: &[u8]) {
        let out = &mut self.records;
        out.put_u8(head.kind.code());
        out.put_u64_le(head.object.0);
        out.put_u32_le(offset);
        out.put_u32_le(head.length);
        out.put_u32_le(head.crc);
        match head.kind {
            Kind::Head | Kind::Refresh => {
                let key = read_head(content).map_or(&[][..], |head| head.key);
                out.put_u128_le(key_hash(key));
            }
            Kind::Commit | Kind::Purge => out.put_slice(content),
            Kind::Data | Kind::Remove | Kind::Note => {}
        }
    }

    /// The summary of `segment`, which has `length` octets.
    pub(crate) fn finish(self, segment: SegmentId, length: u32, store: u64) -> Bytes {
        let mut out = BytesMut::with_capacity(HEAD + self.records.len() + 4);
        out.put_slice(&MAGIC);
        out.put_u16_le(VERSION);
        out.put_bytes(0, 2);
        out.put_u32_le(length);
        out.put_u64_le(segment.0);
        out.put_u64_le(store);
        out.put_slice(&self.records);
        let crc = crc32fast::hash(&out);
        out.put_u32_le(crc);
        out.freeze()
    }
}

/// Octets that are kept of the content of a record of `kind`, which has `length`.
fn kept(kind: Kind, length: u32) -> u32 {
    match kind {
        Kind::Head | Kind::Refresh => 16,
        Kind::Commit | Kind::Purge => length,
        Kind::Data | Kind::Remove | Kind::Note => 0,
    }
}

/// A summary.
pub(crate) struct Summary<'a> {
    pub(crate) segment: SegmentId,
    pub(crate) store: u64,
    /// Octets of the segment.
    pub(crate) length: u32,
    records: &'a [u8],
}

/// A record without its content.
pub(crate) struct Entry<'a> {
    pub(crate) head: RecordHead,
    pub(crate) at: Extent,
    /// The key's hash, or a content that is kept whole.
    pub(crate) rest: &'a [u8],
}

/// Reads the octets of a summary; `None`: they are none, or not as they were written.
pub(crate) fn read(octets: &[u8]) -> Option<Summary<'_>> {
    let (checked, crc) = octets.split_last_chunk::<4>()?;
    if crc32fast::hash(checked) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut rest = checked;
    let magic: [u8; 8] = take(&mut rest)?;
    let version = u16::from_le_bytes(take(&mut rest)?);
    let zeros: [u8; 2] = take(&mut rest)?;
    let length = u32::from_le_bytes(take(&mut rest)?);
    let segment = SegmentId(u64::from_le_bytes(take(&mut rest)?));
    let store = u64::from_le_bytes(take(&mut rest)?);
    (magic == MAGIC && version == VERSION && zeros == [0; 2]).then_some(Summary {
        segment,
        store,
        length,
        records: rest,
    })
}

impl<'a> Summary<'a> {
    /// Its records in order; `None` when they are not what a summary holds.
    pub(crate) fn records(&self) -> Option<Vec<Entry<'a>>> {
        let mut rest = self.records;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            entries.push(entry(self.segment, self.length, &mut rest)?);
        }
        Some(entries)
    }
}

fn entry<'a>(segment: SegmentId, whole: u32, rest: &mut &'a [u8]) -> Option<Entry<'a>> {
    let [code] = take(rest)?;
    let kind = Kind::of(code)?;
    let object = crate::ObjectId(u64::from_le_bytes(take(rest)?));
    let offset = u32::from_le_bytes(take(rest)?);
    let length = u32::from_le_bytes(take(rest)?);
    let crc = u32::from_le_bytes(take(rest)?);
    if offset.checked_add(length).is_none_or(|end| end > whole) {
        return None;
    }
    let (content, after) = rest.split_at_checked(usize::try_from(kept(kind, length)).ok()?)?;
    *rest = after;
    let at = Extent { segment, offset, length, crc };
    Some(Entry { head: RecordHead { kind, object, length, crc }, at, rest: content })
}
