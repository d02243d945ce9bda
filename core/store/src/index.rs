//! The index in memory: which whole objects there are, by number and by key.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;

use smallvec::SmallVec;

use crate::plan::{Extent, Read, SegmentId};

/// Number of an object; grows by one, so a higher one was begun later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u64);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A whole object: where its pieces lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub(crate) key: u128,
    pub(crate) first: SegmentId,
    pub(crate) head: Extent,
    /// Most objects have one.
    pub(crate) chunks: SmallVec<[Extent; 1]>,
    pub(crate) octets: u64,
}

impl Object {
    /// Hash of its key.
    #[must_use]
    pub fn key(&self) -> u128 {
        self.key
    }

    /// Where its key and newest metadata are.
    #[must_use]
    pub fn head(&self) -> Extent {
        self.head
    }

    /// Octets of its content.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Octets it takes in the log, heads of records left out.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.octets + u64::from(self.head.length)
    }

    /// The reads that give octets `range` of the content, in order. What lies behind the end is
    /// left out.
    #[must_use]
    pub fn reads(&self, range: Range<u64>) -> Vec<Read> {
        let mut start = 0u64;
        let mut reads = Vec::new();
        for extent in &self.chunks {
            let end = start + u64::from(extent.length);
            let from = range.start.max(start);
            let to = range.end.min(end);
            if from < to
                && let (Ok(from), Ok(to)) =
                    (usize::try_from(from - start), usize::try_from(to - start))
            {
                reads.push(Read { extent: *extent, part: from..to });
            }
            start = end;
        }
        reads
    }

    /// The newest segment with a piece of it.
    #[must_use]
    pub fn newest_segment(&self) -> SegmentId {
        self.segments().max().unwrap_or(self.first)
    }

    fn segments(&self) -> impl Iterator<Item = SegmentId> {
        std::iter::once(self.first)
            .chain(std::iter::once(self.head.segment))
            .chain(self.chunks.iter().map(|extent| extent.segment))
    }
}

/// Whole objects by number and by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    objects: BTreeMap<ObjectId, Object>,
    keys: HashMap<u128, SmallVec<[ObjectId; 1]>>,
    octets: u64,
}

impl Index {
    pub(crate) fn insert(&mut self, id: ObjectId, object: Object) {
        self.octets += object.weight();
        self.keys.entry(object.key).or_default().push(id);
        if let Some(before) = self.objects.insert(id, object) {
            self.octets -= before.weight();
        }
    }

    pub(crate) fn remove(&mut self, id: ObjectId) -> Option<Object> {
        let object = self.objects.remove(&id)?;
        self.octets -= object.weight();
        if let Some(ids) = self.keys.get_mut(&object.key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.keys.remove(&object.key);
            }
        }
        Some(object)
    }

    pub(crate) fn refresh(&mut self, id: ObjectId, head: Extent) -> bool {
        let Some(object) = self.objects.get_mut(&id) else { return false };
        self.octets = self.octets - u64::from(object.head.length) + u64::from(head.length);
        object.head = head;
        true
    }

    pub(crate) fn get(&self, id: ObjectId) -> Option<&Object> {
        self.objects.get(&id)
    }

    /// Objects of a key, oldest first.
    pub(crate) fn find(&self, key: u128) -> &[ObjectId] {
        self.keys.get(&key).map_or(&[], SmallVec::as_slice)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ObjectId, &Object)> {
        self.objects.iter().map(|(id, object)| (*id, object))
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }

    /// Forgets every object with a piece in `newest` or an older segment; how many. Objects were
    /// begun in the order of their numbers, so those that began there are the first.
    pub(crate) fn forget_through(&mut self, newest: SegmentId) -> u64 {
        let mut forgotten = 0;
        while let Some((id, object)) = self.objects.first_key_value()
            && object.first <= newest
        {
            let id = *id;
            self.remove(id);
            forgotten += 1;
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cut_at_chunk_borders() {
        let extent = |offset, length| Extent { segment: SegmentId(1), offset, length, crc: 0 };
        let object = Object {
            key: 1,
            first: SegmentId(1),
            head: extent(0, 3),
            chunks: SmallVec::from_slice(&[extent(10, 4), extent(20, 4), extent(30, 2)]),
            octets: 10,
        };
        let parts = |range| -> Vec<(u32, Range<usize>)> {
            object.reads(range).into_iter().map(|r| (r.extent.offset, r.part)).collect()
        };
        assert_eq!(parts(0..10), [(10, 0..4), (20, 0..4), (30, 0..2)]);
        assert_eq!(parts(3..5), [(10, 3..4), (20, 0..1)]);
        assert_eq!(parts(9..99), [(30, 1..2)]);
        assert_eq!(parts(10..10), []);
    }
}
