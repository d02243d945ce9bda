//! Reads and writes as values, in the order in which they must reach the disk.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

/// Number of a segment; grows by one and is never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// The name of its file.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{self}.seg")
    }

    /// The name of the file with its summary.
    #[must_use]
    pub fn summary_name(self) -> String {
        format!("{self}.sum")
    }

    /// The segment that a file name belongs to, if it is one of ours.
    #[must_use]
    pub fn of_file(name: &str) -> Option<Self> {
        Self::of(name.strip_suffix(".seg")?)
    }

    /// The segment that the file name of a summary belongs to, if it is one of ours.
    #[must_use]
    pub fn of_summary(name: &str) -> Option<Self> {
        Self::of(name.strip_suffix(".sum")?)
    }

    fn of(digits: &str) -> Option<Self> {
        (digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse().ok().map(Self))
            .flatten()
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

/// A place in the log. Of two places the higher was written later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// In which segment.
    pub segment: SegmentId,
    /// Where in its file.
    pub offset: u32,
}

/// Where a record's content lies, and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// In which segment.
    pub segment: SegmentId,
    /// First octet of the content in the segment's file.
    pub offset: u32,
    /// Octets of content.
    pub length: u32,
    /// CRC-32 of the content.
    pub crc: u32,
}

impl Extent {
    /// Where it begins.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { segment: self.segment, offset: self.offset }
    }

    /// Whether `content` is what was written there.
    #[must_use]
    pub fn holds(&self, content: &[u8]) -> bool {
        u32::try_from(content.len()) == Ok(self.length) && crc32fast::hash(content) == self.crc
    }
}

/// A read: the whole extent, so that it can be checked, and the part of it that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What to read.
    pub extent: Extent,
    /// What of it to hand on.
    pub part: Range<usize>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open an empty file for this segment, emptying one that exists; it has no summary.
    Create(SegmentId),
    /// Write `parts`, one after the other, at `offset`.
    Write {
        /// In which segment.
        segment: SegmentId,
        /// Where.
        offset: u32,
        /// What.
        parts: Vec<Bytes>,
    },
    /// Everything written to this segment must be on the disk before the next step.
    Sync(SegmentId),
    /// Keep this summary beside the segment, which takes nothing more. It may be lost.
    Summarize(SegmentId, Bytes),
    /// Cut the file to this length.
    Cut(SegmentId, u32),
    /// Remove the file and its summary. Readers that have it open may finish.
    Delete(SegmentId),
}

/// Steps in order. When one fails the rest must not be done; tell the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan(pub Vec<Action>);

impl Plan {
    pub(crate) fn push(&mut self, action: Action) {
        self.0.push(action);
    }
}
