//! The content of one stored response: blocks that only grow at the end, readable meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::{Bytes, BytesMut};
use popnet_tier::shelf::{Reader, ShelfError};
use smallvec::SmallVec;

use super::account::Charge;

/// Largest block. Content of known length below it takes one block of just its size.
pub(crate) const BLOCK: usize = 256 << 10;

/// First block of content whose length is not known.
const FIRST: usize = 16 << 10;

/// What a block costs besides its octets: the list's slots and the buffer's own book-keeping.
pub(crate) const BLOCK_OVERHEAD: usize = 256;

/// What each piece of a block costs: its slot in the list, which grows by doubling.
pub(crate) const PIECE_OVERHEAD: u64 = 80;

/// Pieces of content that is answered with at once.
const PIECES_AT_HAND: usize = 4;

/// What content costs besides its blocks.
pub(crate) const CONTENT_OVERHEAD: u64 = 256;

/// Content, shared by its writer, the index and all who read it.
#[derive(Debug)]
pub(crate) struct Content {
    blocks: RwLock<Vec<(u64, Bytes)>>,
    charge: Mutex<Charge>,
}

impl Content {
    pub(crate) fn new(charge: Charge) -> Arc<Self> {
        Arc::new(Self { blocks: RwLock::default(), charge: Mutex::new(charge) })
    }

    /// Content that is all there.
    pub(crate) fn whole(charge: Charge, octets: Bytes) -> Arc<Self> {
        let blocks = RwLock::new(vec![(0, octets)]);
        Arc::new(Self { blocks, charge: Mutex::new(charge) })
    }

    pub(crate) fn add_charge(&self, charge: Charge) {
        self.lock_charge().join(charge);
    }

    pub(crate) fn charged(&self) -> u64 {
        self.lock_charge().octets()
    }

    fn lock_charge(&self) -> MutexGuard<'_, Charge> {
        self.charge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, at: u64, piece: Bytes) {
        self.blocks.write().unwrap_or_else(PoisonError::into_inner).push((at, piece));
    }

    /// All pieces, when they are few and `most` octets at most.
    pub(crate) fn pieces(&self, most: u64) -> Option<SmallVec<[Bytes; PIECES_AT_HAND]>> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        let (start, last) = blocks.last()?;
        let fits = start + last.len() as u64 <= most && blocks.len() <= PIECES_AT_HAND;
        fits.then(|| blocks.iter().map(|(_, piece)| piece.clone()).collect())
    }

    /// All pieces.
    pub(crate) fn all(&self) -> Vec<Bytes> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        blocks.iter().map(|(_, piece)| piece.clone()).collect()
    }

    fn read(&self, at: u64, most: usize) -> Bytes {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        let found = blocks.partition_point(|(start, _)| *start <= at);
        let Some((start, block)) = found.checked_sub(1).and_then(|place| blocks.get(place)) else {
            return Bytes::new();
        };
        let skip = usize::try_from(at - start).unwrap_or(usize::MAX);
        if skip >= block.len() {
            return Bytes::new();
        }
        block.slice(skip..block.len().min(skip.saturating_add(most)))
    }
}

/// Reads content.
#[derive(Clone, Debug)]
pub struct MemoryReader(pub(crate) Arc<Content>);

impl Reader for MemoryReader {
    async fn read(&self, at: u64, most: usize) -> Result<Bytes, ShelfError> {
        Ok(self.0.read(at, most))
    }
}

/// Adds to content, block by block.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    taken: u64,
    room: BytesMut,
    /// The size of the last block.
    size: usize,
}

impl Blocks {
    /// The size of the next block, when the one being filled has no room left.
    pub(crate) fn wants(&self, piece: usize, length: Option<u64>) -> Option<usize> {
        if piece == 0 || self.room.capacity() > 0 {
            return None;
        }
        Some(match length {
            Some(length) => {
                let left = usize::try_from(length.saturating_sub(self.taken)).unwrap_or(BLOCK);
                // More than announced cannot come; if it does, the fill ends in an error.
                left.clamp(1, BLOCK)
            }
            None if self.size == 0 => FIRST,
            None => (self.size * 2).min(BLOCK),
        })
    }

    pub(crate) fn open(&mut self, size: usize) {
        self.size = size;
        self.room = BytesMut::with_capacity(size);
    }

    /// Takes as much of `piece` as the block has room for, and says how much.
    pub(crate) fn take(&mut self, content: &Content, piece: &[u8]) -> usize {
        let fits = piece.len().min(self.room.capacity());
        let (now, _) = piece.split_at(fits);
        self.room.extend_from_slice(now);
        let done = self.room.split().freeze();
        content.put(self.taken, done);
        self.taken += now.len() as u64;
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::super::account::Account;
    use super::*;

    #[test]
    fn grows_and_reads() {
        let account = Account::new(1 << 20);
        let content = Content::new(account.charge(CONTENT_OVERHEAD).unwrap());
        let mut blocks = Blocks::default();
        let whole: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        for piece in whole.chunks(7_001) {
            let mut rest = piece;
            while !rest.is_empty() {
                if let Some(size) = blocks.wants(rest.len(), None) {
                    blocks.open(size);
                }
                let taken = blocks.take(&content, rest);
                assert!(taken > 0);
                rest = &rest[taken..];
            }
        }
        let mut read = Vec::new();
        loop {
            let piece = content.read(read.len() as u64, 5_000);
            if piece.is_empty() {
                break;
            }
            read.extend_from_slice(&piece);
        }
        assert_eq!(read, whole);
        assert_eq!(content.read(99_999, 9).len(), 1);
        assert!(content.read(100_000, 9).is_empty() && content.read(u64::MAX, 9).is_empty());
    }
}
