//! What the log server has done since it started, for its status.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since start.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    /// Stored.
    pub(crate) stored: AtomicU64,
    /// Had arrived before.
    pub(crate) duplicate: AtomicU64,
    /// Their number stood for another batch.
    pub(crate) taken: AtomicU64,
    /// Could not be read.
    pub(crate) corrupt: AtomicU64,
    /// Too long, or broken off.
    pub(crate) unread: AtomicU64,
    /// Not from this sender, or not for this server.
    pub(crate) refused: AtomicU64,
    /// Could not be written: the sender tries again.
    pub(crate) unwritten: AtomicU64,
    /// Detail records that are in raw files alone because the index was full.
    pub(crate) unindexed: AtomicU64,
}

impl Tallies {
    /// What was dropped, by reason; zeros are left out.
    pub(crate) fn dropped(&self) -> Vec<(Arc<str>, u64)> {
        [
            ("corrupt", &self.corrupt),
            ("duplicate", &self.duplicate),
            ("number taken", &self.taken),
            ("refused", &self.refused),
            ("unread", &self.unread),
            ("unwritten", &self.unwritten),
            ("records unindexed", &self.unindexed),
        ]
        .into_iter()
        .map(|(reason, count)| (Arc::from(reason), count.load(Ordering::Relaxed)))
        .filter(|(_, count)| *count > 0)
        .collect()
    }
}

/// Counts one.
pub(crate) fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
