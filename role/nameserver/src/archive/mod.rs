//! What the board was told, kept on disk, so that the past can be asked (steering model,
//! section 10).
//!
//! The board's task leaves each input here without waiting; a thread of its own writes them down.
//! Where it cannot keep up, or the disk cannot, inputs are lost: then it begins again with the
//! whole board, and until that is written the past is not told. Queries have no part in it.

mod file;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use popnet_runtime::Context;
use popnet_steering::{Board, Bound, Input, Replay, View};
use popnet_terms::{Role, Timestamp};
use popnet_wire::control::Problem;
use popnet_wire::rollout::Epoch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use self::file::{Found, Segment};
pub use self::file::{parse, segment};
pub(crate) use self::writer::Limits;
use self::writer::Writer;

/// Inputs that wait to be written: some seconds of a large network's.
const NOTES: usize = 65_536;

/// Those who want to look at the board.
const ASKERS: usize = 16;

/// How long the writer has to write down what it has, before somebody reads.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// What the writer is told.
pub(crate) enum Note {
    Input(Input),
    /// The whole board, right after it gave a view.
    Start(Box<Whole>),
    /// How much is kept.
    Limits(Limits),
    /// Somebody wants to read what there is.
    Flush(SyncSender<()>),
}

/// All that the past is seen from.
pub(crate) struct Whole {
    pub(crate) at: Timestamp,
    pub(crate) epoch: Epoch,
    pub(crate) text: Arc<str>,
    pub(crate) board: Board,
    pub(crate) bound: Bound,
    /// How many inputs were lost before.
    pub(crate) lost: u64,
}

/// Asks the board's task for the board.
pub(crate) type BoardAsk = oneshot::Sender<Board>;

/// The way to the writer and to what it wrote.
#[derive(Debug)]
pub(crate) struct Archive {
    folder: PathBuf,
    notes: SyncSender<Note>,
    waiting: Mutex<Option<(Receiver<Note>, mpsc::Receiver<BoardAsk>)>>,
    /// Whether the writer wants the whole board.
    wants: Arc<AtomicBool>,
    /// Inputs for which there was no room.
    lost: Arc<AtomicU64>,
    boards: mpsc::Sender<BoardAsk>,
    turns: Arc<Semaphore>,
}

impl Archive {
    pub(crate) fn new(context: &Context) -> Self {
        let (notes, noted) = sync_channel(NOTES);
        let (boards, asked) = mpsc::channel(ASKERS);
        Self {
            folder: folder(&context.role_dir(Role::Nameserver)),
            notes,
            waiting: Mutex::new(Some((noted, asked))),
            wants: Arc::new(AtomicBool::new(true)),
            lost: Arc::default(),
            boards,
            turns: Arc::new(Semaphore::new(1)),
        }
    }

    /// Starts the writer; gives the questions for the board to its owner, who starts it once.
    pub(crate) fn start(&self) -> mpsc::Receiver<BoardAsk> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((noted, asked)) = waiting else { return mpsc::channel(1).1 };
        let (wants, lost) = (Arc::clone(&self.wants), Arc::clone(&self.lost));
        let writer = Writer::new(self.folder.clone(), wants, lost);
        let thread = std::thread::Builder::new().name("inputs".into());
        if let Err(error) = thread.spawn(move || writer.run(&noted)) {
            tracing::error!(%error, "measurements are not kept for the past");
        }
        asked
    }

    /// Writes an input down; never waits.
    pub(crate) fn note(&self, note: Note) {
        if let Err(TrySendError::Full(_)) = self.notes.try_send(note) {
            // What follows has no ground any more; the whole board is one.
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.wants.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the writer wants the whole board now; then how many inputs were lost before.
    pub(crate) fn wants_whole(&self) -> Option<u64> {
        let wants = self.wants.swap(false, Ordering::Relaxed);
        wants.then(|| self.lost.load(Ordering::Relaxed))
    }

    /// One at a time: an explanation of the past needs as much memory as the present.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// The board as it is.
    pub(crate) async fn board(&self) -> Option<Board> {
        let (answer, board) = oneshot::channel();
        self.boards.try_send(answer).ok()?;
        tokio::time::timeout(FLUSH_MAX, board).await.ok()?.ok()
    }

    /// What was at `at`. `now` has the databases of places.
    pub(crate) fn replay(&self, at: Timestamp, now: &View) -> Result<Replay, Problem> {
        let (done, wait) = sync_channel(1);
        self.note(Note::Flush(done));
        let _ = wait.recv_timeout(FLUSH_MAX);
        let segment = match Segment::holding(&self.folder, at) {
            Found::Segment(segment) => segment,
            Found::Later(first) => {
                // The first second of which all is known.
                let first = first.after(Duration::from_secs(1));
                let first = jiff::Timestamp::from_microsecond(first.0).unwrap_or_default();
                let first = first.strftime("%Y-%m-%dT%H:%M:%SZ");
                let what = format!("what was before {first} is not kept");
                return Err(Problem::new("N0066", what, format!("--at {first}")).with_exit(3));
            }
            Found::Nothing => {
                let what = "this name server has written nothing down yet";
                return Err(
                    Problem::new("N0067", what, "popnet config get logs.inputs").with_exit(3)
                );
            }
        };
        segment.replay(at, now.atlas())
    }
}

fn folder(role_dir: &Path) -> PathBuf {
    role_dir.join("inputs")
}
