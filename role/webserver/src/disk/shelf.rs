//! The shelf as the tier sees it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::Bytes;
use popnet_cache::key::Key;
use popnet_cache::purge::Aim;
use popnet_cache::stored::Stored;
use popnet_store::{Extent, Limits, ObjectId};
use popnet_tier::shelf::{Entry, EntryId, Shelf, ShelfError, Usage};
use popnet_wire::purging::PurgeKind;
use tokio::sync::{mpsc, oneshot};

use super::content::{Content, DiskReader, DiskWriter};
use super::files::{Files, read_at_once};
use super::log::{Job, Log};
use super::opening;
use super::pool::Pool;
use super::state::{Candidate, Counters, Head, State, count};

/// Jobs that wait for the writing thread: with the size of a piece this bounds their memory.
const JOBS_MAX: usize = 64;

/// A trouble with the disk, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The folder cannot be used: this run stores nothing.
    Open(String),
    /// A write failed; the first of a row.
    Write(String),
    /// What was read is not what was written, or cannot be read.
    Read(String),
}

type Tell = Box<dyn Fn(Trouble) + Send + Sync>;

/// What the shelf, its readers and its writing thread share.
pub(super) struct Shared {
    pub(super) files: Files,
    pub(super) pool: Pool,
    pub(super) counters: Counters,
    limits: Limits,
    state: Mutex<State>,
    tell: Tell,
    /// Taken away when the shelf closes, so that the writing thread ends.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn object_max(&self) -> u64 {
        self.limits.object_max()
    }

    pub(super) fn tell(&self, trouble: Trouble) {
        (self.tell)(trouble);
    }

    pub(super) fn count_refused(&self) {
        count(&self.counters.refused);
    }

    fn sender(&self) -> Option<mpsc::Sender<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hands a job on; a full queue means that the disk does not keep up.
    pub(super) fn send(&self, job: Job) -> Result<(), ShelfError> {
        self.sender().ok_or(ShelfError::Gone)?.try_send(job).map_err(|_| ShelfError::Full)
    }

    /// Hands a job on that must not be lost.
    async fn send_surely(&self, job: Job) -> Result<(), ShelfError> {
        let sender = self.sender().ok_or(ShelfError::Gone)?;
        sender.send(job).await.map_err(|_| ShelfError::Gone)
    }

    /// What `content`, the head of `of`, says is stored under `key`, as the purges left it.
    pub(super) fn judge(&self, of: &Candidate, content: &[u8], key: &Key) -> Option<Arc<Stored>> {
        match of.read(content, key) {
            Head::Of(stored) => self.state().left(of, *stored).map(Arc::new),
            Head::Other => None,
            Head::Strange => {
                self.state().store.forget(of.id);
                None
            }
        }
    }

    /// A read failed: the object is no longer offered.
    pub(super) fn read_failed(&self, object: Option<ObjectId>, error: &io::Error) {
        count(&self.counters.reads_failed);
        if error.kind() == io::ErrorKind::WouldBlock {
            return;
        }
        self.tell(Trouble::Read(error.to_string()));
        if let Some(id) = object {
            let (reply, _) = oneshot::channel();
            let _ = self.send(Job::Remove { ids: vec![id], reply });
        }
    }
}

/// Stored responses on disk, or no shelf at all.
#[derive(Clone, Debug)]
pub struct DiskShelf {
    shared: Option<Arc<Shared>>,
}

impl DiskShelf {
    /// No shelf: nothing is stored, nothing found.
    #[must_use]
    pub fn none() -> Self {
        Self { shared: None }
    }

    /// Opens the shelf in `folder` with `disk` octets. Blocks while it reads what is there. When
    /// the folder cannot be used, the trouble is told and there is no shelf.
    pub fn open(folder: &Path, disk: u64, tell: impl Fn(Trouble) + Send + Sync + 'static) -> Self {
        let Some(limits) = Limits::for_disk(disk) else {
            if disk > 0 {
                tell(Trouble::Open(format!("{disk} octets are too few for a disk tier")));
            }
            return Self::none();
        };
        let tell: Tell = Box::new(tell);
        match Self::try_open(folder, limits, tell) {
            Ok(shelf) => shelf,
            Err((error, tell)) => {
                tell(Trouble::Open(format!("{}: {error}", folder.display())));
                Self::none()
            }
        }
    }

    fn try_open(folder: &Path, limits: Limits, tell: Tell) -> Result<Self, (io::Error, Tell)> {
        let (files, state) = match opening::open(folder, limits) {
            Ok(opened) => opened,
            Err(error) => return Err((error, tell)),
        };
        let pool = match Pool::start() {
            Ok(pool) => pool,
            Err(error) => return Err((error, tell)),
        };
        let (sender, jobs) = mpsc::channel(JOBS_MAX);
        let shared = Arc::new(Shared {
            files,
            pool,
            counters: Counters::default(),
            limits,
            state: Mutex::new(state),
            tell,
            jobs: Mutex::new(Some(sender)),
        });
        let log = Log::new(Arc::clone(&shared));
        let thread = thread::Builder::new().name("disk-write".to_owned());
        if let Err(error) = thread.spawn(move || log.run(jobs)) {
            shared.tell(Trouble::Open(error.to_string()));
            return Ok(Self::none());
        }
        Ok(Self { shared: Some(shared) })
    }

    /// Brings everything to the disk and ends the writing thread. Nothing is stored afterwards.
    pub async fn close(&self) {
        let Some(shared) = &self.shared else { return };
        let (reply, answer) = oneshot::channel();
        if shared.send_surely(Job::Close { reply }).await.is_ok() {
            let _ = answer.await;
        }
        shared.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Writes and reads that failed, and responses not taken in, since start.
    #[must_use]
    pub fn failures(&self) -> (u64, u64, u64) {
        self.shared.as_ref().map_or((0, 0, 0), |shared| {
            let counters = &shared.counters;
            (
                counters.writes_failed.load(Ordering::Relaxed),
                counters.reads_failed.load(Ordering::Relaxed),
                counters.refused.load(Ordering::Relaxed),
            )
        })
    }
}

/// The octets of a candidate's head.
async fn read_candidate(shared: &Arc<Shared>, of: &Candidate) -> io::Result<Bytes> {
    let at = of.head;
    if let Some(file) = shared.files.at_hand(at.segment)
        && let Some(octets) = read_at_once(&file, at)
    {
        return Ok(octets);
    }
    let opening = Arc::clone(shared);
    shared.pool.run(move || opening.files.read_extent(at)).await
}

async fn open_files(
    shared: &Arc<Shared>,
    extents: Vec<Extent>,
) -> Result<Vec<(Extent, Arc<File>)>, ShelfError> {
    let opening = Arc::clone(shared);
    let open =
        move || extents.into_iter().map(|at| Ok((at, opening.files.get(at.segment)?))).collect();
    shared.pool.run(open).await.map_err(|error| {
        // Reclaimed after it was looked up.
        let reclaimed = error.kind() == io::ErrorKind::NotFound;
        if reclaimed { ShelfError::Gone } else { ShelfError::Broken(error) }
    })
}

impl Shelf for DiskShelf {
    type Reader = DiskReader;
    type Writer = DiskWriter;

    async fn find(&self, key: &Key) -> Vec<Entry> {
        let Some(shared) = &self.shared else { return Vec::new() };
        let candidates = shared.state().candidates(key);
        let mut found = Vec::with_capacity(candidates.len());
        for of in candidates {
            let stored = match read_candidate(shared, &of).await {
                Ok(content) => shared.judge(&of, &content, key),
                Err(error) => {
                    // Reclaimed after it was looked up, or a trouble.
                    if error.kind() != io::ErrorKind::NotFound {
                        shared.read_failed(Some(of.id), &error);
                    }
                    None
                }
            };
            found.extend(stored.map(|stored| Entry { id: EntryId(of.id.0), stored }));
        }
        found
    }

    async fn open(&self, id: EntryId) -> Result<DiskReader, ShelfError> {
        let shared = self.shared.as_ref().ok_or(ShelfError::Gone)?;
        let id = ObjectId(id.0);
        let extents: Vec<Extent> = {
            let state = shared.state();
            let object = state.store.get(id).ok_or(ShelfError::Gone)?;
            object.reads(0..object.octets()).into_iter().map(|read| read.extent).collect()
        };
        let at_hand = |at: &Extent| Some((*at, shared.files.at_hand(at.segment)?));
        let pieces = match extents.iter().map(at_hand).collect::<Option<Vec<_>>>() {
            Some(pieces) => pieces,
            None => open_files(shared, extents).await?,
        };
        let content = Content::of(Arc::clone(shared), id, pieces);
        Ok(DiskReader::new(Arc::new(content)))
    }

    async fn begin(&self, stored: Stored) -> Result<DiskWriter, ShelfError> {
        let shared = self.shared.as_ref().ok_or(ShelfError::Full)?;
        if stored.length.is_some_and(|length| length > shared.object_max()) {
            shared.count_refused();
            return Err(ShelfError::Full);
        }
        Ok(DiskWriter::new(Arc::clone(shared), stored))
    }

    async fn freshen(&self, id: EntryId, stored: Stored) -> Result<Entry, ShelfError> {
        let shared = self.shared.as_ref().ok_or(ShelfError::Gone)?;
        let stored = Arc::new(stored);
        let (reply, answer) = oneshot::channel();
        let kept = Arc::clone(&stored);
        shared.send_surely(Job::Freshen { id: ObjectId(id.0), stored: kept, reply }).await?;
        answer.await.map_err(|_| ShelfError::Gone)??;
        Ok(Entry { id, stored })
    }

    async fn remove(&self, id: EntryId) {
        let Some(shared) = &self.shared else { return };
        let (reply, answer) = oneshot::channel();
        let job = Job::Remove { ids: vec![ObjectId(id.0)], reply };
        if shared.send_surely(job).await.is_ok() {
            let _ = answer.await;
        }
    }

    async fn purge(&self, aim: &Aim, kind: PurgeKind) -> u64 {
        let Some(shared) = &self.shared else { return 0 };
        let (reply, answer) = oneshot::channel();
        let job = Job::Purge { aim: aim.clone(), kind, reply };
        if shared.send_surely(job).await.is_err() {
            return 0;
        }
        match answer.await {
            Ok(Ok(touched)) => touched,
            Ok(Err(error)) => {
                tracing::error!(%error, "a purge could not be made durable on this disk");
                0
            }
            Err(_) => 0,
        }
    }

    fn usage(&self) -> Usage {
        let Some(shared) = &self.shared else { return Usage::default() };
        let state = shared.state();
        Usage {
            objects: state.store.len() as u64,
            used: state.store.used(),
            capacity: shared.limits.disk(),
        }
    }
}
