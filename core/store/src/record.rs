//! Records: a head of 32 octets with its own checksum, then content. All numbers little-endian.
//!
//! ```text
//!  0  "rec1"          4  kind (1 octet), 3 zeros     8  object (8)
//! 16  segment, low 4 octets      20  content length (4)
//! 24  CRC-32 of the content      28  CRC-32 of octets 0..28
//! ```
//! The segment's number is in every record so that old octets of a reused block are never taken
//! for records of this file.

use bytes::{BufMut, Bytes, BytesMut};

use crate::index::ObjectId;
use crate::plan::SegmentId;

/// Octets of a record's head.
pub(crate) const RECORD_HEAD: usize = 32;

/// Largest piece of content in one record: what a reader must hold to check it.
pub const CHUNK_MAX: usize = 1 << 20;

/// Largest key and metadata together: far above any response head we accept.
pub const HEAD_MAX: usize = 256 << 10;

/// Most objects that a commit may replace.
pub(crate) const REPLACED_MAX: usize = 1024;

const MAGIC: [u8; 4] = *b"rec1";

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An object begins: its key and metadata.
    Head,
    /// Its next piece of content.
    Data,
    /// It is whole; it replaces others.
    Commit,
    /// It is gone.
    Remove,
    /// New metadata of a whole object.
    Refresh,
    /// A note of the owner's, in version 1. Nothing reads it any more.
    Note,
    /// A purge, in the owner's words: it hits what was written before it.
    Purge,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Head,
        Self::Data,
        Self::Commit,
        Self::Remove,
        Self::Refresh,
        Self::Note,
        Self::Purge,
    ];

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Head => 1,
            Self::Data => 2,
            Self::Commit => 3,
            Self::Remove => 4,
            Self::Refresh => 5,
            Self::Note => 6,
            Self::Purge => 7,
        }
    }

    pub(crate) fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The longest content of such a record.
    fn limit(self) -> usize {
        match self {
            Self::Data => CHUNK_MAX,
            Self::Head | Self::Refresh | Self::Note | Self::Purge => HEAD_MAX + 4,
            Self::Commit => COMMIT_FIXED + 8 * REPLACED_MAX,
            Self::Remove => 0,
        }
    }
}

/// A record's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// What it is.
    pub kind: Kind,
    /// Whose; 0 for purges and notes.
    pub object: ObjectId,
    /// Octets of content.
    pub length: u32,
    /// CRC-32 of the content.
    pub crc: u32,
}

/// The octets of a record head in `segment`.
pub(crate) fn encode(segment: SegmentId, head: RecordHead) -> Bytes {
    let mut out = BytesMut::with_capacity(RECORD_HEAD);
    out.put_slice(&MAGIC);
    out.put_u8(head.kind.code());
    out.put_bytes(0, 3);
    out.put_u64_le(head.object.0);
    out.put_u32_le(low(segment));
    out.put_u32_le(head.length);
    out.put_u32_le(head.crc);
    let crc = crc32fast::hash(&out);
    out.put_u32_le(crc);
    out.freeze()
}

/// The record head at the front of `octets`, if one of `segment` stands there.
pub(crate) fn decode(segment: SegmentId, octets: &[u8]) -> Option<RecordHead> {
    let (whole, _) = octets.split_first_chunk::<RECORD_HEAD>()?;
    let (checked, crc) = whole.split_last_chunk::<4>()?;
    if crc32fast::hash(checked) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut rest: &[u8] = checked;
    let magic: [u8; 4] = take(&mut rest)?;
    let [code, zeros @ ..]: [u8; 4] = take(&mut rest)?;
    let object = ObjectId(u64::from_le_bytes(take(&mut rest)?));
    let of = u32::from_le_bytes(take(&mut rest)?);
    let length = u32::from_le_bytes(take(&mut rest)?);
    let crc = u32::from_le_bytes(take(&mut rest)?);
    let kind = Kind::of(code)?;
    (magic == MAGIC && zeros == [0; 3] && of == low(segment) && fits(kind, length))
        .then_some(RecordHead { kind, object, length, crc })
}

fn fits(kind: Kind, length: u32) -> bool {
    usize::try_from(length).is_ok_and(|length| length <= kind.limit())
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn low(segment: SegmentId) -> u32 {
    segment.0 as u32
}

/// Takes `N` octets off the front.
pub(crate) fn take<const N: usize>(octets: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = octets.split_first_chunk::<N>()?;
    *octets = rest;
    Some(*first)
}

/// Content of a head or refresh record: length of the key (4), the key, the metadata.
pub(crate) fn encode_head(key: &[u8], meta: &[u8]) -> Option<Bytes> {
    let length = u32::try_from(key.len()).ok()?;
    if key.len().checked_add(meta.len())? > HEAD_MAX {
        return None;
    }
    let mut out = BytesMut::with_capacity(4 + key.len() + meta.len());
    out.put_u32_le(length);
    out.put_slice(key);
    out.put_slice(meta);
    Some(out.freeze())
}

/// What stands in an object's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The full key: compare it, two keys may share a hash.
    pub key: &'a [u8],
    /// The owner's metadata.
    pub meta: &'a [u8],
}

/// Reads the content of a head extent.
#[must_use]
pub fn read_head(content: &[u8]) -> Option<Head<'_>> {
    let mut rest = content;
    let length = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?;
    let (key, meta) = rest.split_at_checked(length)?;
    Some(Head { key, meta })
}

/// Content of a commit record before the replaced objects.
const COMMIT_FIXED: usize = 20;

/// What a commit says, so that recovery can tell a whole object from one with pieces missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Number of data records.
    pub(crate) chunks: u32,
    /// Octets of content.
    pub(crate) octets: u64,
    /// CRC-32 over the data records' checksums in order.
    pub(crate) digest: u32,
    /// Objects that are gone with it.
    pub(crate) replaces: Vec<ObjectId>,
}

impl Commit {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(COMMIT_FIXED + 8 * self.replaces.len());
        out.put_u32_le(self.chunks);
        out.put_u64_le(self.octets);
        out.put_u32_le(self.digest);
        out.put_u32_le(u32::try_from(self.replaces.len()).unwrap_or(u32::MAX));
        for id in &self.replaces {
            out.put_u64_le(id.0);
        }
        out.freeze()
    }

    pub(crate) fn decode(content: &[u8]) -> Option<Self> {
        let mut rest = content;
        let chunks = u32::from_le_bytes(take(&mut rest)?);
        let octets = u64::from_le_bytes(take(&mut rest)?);
        let digest = u32::from_le_bytes(take(&mut rest)?);
        let count = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?;
        if count > REPLACED_MAX || rest.len() != 8 * count {
            return None;
        }
        let replaces =
            rest.as_chunks::<8>().0.iter().map(|id| ObjectId(u64::from_le_bytes(*id))).collect();
        Some(Self { chunks, octets, digest, replaces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_back_only_in_its_own_segment() {
        let head = RecordHead { kind: Kind::Data, object: ObjectId(9), length: 5, crc: 77 };
        let octets = encode(SegmentId(3), head);
        assert_eq!(octets.len(), RECORD_HEAD);
        assert_eq!(decode(SegmentId(3), &octets), Some(head));
        assert_eq!(decode(SegmentId(4), &octets), None);
        for at in 0..octets.len() {
            let mut flipped = octets.to_vec();
            flipped[at] ^= 0x10;
            assert_eq!(decode(SegmentId(3), &flipped), None, "octet {at}");
        }
    }

    #[test]
    fn contents_read_back() {
        let head = encode_head(b"key", b"meta").unwrap();
        assert_eq!(read_head(&head), Some(Head { key: b"key", meta: b"meta" }));
        assert_eq!(read_head(&[9, 0, 0, 0, 1]), None);
        assert!(encode_head(&vec![0; HEAD_MAX + 1], b"").is_none());
        let commit = Commit { chunks: 2, octets: 9, digest: 4, replaces: vec![ObjectId(1)] };
        assert_eq!(Commit::decode(&commit.encode()), Some(commit.clone()));
        assert_eq!(Commit::decode(&commit.encode()[..21]), None);
    }
}
