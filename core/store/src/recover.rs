//! Recovery: what a folder of segments holds, whatever happened to the machine.
//!
//! Only objects with a sound commit and all of their pieces come back. A tail cut by a crash is
//! cut off for good. Where a file is damaged in the middle, a record that said "gone" may have
//! been lost with it; then nothing older than the damage is believed.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::index::{Index, ObjectId};
use crate::key_hash;
use crate::machine::{Open, Store};
use crate::plan::{Action, Extent, Place, Plan, SegmentId};
use crate::reclaim::{Limits, room_for};
use crate::record::{Commit, Kind, read_head};
use crate::segment::{End, Found, SEGMENT_HEAD, Scan, scan};

/// What recovery gave up, for one line in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Files that were no segments of this store.
    pub foreign: u32,
    /// Segments that ended inside a record.
    pub torn: u32,
    /// Segments with damage in the middle, and gaps between segments.
    pub damaged: u32,
    /// Objects that were begun and never became whole.
    pub unfinished: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Recovered {
    /// The store.
    pub store: Store,
    /// The purges that were written down, oldest first.
    pub purges: Vec<(Place, Bytes)>,
    /// What must still be done to the folder.
    pub plan: Plan,
    /// What was given up.
    pub lost: Lost,
}

/// Rebuilds a store from its segments, given in the order of their numbers.
#[derive(Debug)]
pub struct Recovery {
    limits: Limits,
    store: Option<u64>,
    index: Index,
    open: BTreeMap<ObjectId, Open>,
    lengths: BTreeMap<SegmentId, u32>,
    highest_object: ObjectId,
    highest_segment: SegmentId,
    purges: Vec<(Place, Bytes)>,
    plan: Plan,
    lost: Lost,
}

impl Recovery {
    /// Begins.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            store: None,
            index: Index::default(),
            open: BTreeMap::new(),
            lengths: BTreeMap::new(),
            highest_object: ObjectId(0),
            highest_segment: SegmentId(0),
            purges: Vec::new(),
            plan: Plan::default(),
            lost: Lost::default(),
        }
    }

    /// Takes the octets of the file called after `segment`.
    pub fn segment(&mut self, segment: SegmentId, octets: &[u8]) {
        if octets.len() < SEGMENT_HEAD {
            // It was being made when the machine went down; its number will be used again.
            self.lost.torn += 1;
            self.plan.push(Action::Delete(segment));
            return;
        }
        let gap = self.highest_segment.0 != 0 && segment.0 != self.highest_segment.0 + 1;
        self.highest_segment = self.highest_segment.max(segment);
        let ours = scan(octets).filter(|scan| {
            scan.segment == segment && self.store.is_none_or(|store| store == scan.store)
        });
        let Some(scan) = ours else {
            self.lost.foreign += 1;
            self.disbelieve(segment);
            self.plan.push(Action::Delete(segment));
            return;
        };
        if gap {
            self.lost.damaged += 1;
            self.disbelieve(segment);
        }
        self.store = Some(scan.store);
        self.replay(&scan, octets);
        self.finish_segment(&scan, octets.len());
    }

    fn finish_segment(&mut self, scan: &Scan, length: usize) {
        match scan.end {
            End::Whole => {}
            End::Torn => self.lost.torn += 1,
            End::Damaged => {
                self.lost.damaged += 1;
                self.disbelieve(SegmentId(scan.segment.0 + 1));
            }
        }
        self.lengths.insert(scan.segment, scan.valid);
        if usize::try_from(scan.valid) != Ok(length) {
            self.plan.push(Action::Cut(scan.segment, scan.valid));
        }
    }

    /// Forgets everything that has a piece before `segment`: a removal may have been lost.
    fn disbelieve(&mut self, segment: SegmentId) {
        self.index.forget_through(SegmentId(segment.0.saturating_sub(1)));
        self.open.retain(|_, open| open.object.first >= segment);
    }

    fn replay(&mut self, scan: &Scan, octets: &[u8]) {
        for found in &scan.records {
            self.highest_object = self.highest_object.max(found.head.object);
            let content = content(octets, found.at);
            if !self.record(found, content.filter(|_| found.sound)) {
                self.lost.damaged += 1;
                self.disbelieve(SegmentId(scan.segment.0 + 1));
            }
        }
    }

    /// Replays one record; `content` is `None` when it is not what was written. Says whether
    /// nothing but the record's own object can have been lost.
    fn record(&mut self, found: &Found, content: Option<&[u8]>) -> bool {
        let id = found.head.object;
        match (found.head.kind, content) {
            (Kind::Head, Some(content)) => {
                if let Some(head) = read_head(content) {
                    self.open.insert(id, Open::new(key_hash(head.key), found.at));
                }
                true
            }
            (Kind::Data, Some(_)) => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.add(found.at);
                }
                true
            }
            (Kind::Head | Kind::Data, None) => {
                self.open.remove(&id);
                true
            }
            (Kind::Commit, Some(content)) => self.commit(id, content),
            (Kind::Remove, _) => {
                self.index.remove(id);
                true
            }
            (Kind::Refresh, Some(content)) => {
                self.refresh(id, content, found.at);
                true
            }
            (Kind::Purge, Some(content)) => {
                self.purges.push((found.at.place(), Bytes::copy_from_slice(content)));
                true
            }
            (Kind::Note, _) => true,
            // Without its newest metadata an object might be taken for fresher than it is.
            (Kind::Refresh, None) => {
                self.index.remove(id);
                true
            }
            (Kind::Commit | Kind::Purge, None) => false,
        }
    }

    fn commit(&mut self, id: ObjectId, content: &[u8]) -> bool {
        let Some(commit) = Commit::decode(content) else { return false };
        for other in &commit.replaces {
            self.index.remove(*other);
        }
        if let Some(open) = self.open.remove(&id) {
            if open.commit(&commit.replaces) == commit {
                self.index.insert(id, open.object);
            } else {
                self.lost.unfinished += 1;
            }
        }
        true
    }

    fn refresh(&mut self, id: ObjectId, content: &[u8], at: Extent) {
        let same = read_head(content).is_some_and(|head| {
            self.index.get(id).is_some_and(|object| object.key() == key_hash(head.key))
        });
        if same {
            self.index.refresh(id, at);
        } else {
            self.index.remove(id);
        }
    }

    /// Ends. `store` marks the segments when none was found.
    #[must_use]
    pub fn finish(mut self, store: u64) -> Recovered {
        self.lost.unfinished += self.open.len() as u64;
        let mut recovered = Store::new(self.limits, self.store.unwrap_or(store));
        recovered.index = self.index;
        recovered.lengths = self.lengths;
        recovered.next_segment = SegmentId(self.highest_segment.0 + 1);
        recovered.next_object = ObjectId(self.highest_object.0 + 1);
        let mut plan = self.plan;
        // The share may have become smaller since.
        let gone = room_for(0, &recovered.limits, &recovered.lengths);
        recovered.reclaim(&mut plan, &gone);
        Recovered { store: recovered, purges: self.purges, plan, lost: self.lost }
    }
}

fn content(octets: &[u8], at: Extent) -> Option<&[u8]> {
    let from = usize::try_from(at.offset).ok()?;
    let length = usize::try_from(at.length).ok()?;
    octets.get(from..from.checked_add(length)?)
}
