//! One response on its way onto the shelf, read by everybody who waits for it.
//!
//! ```text
//!   Running ──────────────► Done        all octets in
//!      │  └──(no room)──► Overflown ──► Done | Broken
//!      └──────────────────► Broken      the content broke off
//! ```
//! While it is running, octets lie on the shelf as soon as they arrive, and readers are as fast or
//! slow as they are. After the shelf had no more room, the rest goes to those who read already
//! through a short window, at the pace of the slowest.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use popnet_cache::stored::Stored;
use popnet_http::body::Body;
use popnet_http::failure::Failure;
use tokio::sync::{Notify, watch};

use crate::content::{PIECE, failure, sized};
use crate::shelf::Reader;

/// Octets between the fastest and the slowest reader once the shelf has no more room.
const WINDOW_OCTETS: usize = 4 << 20;

/// A response that is arriving.
pub(crate) struct Fill<R> {
    /// Its head.
    pub(crate) stored: Arc<Stored>,
    reader: R,
    progress: watch::Sender<Progress>,
    window: Mutex<Window>,
    drained: Notify,
}

#[derive(Clone)]
struct Progress {
    /// Octets on the shelf.
    shelved: u64,
    /// Octets arrived.
    arrived: u64,
    end: End,
}

#[derive(Clone)]
enum End {
    Running,
    Done,
    Broken(Arc<Failure>),
}

#[derive(Default)]
struct Window {
    /// Pieces after what is on the shelf, each with its place.
    pieces: VecDeque<(u64, Bytes)>,
    octets: usize,
    open: bool,
    readers: Vec<Arc<AtomicU64>>,
}

impl<R: Reader> Fill<R> {
    pub(crate) fn new(stored: Arc<Stored>, reader: R) -> Self {
        let (progress, _) = watch::channel(Progress { shelved: 0, arrived: 0, end: End::Running });
        Self { stored, reader, progress, window: Mutex::default(), drained: Notify::new() }
    }

    /// So many more octets are on the shelf.
    pub(crate) fn grown(&self, octets: usize) {
        self.progress.send_modify(|progress| {
            progress.shelved += octets as u64;
            progress.arrived = progress.shelved;
        });
    }

    /// A piece that found no room. Waits until the slowest reader is near; `false`: nobody reads.
    pub(crate) async fn overflow(&self, piece: Bytes) -> bool {
        loop {
            let drained = self.drained.notified();
            {
                let mut window = self.window();
                window.open = true;
                window.trim();
                if window.readers.is_empty() {
                    return false;
                }
                if window.octets < WINDOW_OCTETS {
                    let at = self.progress.borrow().arrived;
                    window.octets += piece.len();
                    window.pieces.push_back((at, piece.clone()));
                    break;
                }
            }
            drained.await;
        }
        self.progress.send_modify(|progress| progress.arrived += piece.len() as u64);
        true
    }

    /// Everything has arrived.
    pub(crate) fn done(&self) {
        self.progress.send_modify(|progress| progress.end = End::Done);
    }

    /// Nothing more comes, though more should.
    pub(crate) fn broken(&self, failure: Failure) {
        self.progress.send_modify(|progress| progress.end = End::Broken(Arc::new(failure)));
    }

    /// Whether somebody new may still read it from the start.
    pub(crate) fn is_open_to_all(&self) -> bool {
        !self.window().open && !matches!(self.progress.borrow().end, End::Broken(_))
    }

    /// Octets that have arrived.
    pub(crate) fn arrived(&self) -> u64 {
        self.progress.borrow().arrived
    }

    /// The octets `range` as they arrive; an end of `u64::MAX` is wherever the content ends.
    /// `None` when it can no longer be read from the start.
    pub(crate) fn body(self: &Arc<Self>, range: Range<u64>) -> Option<Body> {
        let mark = Arc::new(AtomicU64::new(range.start));
        {
            let mut window = self.window();
            if window.open {
                return None;
            }
            window.readers.push(Arc::clone(&mark));
        }
        let length = (range.end != u64::MAX).then(|| range.end.saturating_sub(range.start));
        let follower = Follower {
            seat: Seat { fill: Arc::clone(self), mark },
            range,
            progress: self.progress.subscribe(),
        };
        Some(sized(stream::try_unfold(follower, Follower::next), length))
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// Drops what every reader has passed.
    fn trim(&mut self) {
        let slowest = self.readers.iter().map(|mark| mark.load(Ordering::Relaxed)).min();
        let Some(slowest) = slowest else { return };
        while let Some((at, piece)) = self.pieces.front()
            && at + piece.len() as u64 <= slowest
        {
            self.octets -= piece.len();
            self.pieces.pop_front();
        }
    }

    fn piece(&self, at: u64) -> Option<Bytes> {
        let found = self.pieces.partition_point(|(start, _)| *start <= at).checked_sub(1)?;
        let (start, piece) = self.pieces.get(found)?;
        let skip = usize::try_from(at - start).ok()?;
        (skip < piece.len()).then(|| piece.slice(skip..))
    }
}

/// A reader's place; leaving it lets the others go on.
struct Seat<R: Reader> {
    fill: Arc<Fill<R>>,
    mark: Arc<AtomicU64>,
}

impl<R: Reader> Drop for Seat<R> {
    fn drop(&mut self) {
        self.fill.window().readers.retain(|mark| !Arc::ptr_eq(mark, &self.mark));
        self.fill.drained.notify_waiters();
    }
}

struct Follower<R: Reader> {
    seat: Seat<R>,
    range: Range<u64>,
    progress: watch::Receiver<Progress>,
}

impl<R: Reader> Follower<R> {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Failure> {
        loop {
            let at = self.range.start;
            if at >= self.range.end {
                return Ok(None);
            }
            let progress = self.progress.borrow_and_update().clone();
            let octets = if at < progress.shelved {
                let there = progress.shelved.min(self.range.end) - at;
                let most = usize::try_from(there).unwrap_or(PIECE).min(PIECE);
                let read = self.seat.fill.reader.read(at, most).await;
                Some(read.map_err(|error| failure(&error))?)
            } else if at < progress.arrived {
                self.seat.fill.window().piece(at)
            } else {
                match progress.end {
                    End::Done => return Ok(None),
                    End::Broken(failure) => return Err((*failure).clone()),
                    End::Running => None,
                }
            };
            match octets {
                Some(octets) if !octets.is_empty() => {
                    let left = usize::try_from(self.range.end - at).unwrap_or(usize::MAX);
                    let octets = octets.slice(..octets.len().min(left));
                    self.range.start += octets.len() as u64;
                    self.seat.mark.store(self.range.start, Ordering::Relaxed);
                    if at >= progress.shelved || self.range.start >= progress.shelved {
                        self.seat.fill.drained.notify_waiters();
                    }
                    return Ok(Some((octets, self)));
                }
                Some(_) | None => {
                    if self.progress.changed().await.is_err() {
                        // The sender lives in the fill, which the seat holds.
                        return Ok(None);
                    }
                }
            }
        }
    }
}
