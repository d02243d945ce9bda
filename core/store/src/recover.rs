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
use crate::record::{Commit, Kind, RecordHead, read_head};
use crate::segment::{End, SEGMENT_HEAD, Scan, scan};
use crate::summary::{self, Draft, Entry};

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
    summaries: BTreeMap<SegmentId, u32>,
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
            summaries: BTreeMap::new(),
            highest_object: ObjectId(0),
            highest_segment: SegmentId(0),
            purges: Vec::new(),
            plan: Plan::default(),
            lost: Lost::default(),
        }
    }

    /// Takes the summary of `segment`, whose file has `length` octets. `false`: it is not to be
    /// believed, and the segment itself is to be read.
    pub fn summary(&mut self, segment: SegmentId, length: u64, octets: &[u8]) -> bool {
        let Some(summary) = summary::read(octets) else { return false };
        let ours = self.store.is_none_or(|store| store == summary.store);
        let fits = summary.segment == segment && u64::from(summary.length) == length;
        let Some(records) = summary.records().filter(|_| ours && fits) else { return false };
        self.arrive(segment);
        self.store = Some(summary.store);
        for entry in records {
            self.highest_object = self.highest_object.max(entry.head.object);
            let said = Said::kept(&entry);
            self.take(entry.head, entry.at, said, segment);
        }
        self.lengths.insert(segment, summary.length);
        self.summarized(segment, octets);
        true
    }

    fn summarized(&mut self, segment: SegmentId, summary: &[u8]) {
        self.summaries.insert(segment, u32::try_from(summary.len()).unwrap_or(u32::MAX));
    }

    /// A segment comes whose number does not follow the one before: what lay between is lost.
    fn arrive(&mut self, segment: SegmentId) {
        if self.highest_segment.0 != 0 && segment.0 != self.highest_segment.0 + 1 {
            self.lost.damaged += 1;
            self.disbelieve(segment);
        }
        self.highest_segment = self.highest_segment.max(segment);
    }

    /// Takes the octets of the file called after `segment`.
    pub fn segment(&mut self, segment: SegmentId, octets: &[u8]) {
        if octets.len() < SEGMENT_HEAD {
            // It was being made when the machine went down; its number will be used again.
            self.lost.torn += 1;
            self.plan.push(Action::Delete(segment));
            return;
        }
        self.arrive(segment);
        let ours = scan(octets).filter(|scan| {
            scan.segment == segment && self.store.is_none_or(|store| store == scan.store)
        });
        let Some(scan) = ours else {
            self.lost.foreign += 1;
            self.disbelieve(segment);
            self.plan.push(Action::Delete(segment));
            return;
        };
        self.store = Some(scan.store);
        let draft = self.replay(&scan, octets);
        self.finish_segment(&scan, octets.len(), draft);
    }

    fn finish_segment(&mut self, scan: &Scan, length: usize, draft: Draft) {
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
        // What is damaged is read in full next time too.
        if scan.end != End::Damaged && scan.records.iter().all(|found| found.sound) {
            let summary = draft.finish(scan.segment, scan.valid, scan.store);
            self.summarized(scan.segment, &summary);
            self.plan.push(Action::Summarize(scan.segment, summary));
        }
    }

    /// Forgets everything that has a piece before `segment`: a removal may have been lost.
    fn disbelieve(&mut self, segment: SegmentId) {
        self.index.forget_through(SegmentId(segment.0.saturating_sub(1)));
        self.open.retain(|_, open| open.object.first >= segment);
    }

    fn replay(&mut self, scan: &Scan, octets: &[u8]) -> Draft {
        let mut draft = Draft::default();
        for found in &scan.records {
            self.highest_object = self.highest_object.max(found.head.object);
            let content = content(octets, found.at).filter(|_| found.sound);
            draft.add(found.head, found.at.offset, content.unwrap_or_default());
            let said = content.and_then(|content| Said::of(found.head.kind, content));
            self.take(found.head, found.at, said, scan.segment);
        }
        draft
    }

    /// Replays one record; `said` is `None` when it is not what was written.
    fn take(&mut self, head: RecordHead, at: Extent, said: Option<Said<'_>>, of: SegmentId) {
        let id = head.object;
        match said {
            Some(Said::Begins(key)) => {
                self.open.insert(id, Open::new(key, at));
            }
            Some(Said::More) => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.add(at);
                }
            }
            Some(Said::Whole(commit)) => self.commit(id, &commit),
            Some(Said::Gone) => {
                self.index.remove(id);
            }
            Some(Said::Renewed(key)) => {
                if self.index.get(id).is_some_and(|object| object.key() == key) {
                    self.index.refresh(id, at);
                } else {
                    self.index.remove(id);
                }
            }
            Some(Said::Purged(words)) => {
                self.purges.push((at.place(), Bytes::copy_from_slice(words)));
            }
            Some(Said::Nothing) => {}
            None => self.lose(head.kind, id, of),
        }
    }

    /// A record of `kind` is not what was written.
    fn lose(&mut self, kind: Kind, id: ObjectId, of: SegmentId) {
        match kind {
            Kind::Head | Kind::Data => {
                self.open.remove(&id);
            }
            // Without its newest metadata an object might be taken for fresher than it is.
            Kind::Remove | Kind::Refresh => {
                self.index.remove(id);
            }
            Kind::Note => {}
            // Whatever else it took away may come back.
            Kind::Commit | Kind::Purge => {
                self.lost.damaged += 1;
                self.disbelieve(SegmentId(of.0 + 1));
            }
        }
    }

    fn commit(&mut self, id: ObjectId, commit: &Commit) {
        for other in &commit.replaces {
            self.index.remove(*other);
        }
        if let Some(open) = self.open.remove(&id) {
            if open.commit(&commit.replaces) == *commit {
                self.index.insert(id, open.object);
            } else {
                self.lost.unfinished += 1;
            }
        }
    }

    /// Ends. `store` marks the segments when none was found.
    #[must_use]
    pub fn finish(mut self, store: u64) -> Recovered {
        self.lost.unfinished += self.open.len() as u64;
        let mut recovered = Store::new(self.limits, self.store.unwrap_or(store));
        recovered.index = self.index;
        recovered.lengths = self.lengths;
        recovered.summaries = self.summaries;
        recovered.next_segment = SegmentId(self.highest_segment.0 + 1);
        recovered.next_object = ObjectId(self.highest_object.0 + 1);
        let mut plan = self.plan;
        // The share may have become smaller since.
        let gone = room_for(0, &recovered.limits, &recovered.sizes());
        recovered.reclaim(&mut plan, &gone);
        Recovered { store: recovered, purges: self.purges, plan, lost: self.lost }
    }
}

/// What a record says.
enum Said<'a> {
    /// An object with this hash of its key begins.
    Begins(u128),
    /// Its next piece.
    More,
    Whole(Commit),
    Gone,
    /// It has a new head.
    Renewed(u128),
    Purged(&'a [u8]),
    Nothing,
}

impl<'a> Said<'a> {
    /// By a record with this content.
    fn of(kind: Kind, content: &'a [u8]) -> Option<Self> {
        let key = || Some(key_hash(read_head(content)?.key));
        Some(match kind {
            Kind::Head => Self::Begins(key()?),
            Kind::Refresh => Self::Renewed(key()?),
            Kind::Data => Self::More,
            Kind::Commit => Self::Whole(Commit::decode(content)?),
            Kind::Remove => Self::Gone,
            Kind::Note => Self::Nothing,
            Kind::Purge => Self::Purged(content),
        })
    }

    /// By what a summary keeps of a record.
    fn kept(entry: &Entry<'a>) -> Option<Self> {
        let key = || Some(u128::from_le_bytes(*entry.rest.first_chunk()?));
        match entry.head.kind {
            Kind::Head => Some(Self::Begins(key()?)),
            Kind::Refresh => Some(Self::Renewed(key()?)),
            other @ (Kind::Data | Kind::Commit | Kind::Remove | Kind::Note | Kind::Purge) => {
                Self::of(other, entry.rest)
            }
        }
    }
}

fn content(octets: &[u8], at: Extent) -> Option<&[u8]> {
    let from = usize::try_from(at.offset).ok()?;
    let length = usize::try_from(at.length).ok()?;
    octets.get(from..from.checked_add(length)?)
}
