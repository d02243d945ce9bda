//! The thread that writes inputs down: a segment at a time, each with the whole board in front, so
//! that a moment is reached soon, and the oldest go when there is too much.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use popnet_config::network::Inputs;
use popnet_runtime::files::create_private_dir;
use popnet_steering::{Input, Start};
use popnet_terms::Timestamp;

use super::file::{FRAME_MAX, Kind, Segment, beginning, frame};
use super::{Note, Whole};

/// What came is written at least this often.
const SLOT: Duration = Duration::from_secs(1);

/// Inputs in one frame, in octets before they are compressed.
const FRAME_FULL: usize = 64 << 10;

/// A segment is no shorter: whole boards are large.
const SEGMENT_MIN: Duration = Duration::from_mins(5);

/// And holds this many parts of what its board takes in inputs, so that boards are not most of
/// what is written.
const SHARE: u64 = 4;

/// How long the writer rests after the disk has failed it.
const REST: Duration = Duration::from_mins(1);

/// Where the configuration does not say.
const KEEP: Duration = Duration::from_hours(7 * 24);
const SIZE: u64 = 1 << 30;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// For how long.
    pub(crate) keep: Duration,
    /// In octets; 0: nothing.
    pub(crate) size: u64,
}

/// Until the configuration has been read.
const UNKNOWN: Limits = Limits { keep: Duration::ZERO, size: 0 };

impl Limits {
    /// As the configuration says.
    pub(crate) fn of(inputs: &Inputs) -> Self {
        let keep = inputs.keep.map_or(KEEP, |keep| keep.duration());
        Self { keep, size: inputs.size.map_or(SIZE, |size| size.0) }
    }
}

pub(super) struct Writer {
    folder: PathBuf,
    wants: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
    limits: Limits,
    open: Option<Open>,
    failed: Option<Instant>,
}

/// The segment that is written to.
struct Open {
    file: File,
    begun: Instant,
    /// Octets of its start, and of all of it.
    start: u64,
    length: u64,
    /// Inputs that are not written yet.
    pending: Vec<u8>,
    count: u32,
    /// How many inputs were lost before it began: with one more it has no ground.
    lost: u64,
    /// Whether the next segment has been asked for.
    is_over: bool,
}

impl Writer {
    pub(super) fn new(folder: PathBuf, wants: Arc<AtomicBool>, lost: Arc<AtomicU64>) -> Self {
        Self { folder, wants, lost, limits: UNKNOWN, open: None, failed: None }
    }

    /// Writes until nobody is left who could say anything.
    pub(super) fn run(mut self, notes: &Receiver<Note>) {
        let mut due = Instant::now() + SLOT;
        loop {
            match notes.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Note::Input(input)) => self.input(&input),
                Ok(Note::Start(whole)) => self.start(&whole),
                Ok(Note::Limits(limits)) => self.limit(limits),
                Ok(Note::Flush(done)) => {
                    self.flush();
                    let _ = done.try_send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.flush(),
            }
            if Instant::now() >= due {
                self.flush();
                self.want();
                due = Instant::now() + SLOT;
            }
        }
    }

    fn limit(&mut self, limits: Limits) {
        let before = std::mem::replace(&mut self.limits, limits);
        // At the start the whole board comes anyway.
        if before != limits && before != UNKNOWN {
            self.begin_anew();
        }
    }

    fn input(&mut self, input: &Input) {
        let lost = self.lost.load(Ordering::Relaxed);
        if self.open.take_if(|open| open.lost != lost).is_some() {
            tracing::warn!(lost, "inputs came faster than they are written; begun anew");
        }
        let Some(open) = &mut self.open else { return };
        let Ok(octets) = postcard::to_allocvec(input) else { return };
        // A configuration may be longer than a frame: the next segment begins with it.
        if octets.len() > FRAME_MAX - 16 {
            return self.begin_anew();
        }
        if open.pending.len() + octets.len() > FRAME_FULL {
            self.flush();
        }
        if let Some(open) = &mut self.open {
            open.pending.extend_from_slice(&octets);
            open.count += 1;
        }
    }

    fn flush(&mut self) {
        let Some(open) = &mut self.open else { return };
        if open.count == 0 {
            return;
        }
        // As a list is written: how many, then one after the other.
        let mut content = postcard::to_allocvec(&open.count).unwrap_or_default();
        content.append(&mut open.pending);
        open.count = 0;
        let written = frame(Kind::Inputs, &content).and_then(|octets| {
            open.file.write_all(&octets)?;
            open.length += u64::try_from(octets.len()).unwrap_or(0);
            Ok(())
        });
        if let Err(error) = written {
            self.fail(&error);
        }
    }

    /// Asks for the whole board when it is time for the next segment.
    fn want(&mut self) {
        let is_due = match (&mut self.open, self.failed) {
            (Some(open), _) => {
                let inputs = open.length.saturating_sub(open.start);
                let is_long = open.begun.elapsed() >= SEGMENT_MIN && inputs >= open.start / SHARE;
                let is_over = is_long || inputs > self.limits.size / 2;
                is_over && !std::mem::replace(&mut open.is_over, is_over)
            }
            (None, Some(failed)) => failed.elapsed() >= REST,
            (None, None) => false,
        };
        if is_due {
            self.begin_anew();
        }
    }

    fn begin_anew(&self) {
        self.wants.store(true, Ordering::Relaxed);
    }

    fn start(&mut self, whole: &Whole) {
        self.flush();
        self.open = None;
        if self.limits.size == 0 {
            self.failed = None;
            return Segment::all(&self.folder).iter().for_each(remove);
        }
        match self.open(whole) {
            Ok(open) => {
                let is_too_long = open.length > self.limits.size;
                (self.open, self.failed) = (Some(open), None);
                if is_too_long {
                    let (path, size) = (self.folder.display(), self.limits.size);
                    tracing::warn!(%path, size, "the whole board is longer than logs.inputs.size");
                    self.open = None;
                    Segment::all(&self.folder).iter().rev().take(1).for_each(remove);
                }
                let rows = whole.bound.all(whole.at).collect::<Vec<_>>();
                for rows in rows.chunks(256) {
                    self.input(&Input::Bound { at: whole.at, rows: rows.to_vec() });
                }
                self.prune(whole.at);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn open(&self, whole: &Whole) -> io::Result<Open> {
        create_private_dir(&self.folder)?;
        let start = Start {
            at: whole.at,
            epoch: whole.epoch,
            text: Arc::clone(&whole.text),
            board: whole.board.to_octets(),
        };
        let octets = beginning(&start)?;
        let path = Segment::path(&self.folder, whole.at);
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
        file.write_all(&octets)?;
        let length = u64::try_from(octets.len()).unwrap_or(u64::MAX);
        let (begun, pending) = (Instant::now(), Vec::new());
        let (lost, count, start) = (whole.lost, 0, length);
        Ok(Open { file, begun, start, length, pending, count, lost, is_over: false })
    }

    /// Drops segments that ended too long ago, and the oldest while there is too much; never the
    /// newest.
    fn prune(&self, now: Timestamp) {
        let all = Segment::all(&self.folder);
        let mut sum: u64 = all.iter().map(|segment| segment.length).sum();
        let ends = all.iter().skip(1).map(|segment| segment.at);
        for (segment, end) in all.iter().zip(ends) {
            if now.since(end) <= self.limits.keep && sum <= self.limits.size {
                break;
            }
            sum = sum.saturating_sub(segment.length);
            remove(segment);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let path = self.folder.display();
        tracing::error!(%path, %error, "measurements are not kept for the past");
        (self.open, self.failed) = (None, Some(Instant::now()));
    }
}

fn remove(segment: &Segment) {
    if let Err(error) = std::fs::remove_file(&segment.path) {
        tracing::warn!(path = %segment.path.display(), %error, "not removed");
    }
}
