//! Closes batches: four times a second a thread takes what the ring holds, writes it to the spool,
//! and sheds detail records when the spool is too large.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use popnet_terms::{CustomerId, NodeName, Role};
use popnet_wire::logging::RECORDS_MAX;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::Locate;
use super::courier::{Courier, Lines};
use super::parts::cut;
use super::ring::{Pending, Ring};
use super::spool::{Queue, Totals};

/// Counters reach the log server within a second: this, two disks and the way.
const CLOSE_EVERY: Duration = Duration::from_millis(250);
/// While a log server is away, batches are closed less often, so that the spool does not fill with
/// tiny files: a tenth of a second more for each that waits beyond [`BACKLOG_FREE`].
const BACKLOG_STEP: Duration = Duration::from_millis(100);
/// Batches that may wait before closing slows down.
const BACKLOG_FREE: u32 = 16;
/// Slowest closing: what a crash can lose while a log server is away.
const CLOSE_SLOWEST: Duration = Duration::from_secs(5);
/// Batches stripped of their details in one round: each is read, written and synced.
const SHED_AT_ONCE: usize = 64;
/// The same trouble is said once a minute.
const TROUBLE_EVERY: Duration = Duration::from_secs(60);

/// What the closer, the couriers and the shipper share.
pub(super) struct Yard {
    /// Where hot paths leave what they saw.
    pub(super) ring: Ring,
    /// Sums over every queue.
    pub(super) totals: Arc<Totals>,
    /// The spool's folder.
    pub(super) root: PathBuf,
    /// This node.
    pub(super) sender: NodeName,
    /// Its role.
    pub(super) role: Role,
    /// Finds log servers.
    pub(super) locate: Locate,
    /// Octets above which details are shed.
    pub(super) spool_max: u64,
    /// Connections.
    pub(super) lines: Arc<Lines>,
    /// Where couriers run.
    pub(super) runtime: Handle,
    /// Each customer's queue.
    pub(super) queues: Mutex<BTreeMap<CustomerId, Arc<Queue>>>,
    /// The next round is the last.
    pub(super) finishing: AtomicBool,
    /// The last round is over.
    pub(super) closed: CancellationToken,
    /// Couriers stop.
    pub(super) stop: CancellationToken,
}

impl Yard {
    fn queues(&self) -> MutexGuard<'_, BTreeMap<CustomerId, Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The customer's queue; the first call opens it and sends a courier.
    pub(super) fn queue(&self, customer: &CustomerId) -> std::io::Result<Arc<Queue>> {
        if let Some(queue) = self.queues().get(customer) {
            return Ok(Arc::clone(queue));
        }
        let totals = Arc::clone(&self.totals);
        let queue = Queue::open(&self.root, &self.sender, self.role, customer, totals)?;
        let queue = Arc::new(queue);
        self.queues().insert(customer.clone(), Arc::clone(&queue));
        let courier =
            Courier::new(Arc::clone(&queue), Arc::clone(&self.lines), Arc::clone(&self.locate));
        let stop = self.stop.clone();
        self.runtime.spawn(async move {
            stop.run_until_cancelled(courier.run()).await;
        });
        Ok(queue)
    }
}

/// What one customer's next batch holds so far, and since when.
struct Held {
    pending: Pending,
    since: Instant,
}

/// The closing thread.
pub(super) struct Closer {
    yard: Arc<Yard>,
    held: HashMap<CustomerId, Held>,
    said: Option<Instant>,
}

impl Closer {
    /// A closer for `yard`.
    pub(super) fn new(yard: Arc<Yard>) -> Self {
        Self { yard, held: HashMap::new(), said: None }
    }

    /// Works until the yard is finishing and everything is in the spool.
    pub(super) fn run(mut self) {
        loop {
            std::thread::park_timeout(CLOSE_EVERY);
            let last = self.yard.finishing.load(Ordering::Acquire);
            self.round(last);
            if last {
                self.yard.closed.cancel();
                return;
            }
        }
    }

    fn round(&mut self, last: bool) {
        let now = Instant::now();
        for (customer, pending) in self.yard.ring.take() {
            let held = self.held.entry(customer);
            held.or_insert_with(|| Held { pending: Pending::default(), since: now })
                .pending
                .merge(pending);
        }
        let due: Vec<CustomerId> = self
            .held
            .iter()
            .filter(|(customer, held)| last || self.is_due(customer, held, now))
            .map(|(customer, _)| customer.clone())
            .collect();
        for customer in due {
            if let Some(held) = self.held.remove(&customer) {
                self.close(&customer, held.pending);
            }
        }
        self.shed();
    }

    fn is_due(&self, customer: &CustomerId, held: &Held, now: Instant) -> bool {
        if held.pending.records.len() >= RECORDS_MAX {
            return true;
        }
        let waiting = self.yard.queues().get(customer).map_or(0, |queue| queue.len());
        let over = u32::try_from(waiting).unwrap_or(u32::MAX).saturating_sub(BACKLOG_FREE);
        now.duration_since(held.since) >= (BACKLOG_STEP.saturating_mul(over)).min(CLOSE_SLOWEST)
    }

    fn is_full(&self) -> bool {
        self.yard.totals.octets.load(Ordering::Relaxed) > self.yard.spool_max
    }

    fn close(&mut self, customer: &CustomerId, pending: Pending) {
        let waiting = pending.records.len() as u64;
        let details = !self.is_full();
        if !details {
            self.yard.totals.dropped.fetch_add(waiting, Ordering::Relaxed);
        }
        let parts = cut(pending, details);
        let failed = match self.yard.queue(customer) {
            Ok(queue) => match queue.write(parts) {
                Ok(()) => return,
                Err(unwritten) => unwritten,
            },
            Err(why) => super::spool::Unwritten { why, parts },
        };
        self.say(&failed.why);
        for part in failed.parts {
            let gone = part.records.len() as u64;
            self.yard.totals.dropped.fetch_add(gone, Ordering::Relaxed);
            let dropped = part.dropped.saturating_add(gone);
            self.yard.ring.give_back(customer, &part.counters, dropped);
        }
    }

    /// Takes details out of the oldest batches until the spool fits. Counters stay.
    fn shed(&mut self) {
        for _ in 0..SHED_AT_ONCE {
            if !self.is_full() {
                return;
            }
            let oldest = self
                .yard
                .queues()
                .values()
                .filter_map(|queue| Some((queue.oldest_sheddable()?, Arc::clone(queue))))
                .min_by_key(|(oldest, _)| *oldest);
            let Some(((_, seq), queue)) = oldest else { return };
            if let Err(error) = queue.shed(seq) {
                self.say(&error);
                return;
            }
        }
    }

    fn say(&mut self, error: &std::io::Error) {
        let now = Instant::now();
        if self.said.is_none_or(|said| now.duration_since(said) >= TROUBLE_EVERY) {
            self.said = Some(now);
            tracing::error!(%error, spool = %self.yard.root.display(),
                "the log spool cannot be written: counters are held in memory, detail records are dropped");
        }
    }
}
