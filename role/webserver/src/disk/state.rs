//! What is on the shelf: the store's books and, in memory, the head of every stored response.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use popnet_cache::key::Key;
use popnet_cache::purge::Aim;
use popnet_cache::stored::Stored;
use popnet_store::{ObjectId, Store, key_hash};

/// Books and heads; they change together, under one lock that is never held over I/O.
#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) heads: BTreeMap<ObjectId, Arc<Stored>>,
}

impl State {
    /// Everything under `key`, newest first.
    pub(super) fn find(&self, key: &Key) -> Vec<(ObjectId, Arc<Stored>)> {
        self.store
            .find(key_hash(key.as_str().as_bytes()))
            .iter()
            .rev()
            .filter_map(|id| Some((*id, Arc::clone(self.heads.get(id)?))))
            .filter(|(_, stored)| stored.key == *key)
            .collect()
    }

    /// What `stored` takes the place of.
    pub(super) fn replaced_by(&self, stored: &Stored) -> Vec<ObjectId> {
        let mut found = self.find(&stored.key);
        found.retain(|(_, other)| other.variant == stored.variant);
        found.into_iter().map(|(id, _)| id).collect()
    }

    /// Everything that `aim` hits.
    pub(super) fn hit_by(&self, aim: &Aim) -> Vec<(ObjectId, Arc<Stored>)> {
        let mut found: Vec<_> = match aim.keys() {
            Some(keys) => keys.iter().flat_map(|key| self.find(key)).collect(),
            None => self.heads.iter().map(|(id, stored)| (*id, Arc::clone(stored))).collect(),
        };
        found.retain(|(_, stored)| aim.hits(stored));
        found
    }

    /// Forgets the heads of what the store has given up.
    pub(super) fn follow(&mut self) {
        let Self { store, heads } = self;
        heads.retain(|id, _| store.get(*id).is_some());
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
