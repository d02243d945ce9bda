//! What a tier keeps stored responses on: memory in a WebCache, disk in a WebServer.
//!
//! A shelf only keeps: it decides neither what is stored nor what is served. It may refuse or drop
//! anything at any time (no room), but what it hands out is whole or an error.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use popnet_cache::key::Key;
use popnet_cache::purge::Aim;
use popnet_cache::stored::Stored;
use popnet_terms::CodingReason;
use popnet_wire::delivery::Coding;
use popnet_wire::purging::PurgeKind;

/// Names one stored response on its shelf while it lies there; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u64);

/// One stored response as [`Shelf::find`] shows it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub id: EntryId,
    /// Its head.
    pub stored: Arc<Stored>,
}

/// Why a shelf did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// It does not fit: too large, or everything else is in use just now.
    #[error("no room on the shelf")]
    Full,
    /// It is no longer there.
    #[error("no longer on the shelf")]
    Gone,
    /// The machine failed.
    #[error("shelf: {0}")]
    Broken(#[from] std::io::Error),
}

/// How full a shelf is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Stored responses.
    pub objects: u64,
    /// Octets used, book-keeping included.
    pub used: u64,
    /// Octets allowed.
    pub capacity: u64,
}

/// What a shelf has of a stored response in a coding.
#[derive(Clone, Debug)]
pub enum Coded<R> {
    /// All of it: so many octets.
    Ready(R, u64),
    /// Nothing, and why: `NotYet` where it may be made.
    Not(CodingReason),
}

/// Keeps stored responses.
pub trait Shelf: Send + Sync + 'static {
    /// Reads content.
    type Reader: Reader;
    /// Takes content in.
    type Writer: Writer<Reader = Self::Reader>;

    /// Every finished response under `key`, newest first, and notes the interest in them. Never
    /// one that [`Self::purge`] or [`Self::remove`] took away before the call.
    fn find(&self, key: &Key) -> impl Future<Output = Vec<Entry>> + Send;

    /// The content of `id`; it stays readable to the reader's end even if the entry is removed.
    fn open(&self, id: EntryId) -> impl Future<Output = Result<Self::Reader, ShelfError>> + Send;

    /// Makes place for a response. With `stored.length` it may refuse at once. Nothing can be
    /// found before [`Writer::finish`].
    fn begin(
        &self,
        stored: Stored,
    ) -> impl Future<Output = Result<Self::Writer, ShelfError>> + Send;

    /// Gives `id` another head over the same content (RFC 9111 4.3.4).
    fn freshen(
        &self,
        id: EntryId,
        stored: Stored,
    ) -> impl Future<Output = Result<Entry, ShelfError>> + Send;

    /// Forgets `id`.
    fn remove(&self, id: EntryId) -> impl Future<Output = ()> + Send;

    /// Forgets (hard) or marks `purged` (soft) every entry that `aim` hits; durable, where the
    /// shelf is, when the future ends. Says how many, as far as they were counted: a shelf may mark
    /// what is hit by a site, a prefix or a tag without looking at it.
    fn purge(&self, aim: &Aim, kind: PurgeKind) -> impl Future<Output = u64> + Send;

    /// Whether what lay under `key` was lately removed to make room. A guess is enough.
    fn evicted(&self, key: &Key) -> bool {
        let _ = key;
        false
    }

    /// Whether codings of content are made and kept beside it.
    fn codes(&self) -> bool {
        false
    }

    /// The content of `id` in `coding`; never waits.
    fn coded(&self, id: EntryId, coding: Coding) -> Coded<Self::Reader> {
        let _ = (id, coding);
        Coded::Not(CodingReason::RuleOff)
    }

    /// Has the content of `id` made in `coding`, aside, if there is room among what waits.
    fn code(&self, id: EntryId, coding: Coding) {
        let _ = (id, coding);
    }

    /// How full it is.
    fn usage(&self) -> Usage;
}

/// Takes the content of one response in. Dropped without [`Self::finish`]: nothing is kept.
pub trait Writer: Send + 'static {
    /// Reads what is already in.
    type Reader: Reader;

    /// Adds octets at the end. When the future has ended they can be read through
    /// [`Self::reader`]. After an error nothing more may be added, but what was added before stays
    /// readable.
    fn append(&mut self, chunk: Bytes) -> impl Future<Output = Result<(), ShelfError>> + Send;

    /// Reads the octets added so far, and later ones after they were added. What was added stays
    /// readable to it when the writer is dropped or finished.
    fn reader(&self) -> Self::Reader;

    /// The content is whole: from now on it can be found. Replaces entries of the same key and
    /// variant. `length` is the number of octets added.
    fn finish(self, length: u64) -> impl Future<Output = Result<Entry, ShelfError>> + Send;
}

/// Reads the content of one response at any place.
pub trait Reader: Clone + Send + Sync + 'static {
    /// Some octets from `at` on: at least one and at most `most`, or none at the end of what is
    /// there so far.
    fn read(&self, at: u64, most: usize) -> impl Future<Output = Result<Bytes, ShelfError>> + Send;
}
