//! What is on the shelf: the store's books, and the purges that what is found is held against.

use std::sync::atomic::{AtomicU64, Ordering};

use popnet_cache::key::Key;
use popnet_cache::purges::Purges;
use popnet_cache::stored::Stored;
use popnet_store::{Extent, ObjectId, Place, Store, key_hash, read_head};
use popnet_wire::purging::PurgeKind;

use super::meta::read_meta;

/// Books and purges; they change together, under one lock that is never held over I/O.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) purges: Purges<Place>,
}

/// An object that may be the one: its head tells, which lies on the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) id: ObjectId,
    pub(super) head: Extent,
    octets: u64,
}

/// What a candidate's head says.
#[derive(Debug)]
pub(super) enum Head {
    /// It is the one.
    Of(Box<Stored>),
    /// Another key with the same hash.
    Other,
    /// Written by a program with other heads: it is of no use.
    Strange,
}

impl Candidate {
    /// Reads `content`, the octets of its head. Takes any octets.
    pub(super) fn read(&self, content: &[u8], key: &Key) -> Head {
        let Some(head) = read_head(content) else { return Head::Strange };
        if head.key != key.as_str().as_bytes() {
            return Head::Other;
        }
        match read_meta(head.meta).filter(|stored| stored.key == *key) {
            Some(mut stored) => {
                // The head may have been written before the length was known.
                stored.length = Some(self.octets);
                Head::Of(Box::new(stored))
            }
            None => Head::Strange,
        }
    }
}

impl State {
    /// Everything that may lie under `key`, newest first.
    pub(super) fn candidates(&self, key: &Key) -> Vec<Candidate> {
        let ids = self.store.find(key_hash(key.as_str().as_bytes()));
        ids.iter().rev().filter_map(|id| self.candidate(*id)).collect()
    }

    pub(super) fn candidate(&self, id: ObjectId) -> Option<Candidate> {
        let object = self.store.get(id)?;
        Some(Candidate { id, head: object.head(), octets: object.octets() })
    }

    /// What purges left of `stored`, as it was read from `of`.
    pub(super) fn left(&mut self, of: &Candidate, mut stored: Stored) -> Option<Stored> {
        self.store.get(of.id)?;
        match self.purges.verdict(&stored, of.head.place()) {
            None => {}
            Some(PurgeKind::Soft) => stored.purged = true,
            Some(PurgeKind::Hard) => {
                self.store.forget(of.id);
                return None;
            }
        }
        Some(stored)
    }

    /// Forgets the purges that have nothing left to hit after segments have gone.
    pub(super) fn follow(&mut self) {
        if let Some(segment) = self.store.oldest() {
            self.purges.forget_before(Place { segment, offset: 0 });
        }
    }
}

/// What went wrong since start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Writes, syncs and removals that failed.
    pub(super) writes_failed: AtomicU64,
    /// Reads that failed or did not hold what was written.
    pub(super) reads_failed: AtomicU64,
    /// Responses not taken in: too large, disk too slow, or resting after errors.
    pub(super) refused: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
