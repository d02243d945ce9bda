//! One copy: a queue that whoever answers never waits for, and the thread that empties it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use popnet_config::network::{LineFormat, TapMessages};
use popnet_dns::{Dnstap, TapKind, TapProtocol, write_frame};
use popnet_wire::counting::TapCounts;

use super::line;
use super::rotating::Rotating;
use super::stream::Stream;
use super::{Batch, Copied};
use crate::serve::Transport;

/// Batches that wait: of one exchange each, where they are few, some 80,000 a second.
const BATCHES_MAX: usize = 4_096;
/// Octets that wait.
const OCTETS_MAX: usize = 16 << 20;
/// How often the thread looks. It is not woken: that would cost whoever answers a system call.
const PAUSE: Duration = Duration::from_millis(50);
/// After something could not be written.
const RETRY: Duration = Duration::from_secs(1);
/// The four bits of an update's operation, at their place (RFC 2136 2.2).
const UPDATE: u8 = 5 << 3;
/// What our program calls itself to those who watch.
const VERSION: &str = concat!("popnet ", env!("CARGO_PKG_VERSION"));

/// How exchanges are written.
#[derive(Debug)]
pub(super) enum Form {
    /// dnstap in Frame Streams.
    Dnstap { identity: String, messages: TapMessages },
    /// A line each.
    Lines { node: String, format: LineFormat },
}

/// Where to.
#[derive(Debug)]
pub(super) enum Output {
    File(Rotating),
    Socket(Stream),
}

/// One copy.
#[derive(Debug)]
pub(super) struct Sink {
    queue: SyncSender<Arc<Batch>>,
    threshold: u64,
    ledger: Arc<Ledger>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How it goes, for those who ask.
#[derive(Debug)]
struct Ledger {
    name: &'static str,
    place: String,
    waiting: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    trouble: Mutex<Option<String>>,
    /// The thread writes what is there, and ends.
    ending: AtomicBool,
    over: AtomicBool,
}

impl Sink {
    /// Starts its thread, which first waits for the end of those `before`.
    pub(super) fn start(
        name: &'static str,
        form: Form,
        output: Output,
        threshold: u64,
        before: Vec<JoinHandle<()>>,
    ) -> Self {
        let (queue, waiting) = sync_channel(BATCHES_MAX);
        let ledger = Arc::new(Ledger {
            name,
            place: output.place(),
            waiting: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            trouble: Mutex::default(),
            ending: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let writer = Writer {
            form,
            output,
            threshold,
            ledger: Arc::clone(&ledger),
            held: 0,
            octets: Vec::new(),
            ailing: None,
        };
        let run = move || {
            before.into_iter().for_each(|thread| drop(thread.join()));
            writer.run(&waiting);
        };
        let thread = thread::Builder::new().name(format!("dns-{name}")).spawn(run);
        let thread = thread.inspect_err(|error| {
            ledger.complain(&format!("no thread: {error}"));
            ledger.over.store(true, Ordering::Release);
        });
        Self { queue, threshold, ledger, thread: Mutex::new(thread.ok()) }
    }

    pub(super) fn threshold(&self) -> u64 {
        self.threshold
    }

    /// Leaves a batch, or counts it as dropped.
    pub(super) fn leave(&self, batch: &Arc<Batch>) {
        let ledger = &self.ledger;
        let size = batch.size();
        let before = ledger.waiting.fetch_add(size, Ordering::Relaxed);
        if before + size > OCTETS_MAX || self.queue.try_send(Arc::clone(batch)).is_err() {
            ledger.waiting.fetch_sub(size, Ordering::Relaxed);
            ledger.drop_some(batch.len() as u64);
        }
    }

    pub(super) fn progress(&self) -> TapCounts {
        let ledger = &self.ledger;
        TapCounts {
            name: ledger.name.into(),
            place: ledger.place.clone(),
            written: ledger.written.load(Ordering::Relaxed),
            dropped: ledger.dropped.load(Ordering::Relaxed),
            trouble: ledger.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// The thread, to be waited for; once.
    pub(super) fn thread(&self) -> Option<JoinHandle<()>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Has the thread write what is there, and end.
    pub(super) fn end(&self) {
        self.ledger.ending.store(true, Ordering::Release);
    }

    pub(super) fn is_over(&self) -> bool {
        self.ledger.over.load(Ordering::Acquire)
    }
}

impl Ledger {
    fn drop_some(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Told once, however often it fails then.
    fn complain(&self, why: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_none() {
            let (name, place) = (self.name, &self.place);
            tracing::error!(
                "{name}: {place}: {why}; copies are dropped and counted until it works again"
            );
        }
        *trouble = Some(why.to_owned());
    }

    fn rejoice(&self) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.take().is_some() {
            tracing::info!("{}: {}: written again", self.name, self.place);
        }
    }
}

impl Output {
    fn place(&self) -> String {
        match self {
            Self::File(file) => file.path().display().to_string(),
            Self::Socket(socket) => socket.path().display().to_string(),
        }
    }

    fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.put(octets),
            Self::Socket(socket) => socket.put(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Socket(socket) => socket.flush(),
        }
    }

    fn close(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.close(),
            Self::Socket(socket) => socket.close(),
        }
    }
}

/// The thread's own.
struct Writer {
    form: Form,
    output: Output,
    threshold: u64,
    ledger: Arc<Ledger>,
    /// Exchanges that were put since the last flush.
    held: u64,
    octets: Vec<u8>,
    /// Not to be tried before this.
    ailing: Option<Instant>,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Arc<Batch>>) {
        loop {
            // Asked first: what was left before is seen after.
            let mut is_last = self.ledger.ending.load(Ordering::Acquire);
            loop {
                match queue.try_recv() {
                    Ok(batch) => self.take(&batch),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        is_last = true;
                        break;
                    }
                }
            }
            self.settle(Output::flush);
            if is_last {
                self.settle(Output::close);
                return self.ledger.over.store(true, Ordering::Release);
            }
            thread::sleep(PAUSE);
        }
    }

    fn take(&mut self, batch: &Batch) {
        let threshold = self.threshold;
        let wanted = batch.iter().filter(|copied| copied.number <= threshold);
        for copied in wanted {
            if self.is_ailing() {
                self.ledger.drop_some(1);
                continue;
            }
            self.octets.clear();
            self.form.write(&copied, &mut self.octets);
            self.held += 1;
            let put = self.output.put(&self.octets);
            self.judge(put);
        }
        self.ledger.waiting.fetch_sub(batch.size(), Ordering::Relaxed);
    }

    fn is_ailing(&self) -> bool {
        self.ailing.is_some_and(|until| Instant::now() < until)
    }

    /// Has the output do something with what it holds. Also when there is nothing: a reader is
    /// greeted before there is something to tell.
    fn settle(&mut self, act: fn(&mut Output) -> io::Result<()>) {
        if self.is_ailing() {
            return;
        }
        let done = act(&mut self.output);
        if done.is_ok() {
            self.ledger.written.fetch_add(std::mem::take(&mut self.held), Ordering::Relaxed);
            self.ailing = None;
            self.ledger.rejoice();
        }
        self.judge(done);
    }

    /// What could not be written is lost: it is not tried twice, for it may be half there.
    fn judge(&mut self, done: io::Result<()>) {
        if let Err(error) = done {
            self.ledger.drop_some(std::mem::take(&mut self.held));
            self.ledger.complain(&error.to_string());
            self.ailing = Some(Instant::now() + RETRY);
        }
    }
}

impl Form {
    /// Appends what is written of `copied`: whole frames, or a whole line.
    fn write(&self, copied: &Copied<'_>, into: &mut Vec<u8>) {
        match self {
            Self::Lines { node, format } => line::write(copied, node, *format, into),
            Self::Dnstap { identity, messages } => dnstap(copied, identity, *messages, into),
        }
    }
}

fn dnstap(copied: &Copied<'_>, identity: &str, messages: TapMessages, into: &mut Vec<u8>) {
    let is_update = copied.question.get(2).is_some_and(|bits| bits & 0x78 == UPDATE);
    let (query, response) = match is_update {
        true => (TapKind::UpdateQuery, TapKind::UpdateResponse),
        false => (TapKind::AuthQuery, TapKind::AuthResponse),
    };
    let extra = copied.targets.map(line::targets).unwrap_or_default();
    let mut tap = Dnstap {
        identity,
        version: VERSION,
        extra: "",
        kind: query,
        protocol: match copied.transport {
            Transport::Udp => TapProtocol::Udp,
            Transport::Tcp => TapProtocol::Tcp,
            Transport::Tls => TapProtocol::Tls,
            Transport::Https => TapProtocol::Https,
            Transport::Quic => TapProtocol::Quic,
        },
        asker: copied.from,
        asked: copied.at,
        came: copied.came,
        left: None,
        message: copied.question,
    };
    if messages != TapMessages::Responses {
        write_frame(into, |into| tap.write(into));
    }
    if messages != TapMessages::Queries && !copied.answer.is_empty() {
        tap = Dnstap {
            extra: &extra,
            kind: response,
            left: Some(copied.left),
            message: copied.answer,
            ..tap
        };
        write_frame(into, |into| tap.write(into));
    }
}
