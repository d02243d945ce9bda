//! Room: how large segments are, and which of them go when the disk's share is used up.
//!
//! Whole segments go, oldest first. That order carries a promise: a record that says "gone" is
//! never reclaimed before the object it speaks of, so nothing that was removed comes back.

use std::collections::BTreeMap;

use crate::plan::SegmentId;

/// Fewest octets that make a store: below it there is no room for two segments of the least size.
const DISK_MIN: u64 = 8 << 20;

/// Smallest segment: one chunk, the heads of a few objects and the note always fit.
const SEGMENT_MIN: u64 = 2 << 20;

/// Largest segment: what is lost at one stroke when room is made, and read at one stroke when a
/// store is opened.
const SEGMENT_MAX: u64 = 64 << 20;

/// How much a store may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    disk: u64,
    segment: u32,
}

impl Limits {
    /// Limits for `disk` octets; `None` when that is too little for a store.
    #[must_use]
    pub fn for_disk(disk: u64) -> Option<Self> {
        if disk < DISK_MIN {
            return None;
        }
        let segment = (disk / 16).clamp(SEGMENT_MIN, SEGMENT_MAX);
        Some(Self { disk, segment: u32::try_from(segment).ok()? })
    }

    /// Octets allowed for all segments together.
    #[must_use]
    pub fn disk(&self) -> u64 {
        self.disk
    }

    /// Octets of a full segment.
    #[must_use]
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// The largest object: with half of the disk it is written before its own front is reclaimed.
    #[must_use]
    pub fn object_max(&self) -> u64 {
        self.disk / 2
    }
}

/// The segments that must go, oldest first, so that `more` octets fit beside the rest.
pub(crate) fn room_for(
    more: u32,
    limits: &Limits,
    sizes: &BTreeMap<SegmentId, u64>,
) -> Vec<SegmentId> {
    let mut used: u64 = sizes.values().sum();
    let mut gone = Vec::new();
    for (segment, octets) in sizes {
        if used + u64::from(more) <= limits.disk {
            break;
        }
        used -= octets;
        gone.push(*segment);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_go_first_and_no_more_than_needed() {
        let limits = Limits::for_disk(8 << 20).unwrap();
        assert_eq!(limits.segment(), 2 << 20);
        let full = |ids: &[u64]| ids.iter().map(|id| (SegmentId(*id), 2 << 20)).collect();
        assert_eq!(room_for(2 << 20, &limits, &full(&[1, 2, 3])), []);
        assert_eq!(room_for(2 << 20, &limits, &full(&[1, 2, 3, 4])), [SegmentId(1)]);
        assert_eq!(Limits::for_disk(1 << 20), None);
    }
}
