//! Makes codings of stored content, on threads of its own: no client waits for one.
//!
//! Bounded three ways: so many threads, so many waiting jobs, and each job by the size that the
//! site's rules allow. Octets that came in a coding are never decoded.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use bytes::Bytes;
use popnet_cache::coding::GAIN_MAX_PERCENT;
use popnet_wire::delivery::Coding;

/// Jobs that wait. A response whose job finds no place is asked for again if it matters.
const WAITING: usize = 64;

/// One thread in so many cores makes codings: clients come first.
const CORES_A_THREAD: usize = 4;

/// Levels in the middle: a coding is made once, but by the cores that serve clients.
const GZIP_LEVEL: u32 = 6;
const BR_QUALITY: u32 = 5;
const ZSTD_LEVEL: i32 = 6;

/// Windows of br: 2^20 octets. Larger ones help only content above a megabyte, and cost memory here
/// and at every client.
const BR_WINDOW: u32 = 20;

/// Octets that br takes in at once.
const BR_BUFFER: usize = 32 << 10;

/// Something to do aside.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// The threads; they start with the first job and end when this is dropped.
#[derive(Default)]
pub(crate) struct Coder {
    jobs: OnceLock<Option<SyncSender<Job>>>,
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coder").finish_non_exhaustive()
    }
}

impl Coder {
    /// Has `job` done; `false`: too many are waiting.
    pub(crate) fn take(&self, job: Job) -> bool {
        let Some(jobs) = self.jobs.get_or_init(start) else { return false };
        match jobs.try_send(job) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn start() -> Option<SyncSender<Job>> {
    let (sender, receiver) = sync_channel(WAITING);
    let receiver = Arc::new(Mutex::new(receiver));
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut started = 0;
    for _ in 0..cores.div_ceil(CORES_A_THREAD) {
        let receiver = Arc::clone(&receiver);
        let builder = thread::Builder::new().name("codings".to_owned());
        match builder.spawn(move || work(&receiver)) {
            Ok(_) => started += 1,
            Err(error) => tracing::error!(%error, "no thread to compress on"),
        }
    }
    (started > 0).then_some(sender)
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A mistake in a library costs one response its coding, not all the others theirs.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a coding was given up; its response goes out as it came");
        }
    }
}

/// `pieces` in `coding`; `None` where that spares too little.
pub(crate) fn encode(coding: Coding, pieces: &[Bytes]) -> Option<Bytes> {
    let whole: usize = pieces.iter().map(Bytes::len).sum();
    let most = u64::try_from(whole).ok()? * GAIN_MAX_PERCENT / 100;
    let room = Room { octets: Vec::new(), most: usize::try_from(most).ok()? };
    let made = match coding {
        Coding::Gzip => {
            let level = flate2::Compression::new(GZIP_LEVEL);
            let encoder = flate2::write::GzEncoder::new(room, level);
            fed(encoder, pieces).and_then(flate2::write::GzEncoder::finish)
        }
        Coding::Br => {
            let encoder = brotli::CompressorWriter::new(room, BR_BUFFER, BR_QUALITY, BR_WINDOW);
            fed(encoder, pieces).map(brotli::CompressorWriter::into_inner)
        }
        Coding::Zstd => zstd_of(room, whole, pieces),
    };
    let mut made = made.ok().filter(|room| room.octets.len() <= room.most)?.octets;
    made.shrink_to_fit();
    Some(made.into())
}

fn zstd_of(room: Room, whole: usize, pieces: &[Bytes]) -> io::Result<Room> {
    let mut encoder = zstd::stream::write::Encoder::new(room, ZSTD_LEVEL)?;
    // With its size known, the window is no larger than the content: RFC 9659 wants at most 8 MiB.
    encoder.set_pledged_src_size(u64::try_from(whole).ok())?;
    fed(encoder, pieces)?.finish()
}

fn fed<W: Write>(mut encoder: W, pieces: &[Bytes]) -> io::Result<W> {
    for piece in pieces {
        encoder.write_all(piece)?;
    }
    Ok(encoder)
}

/// Takes octets as long as they are few enough.
struct Room {
    octets: Vec<u8>,
    most: usize,
}

impl Write for Room {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        // One that does not stop at an error is still seen to have gone too far.
        self.octets.extend_from_slice(octets);
        if self.octets.len() > self.most {
            return Err(io::Error::other("it spares too little"));
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::mpsc;

    use super::*;

    fn decoded(coding: Coding, octets: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(octets).read_to_end(&mut plain).unwrap(),
            Coding::Br => brotli::Decompressor::new(octets, 4096).read_to_end(&mut plain).unwrap(),
            Coding::Zstd => {
                zstd::stream::read::Decoder::new(octets).unwrap().read_to_end(&mut plain).unwrap()
            }
        };
        plain
    }

    /// Octets that no coding makes smaller.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn what_is_made_is_the_same() {
        let text: Vec<u8> =
            (0..40_000_u32).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
        for coding in Coding::ALL {
            for length in [300, 65_536, text.len()] {
                let whole = &text[..length];
                let pieces: Vec<Bytes> = whole.chunks(7_001).map(Bytes::copy_from_slice).collect();
                let made = encode(coding, &pieces).unwrap();
                assert!(made.len() * 100 <= length * 95, "{coding:?} {length} {}", made.len());
                assert!(decoded(coding, &made) == whole, "{coding:?} {length}");
            }
        }
    }

    #[test]
    fn what_spares_nothing_is_not_made() {
        for coding in Coding::ALL {
            for length in [0, 10, 300, 1 << 20] {
                assert_eq!(encode(coding, &[noise(length).into()]), None, "{coding:?} {length}");
            }
        }
    }

    #[test]
    fn only_so_many_wait() {
        let coder = Coder::default();
        let (hold, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let mut taken = 0;
        loop {
            let held = Arc::clone(&held);
            let job = move || {
                let _ = held.lock().unwrap().recv();
            };
            if !coder.take(Box::new(job)) {
                break;
            }
            taken += 1;
            assert!(taken < 10_000, "there is a bound");
        }
        assert!(taken >= WAITING, "{taken}");
        drop(hold);
        // All go through now, and there is room again.
        let (done, seen) = mpsc::channel();
        let job = || done.clone();
        for _ in 0..1_000 {
            let done = job();
            if coder.take(Box::new(move || done.send(()).unwrap())) {
                return seen.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("no room came");
    }
}
