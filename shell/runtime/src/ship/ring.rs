//! Where hot paths leave what they saw until the next batch: a few shards, each behind its own
//! lock that a worker thread has nearly to itself. Counters always fit; detail records are bounded
//! and counted when they do not fit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use popnet_terms::{CustomerId, PopId, SiteName};
use popnet_wire::logging::{Counter, RECORDS_MAX, Record};

/// More shards than threads that log at once are of no use.
const SHARDS_MAX: usize = 32;

/// Records that wait in one shard: four batches. At four closes a second that is 65,000 records a
/// second from one thread, more than such a thread can make.
const SHARD_RECORDS_MAX: usize = 4 * RECORDS_MAX;

/// What one customer's batch will hold.
#[derive(Debug, Default)]
pub(super) struct Pending {
    counters: HashMap<SiteName, Vec<Counter>>,
    /// Detail records.
    pub(super) records: Vec<Record>,
    /// Records that did not fit.
    pub(super) dropped: u64,
}

impl Pending {
    fn counter(&mut self, site: &SiteName, pop: &PopId, minute: i64) -> &mut Counter {
        // Not `entry`: copying the name would have every thread write to its reference count.
        if !self.counters.contains_key(site) {
            self.counters.insert(site.clone(), Vec::new());
        }
        let minutes = self.counters.get_mut(site).expect("inserted just above");
        let at = minutes.iter().position(|counter| counter.minute == minute).unwrap_or_else(|| {
            minutes.push(Counter::new(minute, site.clone(), pop.clone()));
            minutes.len() - 1
        });
        minutes.get_mut(at).expect("found or pushed just above")
    }

    /// Adds a counter that was made elsewhere.
    pub(super) fn absorb(&mut self, counter: &Counter) {
        self.counter(&counter.site, &counter.pop, counter.minute).absorb(counter);
    }

    /// Adds everything of `other`.
    pub(super) fn merge(&mut self, other: Self) {
        if self.counters.is_empty() {
            self.counters = other.counters;
        } else {
            other.counters.values().flatten().for_each(|counter| self.absorb(counter));
        }
        self.records.extend(other.records);
        self.dropped = self.dropped.saturating_add(other.dropped);
    }

    /// Nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.records.is_empty() && self.dropped == 0
    }

    /// The counters, in a stable order.
    pub(super) fn take_counters(&mut self) -> Vec<Counter> {
        let mut counters: Vec<Counter> =
            std::mem::take(&mut self.counters).into_values().flatten().collect();
        counters.sort_by(|a, b| (&a.site, a.minute).cmp(&(&b.site, b.minute)));
        counters
    }
}

#[derive(Debug, Default)]
struct Shard {
    customers: HashMap<CustomerId, Pending>,
    records: usize,
}

impl Shard {
    fn of(&mut self, customer: &CustomerId) -> &mut Pending {
        // Not `entry`: it would copy the name for every record.
        if !self.customers.contains_key(customer) {
            self.customers.insert(customer.clone(), Pending::default());
        }
        self.customers.get_mut(customer).expect("inserted just above")
    }
}

/// All shards.
#[derive(Debug)]
pub(super) struct Ring {
    pop: PopId,
    shards: Vec<Mutex<Shard>>,
}

/// What became of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// So many found no room: they are counted only.
    pub(super) dropped: u64,
    /// The shard is half full now: close a batch.
    pub(super) is_pressing: bool,
}

impl Ring {
    /// An empty one for records made at `pop`.
    pub(super) fn new(pop: PopId) -> Self {
        let threads = std::thread::available_parallelism().map_or(4, usize::from);
        let shards = (2 * threads).clamp(2, SHARDS_MAX);
        Self { pop, shards: (0..shards).map(|_| Mutex::default()).collect() }
    }

    fn shard(&self) -> MutexGuard<'_, Shard> {
        let at = thread_number() % self.shards.len();
        let shard = self.shards.get(at).expect("a remainder is below the length");
        // A closure that panicked while counting leaves whole numbers behind.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves detail records.
    pub(super) fn record(
        &self,
        customer: &CustomerId,
        records: impl IntoIterator<Item = Record>,
    ) -> Fit {
        let mut shard = self.shard();
        let before = shard.records;
        let room = SHARD_RECORDS_MAX.saturating_sub(before);
        let (pending, mut records) = (shard.of(customer), records.into_iter());
        let held = pending.records.len();
        pending.records.extend(records.by_ref().take(room));
        let kept = pending.records.len() - held;
        let dropped = u64::try_from(records.count()).unwrap_or(u64::MAX);
        pending.dropped = pending.dropped.saturating_add(dropped);
        shard.records = before + kept;
        let half = SHARD_RECORDS_MAX / 2;
        Fit { dropped, is_pressing: before < half && shard.records >= half }
    }

    /// Adds to the counter of `site` in `minute`.
    pub(super) fn count(
        &self,
        customer: &CustomerId,
        site: &SiteName,
        minute: i64,
        add: impl FnOnce(&mut Counter),
    ) {
        let mut shard = self.shard();
        add(shard.of(customer).counter(site, &self.pop, minute));
    }

    /// Gives back what could not be written: counters stay exact, records become a count.
    pub(super) fn give_back(&self, customer: &CustomerId, counters: &[Counter], dropped: u64) {
        let mut shard = self.shard();
        let pending = shard.of(customer);
        counters.iter().for_each(|counter| pending.absorb(counter));
        pending.dropped = pending.dropped.saturating_add(dropped);
    }

    /// Takes everything out, merged by customer.
    pub(super) fn take(&self) -> HashMap<CustomerId, Pending> {
        let mut whole: HashMap<CustomerId, Pending> = HashMap::new();
        for shard in &self.shards {
            let taken = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            for (customer, pending) in taken.customers {
                whole.entry(customer).or_default().merge(pending);
            }
        }
        whole.retain(|_, pending| !pending.is_empty());
        whole
    }
}

/// Threads in the order in which they first logged.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use popnet_terms::Timestamp;
    use popnet_wire::logging::Event;

    use super::*;

    fn event() -> Record {
        Record::Event(Event {
            ts: Timestamp(1),
            kind: "test".into(),
            subject: "".into(),
            from: "".into(),
            to: "".into(),
            reason: "".into(),
        })
    }

    #[test]
    fn many_threads_count_exactly() {
        let ring = Arc::new(Ring::new("lab".into()));
        let (acme, site) = (CustomerId::new("acme"), SiteName::new("www.acme.test"));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for n in 0..10_000u64 {
                        ring.count(&acme, &site, 7, |c| {
                            c.requests += 1;
                            c.bytes_out += n;
                        });
                    }
                });
            }
        });
        let mut whole = ring.take();
        let counters = whole.get_mut(&acme).unwrap().take_counters();
        assert_eq!(counters.len(), 1, "one row for one site and minute: {counters:?}");
        assert_eq!(counters[0].requests, 80_000);
        assert_eq!(counters[0].bytes_out, 8 * (0..10_000u64).sum::<u64>());
        assert!(ring.take().is_empty());
    }

    #[test]
    fn a_full_shard_drops_records_and_keeps_counting() {
        let ring = Ring::new("lab".into());
        let acme = CustomerId::new("acme");
        // A batch of records at a time; the last finds room for some.
        let batches = SHARD_RECORDS_MAX / 7 + 1;
        let fits: Vec<Fit> = (0..batches)
            .map(|_| ring.record(&acme, std::array::from_fn::<_, 7, _>(|_| event())))
            .collect();
        let surplus = 7 * batches - SHARD_RECORDS_MAX;
        assert_eq!(fits.iter().map(|fit| fit.dropped).sum::<u64>(), surplus as u64);
        assert_eq!(fits.iter().filter(|fit| fit.is_pressing).count(), 1);
        assert_eq!(ring.record(&acme, [event()]), Fit { dropped: 1, is_pressing: false });
        ring.count(&acme, &"a.test".into(), 1, |c| c.queries += 1);
        let mut whole = ring.take();
        let pending = whole.get_mut(&acme).unwrap();
        assert_eq!(
            (pending.records.len(), pending.dropped),
            (SHARD_RECORDS_MAX, surplus as u64 + 1)
        );
        assert_eq!(pending.take_counters()[0].queries, 1);
    }
}
