//! Name servers' wishes for latencies: merged, in order, as fast as politeness allows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use ipnet::IpNet;
use popnet_terms::{Micros, Timestamp, client_unit};
use popnet_wire::probing::{Finding, Sample};
use popnet_wire::trips::UnitTrips;

use crate::action::{Burst, JobId, Wish};
use crate::estimate::Estimate;
use crate::politeness::Politeness;

/// Wishes that wait: at 200 bursts a second half a minute's work. More are refused, and asked for
/// again by those who still need them.
const WAITING_MAX: usize = 6_000;

/// Estimates remembered.
const ESTIMATES_MAX: usize = 50_000;

/// Bursts under way at once.
const RUNNING_MAX: usize = 256;

/// An estimate younger than this answers a wish by itself: several name servers ask for the same.
const MERGE: Duration = Duration::from_secs(5);

/// What caches saw so recently answers a wish by itself: no packet is truer.
const SEEN: Duration = Duration::from_mins(10);

/// Estimates that caches' words alone may fill; the rest is for what is wished for.
const SEEN_MAX: usize = ESTIMATES_MAX / 5 * 4;

/// New estimates are sent again for this long, in case a datagram was lost.
const REPEAT: Duration = Duration::from_secs(25);

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It waits for its turn.
    Queued,
    /// The same is waiting or under way.
    Merged,
    /// What is known is sent again: the resolver was bothered recently.
    Known,
    /// The resolver was bothered recently, and nothing is known; or there is no room.
    Refused,
}

/// The queue and what came of it.
#[derive(Debug)]
pub(crate) struct Wishes {
    pub(crate) politeness: Politeness,
    waiting: VecDeque<Wish>,
    /// Units that wait or are under way.
    active: BTreeSet<IpNet>,
    running: BTreeMap<JobId, (Wish, Timestamp)>,
    estimates: BTreeMap<IpNet, Estimate>,
    /// Units whose estimate is to be sent with the next report.
    fresh: BTreeSet<IpNet>,
}

impl Wishes {
    pub(crate) fn new() -> Self {
        Self {
            politeness: Politeness::new(None),
            waiting: VecDeque::new(),
            active: BTreeSet::new(),
            running: BTreeMap::new(),
            estimates: BTreeMap::new(),
            fresh: BTreeSet::new(),
        }
    }

    pub(crate) fn take(&mut self, wish: Wish, now: Timestamp) -> Taken {
        if self.active.contains(&wish.client) {
            return Taken::Merged;
        }
        let known = self.estimates.get(&wish.client);
        let young = known.is_some_and(|estimate| {
            now.since(estimate.at) < if estimate.is_passive() { SEEN } else { MERGE }
        });
        if young || !self.politeness.admits(wish.resolver, now) {
            if known.is_none() {
                return Taken::Refused;
            }
            self.fresh.insert(wish.client);
            return Taken::Known;
        }
        if self.waiting.len() >= WAITING_MAX {
            return Taken::Refused;
        }
        self.active.insert(wish.client);
        self.waiting.push_back(wish);
        Taken::Queued
    }

    /// The next burst that may leave now.
    pub(crate) fn start(&mut self, now: Timestamp) -> Option<Wish> {
        while self.politeness.next() <= now && self.running.len() < RUNNING_MAX {
            let wish = self.waiting.pop_front()?;
            // Another wish for the same resolver may have gone before.
            if self.politeness.admits(wish.resolver, now) {
                self.politeness.spend(wish.resolver, now);
                return Some(wish);
            }
            self.active.remove(&wish.client);
        }
        None
    }

    pub(crate) fn started(&mut self, id: JobId, wish: Wish, deadline: Timestamp) {
        self.running.insert(id, (wish, deadline));
    }

    /// Takes a burst's outcome in; `false` when it is not one of ours.
    pub(crate) fn finish(&mut self, id: JobId, burst: &Burst, now: Timestamp) -> bool {
        let Some((wish, _)) = self.running.remove(&id) else { return false };
        self.active.remove(&wish.client);
        if burst.rtts.is_empty() {
            return true;
        }
        let estimate = Estimate::after(self.estimates.get(&wish.client), burst, now);
        self.politeness.learn(wish.resolver, burst.method.is_some(), now);
        if self.estimates.len() < ESTIMATES_MAX || self.estimates.contains_key(&wish.client) {
            self.estimates.insert(wish.client, estimate);
            self.fresh.insert(wish.client);
        }
        true
    }

    /// Takes in what caches of this POP saw; says whether there is news.
    pub(crate) fn see(&mut self, trips: &UnitTrips, now: Timestamp) -> bool {
        let client = client_unit(trips.client.addr());
        let before = self.estimates.get(&client);
        let age = Duration::from_millis(trips.age_ms.into());
        if trips.rtt == Micros(0)
            || age >= SEEN
            || (before.is_none() && self.estimates.len() >= SEEN_MAX)
        {
            return false;
        }
        let estimate = Estimate::seen(before, trips, now);
        let is_news = before.is_none_or(|before| before.at < estimate.at);
        if is_news {
            self.fresh.insert(client);
        }
        self.estimates.insert(client, estimate);
        is_news
    }

    /// Bursts whose role has lost them.
    pub(crate) fn overdue(&self, now: Timestamp) -> Vec<JobId> {
        let late = self.running.iter().filter(|(_, (_, deadline))| *deadline <= now);
        late.map(|(id, _)| *id).collect()
    }

    /// When the next burst may leave, if one waits; or the first deadline.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let room = self.running.len() < RUNNING_MAX && !self.waiting.is_empty();
        let start = room.then(|| self.politeness.next());
        let deadline = self.running.values().map(|(_, deadline)| *deadline).min();
        start.into_iter().chain(deadline).min()
    }

    /// Whether something new is to be reported.
    pub(crate) fn has_news(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// What is new since the last call; with `again` also what is recent.
    pub(crate) fn samples(&mut self, again: bool, now: Timestamp) -> Vec<Sample> {
        let fresh = std::mem::take(&mut self.fresh);
        let recent = |(unit, estimate): &(&IpNet, &Estimate)| {
            fresh.contains(*unit) || (again && now.since(estimate.at) < REPEAT)
        };
        let sample = |(unit, estimate): (&IpNet, &Estimate)| Sample {
            at: estimate.at,
            finding: Finding::Latency(estimate.finding(*unit)),
        };
        if again {
            return self.estimates.iter().filter(recent).map(sample).collect();
        }
        let found = fresh.iter().filter_map(|unit| self.estimates.get_key_value(unit));
        found.map(sample).collect()
    }

    /// Drops estimates that no name server believes any more.
    pub(crate) fn forget(&mut self, expire: Duration, now: Timestamp) {
        self.estimates.retain(|_, estimate| now.since(estimate.at) <= expire);
        self.politeness.forget(now);
    }

    /// Units with an estimate, and those among them that answered.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let answered = self.estimates.values().filter(|estimate| estimate.answered()).count();
        (self.estimates.len(), answered)
    }
}
