//! A segment of what was written down: the whole board at its beginning, then what the board was
//! told. A segment is cut short by whatever ended its writer; what is whole of it counts.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use popnet_steering::{Atlas, Input, Replay, Start};
use popnet_terms::Timestamp;
use popnet_wire::control::Problem;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

/// In front of a segment: what it is, and its version.
const HEAD: &[u8; 8] = b"INPT\0\0\0\x01";

/// Octets in one frame before it is compressed; a greater length is damage.
pub(super) const FRAME_MAX: usize = 1 << 20;

/// Octets of a board that is read back: a full table of latencies, and some.
const START_MAX: usize = 2 << 30;

/// The ending of a segment's name.
pub(super) const ENDING: &str = "inputs";

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A piece of the start; more follow.
    Piece,
    /// The last piece of the start.
    Last,
    /// Inputs.
    Inputs,
}

impl Kind {
    fn octet(self) -> u8 {
        match self {
            Self::Piece => 0,
            Self::Last => 1,
            Self::Inputs => 2,
        }
    }

    fn of(octet: u8) -> Option<Self> {
        [Self::Piece, Self::Last, Self::Inputs].into_iter().find(|kind| kind.octet() == octet)
    }
}

/// Length, checksum, kind, content.
pub(super) fn frame(kind: Kind, content: &[u8]) -> io::Result<Vec<u8>> {
    let packed = zstd::bulk::compress(content, 1)?;
    let mut body = vec![kind.octet()];
    body.extend_from_slice(&packed);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut octets = length.to_be_bytes().to_vec();
    octets.extend_from_slice(&xxh3_64(&body).to_be_bytes());
    octets.extend_from_slice(&body);
    Ok(octets)
}

/// The beginning of a segment.
pub(super) fn beginning(start: &Start) -> io::Result<Vec<u8>> {
    let octets = postcard::to_allocvec(start).map_err(io::Error::other)?;
    let mut segment = HEAD.to_vec();
    let mut pieces = octets.chunks(FRAME_MAX).peekable();
    while let Some(piece) = pieces.next() {
        let kind = if pieces.peek().is_some() { Kind::Piece } else { Kind::Last };
        segment.append(&mut frame(kind, piece)?);
    }
    Ok(segment)
}

/// A whole segment, as [`parse`] reads it.
///
/// # Errors
/// What cannot be compressed.
pub fn segment(start: &Start, inputs: &[Input]) -> io::Result<Vec<u8>> {
    let mut segment = beginning(start)?;
    let content = postcard::to_allocvec(inputs).map_err(io::Error::other)?;
    segment.append(&mut frame(Kind::Inputs, &content)?);
    Ok(segment)
}

/// The frames of a segment, one after the other, as far as they are whole.
struct Frames<R> {
    from: R,
}

impl<R: Read> Frames<R> {
    /// `None`: `from` is no segment of this version.
    fn open(mut from: R) -> Option<Self> {
        let mut head = [0; HEAD.len()];
        from.read_exact(&mut head).ok()?;
        (head == *HEAD).then_some(Self { from })
    }

    fn next(&mut self) -> Option<(Kind, Vec<u8>)> {
        let mut head = [0; 12];
        self.from.read_exact(&mut head).ok()?;
        let (length, sum) = head.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let sum = u64::from_be_bytes(*sum.first_chunk()?);
        // What does not get smaller gets a little longer.
        if length > FRAME_MAX + FRAME_MAX / 64 {
            return None;
        }
        let mut body = vec![0; length];
        self.from.read_exact(&mut body).ok()?;
        if xxh3_64(&body) != sum {
            return None;
        }
        let (kind, packed) = body.split_first()?;
        Some((Kind::of(*kind)?, zstd::bulk::decompress(packed, FRAME_MAX).ok()?))
    }

    fn start(&mut self) -> Option<Start> {
        let mut whole = Vec::new();
        loop {
            let (kind, piece) = self.next()?;
            whole.extend_from_slice(&piece);
            match kind {
                Kind::Piece if whole.len() <= START_MAX => {}
                Kind::Last => return all_of(&whole),
                Kind::Piece | Kind::Inputs => return None,
            }
        }
    }

    fn inputs(&mut self) -> Option<Vec<Input>> {
        match self.next()? {
            (Kind::Inputs, octets) => all_of(&octets),
            (Kind::Piece | Kind::Last, _) => None,
        }
    }
}

fn all_of<T: DeserializeOwned>(octets: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(octets) {
        Ok((value, [])) => Some(value),
        Ok(_) | Err(_) => None,
    }
}

/// What a segment holds, as far as it is whole. Takes any octets.
#[must_use]
pub fn parse(octets: &[u8]) -> Option<(Start, Vec<Input>)> {
    let mut frames = Frames::open(octets)?;
    let start = frames.start()?;
    let mut inputs = Vec::new();
    while let Some(more) = frames.inputs() {
        inputs.extend(more);
    }
    Some((start, inputs))
}

/// A segment on disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    /// When it begins.
    pub(super) at: Timestamp,
    pub(super) path: PathBuf,
    pub(super) length: u64,
}

/// Where a moment may be found.
pub(super) enum Found {
    Segment(Segment),
    /// The first segment begins later.
    Later(Timestamp),
    Nothing,
}

impl Segment {
    pub(super) fn path(folder: &Path, at: Timestamp) -> PathBuf {
        folder.join(format!("{:020}.{ENDING}", at.0.max(0)))
    }

    /// Every segment in `folder`, the oldest first.
    pub(super) fn all(folder: &Path) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let segment = |entry: std::fs::DirEntry| {
            let path = entry.path();
            let is_ours = path.extension().is_some_and(|ending| ending == ENDING);
            let at: i64 = path.file_stem().filter(|_| is_ours)?.to_str()?.parse().ok()?;
            let length = entry.metadata().ok()?.len();
            Some(Self { at: Timestamp(at), path, length })
        };
        let mut all: Vec<Self> = entries.filter_map(Result::ok).filter_map(segment).collect();
        all.sort();
        all
    }

    pub(super) fn holding(folder: &Path, at: Timestamp) -> Found {
        let all = Self::all(folder);
        let first = all.first().map(|segment| segment.at);
        match (all.into_iter().rfind(|segment| segment.at <= at), first) {
            (Some(segment), _) => Found::Segment(segment),
            (None, Some(first)) => Found::Later(first),
            (None, None) => Found::Nothing,
        }
    }

    /// The past as it was at `at`.
    pub(super) fn replay(&self, at: Timestamp, atlas: &Atlas) -> Result<Replay, Problem> {
        let damaged = |why: &str| {
            let what = format!("{}: {why}", self.path.display());
            Problem::new("N0068", what, "ask another name server with --ns").with_exit(3)
        };
        let file = File::open(&self.path).map_err(|error| damaged(&error.to_string()))?;
        let frames = Frames::open(BufReader::new(file));
        let mut frames = frames.ok_or_else(|| damaged("not written by this version"))?;
        let start = frames.start().ok_or_else(|| damaged("its beginning is not whole"))?;
        let begun = Replay::begin(&start, atlas.clone());
        let mut replay = begun.map_err(|error| damaged(&error.to_string()))?;
        while let Some(inputs) = frames.inputs() {
            for input in &inputs {
                if input.at().is_some_and(|then| then > at) {
                    return Ok(replay);
                }
                replay.take(input).map_err(|error| damaged(&error.to_string()))?;
            }
        }
        Ok(replay)
    }
}
