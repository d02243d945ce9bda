//! The one thread that writes: takes jobs in order, so that the log has one order too.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use popnet_cache::key::Key;
use popnet_cache::purge::Aim;
use popnet_cache::stored::Stored;
use popnet_store::{Action, Extent, ObjectId, Plan, Refused, SegmentId};
use popnet_tier::shelf::ShelfError;
use popnet_wire::purging::PurgeKind;
use tokio::sync::{mpsc, oneshot};

use super::meta::{write_meta, write_purge};
use super::shelf::{Shared, Trouble};
use super::state::{Candidate, count};

/// Errors in a row after which the disk is left alone for a while.
const ERRORS_IN_A_ROW: u32 = 3;

/// How long it is left alone.
const REST: Duration = Duration::from_secs(5);

type Reply<T> = oneshot::Sender<Result<T, ShelfError>>;

/// The beginning of an object that is not yet on the disk, or its number.
#[derive(Clone, Debug)]
pub(super) enum Begun {
    No(Arc<Stored>),
    Yes(ObjectId),
}

/// What is to be written.
pub(super) enum Job {
    /// The next piece of an object.
    Put { object: Begun, piece: Bytes, reply: Reply<(ObjectId, Extent)> },
    /// The last piece, and the object is whole.
    Finish { object: Begun, piece: Bytes, stored: Arc<Stored>, reply: Reply<ObjectId> },
    /// Another head over the same content.
    Freshen { id: ObjectId, stored: Arc<Stored>, reply: Reply<()> },
    /// Objects that are gone.
    Remove { ids: Vec<ObjectId>, reply: Reply<()> },
    /// A purge.
    Purge { aim: Aim, kind: PurgeKind, reply: Reply<u64> },
    /// Everything must be on the disk.
    Close { reply: Reply<()> },
}

/// The writing thread's own.
pub(super) struct Log {
    shared: Arc<Shared>,
    writing: Option<(SegmentId, File)>,
    failed: u32,
    resting: Option<Instant>,
}

impl Log {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, writing: None, failed: 0, resting: None }
    }

    /// Works until nobody can send jobs any more.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            self.work(job);
        }
        let _ = self.sync();
    }

    /// Whoever does not wait for the reply any more has given up; the work is done all the same.
    fn work(&mut self, job: Job) {
        match job {
            Job::Put { object, piece, reply } => {
                // The writer took the disk for too slow and went on without it.
                if let Err(Ok((id, _))) = reply.send(self.put(object, &piece)) {
                    self.shared.state().store.abort(id);
                }
            }
            Job::Finish { object, piece, stored, reply } => {
                let _ = reply.send(self.finish(object, &piece, &stored));
            }
            Job::Freshen { id, stored, reply } => {
                let _ = reply.send(self.freshen(id, &stored));
            }
            Job::Remove { ids, reply } => {
                let _ = reply.send(self.remove(&ids));
            }
            Job::Purge { aim, kind, reply } => {
                let _ = reply.send(self.purge(&aim, kind));
            }
            Job::Close { reply } => {
                let plan = self.shared.state().store.close();
                let _ = reply.send(self.carry_out(&plan));
            }
        }
    }

    fn put(&mut self, object: Begun, piece: &Bytes) -> Result<(ObjectId, Extent), ShelfError> {
        if self.resting.is_some_and(|until| Instant::now() < until) {
            return Err(ShelfError::Full);
        }
        let id = self.begin(object)?;
        let done = self.append(id, piece);
        if done.is_err() {
            self.shared.state().store.abort(id);
        }
        done.map(|extent| (id, extent))
    }

    fn begin(&mut self, object: Begun) -> Result<ObjectId, ShelfError> {
        let stored = match object {
            Begun::Yes(id) => return Ok(id),
            Begun::No(stored) => stored,
        };
        let meta = write_meta(&stored).ok_or(ShelfError::Full)?;
        let key = stored.key.as_str().as_bytes();
        let begun = self.shared.state().store.begin(key, &meta, stored.length);
        let (id, plan) = begun.map_err(refused)?;
        self.carry_out(&plan)?;
        Ok(id)
    }

    fn append(&mut self, id: ObjectId, piece: &Bytes) -> Result<Extent, ShelfError> {
        let plan = self.shared.state().store.append(id, piece).map_err(refused)?;
        self.carry_out(&plan)?;
        self.shared.state().store.pieces(id).last().copied().ok_or(ShelfError::Full)
    }

    fn finish(
        &mut self,
        object: Begun,
        piece: &Bytes,
        stored: &Stored,
    ) -> Result<ObjectId, ShelfError> {
        let id = match (object, piece.is_empty()) {
            (object @ Begun::No(_), true) => self.begin(object)?,
            (Begun::Yes(id), true) => id,
            (object, false) => self.put(object, piece)?.0,
        };
        let others = self.stored_under(&stored.key).into_iter();
        let replaced: Vec<_> = others
            .filter(|(_, other)| other.variant == stored.variant)
            .map(|(of, _)| of.id)
            .collect();
        let plan = self.shared.state().store.commit(id, &replaced).map_err(refused)?;
        if let Err(error) = self.carry_out(&plan) {
            self.shared.state().store.abort(id);
            return Err(error);
        }
        if self.shared.state().store.publish(id) { Ok(id) } else { Err(ShelfError::Full) }
    }

    /// What purges left of everything under `key`. Blocks while it reads heads.
    fn stored_under(&self, key: &Key) -> Vec<(Candidate, Arc<Stored>)> {
        let candidates = self.shared.state().candidates(key);
        candidates.into_iter().filter_map(|of| Some((of, self.read(&of, key)?))).collect()
    }

    fn read(&self, of: &Candidate, key: &Key) -> Option<Arc<Stored>> {
        let content = self.shared.files.read_extent(of.head).ok()?;
        self.shared.judge(of, &content, key)
    }

    fn freshen(&mut self, id: ObjectId, stored: &Arc<Stored>) -> Result<(), ShelfError> {
        let meta = write_meta(stored).ok_or(ShelfError::Full)?;
        let of = self.shared.state().candidate(id).ok_or(ShelfError::Gone)?;
        // The new head would lie behind a purge that has taken the old one.
        self.read(&of, &stored.key).ok_or(ShelfError::Gone)?;
        let key = stored.key.as_str().as_bytes();
        let refreshed = self.shared.state().store.refresh(id, key, &meta);
        self.carry_out(&refreshed.map_err(|_| ShelfError::Gone)?)
    }

    fn remove(&mut self, ids: &[ObjectId]) -> Result<(), ShelfError> {
        let (plan, newest) = {
            let mut state = self.shared.state();
            let newest =
                ids.iter().filter_map(|id| Some(state.store.get(*id)?.newest_segment())).max();
            (state.store.remove(ids), newest)
        };
        match (self.carry_out(&plan), newest) {
            (Ok(()), _) | (Err(_), None) => Ok(()),
            (Err(_), Some(newest)) => self.give_up_through(newest),
        }
    }

    /// The removal could not be written down: the files themselves go, so that no restart brings
    /// anything back. Removing files works on a full disk too.
    fn give_up_through(&mut self, newest: SegmentId) -> Result<(), ShelfError> {
        let plan = self.shared.state().store.give_up_through(newest);
        self.carry_out(&plan)
    }

    fn purge(&mut self, aim: &Aim, kind: PurgeKind) -> Result<u64, ShelfError> {
        let Some(keys) = aim.keys() else { return self.remember(aim, kind) };
        let mut hit: Vec<_> = keys.iter().flat_map(|key| self.stored_under(key)).collect();
        hit.retain(|(_, stored)| aim.hits(stored));
        let ids: Vec<ObjectId> = hit.iter().map(|(of, _)| of.id).collect();
        match kind {
            PurgeKind::Hard => self.remove(&ids)?,
            PurgeKind::Soft => {
                for (Candidate { id, .. }, stored) in hit {
                    let stored = Arc::new(Stored { purged: true, ..(*stored).clone() });
                    if self.freshen(id, &stored).is_err() {
                        // What cannot be marked is gone instead.
                        self.remove(&[id])?;
                    }
                }
                self.sync().map_err(ShelfError::Broken)?;
            }
        }
        Ok(ids.len() as u64)
    }

    /// Writes a purge down that what is found will be held against. It is not known how much it
    /// hits.
    fn remember(&mut self, aim: &Aim, kind: PurgeKind) -> Result<u64, ShelfError> {
        let words = write_purge(aim, kind).ok_or(ShelfError::Full)?;
        // A full disk has made room after the first time.
        for _ in 0..2 {
            let purge = self.shared.state().store.purge(words.clone());
            let (at, plan) = purge.map_err(refused)?;
            if self.carry_out(&plan).is_ok() {
                self.shared.state().purges.add(aim, kind, at);
                return Ok(0);
            }
        }
        let newest = self.shared.state().store.newest();
        newest.map_or(Ok(()), |newest| self.give_up_through(newest))?;
        Ok(0)
    }

    fn sync(&self) -> io::Result<()> {
        self.writing.as_ref().map_or(Ok(()), |(_, file)| file.sync_data())
    }

    fn carry_out(&mut self, plan: &Plan) -> Result<(), ShelfError> {
        if plan.0.iter().any(|action| matches!(action, Action::Delete(_))) {
            self.shared.state().follow();
        }
        for action in &plan.0 {
            if let Err(error) = self.shared.files.step(action, &mut self.writing) {
                self.shared.state().store.failed(action);
                self.trouble(&error);
                return Err(error.into());
            }
        }
        self.failed = 0;
        Ok(())
    }

    fn trouble(&mut self, error: &io::Error) {
        count(&self.shared.counters.writes_failed);
        self.failed += 1;
        if self.failed == 1 {
            self.shared.tell(Trouble::Write(error.to_string()));
        }
        if self.failed >= ERRORS_IN_A_ROW {
            self.resting = Some(Instant::now() + REST);
        }
        let full =
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if full {
            // Somebody else fills the disk: make do with less.
            let plan = self.shared.state().store.make_room();
            for action in &plan.0 {
                let _ = self.shared.files.step(action, &mut self.writing);
            }
            self.shared.state().follow();
        }
    }
}

fn refused(why: Refused) -> ShelfError {
    match why {
        Refused::TooLarge | Refused::NotOpen => ShelfError::Full,
    }
}
