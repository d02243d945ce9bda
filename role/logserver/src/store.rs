//! The one thread that writes. It takes together what has queued up, so that many batches share
//! the two syncs that an acknowledgement costs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use popnet_config::Held;
use popnet_runtime::{StartError, clock};
use popnet_wire::logging::{Batch, Receipt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::ledger::{Keep, Kept, Ledger, LedgerError, Verdict, ago};
use crate::raw::{Entry, Raw};
use crate::tallies::{Tallies, one};

/// Batches that may queue. Senders keep theirs until they are acknowledged.
const QUEUE_MAX: usize = 64;
/// Most octets, compressed, of one transaction.
const GROUP_OCTETS_MAX: usize = 16 << 20;
/// Between two looks for what need not be kept any longer.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// Raw files are looked through less often: they go by days.
const RAW_TIDY_EVERY: Duration = Duration::from_secs(3_600);
/// Steps of deleting in a row before waiting batches have their turn.
const TIDY_STEPS: usize = 4;
/// Beyond so many detail records in the index, more are kept in raw files alone until deleting has
/// caught up.
const INDEX_MAX: u64 = 10_000_000;
/// The same trouble is said once a minute.
const TROUBLE_EVERY: Duration = Duration::from_secs(60);

/// A batch, and where to say what became of it. No answer: it could not be written.
#[derive(Debug)]
pub(crate) struct Job {
    /// What it says.
    pub(crate) batch: Batch,
    /// The octets as they came.
    pub(crate) packed: Vec<u8>,
    /// Told once it is durable.
    pub(crate) reply: oneshot::Sender<Receipt>,
}

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Work {
    /// Store this.
    Batch(Box<Job>),
    /// Delete what need not be kept.
    Tidy,
}

/// The thread's handle.
#[derive(Debug)]
pub(crate) struct Store {
    intake: mpsc::Sender<Work>,
    done: oneshot::Receiver<()>,
}

impl Store {
    /// Starts the thread. A ledger that is new while raw batches are there is built from them
    /// first.
    pub(crate) async fn start(
        ledger: Ledger,
        raw: Raw,
        config: watch::Receiver<Arc<Held>>,
        tallies: Arc<Tallies>,
    ) -> Result<Self, StartError> {
        let writer = spawn_blocking(move || Writer::new(ledger, raw, config, tallies))
            .await
            .map_err(io::Error::other)
            .and_then(|writer| writer.map_err(io::Error::other))
            .map_err(StartError::io("the log server's database"))?;
        let (intake, work) = mpsc::channel(QUEUE_MAX);
        let (end, done) = oneshot::channel();
        thread::Builder::new()
            .name("log-store".to_owned())
            .spawn(move || {
                writer.run(work);
                let _ = end.send(());
            })
            .map_err(StartError::io("a thread for storing logs"))?;
        tokio::spawn(remind(intake.downgrade()));
        Ok(Self { intake, done })
    }

    /// Where batches go.
    pub(crate) fn intake(&self) -> mpsc::Sender<Work> {
        self.intake.clone()
    }

    /// Waits until everything that was taken in is stored. Other intakes must be gone.
    pub(crate) async fn finish(self) {
        drop(self.intake);
        let _ = self.done.await;
    }
}

/// Reminds the thread to tidy up, until it has ended.
async fn remind(intake: mpsc::WeakSender<Work>) {
    let mut ticks = interval(TIDY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(intake) = intake.upgrade() else { return };
        // A full queue is a busy server: the next tick will do.
        let _ = intake.try_send(Work::Tidy);
    }
}

struct Writer {
    ledger: Ledger,
    raw: Raw,
    config: watch::Receiver<Arc<Held>>,
    tallies: Arc<Tallies>,
    indexed: u64,
    raw_tidied: Option<Instant>,
    said: Option<Instant>,
}

impl Writer {
    fn new(
        ledger: Ledger,
        raw: Raw,
        config: watch::Receiver<Arc<Held>>,
        tallies: Arc<Tallies>,
    ) -> Result<Self, LedgerError> {
        let mut writer =
            Self { ledger, raw, config, tallies, indexed: 0, raw_tidied: None, said: None };
        if writer.ledger.is_unbuilt()? {
            writer.rebuild()?;
        }
        writer.indexed = writer.ledger.records()?;
        Ok(writer)
    }

    /// Books every raw batch.
    fn rebuild(&mut self) -> Result<(), LedgerError> {
        let mut booked = 0u64;
        let ledger = &mut self.ledger;
        let mut group: Vec<Batch> = Vec::new();
        let mut book = |group: &mut Vec<Batch>| -> Result<(), LedgerError> {
            let mut booking = ledger.begin(clock::now(), true)?;
            for batch in group.drain(..) {
                booking.book(&batch)?;
                booked += 1;
            }
            Ok(booking.commit()?)
        };
        self.raw.replay(|batch| {
            group.push(batch);
            if group.len() < QUEUE_MAX { Ok(()) } else { book(&mut group) }
        })?;
        book(&mut group)?;
        self.ledger.built()?;
        if booked > 0 {
            tracing::warn!(
                batches = booked,
                "the log server's database was built again from raw batches"
            );
        }
        Ok(())
    }

    fn run(mut self, mut work: mpsc::Receiver<Work>) {
        while let Some(first) = work.blocking_recv() {
            let mut jobs = Vec::new();
            let mut octets = 0;
            let mut tidy = false;
            let mut next = Some(first);
            while let Some(work_item) = next {
                match work_item {
                    Work::Batch(job) => {
                        octets += job.packed.len();
                        jobs.push(*job);
                    }
                    Work::Tidy => tidy = true,
                }
                let full = jobs.len() >= QUEUE_MAX || octets >= GROUP_OCTETS_MAX;
                next = if full { None } else { work.try_recv().ok() };
            }
            self.store(jobs);
            if tidy {
                self.tidy();
            }
        }
    }

    /// Stores a group, and each alone when that fails: one that cannot be stored holds up no other.
    fn store(&mut self, jobs: Vec<Job>) {
        let together = jobs.len() > 1;
        match self.book(&jobs) {
            Ok(receipts) => self.tell(jobs, receipts),
            Err(error) if together => {
                tracing::debug!(%error, batches = jobs.len(), "storing one by one");
                jobs.into_iter().for_each(|job| self.store(vec![job]));
            }
            Err(error) => {
                jobs.iter().for_each(|_| one(&self.tallies.unwritten));
                self.say(&error);
            }
        }
    }

    fn book(&mut self, jobs: &[Job]) -> Result<Vec<Receipt>, LedgerError> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let now = clock::now();
        let mut booking = self.ledger.begin(now, self.indexed < INDEX_MAX)?;
        let mut receipts = Vec::with_capacity(jobs.len());
        let mut entries = Vec::new();
        let mut indexed = 0;
        for job in jobs {
            receipts.push(match booking.book(&job.batch)? {
                Verdict::New => {
                    indexed += job.batch.records.len() as u64;
                    entries.push(Entry { customer: &job.batch.id.customer, packed: &job.packed });
                    Receipt::Stored
                }
                Verdict::Known(receipt) => receipt,
            });
        }
        // Synced before the commit: what is counted can always be shown.
        self.raw.append(&entries, now)?;
        let unindexed = booking.unindexed;
        booking.commit()?;
        self.tallies.unindexed.fetch_add(unindexed, Ordering::Relaxed);
        self.indexed += indexed - unindexed;
        Ok(receipts)
    }

    fn tell(&self, jobs: Vec<Job>, receipts: Vec<Receipt>) {
        for (job, receipt) in jobs.into_iter().zip(receipts) {
            one(match &receipt {
                Receipt::Stored => &self.tallies.stored,
                Receipt::Duplicate => &self.tallies.duplicate,
                Receipt::Corrupt => &self.tallies.corrupt,
                Receipt::Refused(_) => &self.tallies.refused,
                Receipt::Taken { .. } => &self.tallies.taken,
            });
            // A sender that has gone asks again and is told "duplicate".
            let _ = job.reply.send(receipt);
        }
    }

    fn tidy(&mut self) {
        let keep = Keep::of(&self.config.borrow().network.logs);
        let now = clock::now();
        for _ in 0..TIDY_STEPS {
            match self.ledger.tidy(&keep, now) {
                Ok(Kept::AsWished) => break,
                Ok(Kept::More) => {}
                Err(error) => return self.say(&error.into()),
            }
        }
        match self.ledger.records() {
            Ok(indexed) => self.indexed = indexed,
            Err(error) => self.say(&error.into()),
        }
        if self.raw_tidied.is_none_or(|at| at.elapsed() >= RAW_TIDY_EVERY) {
            self.raw_tidied = Some(Instant::now());
            if let Err(error) = self.raw.forget_before(ago(now, keep.raw())) {
                self.say(&error.into());
            }
        }
    }

    fn say(&mut self, error: &LedgerError) {
        if self.said.is_none_or(|said| said.elapsed() >= TROUBLE_EVERY) {
            self.said = Some(Instant::now());
            tracing::error!(%error, "the log server cannot write; senders keep their batches");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use popnet_runtime::ship::{pack, unpack};
    use popnet_tally::question::Counted;
    use popnet_terms::{Role, Timestamp};
    use popnet_wire::asking::Scope;
    use popnet_wire::logging::{BatchId, Counter};
    use popnet_wire::rollout::{Digest, Epoch};

    use super::*;
    use crate::ledger::Reader;

    fn config() -> watch::Receiver<Arc<Held>> {
        let text = "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n";
        let network = popnet_config::load(text, "test.toml").unwrap().network;
        let held = Held {
            epoch: Epoch(0),
            digest: Digest([0; 32]),
            network,
            base_dir: std::path::PathBuf::new(),
        };
        watch::channel(Arc::new(held)).1
    }

    fn writer(folder: &Path) -> Writer {
        let ledger = Ledger::open(&folder.join("ledger.db")).unwrap();
        let raw = Raw::open(folder.join("raw")).unwrap();
        Writer::new(ledger, raw, config(), Arc::default()).unwrap()
    }

    fn job(seq: u64, requests: u64) -> (Job, oneshot::Receiver<Receipt>) {
        let minute = clock::now().unix_seconds() / 60;
        let counter = Counter { requests, ..Counter::new(minute, "a.test".into(), "fra1".into()) };
        let batch = Batch {
            id: BatchId {
                sender: "edge1.fra1".into(),
                role: Role::Webcache,
                customer: "acme".into(),
                seq,
            },
            closed: Timestamp(i64::try_from(seq).unwrap()),
            counters: vec![counter],
            records: Vec::new(),
            dropped: 0,
        };
        let (reply, told) = oneshot::channel();
        let packed = pack(&batch).unwrap();
        (Job { batch, packed, reply }, told)
    }

    fn requests(folder: &Path) -> u64 {
        let all = Counted { from: 0, to: i64::MAX, site: None };
        let rows = Reader::new(folder.join("ledger.db")).counters(&Scope::Network, &all).unwrap();
        rows.unwrap().iter().map(|(_, counter)| counter.requests).sum()
    }

    fn raw_numbers(folder: &Path) -> Vec<u64> {
        let mut numbers = Vec::new();
        for day in fs::read_dir(folder.join("raw/acme")).unwrap() {
            for file in fs::read_dir(day.unwrap().path()).unwrap() {
                let octets = fs::read(file.unwrap().path()).unwrap();
                let batches = crate::raw::entries(&octets);
                numbers.extend(batches.iter().map(|packed| unpack(packed).unwrap().id.seq));
            }
        }
        numbers
    }

    #[test]
    fn killed_between_the_raw_file_and_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let (first, _) = job(1, 5);
        {
            let mut writer = writer(folder.path());
            let now = clock::now();
            let mut booking = writer.ledger.begin(now, true).unwrap();
            assert_eq!(booking.book(&first.batch).unwrap(), Verdict::New);
            let entry = Entry { customer: &first.batch.id.customer, packed: &first.packed };
            writer.raw.append(&[entry], now).unwrap();
            // Dropped here: the transaction was never committed, nothing was acknowledged.
        }
        assert_eq!((requests(folder.path()), raw_numbers(folder.path())), (0, vec![1]));
        // The sender sends it again.
        let mut writer = writer(folder.path());
        let (again, told) = job(1, 5);
        writer.store(vec![again]);
        assert_eq!(told.blocking_recv().unwrap(), Receipt::Stored);
        assert_eq!((requests(folder.path()), raw_numbers(folder.path())), (5, vec![1, 1]));

        // A lost database is built again, and what lies there twice counts once.
        drop(writer);
        for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let _ = fs::remove_file(folder.path().join(file));
        }
        let mut writer = self::writer(folder.path());
        assert_eq!(requests(folder.path()), 5);
        let (again, told) = job(1, 5);
        writer.store(vec![again]);
        assert_eq!(told.blocking_recv().unwrap(), Receipt::Duplicate);
    }

    #[test]
    fn one_that_cannot_be_stored_holds_up_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path());
        // A file where globex's folder should be.
        fs::write(folder.path().join("raw/globex"), "in the way").unwrap();
        let (good, told) = job(1, 3);
        let (mut bad, untold) = job(1, 4);
        bad.batch.id.customer = "globex".into();
        writer.store(vec![bad, good]);
        assert_eq!(told.blocking_recv().unwrap(), Receipt::Stored);
        assert!(untold.blocking_recv().is_err(), "no word: the sender tries again");
        assert_eq!(requests(folder.path()), 3);
        assert_eq!(writer.tallies.unwritten.load(Ordering::Relaxed), 1);
    }
}
