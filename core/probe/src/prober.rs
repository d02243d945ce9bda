//! The machine: told configuration, outcomes, wishes and the time; says what to do next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use popnet_config::network::{Network, Simulate};
use popnet_terms::{NodeName, PopId, SiteName, Span, Timestamp, client_unit};
use popnet_wire::probing::{Cause, Hits, Needs, Sample, Service};
use popnet_wire::trips::UnitTrips;

use crate::action::{Action, Burst, Change, Failure, JobId, MeasureJob, Outcome, Wish};
use crate::check;
use crate::plan::{self, Bursts, Key};
use crate::relief::Relief;
use crate::simulate;
use crate::toll::Toll;
use crate::turns::Turns;
use crate::watch::{Watch, sample_of};
use crate::wishes::{Taken, Wishes};

/// Everything is reported again this often, so that a lost datagram heals.
const FULL_EVERY: Duration = Duration::from_secs(10);

/// News waits this long for company.
const NEWS_WAIT: Duration = Duration::from_millis(250);

/// A change of health is said again after so long. A name server that missed it once would hear of
/// it seconds later than the others; that one misses it three times at a loss of one in twenty is
/// one case in eight thousand.
const AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];

/// First attempts are spread over this long at most, so that a start is known soon.
const START_SPREAD: Duration = Duration::from_secs(1);

/// An attempt without an outcome so long after its own limit was lost by its role.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// Wishes in one message that are looked at; the wire's datagram holds fewer.
const NEEDS_MAX: usize = 256;

/// Sites whose hits are remembered.
const SITES_MAX: usize = 10_000;

/// What has been done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Service probes begun.
    pub attempts: u64,
    /// Service probes that failed.
    pub failures: u64,
    /// Bursts begun.
    pub bursts: u64,
    /// Wishes queued.
    pub queued: u64,
    /// Wishes answered by what was under way or known.
    pub merged: u64,
    /// Wishes refused for politeness or want of room.
    pub refused: u64,
    /// Queries that name servers told of (N17).
    pub hits: u64,
    /// Words of caches about a unit that were news.
    pub seen: u64,
}

/// The prober of one node.
#[derive(Debug)]
pub struct Prober {
    pop: PopId,
    seed: u64,
    watches: BTreeMap<Key, Watch>,
    jobs: BTreeMap<JobId, (Key, Timestamp)>,
    last_job: u64,
    wishes: Wishes,
    bursts: Option<Bursts>,
    /// From one turn of a probe to its next.
    turn_cycle: Duration,
    latency_expire: Duration,
    simulate: Option<Simulate>,
    /// Simulated units that were wished for beyond those that the table names.
    simulated: BTreeMap<IpNet, Wish>,
    hits: BTreeMap<SiteName, u64>,
    relief: Relief,
    toll: Toll,
    /// A share of what is shed has changed.
    relieved: bool,
    fresh: BTreeSet<Key>,
    /// Changes of health that are to be said again, and when.
    again: BTreeSet<(Timestamp, Key)>,
    news_at: Option<Timestamp>,
    full_at: Timestamp,
    actions: VecDeque<Action>,
    tallies: Tallies,
}

impl Prober {
    /// A prober in `pop` that has nothing to do before [`Prober::configure`]. The seed spreads
    /// the probes of different nodes differently over time.
    #[must_use]
    pub fn new(pop: PopId, seed: u64) -> Self {
        Self {
            pop,
            seed,
            watches: BTreeMap::new(),
            jobs: BTreeMap::new(),
            last_job: 0,
            wishes: Wishes::new(),
            bursts: None,
            turn_cycle: Duration::ZERO,
            latency_expire: Duration::from_hours(24),
            simulate: None,
            simulated: BTreeMap::new(),
            hits: BTreeMap::new(),
            relief: Relief::default(),
            toll: Toll::default(),
            relieved: false,
            fresh: BTreeSet::new(),
            again: BTreeSet::new(),
            news_at: None,
            full_at: Timestamp(0),
            actions: VecDeque::new(),
            tallies: Tallies::default(),
        }
    }

    /// Takes a configuration over. Subjects that stay keep what is known of them; new ones start
    /// within a second, each at its own moment.
    pub fn configure(&mut self, network: &Network, now: Timestamp) {
        let specs = plan::specs(network, &self.pop);
        self.watches.retain(|key, _| specs.contains_key(key));
        self.fresh.retain(|key| specs.contains_key(key));
        self.again.retain(|(_, key)| specs.contains_key(key));
        for (key, spec) in specs {
            let seed = self.seed;
            let due = || now.after(phase(seed, &key, spec.interval.min(START_SPREAD)));
            match self.watches.get_mut(&key) {
                Some(watch) if watch.spec.address == spec.address => {
                    // A shorter interval counts from now, not from the end of the longer one.
                    watch.due = watch.due.min(now.after(spec.interval));
                    watch.spec = spec;
                }
                Some(_) | None => {
                    let watch = Watch::new(spec.clone(), due());
                    self.watches.insert(key, watch);
                }
            }
        }
        let latency = plan::bursts(network, &self.pop);
        if let Some((_, probe)) = &latency {
            self.wishes.politeness.configure(probe.budget.as_ref());
            let expire = probe.expire.map_or(Duration::from_hours(24), Span::duration);
            self.latency_expire = expire;
        }
        self.bursts = latency.map(|(bursts, _)| bursts);
        // As long for every probe, whichever of them this is.
        self.turn_cycle = Turns::of(network, &NodeName::of("any", &self.pop)).cycle();
        let loads = self.watches.iter().filter(|(_, watch)| watch.spec.tells_load());
        let asked = loads.map(|((_, subject), _)| subject).collect();
        self.relief.configure(network, &self.pop, &asked);
        self.toll.configure(network, &self.pop);
        self.simulate.clone_from(&network.simulate);
        // Everybody learns at once what has changed, simulated distances above all.
        self.full_at = now;
        self.handle_timeout(now);
    }

    /// Takes an attempt's outcome in. One that nobody waits for is ignored.
    pub fn handle_outcome(&mut self, id: JobId, outcome: &Outcome, now: Timestamp) {
        if let Outcome::Burst(burst) = outcome
            && self.wishes.finish(id, burst, now)
        {
            self.news(now.after(NEWS_WAIT));
            return;
        }
        let Some((key, _)) = self.jobs.remove(&id) else { return };
        let Some(watch) = self.watches.get_mut(&key).filter(|watch| watch.running == Some(id))
        else {
            return;
        };
        let transition = watch.finish(outcome, now);
        let (cause, detail) = watch.cause();
        if cause != Cause::Passed {
            self.tallies.failures += 1;
        }
        let customer = watch.spec.customer.clone();
        let load = self.service(&key).and_then(|(service, _)| service.load);
        self.relief.load(&key.1, load, now);
        self.relieve(now);
        if let Outcome::Answered(answer) = outcome
            && let Some(sent) = check::sent(answer)
            && self.toll.sent(&key.1, sent, now)
        {
            self.relieved = true;
        }
        self.fresh.insert(key.clone());
        let Some(transition) = transition else {
            self.news(now.after(NEWS_WAIT));
            return;
        };
        self.again.extend(AGAIN.map(|after| (now.after(after), key.clone())));
        let (probe, subject) = key;
        let (from, to) = (transition.from, transition.to);
        let change = Change { at: now, probe, subject, customer, from, to, cause, detail };
        self.actions.push_back(Action::Announce(change));
        self.news(now);
        self.report_news(now);
    }

    /// Takes a name server's wishes in.
    pub fn handle_needs(&mut self, needs: &Needs, now: Timestamp) {
        let mut simulated = Vec::new();
        for need in needs.needs.iter().take(NEEDS_MAX) {
            let wish = Wish { resolver: need.resolver, client: need.client.trunc() };
            if let Some(sample) = self.simulated_sample(wish, now) {
                if self.simulated.len() < simulate::UNITS_MAX {
                    self.simulated.insert(wish.client, wish);
                }
                simulated.push(sample);
                self.tallies.merged += 1;
                continue;
            }
            if self.bursts.is_none() {
                self.tallies.refused += 1;
                continue;
            }
            match self.wishes.take(wish, now) {
                Taken::Queued => self.tallies.queued += 1,
                Taken::Merged => self.tallies.merged += 1,
                Taken::Known => {
                    self.tallies.merged += 1;
                    self.news(now.after(NEWS_WAIT));
                }
                Taken::Refused => self.tallies.refused += 1,
            }
        }
        self.report(simulated);
        self.handle_timeout(now);
    }

    /// Takes in what caches of this POP saw of the ways to their clients. Only a POP that measures
    /// latencies tells of them, and no lab's table is contradicted.
    pub fn handle_trips(&mut self, units: &[UnitTrips], now: Timestamp) {
        if self.bursts.is_none() {
            return;
        }
        for trips in units {
            let client = client_unit(trips.client.addr());
            let wish = Wish { resolver: client.addr(), client };
            if self.simulated_sample(wish, now).is_none() && self.wishes.see(trips, now) {
                self.tallies.seen += 1;
                self.news(now.after(NEWS_WAIT));
            }
        }
    }

    /// Takes a name server's hit counts in (N17).
    pub fn handle_hits(&mut self, hits: &Hits) {
        for (site, count) in &hits.sites {
            self.tallies.hits = self.tallies.hits.saturating_add(u64::from(*count));
            if self.hits.len() < SITES_MAX || self.hits.contains_key(site) {
                let total = self.hits.entry(site.clone()).or_default();
                *total = total.saturating_add(u64::from(*count));
            }
        }
    }

    /// A name server has connected: it learns everything now.
    pub fn handle_joined(&mut self, now: Timestamp) {
        self.full_at = now;
        self.handle_timeout(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.give_up(now);
        self.start_watches(now);
        self.start_bursts(now);
        self.relieve(now);
        while self.again.first().is_some_and(|(at, _)| *at <= now) {
            self.fresh.extend(self.again.pop_first().map(|(_, key)| key));
            self.news(now);
        }
        if self.full_at <= now {
            self.report_all(now);
        } else if self.news_at.is_some_and(|at| at <= now) {
            self.report_news(now);
        }
    }

    /// When [`Prober::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Timestamp {
        let idle = self.watches.values().filter(|watch| watch.running.is_none());
        let due = idle.map(|watch| watch.due);
        let deadlines = self.jobs.values().map(|(_, deadline)| *deadline);
        let again = self.again.first().map(|(at, _)| *at);
        let others = self.wishes.next().into_iter().chain(self.news_at).chain(again);
        due.chain(deadlines).chain(others).chain([self.full_at]).min().unwrap_or(self.full_at)
    }

    /// What to do next, in this order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What is known of the bill, to be kept over restarts; `None` where nothing is billed by a
    /// percentile.
    #[must_use]
    pub fn bill(&self) -> Option<Vec<u8>> {
        self.toll.kept()
    }

    /// Takes over what [`Prober::bill`] gave before a restart; `None`: the octets are none of ours.
    pub fn restore_bill(&mut self, kept: &[u8]) -> Option<()> {
        self.toll.restore(kept)
    }

    /// What has been done.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        self.tallies
    }

    /// Client units with an estimate, and those among them that have answered.
    #[must_use]
    pub fn units(&self) -> (usize, usize) {
        self.wishes.counts()
    }

    /// Everything that is known, as of `now`.
    fn everything(&mut self, now: Timestamp) -> Vec<Sample> {
        let keys: Vec<Key> = self.watches.keys().cloned().collect();
        let mut samples = self.services(&keys);
        samples.extend(self.wishes.samples(true, now));
        samples.extend(self.simulated_samples(now));
        samples.extend(self.relief.samples(now));
        samples.extend(self.toll.sample(now));
        samples
    }

    fn report_all(&mut self, now: Timestamp) {
        self.full_at = now.after(FULL_EVERY);
        self.wishes.forget(self.latency_expire, now);
        let samples = self.everything(now);
        self.fresh.clear();
        self.relieved = false;
        self.news_at = None;
        self.report(samples);
    }

    fn report_news(&mut self, now: Timestamp) {
        self.news_at = None;
        let fresh: Vec<Key> = std::mem::take(&mut self.fresh).into_iter().collect();
        let mut samples = self.services(&fresh);
        if self.wishes.has_news() {
            samples.extend(self.wishes.samples(false, now));
        }
        if std::mem::take(&mut self.relieved) {
            samples.extend(self.relief.samples(now));
            samples.extend(self.toll.sample(now));
        }
        self.report(samples);
    }

    fn report(&mut self, samples: Vec<Sample>) {
        if !samples.is_empty() {
            self.actions.push_back(Action::Report(samples));
        }
    }

    fn services(&self, keys: &[Key]) -> Vec<Sample> {
        let of = |key: &Key| self.service(key).map(|(service, at)| sample_of(service, at));
        keys.iter().filter_map(of).collect()
    }

    /// What is to be reported of one subject, and when it was learnt.
    fn service(&self, key: &Key) -> Option<(Service, Timestamp)> {
        let watch = self.watches.get(key)?;
        let mut service = watch.sample(key)?;
        if let Some(table) = &self.simulate {
            simulate::apply(table, &self.pop, &mut service);
        }
        Some((service, watch.last_at()?))
    }

    /// Takes the steps of what is shed.
    fn relieve(&mut self, now: Timestamp) {
        if self.relief.step(now) {
            self.relieved = true;
            self.news(now.after(NEWS_WAIT));
        }
    }

    /// What the lab's table says of this wish.
    fn simulated_sample(&self, wish: Wish, now: Timestamp) -> Option<Sample> {
        let table = self.simulate.as_ref()?;
        simulate::latency(table, &self.pop, wish.resolver, wish.client, now)
    }

    /// The table's narrow client networks, without being asked: a lab's first answer is right;
    /// and whatever else was wished for.
    fn simulated_samples(&self, now: Timestamp) -> Vec<Sample> {
        let Some(table) = &self.simulate else { return Vec::new() };
        let networks = table.cities.values().flat_map(|city| &city.clients);
        let narrow = networks.filter_map(|network| {
            let unit = client_unit(network.addr());
            let wish = Wish { resolver: network.addr(), client: unit };
            (network.prefix_len() >= unit.prefix_len()).then_some((unit, wish))
        });
        let mut wishes = self.simulated.clone();
        wishes.extend(narrow.take(simulate::UNITS_MAX));
        wishes.into_values().filter_map(|wish| self.simulated_sample(wish, now)).collect()
    }

    fn news(&mut self, at: Timestamp) {
        self.news_at = Some(self.news_at.map_or(at, |before| before.min(at)));
    }

    fn start_watches(&mut self, now: Timestamp) {
        let due = |watch: &Watch| watch.due <= now && watch.running.is_none();
        for (key, watch) in self.watches.iter_mut().filter(|(_, watch)| due(watch)) {
            self.last_job += 1;
            let id = JobId(self.last_job);
            let deadline = now.after(watch.spec.timeout).after(LOST_AFTER);
            self.jobs.insert(id, (key.clone(), deadline));
            self.actions.push_back(watch.start(id, now));
            self.tallies.attempts += 1;
        }
    }

    fn start_bursts(&mut self, now: Timestamp) {
        let Some(bursts) = self.bursts.clone() else { return };
        while let Some(wish) = self.wishes.start(now) {
            self.last_job += 1;
            let id = JobId(self.last_job);
            let packets = u32::from(bursts.samples);
            let methods = u32::try_from(bursts.methods.len()).unwrap_or(1).max(1);
            // Each method waits for its turn.
            let turns = self.turn_cycle.saturating_mul(methods);
            let longest = bursts.timeout.saturating_mul(packets * methods).saturating_add(turns);
            self.wishes.started(id, wish, now.after(longest).after(LOST_AFTER));
            self.tallies.bursts += 1;
            self.actions.push_back(Action::Measure(MeasureJob {
                id,
                resolver: wish.resolver,
                methods: bursts.methods.clone(),
                samples: bursts.samples,
                timeout: bursts.timeout,
                asked: Some(Arc::clone(&bursts.asked)),
            }));
        }
    }

    /// Ends what its role has lost, so that one lost outcome does not end a watch.
    fn give_up(&mut self, now: Timestamp) {
        let late = self.jobs.iter().filter(|(_, (_, deadline))| *deadline <= now);
        for id in late.map(|(id, _)| *id).collect::<Vec<JobId>>() {
            let failure = Failure {
                cause: Cause::Timeout,
                words: "no outcome".into(),
                connect: None,
                total: popnet_terms::Micros(0),
            };
            self.handle_outcome(id, &Outcome::Failed(failure), now);
        }
        for id in self.wishes.overdue(now) {
            let nothing = Burst { method: None, rtts: Vec::new() };
            self.wishes.finish(id, &nothing, now);
        }
    }
}

/// A moment within `interval` that belongs to this subject at this node (FNV-1a of their names).
fn phase(seed: u64, key: &Key, interval: Duration) -> Duration {
    let text = format!("{}\n{:?}", key.0, key.1);
    let hash = text.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // The upper half is mixed best.
    let part = u32::try_from(hash >> 32).unwrap_or(0);
    let micros = (interval.as_micros() * u128::from(part)) >> 32;
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
