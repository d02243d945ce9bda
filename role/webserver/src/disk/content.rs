//! The content of one response: pieces on the disk, and while it comes in a tail in memory.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use popnet_cache::stored::Stored;
use popnet_store::{Extent, ObjectId};
use popnet_tier::shelf::{Entry, EntryId, Reader, ShelfError, Writer};
use tokio::sync::oneshot;

use super::files::{read_at_once, read_extent};
use super::log::{Begun, Job};
use super::shelf::Shared;

/// A tail of this size goes to the disk: large enough for few records, small enough to be checked
/// as a whole whenever a part of it is read.
const PIECE: usize = 256 << 10;

/// A disk that takes longer for one piece is too slow to store to; the response passes through.
const SLOW: Duration = Duration::from_secs(2);

/// Content that readers and a writer share.
#[derive(Debug)]
pub(super) struct Content {
    shared: Arc<Shared>,
    grown: Mutex<Grown>,
}

#[derive(Debug, Default)]
struct Grown {
    object: Option<ObjectId>,
    pieces: Vec<Piece>,
    /// Octets in `pieces`.
    settled: u64,
    /// What is not on the disk yet.
    tail: VecDeque<Bytes>,
    tail_octets: usize,
}

#[derive(Clone, Debug)]
struct Piece {
    start: u64,
    at: Extent,
    file: Arc<File>,
}

impl Content {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, grown: Mutex::default() }
    }

    /// The content of a whole object in these files: every one is open from now on.
    pub(super) fn of(shared: Arc<Shared>, id: ObjectId, pieces: Vec<(Extent, Arc<File>)>) -> Self {
        let content = Self::new(shared);
        {
            let mut grown = content.grown();
            grown.object = Some(id);
            for (at, file) in pieces {
                grown.settle(at, file);
            }
        }
        content
    }

    fn grown(&self) -> MutexGuard<'_, Grown> {
        self.grown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Grown {
    fn settle(&mut self, at: Extent, file: Arc<File>) {
        self.pieces.push(Piece { start: self.settled, at, file });
        self.settled += u64::from(at.length);
    }

    fn push(&mut self, chunk: Bytes) {
        self.tail_octets += chunk.len();
        self.tail.push_back(chunk);
    }

    /// The tail as one piece; it stays where it is until it is on the disk.
    fn joined(&mut self) -> Bytes {
        if self.tail.len() > 1 {
            let mut whole = BytesMut::with_capacity(self.tail_octets);
            self.tail.iter().for_each(|chunk| whole.extend_from_slice(chunk));
            self.tail = VecDeque::from([whole.freeze()]);
        }
        self.tail.front().cloned().unwrap_or_default()
    }

    fn piece_at(&self, at: u64) -> Option<Piece> {
        if at >= self.settled {
            return None;
        }
        let after = self.pieces.partition_point(|piece| piece.start <= at);
        self.pieces.get(after.checked_sub(1)?).cloned()
    }

    fn tail_at(&self, at: u64, most: usize) -> Bytes {
        let mut start = self.settled;
        for chunk in &self.tail {
            let end = start + chunk.len() as u64;
            if at < end {
                return part(chunk, at - start, most);
            }
            start = end;
        }
        Bytes::new()
    }
}

fn part(octets: &Bytes, from: u64, most: usize) -> Bytes {
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(octets.len());
    let to = from.saturating_add(most).min(octets.len());
    octets.slice(from..to)
}

/// Reads content at any place; each reader keeps the piece it read last.
#[derive(Debug)]
pub struct DiskReader {
    content: Arc<Content>,
    last: Mutex<Option<(u64, Bytes)>>,
}

impl DiskReader {
    pub(super) fn new(content: Arc<Content>) -> Self {
        Self { content, last: Mutex::default() }
    }

    fn kept(&self, start: u64) -> Option<Bytes> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(of, _)| *of == start).map(|(_, octets)| octets.clone())
    }

    async fn load(&self, piece: &Piece) -> Result<Bytes, ShelfError> {
        let (file, at) = (Arc::clone(&piece.file), piece.at);
        let shared = &self.content.shared;
        let read = match read_at_once(&file, at) {
            Some(octets) => Ok(octets),
            None => shared.pool.run(move || read_extent(&file, at)).await,
        };
        match read {
            Ok(octets) => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                *last = Some((piece.start, octets.clone()));
                Ok(octets)
            }
            Err(error) => {
                let object = self.content.grown().object;
                shared.read_failed(object, &error);
                Err(error.into())
            }
        }
    }
}

impl Clone for DiskReader {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.content))
    }
}

impl Reader for DiskReader {
    async fn read(&self, at: u64, most: usize) -> Result<Bytes, ShelfError> {
        let piece = {
            let grown = self.content.grown();
            match grown.piece_at(at) {
                Some(piece) => piece,
                None => return Ok(grown.tail_at(at, most)),
            }
        };
        let octets = match self.kept(piece.start) {
            Some(octets) => octets,
            None => self.load(&piece).await?,
        };
        Ok(part(&octets, at - piece.start, most))
    }
}

/// Takes content in.
#[derive(Debug)]
pub struct DiskWriter {
    content: Arc<Content>,
    stored: Arc<Stored>,
    begun: Begun,
    octets: u64,
    broken: bool,
    finished: bool,
}

impl DiskWriter {
    pub(super) fn new(shared: Arc<Shared>, stored: Stored) -> Self {
        let stored = Arc::new(stored);
        Self {
            content: Arc::new(Content::new(shared)),
            begun: Begun::No(Arc::clone(&stored)),
            stored,
            octets: 0,
            broken: false,
            finished: false,
        }
    }

    /// Brings the tail to the disk.
    async fn flush(&mut self) -> Result<(), ShelfError> {
        let piece = self.content.grown().joined();
        let (reply, answer) = oneshot::channel();
        let object = self.begun.clone();
        let shared = Arc::clone(&self.content.shared);
        shared.send(Job::Put { object, piece, reply })?;
        let (id, at) = in_time(answer).await?;
        self.begun = Begun::Yes(id);
        let file = shared.files.get(at.segment)?;
        let mut grown = self.content.grown();
        grown.object = Some(id);
        grown.settle(at, file);
        grown.tail.clear();
        grown.tail_octets = 0;
        Ok(())
    }

    async fn add(&mut self, chunk: Bytes) -> Result<(), ShelfError> {
        if self.broken || self.octets + chunk.len() as u64 > self.content.shared.object_max() {
            return Err(ShelfError::Full);
        }
        self.octets += chunk.len() as u64;
        let mut rest = chunk;
        // A piece never grows beyond twice its size, however large a chunk comes in.
        while !rest.is_empty() {
            let next = rest.split_to(rest.len().min(PIECE));
            let full = {
                let mut grown = self.content.grown();
                grown.push(next);
                grown.tail_octets >= PIECE
            };
            if full {
                self.flush().await?;
            }
        }
        Ok(())
    }
}

async fn in_time<T>(answer: oneshot::Receiver<Result<T, ShelfError>>) -> Result<T, ShelfError> {
    match tokio::time::timeout(SLOW, answer).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(ShelfError::Gone),
        Err(_) => Err(ShelfError::Broken(std::io::ErrorKind::TimedOut.into())),
    }
}

impl Writer for DiskWriter {
    type Reader = DiskReader;

    async fn append(&mut self, chunk: Bytes) -> Result<(), ShelfError> {
        let added = self.add(chunk).await;
        if added.is_err() && !self.broken {
            self.broken = true;
            self.content.shared.count_refused();
        }
        added
    }

    fn reader(&self) -> DiskReader {
        DiskReader::new(Arc::clone(&self.content))
    }

    async fn finish(mut self, length: u64) -> Result<Entry, ShelfError> {
        if self.broken || length != self.octets {
            return Err(ShelfError::Full);
        }
        let stored = Arc::new(Stored { length: Some(length), ..(*self.stored).clone() });
        let piece = self.content.grown().joined();
        let (reply, answer) = oneshot::channel();
        let (object, kept) = (self.begun.clone(), Arc::clone(&stored));
        self.content.shared.send(Job::Finish { object, piece, stored: kept, reply })?;
        // From here on the writing thread finishes or aborts it.
        self.finished = true;
        let id = in_time(answer).await?;
        Ok(Entry { id: EntryId(id.0), stored })
    }
}

impl Drop for DiskWriter {
    fn drop(&mut self) {
        if let (false, Begun::Yes(id)) = (self.finished, &self.begun) {
            self.content.shared.state().store.abort(*id);
        }
    }
}
