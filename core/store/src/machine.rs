//! The store: takes objects piece by piece, says where each piece goes, and knows what is whole.
//!
//! ```text
//!   begin ──► Open ──append──► Open ──commit──► Closing ──publish──► in the index
//!               └───────────── abort, or its front is reclaimed ──► forgotten
//! ```
//! Plans of one store are carried out one after the other, in the order in which they were made.

use std::collections::BTreeMap;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::index::{Index, Object, ObjectId};
use crate::plan::{Action, Extent, Place, Plan, SegmentId};
use crate::reclaim::{Limits, room_for};
use crate::record::{
    self, CHUNK_MAX, Commit, HEAD_MAX, Kind, RECORD_HEAD, REPLACED_MAX, RecordHead,
};
use crate::summary::Draft;
use crate::{key_hash, segment};

#[expect(clippy::cast_possible_truncation, reason = "32")]
const RECORD_OCTETS: u32 = RECORD_HEAD as u32;

/// Why the store does not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Larger than the limits allow.
    #[error("too large for this store")]
    TooLarge,
    /// No such open object: aborted, reclaimed or never begun.
    #[error("the object is not open")]
    NotOpen,
}

/// An object that is being written.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) object: Object,
    pub(crate) digest: crc32fast::Hasher,
    /// Set by a commit whose writes are not yet reported done.
    replaces: Option<Vec<ObjectId>>,
}

impl Open {
    pub(crate) fn new(key: u128, head: Extent) -> Self {
        let object = Object { key, first: head.segment, head, chunks: SmallVec::new(), octets: 0 };
        Self { object, digest: crc32fast::Hasher::new(), replaces: None }
    }

    pub(crate) fn add(&mut self, chunk: Extent) {
        self.object.octets += u64::from(chunk.length);
        self.digest.update(&chunk.crc.to_le_bytes());
        self.object.chunks.push(chunk);
    }

    pub(crate) fn commit(&self, replaces: &[ObjectId]) -> Commit {
        Commit {
            chunks: u32::try_from(self.object.chunks.len()).unwrap_or(u32::MAX),
            octets: self.object.octets,
            digest: self.digest.clone().finalize(),
            replaces: replaces.to_vec(),
        }
    }
}

/// The book-keeping of one folder of segments.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) limits: Limits,
    pub(crate) store: u64,
    pub(crate) index: Index,
    pub(crate) open: BTreeMap<ObjectId, Open>,
    pub(crate) lengths: BTreeMap<SegmentId, u32>,
    /// Octets of the summaries beside them.
    pub(crate) summaries: BTreeMap<SegmentId, u32>,
    pub(crate) active: Option<SegmentId>,
    /// Of the active segment.
    draft: Draft,
    pub(crate) next_segment: SegmentId,
    pub(crate) next_object: ObjectId,
    pub(crate) reclaimed: u64,
}

impl Store {
    /// An empty store; `store` is a random number that marks its segments.
    #[must_use]
    pub fn new(limits: Limits, store: u64) -> Self {
        Self {
            limits,
            store,
            index: Index::default(),
            open: BTreeMap::new(),
            lengths: BTreeMap::new(),
            summaries: BTreeMap::new(),
            active: None,
            draft: Draft::default(),
            next_segment: SegmentId(1),
            next_object: ObjectId(1),
            reclaimed: 0,
        }
    }

    /// Begins an object whose content has `expected` octets, if that is known.
    ///
    /// # Errors
    /// [`Refused::TooLarge`] when the head or the content is.
    pub fn begin(
        &mut self,
        key: &[u8],
        meta: &[u8],
        expected: Option<u64>,
    ) -> Result<(ObjectId, Plan), Refused> {
        let content = record::encode_head(key, meta).ok_or(Refused::TooLarge)?;
        if expected.is_some_and(|octets| octets > self.limits.object_max()) {
            return Err(Refused::TooLarge);
        }
        let id = self.next_object;
        self.next_object = ObjectId(id.0 + 1);
        let mut plan = Plan::default();
        let head = self.write(&mut plan, Kind::Head, id, content);
        self.open.insert(id, Open::new(key_hash(key), head));
        Ok((id, plan))
    }

    /// Adds the next piece, at most [`CHUNK_MAX`] octets.
    ///
    /// # Errors
    /// Says why not; the object is forgotten then.
    pub fn append(&mut self, id: ObjectId, chunk: &Bytes) -> Result<Plan, Refused> {
        let open = self.open.get(&id).ok_or(Refused::NotOpen)?;
        let octets = open.object.octets + chunk.len() as u64;
        if chunk.len() > CHUNK_MAX || octets > self.limits.object_max() {
            self.open.remove(&id);
            return Err(Refused::TooLarge);
        }
        let mut plan = Plan::default();
        if chunk.is_empty() {
            return Ok(plan);
        }
        let extent = self.write(&mut plan, Kind::Data, id, chunk.clone());
        // Making room may have taken the front of this very object; the commit will tell.
        if let Some(open) = self.open.get_mut(&id) {
            open.add(extent);
        }
        Ok(plan)
    }

    /// Where the pieces of an open object lie, in order.
    #[must_use]
    pub fn pieces(&self, id: ObjectId) -> &[Extent] {
        self.open.get(&id).map_or(&[], |open| open.object.chunks.as_slice())
    }

    /// The object is whole. Once the plan is carried out, [`Store::publish`] it; the objects in
    /// `replaces` are gone at that moment.
    ///
    /// # Errors
    /// Says why not; the object is forgotten then.
    pub fn commit(&mut self, id: ObjectId, replaces: &[ObjectId]) -> Result<Plan, Refused> {
        let replaces = replaces.get(..replaces.len().min(REPLACED_MAX)).unwrap_or(&[]);
        let open = self.open.get_mut(&id).ok_or(Refused::NotOpen)?;
        let content = open.commit(replaces).encode();
        open.replaces = Some(replaces.to_vec());
        let mut plan = Plan::default();
        self.write(&mut plan, Kind::Commit, id, content);
        if !self.open.contains_key(&id) {
            // Making room took the object's front; what it replaces is gone all the same.
            for other in replaces {
                self.index.remove(*other);
            }
        }
        Ok(plan)
    }

    /// The commit's plan is carried out: from now on the object is found. Says whether it is
    /// (its front may have been reclaimed meanwhile).
    pub fn publish(&mut self, id: ObjectId) -> bool {
        let Some(open) = self.open.remove(&id) else { return false };
        let Some(replaces) = open.replaces else { return false };
        for other in replaces {
            self.index.remove(other);
        }
        self.index.insert(id, open.object);
        true
    }

    /// Forgets an object that was begun and will not become whole.
    pub fn abort(&mut self, id: ObjectId) {
        self.open.remove(&id);
    }

    /// Gives a whole object other metadata; its key stays. In force at once.
    ///
    /// # Errors
    /// [`Refused::NotOpen`] when there is no such whole object, or when making room took it.
    pub fn refresh(&mut self, id: ObjectId, key: &[u8], meta: &[u8]) -> Result<Plan, Refused> {
        let object = self.index.get(id).ok_or(Refused::NotOpen)?;
        if object.key != key_hash(key) {
            return Err(Refused::NotOpen);
        }
        let content = record::encode_head(key, meta).ok_or(Refused::TooLarge)?;
        let mut plan = Plan::default();
        let head = self.write(&mut plan, Kind::Refresh, id, content);
        self.index.refresh(id, head);
        Ok(plan)
    }

    /// Forgets whole objects at once and for good: after the plan not even a crash brings them
    /// back.
    pub fn remove(&mut self, ids: &[ObjectId]) -> Plan {
        let mut plan = Plan::default();
        for id in ids {
            if self.index.remove(*id).is_some() {
                self.write(&mut plan, Kind::Remove, *id, Bytes::new());
            }
        }
        self.sync(&mut plan);
        plan
    }

    /// Writes a purge down, durably, in the owner's words. It speaks of everything whose head lies
    /// before the place that is returned, and it stays until all of that is reclaimed.
    ///
    /// # Errors
    /// [`Refused::TooLarge`] above [`HEAD_MAX`] octets.
    pub fn purge(&mut self, words: Bytes) -> Result<(Place, Plan), Refused> {
        if words.len() > HEAD_MAX {
            return Err(Refused::TooLarge);
        }
        let mut plan = Plan::default();
        let at = self.write(&mut plan, Kind::Purge, ObjectId(0), words).place();
        self.sync(&mut plan);
        Ok((at, plan))
    }

    /// The newest segment.
    #[must_use]
    pub fn newest(&self) -> Option<SegmentId> {
        self.lengths.keys().next_back().copied()
    }

    /// Forgets a whole object of which the owner knows, now and after any restart, that it is gone.
    pub fn forget(&mut self, id: ObjectId) {
        self.index.remove(id);
    }

    /// The oldest segment: every purge before it has nothing left to hit.
    #[must_use]
    pub fn oldest(&self) -> Option<SegmentId> {
        self.lengths.keys().next().copied()
    }

    /// A step of the last plan failed: the segment it went to takes nothing more. A segment that
    /// could not even be made is taken back, so that numbers have no gap.
    pub fn failed(&mut self, action: &Action) {
        self.abandon();
        if let Action::Create(id) = action {
            self.lengths.remove(id);
            if self.next_segment.0 == id.0 + 1 {
                self.next_segment = *id;
            }
        }
    }

    /// Gives up the oldest segment, for a disk that is full before its share is used up.
    pub fn make_room(&mut self) -> Plan {
        let mut plan = Plan::default();
        if let Some(oldest) = self.lengths.keys().next().copied() {
            if self.active == Some(oldest) {
                self.abandon();
            }
            self.reclaim(&mut plan, &[oldest]);
        }
        plan
    }

    /// Gives up every segment up to `newest`: for objects whose removal could not be written down,
    /// so that a restart does not bring them back.
    pub fn give_up_through(&mut self, newest: SegmentId) -> Plan {
        let mut plan = Plan::default();
        let gone: Vec<SegmentId> = self.lengths.range(..=newest).map(|(id, _)| *id).collect();
        if self.active.is_some_and(|active| active <= newest) {
            self.abandon();
        }
        self.reclaim(&mut plan, &gone);
        plan
    }

    /// Objects under a key's hash, oldest first.
    #[must_use]
    pub fn find(&self, key: u128) -> &[ObjectId] {
        self.index.find(key)
    }

    /// A whole object.
    #[must_use]
    pub fn get(&self, id: ObjectId) -> Option<&Object> {
        self.index.get(id)
    }

    /// Every whole object, oldest first.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectId, &Object)> {
        self.index.iter()
    }

    /// Number of whole objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no whole object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// Octets of whole objects.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.index.octets()
    }

    /// Octets of all segments on the disk, and of their summaries.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.lengths.values().chain(self.summaries.values()).map(|octets| u64::from(*octets)).sum()
    }

    pub(crate) fn sizes(&self) -> BTreeMap<SegmentId, u64> {
        let lengths = self.lengths.iter();
        lengths
            .map(|(id, length)| {
                let summary = self.summaries.get(id).copied().unwrap_or(0);
                (*id, u64::from(*length) + u64::from(summary))
            })
            .collect()
    }

    /// Whole objects lost to reclaim since the store was opened.
    #[must_use]
    pub fn reclaimed(&self) -> u64 {
        self.reclaimed
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Ends the active segment, for a store that will be opened again soon.
    pub fn close(&mut self) -> Plan {
        let mut plan = Plan::default();
        self.seal(&mut plan);
        plan
    }

    /// The active segment takes nothing more, and there will be no summary of it.
    fn abandon(&mut self) {
        self.active = None;
        self.draft = Draft::default();
    }

    /// The active segment takes nothing more.
    fn seal(&mut self, plan: &mut Plan) {
        let draft = std::mem::take(&mut self.draft);
        let Some(active) = self.active.take() else { return };
        plan.push(Action::Sync(active));
        if let Some(length) = self.lengths.get(&active) {
            let summary = draft.finish(active, *length, self.store);
            self.summaries.insert(active, u32::try_from(summary.len()).unwrap_or(u32::MAX));
            plan.push(Action::Summarize(active, summary));
        }
    }

    fn sync(&self, plan: &mut Plan) {
        if let Some(active) = self.active
            && !plan.0.is_empty()
        {
            plan.push(Action::Sync(active));
        }
    }

    /// Plans one record and says where its content will lie.
    fn write(&mut self, plan: &mut Plan, kind: Kind, object: ObjectId, content: Bytes) -> Extent {
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let whole = length.saturating_add(RECORD_OCTETS);
        let summary = self.draft.octets_with(kind, length);
        let (segment, offset) = self.place(plan, whole, summary);
        let crc = crc32fast::hash(&content);
        let head = RecordHead { kind, object, length, crc };
        let at = offset.saturating_add(RECORD_OCTETS);
        self.draft.add(head, at, &content);
        let mut parts = vec![record::encode(segment, head)];
        if !content.is_empty() {
            parts.push(content);
        }
        plan.push(Action::Write { segment, offset, parts });
        self.lengths.insert(segment, offset.saturating_add(whole));
        Extent { segment, offset: at, length, crc }
    }

    /// Where the next `whole` octets go: the active segment, or a new one. With its `summary` a
    /// segment is no larger than the limit.
    fn place(&mut self, plan: &mut Plan, whole: u32, summary: u32) -> (SegmentId, u32) {
        if let Some(active) = self.active
            && let Some(length) = self.lengths.get(&active).copied()
        {
            let octets = length.saturating_add(whole).saturating_add(summary);
            if octets <= self.limits.segment() {
                return (active, length);
            }
        }
        self.seal(plan);
        let gone = room_for(self.limits.segment(), &self.limits, &self.sizes());
        self.reclaim(plan, &gone);
        let segment = self.next_segment;
        self.next_segment = SegmentId(segment.0 + 1);
        self.active = Some(segment);
        plan.push(Action::Create(segment));
        let head = segment::encode(segment, self.store);
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
        plan.push(Action::Write { segment, offset: 0, parts: vec![head] });
        self.lengths.insert(segment, length);
        (segment, length)
    }

    /// Drops `gone`, the oldest segments, and everything with a piece in them.
    pub(crate) fn reclaim(&mut self, plan: &mut Plan, gone: &[SegmentId]) {
        let Some(newest) = gone.last() else { return };
        self.reclaimed += self.index.forget_through(*newest);
        // An object's front is its oldest piece.
        self.open.retain(|_, open| open.object.first > *newest);
        for segment in gone {
            self.lengths.remove(segment);
            self.summaries.remove(segment);
            plan.push(Action::Delete(*segment));
        }
    }
}
