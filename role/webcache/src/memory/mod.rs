//! The memory shelf (C1): stored responses in blocks of memory, bounded by octets.
//!
//! The bound covers content, heads, and an estimate of what the book-keeping of each costs; it
//! holds at any moment, responses that are arriving or still being read included. What is read just
//! now is not evicted, because that would free nothing.

mod account;
mod beside;
mod coder;
mod codings;
mod content;
mod hand;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use popnet_cache::eviction::Queues;
use popnet_cache::key::Key;
use popnet_cache::purge::Aim;
use popnet_cache::stored::Stored;
use popnet_tier::shelf::{Coded, Entry, EntryId, Shelf, ShelfError, Usage, Writer};
use popnet_wire::delivery::Coding;
use popnet_wire::purging::PurgeKind;
use xxhash_rust::xxh3::xxh3_64;

use account::{Account, Charge};
use beside::{Codings, Head};
use coder::Coder;
pub use content::MemoryReader;
use content::{BLOCK_OVERHEAD, Blocks, CONTENT_OVERHEAD, Content, PIECE_OVERHEAD};
pub(crate) use hand::{AtHand, Wanted};

/// Locks that requests spread over.
const SHARDS: u64 = 16;

/// What an entry costs besides its head and content: slots in the index and the queues.
const ENTRY_OVERHEAD: u64 = 512;

/// Stored responses in memory.
#[derive(Clone, Debug)]
pub struct Memory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    account: Arc<Account>,
    shards: Box<[Mutex<Shard>]>,
    /// Numbers for entries, and where the next search for something to evict begins.
    next: AtomicU64,
    turn: AtomicU64,
    coder: Coder,
}

#[derive(Debug, Default)]
struct Shard {
    keys: HashMap<Key, Vec<u64>>,
    entries: HashMap<u64, Resident>,
    queues: Queues,
}

#[derive(Debug)]
struct Resident {
    stored: Arc<Stored>,
    content: Arc<Content>,
    /// For what is stored of the head; held while the entry lives.
    _charge: Charge,
    /// The head that was written of it as it came.
    head: Option<Head>,
    /// Once somebody has asked for one.
    codings: Option<Box<Codings>>,
}

impl Resident {
    fn is_read(&self) -> bool {
        Arc::strong_count(&self.content) > 1
            || self.codings.as_ref().is_some_and(|codings| codings.is_read())
    }

    /// Forgets the heads, which speak of what it was before.
    fn behead(&mut self) {
        self.head = None;
        if let Some(codings) = &mut self.codings {
            codings.behead();
        }
    }
}

impl Memory {
    /// An empty shelf of `capacity` octets.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let shards = std::iter::repeat_with(Mutex::default);
        let shards = shards.take(usize::try_from(SHARDS).unwrap_or(1)).collect();
        Self {
            inner: Arc::new(Inner {
                account: Account::new(capacity),
                shards,
                next: AtomicU64::new(0),
                turn: AtomicU64::new(0),
                coder: Coder::default(),
            }),
        }
    }
}

impl Inner {
    fn hash(key: &Key) -> u64 {
        xxh3_64(key.as_str().as_bytes())
    }

    fn shard(&self, number: u64) -> MutexGuard<'_, Shard> {
        let place = usize::try_from(number % SHARDS).unwrap_or(0);
        let shard =
            self.shards.get(place).expect("there are as many shards as numbers modulo them");
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges `octets`, evicting until they fit; `None` when everything left is in use.
    fn charge(&self, octets: u64) -> Option<Charge> {
        if octets > self.account.capacity() {
            return None;
        }
        let mut barren = 0;
        loop {
            if let Some(charge) = self.account.charge(octets) {
                return Some(charge);
            }
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            if self.shard(turn).evict() {
                barren = 0;
            } else {
                barren += 1;
                if barren > SHARDS {
                    return None;
                }
            }
        }
    }
}

impl Shard {
    /// Frees one entry that nobody reads.
    fn evict(&mut self) -> bool {
        let entries = &self.entries;
        let free = |name: u64| entries.get(&name).is_none_or(|resident| !resident.is_read());
        match self.queues.evict(free) {
            Some(name) => {
                self.forget(name);
                true
            }
            None => false,
        }
    }

    fn forget(&mut self, name: u64) -> bool {
        self.queues.remove(name);
        let Some(resident) = self.entries.remove(&name) else { return false };
        if let Some(names) = self.keys.get_mut(&resident.stored.key) {
            names.retain(|other| *other != name);
            if names.is_empty() {
                self.keys.remove(&resident.stored.key);
            }
        }
        true
    }

    fn purge(&mut self, aim: &Aim, kind: PurgeKind) -> u64 {
        let hit = |resident: &Resident| aim.hits(&resident.stored);
        let names: Vec<u64> = match aim.keys() {
            Some(keys) => {
                let named = keys.iter().filter_map(|key| self.keys.get(key)).flatten().copied();
                named.filter(|name| self.entries.get(name).is_some_and(hit)).collect()
            }
            None => {
                let all = self.entries.iter();
                all.filter(|(_, resident)| hit(resident)).map(|(name, _)| *name).collect()
            }
        };
        let touched = names.len() as u64;
        for name in names {
            match kind {
                PurgeKind::Hard => {
                    self.forget(name);
                }
                PurgeKind::Soft => {
                    if let Some(resident) = self.entries.get_mut(&name) {
                        Arc::make_mut(&mut resident.stored).purged = true;
                        resident.behead();
                    }
                }
            }
        }
        touched
    }
}

impl Shelf for Memory {
    type Reader = MemoryReader;
    type Writer = MemoryWriter;

    async fn find(&self, key: &Key) -> Vec<Entry> {
        let mut shard = self.inner.shard(Inner::hash(key));
        let Shard { keys, entries, queues } = &mut *shard;
        let Some(names) = keys.get(key) else { return Vec::new() };
        let newest_first = names.iter().rev();
        newest_first
            .filter_map(|name| {
                queues.touch(*name);
                let stored = Arc::clone(&entries.get(name)?.stored);
                Some(Entry { id: EntryId(*name), stored })
            })
            .collect()
    }

    async fn open(&self, id: EntryId) -> Result<MemoryReader, ShelfError> {
        let shard = self.inner.shard(id.0);
        let resident = shard.entries.get(&id.0).ok_or(ShelfError::Gone)?;
        Ok(MemoryReader(Arc::clone(&resident.content)))
    }

    async fn begin(&self, stored: Stored) -> Result<MemoryWriter, ShelfError> {
        if stored.length.is_some_and(|length| length > self.inner.account.capacity()) {
            return Err(ShelfError::Full);
        }
        let charge = self.inner.charge(CONTENT_OVERHEAD).ok_or(ShelfError::Full)?;
        Ok(MemoryWriter {
            inner: Arc::clone(&self.inner),
            content: Content::new(charge),
            blocks: Blocks::default(),
            stored,
        })
    }

    async fn freshen(&self, id: EntryId, stored: Stored) -> Result<Entry, ShelfError> {
        let weight = stored.weight() + ENTRY_OVERHEAD;
        let charge = self.inner.charge(weight).ok_or(ShelfError::Full)?;
        let mut shard = self.inner.shard(id.0);
        let resident = shard.entries.get_mut(&id.0).ok_or(ShelfError::Gone)?;
        resident.stored = Arc::new(stored);
        resident._charge = charge;
        resident.behead();
        Ok(Entry { id, stored: Arc::clone(&resident.stored) })
    }

    async fn remove(&self, id: EntryId) {
        self.inner.shard(id.0).forget(id.0);
    }

    async fn purge(&self, aim: &Aim, kind: PurgeKind) -> u64 {
        (0..SHARDS).map(|number| self.inner.shard(number).purge(aim, kind)).sum()
    }

    fn evicted(&self, key: &Key) -> bool {
        let hash = Inner::hash(key);
        self.inner.shard(hash).queues.is_ghost(hash)
    }

    fn codes(&self) -> bool {
        true
    }

    fn coded(&self, id: EntryId, coding: Coding) -> Coded<MemoryReader> {
        self.inner.coded(id, coding)
    }

    fn code(&self, id: EntryId, coding: Coding) {
        self.inner.code(id, coding);
    }

    fn usage(&self) -> Usage {
        let objects: usize = (0..SHARDS).map(|number| self.inner.shard(number).entries.len()).sum();
        Usage {
            objects: objects as u64,
            used: self.inner.account.used(),
            capacity: self.inner.account.capacity(),
        }
    }
}

/// Takes one response in.
#[derive(Debug)]
pub struct MemoryWriter {
    inner: Arc<Inner>,
    content: Arc<Content>,
    blocks: Blocks,
    stored: Stored,
}

impl Writer for MemoryWriter {
    type Reader = MemoryReader;

    async fn append(&mut self, chunk: Bytes) -> Result<(), ShelfError> {
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            if let Some(size) = self.blocks.wants(rest.len(), self.stored.length) {
                let cost = size.saturating_add(BLOCK_OVERHEAD) as u64;
                self.content.add_charge(self.inner.charge(cost).ok_or(ShelfError::Full)?);
                self.blocks.open(size);
            }
            self.content.add_charge(self.inner.charge(PIECE_OVERHEAD).ok_or(ShelfError::Full)?);
            let taken = self.blocks.take(&self.content, rest);
            rest = rest.split_at_checked(taken).map_or(&[], |(_, rest)| rest);
        }
        Ok(())
    }

    fn reader(&self) -> MemoryReader {
        MemoryReader(Arc::clone(&self.content))
    }

    async fn finish(mut self, length: u64) -> Result<Entry, ShelfError> {
        self.stored.length = Some(length);
        let weight = self.stored.weight() + ENTRY_OVERHEAD;
        let charge = self.inner.charge(weight).ok_or(ShelfError::Full)?;
        let hash = Inner::hash(&self.stored.key);
        // The number's remainder names the shard, so that an entry is found by its name alone.
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed) * SHARDS + hash % SHARDS;
        let stored = Arc::new(self.stored);
        let octets = charge.octets() + self.content.charged();
        let mut shard = self.inner.shard(number);
        let others = shard.keys.get(&stored.key).cloned().unwrap_or_default();
        for other in others {
            let same = shard
                .entries
                .get(&other)
                .is_some_and(|resident| resident.stored.variant == stored.variant);
            if same {
                shard.forget(other);
            }
        }
        shard.keys.entry(stored.key.clone()).or_default().push(number);
        shard.queues.insert(number, hash, octets);
        let resident = Resident {
            stored: Arc::clone(&stored),
            content: self.content,
            _charge: charge,
            head: None,
            codings: None,
        };
        shard.entries.insert(number, resident);
        Ok(Entry { id: EntryId(number), stored })
    }
}
