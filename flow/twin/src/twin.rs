//! The simulation: one queue of events, the real cores, and the world around them.

mod ask;
mod break_down;
mod healing;
mod probing;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use popnet_probe::{JobId, Outcome};
use popnet_steering::{Atlas, Rules, SiteRules};
use popnet_terms::{TargetId, Timestamp};
use popnet_wire::probing::{Digest, Needs, Repair, Report};

use crate::chance::Dice;
use crate::crowd::{Crowd, NOWHERE};
use crate::fabric::{Fabric, OCTETS};
use crate::fate::{Fate, Turn, turns};
use crate::gauge::Gauge;
use crate::num::{count, place};
use crate::post::Post;
use crate::queue::{Journal, Queue};
use crate::scenario::Scenario;
use crate::server::{FORGET, REPAIR, SLOT, Server, VIEW_MAX};
use crate::site::ProbeSite;
use crate::world::World;

/// When simulated time begins: a Friday in 2027. Whole seconds, and far from any edge.
pub(crate) const START: Timestamp = Timestamp(1_800_000_000_000_000);

/// The load of a machine follows its demand within some seconds.
const LAG: f64 = 0.4;

/// Units asked about on all name servers at a time, every few seconds.
const PAIRS: usize = 500;
const PAIRS_EVERY: u64 = 5;
/// Of a long time no more samples are taken than this.
const SAMPLES: u64 = 120;

/// Something that happens.
#[derive(Debug)]
enum Event {
    /// A probe site's prober wants to be woken.
    Wake(usize, u64),
    /// An attempt of a probe site is over.
    Outcome(usize, u64, JobId, Box<Outcome>),
    /// A report comes to a name server.
    Report(usize, Rc<Report>),
    /// A digest of what a publisher has said comes to a name server.
    Digest(usize, Rc<Digest>),
    /// A name server's question for what it missed comes to a probe site.
    Repair(usize, Rc<Repair>),
    /// A probe site tells what it has said so far.
    Tell(usize, u64),
    /// A name server asks for what did not come.
    AskAgain(usize, u64),
    /// Wishes come to a probe site.
    Needs(usize, Rc<Needs>),
    /// A name server publishes a view.
    Publish(usize, u64),
    /// A name server's slot of wishes.
    Slot(usize, u64),
    /// A name server writes to its disk.
    Keep(usize),
    /// A name server drops what is old.
    Forget(usize, u64),
    /// Resolvers ask.
    Ask,
    /// Loads follow, and everything is written down.
    Second,
    /// A fault begins or ends.
    Turn(usize),
    /// A probe site's connections to name servers come up.
    Join(usize, u64),
    /// Whether measured data is in use for a unit that first asked at that time.
    InUse(usize, Timestamp),
}

/// Everything.
pub(crate) struct Twin<'a> {
    scenario: &'a Scenario,
    fabric: &'a Fabric,
    world: &'a World,
    rules: Vec<Arc<SiteRules>>,
    /// POPs of each site's targets, in the order of the rules.
    targets: std::collections::BTreeMap<TargetId, usize>,
    queue: Queue<Event>,
    pub(crate) journal: Journal,
    post: Post,
    dice: Dice,
    sites: Vec<ProbeSite>,
    servers: Vec<Server>,
    fates: Vec<Fate>,
    turns: Vec<Turn>,
    crowd: Crowd,
    loads: Vec<f64>,
    /// Octets that each POP has sent.
    sent: Vec<f64>,
    pub(crate) gauge: Gauge,
    end: Timestamp,
}

impl<'a> Twin<'a> {
    /// Everything before the start.
    ///
    /// # Errors
    /// What the scenario names and the network does not have.
    pub(crate) fn new(
        scenario: &'a Scenario,
        fabric: &'a Fabric,
        world: &'a World,
        globe: &Atlas,
        seed: u64,
    ) -> Result<Self, String> {
        let end = START.after(scenario.length.duration());
        let rules = Rules::compile(&fabric.network);
        let rules: Vec<Arc<SiteRules>> =
            fabric.sites.iter().filter_map(|site| rules.site(site.as_str()).cloned()).collect();
        let of_targets = rules.iter().flat_map(|rules| &rules.targets);
        let targets =
            of_targets.filter_map(|target| Some((target.id.clone(), fabric.pop_of(&target.id)?)));
        let probes = fabric.probes.iter().enumerate();
        let sites = probes
            .map(|(n, (name, pop))| ProbeSite::new(name.clone(), *pop, seed ^ (count(n) << 32)))
            .collect();
        let servers = fabric.servers.iter();
        let servers = servers.map(|(name, pop)| Server::new(name.clone(), *pop, globe.clone()));
        let from = START.after(scenario.warm_up.duration());
        Ok(Self {
            scenario,
            fabric,
            world,
            targets: targets.collect(),
            rules,
            queue: Queue::new(),
            journal: Journal::new(),
            post: Post::new(&scenario.wire, seed),
            dice: Dice::new(seed, 0x7477_696e),
            sites,
            servers: servers.collect(),
            fates: vec![Fate::new(); fabric.pops.len()],
            turns: turns(&scenario.faults, fabric, world, (START, end))?,
            crowd: Crowd::new(world.units.len(), START, scenario.length.duration()),
            loads: vec![0.0; fabric.pops.len()],
            sent: vec![0.0; fabric.pops.len()],
            gauge: Gauge::new(fabric.pops.len(), fabric.servers.len(), from),
            end,
        })
    }

    /// Runs to the end; `progress` is told the part of the time that has passed, now and then.
    pub(crate) fn run(&mut self, progress: &mut dyn FnMut(f64)) {
        self.begin();
        let length = self.end.since(START).as_secs_f64();
        while let Some((now, event)) = self.queue.next() {
            if now > self.end {
                break;
            }
            if matches!(event, Event::Second) {
                progress(now.since(START).as_secs_f64() / length);
            }
            self.happen(now, event);
        }
    }

    fn begin(&mut self) {
        for server in 0..self.servers.len() {
            self.start_server(server, START);
        }
        self.prime();
        for site in 0..self.sites.len() {
            self.start_site(site, START);
        }
        self.arrange_crowd();
        self.arrange_disks();
        for (n, turn) in self.turns.iter().enumerate() {
            self.queue.add(turn.at, Event::Turn(n));
        }
        self.queue.add(START, Event::Ask);
        self.queue.add(START.after(Duration::from_secs(1)), Event::Second);
    }

    /// When each unit asks first: those who are known within 20 s, the new ones after the
    /// warm-up.
    fn arrange_crowd(&mut self) {
        let warm = self.scenario.warm_up.0;
        let length = self.scenario.length.0;
        for (n, unit) in self.world.units.iter().enumerate() {
            let (first, span) = if unit.is_new {
                // The last ones come early enough to be measured.
                (warm, length.saturating_sub(warm).saturating_sub(15_000_000).max(1))
            } else {
                (0, 20_000_000.min(length))
            };
            let at = first + self.dice.next() % span.max(1);
            self.crowd.ask_at(n, START.after(Duration::from_micros(at)));
        }
    }

    fn happen(&mut self, now: Timestamp, event: Event) {
        match event {
            Event::Wake(site, boot) => self.wake(site, boot, now),
            Event::Outcome(site, boot, job, outcome) => {
                self.outcome(site, boot, (job, &outcome), now)
            }
            Event::Report(server, report) => self.report(server, &report, now),
            Event::Digest(server, digest) => self.digest(server, &digest, now),
            Event::Repair(site, repair) => self.repair(site, &repair, now),
            Event::Tell(site, boot) => self.tell(site, boot, now),
            Event::AskAgain(server, life) => self.ask_again(server, life, now),
            Event::Needs(site, needs) => self.needs(site, &needs, now),
            Event::Publish(server, life) => self.publish(server, life, now),
            Event::Slot(server, life) => self.slot(server, life, now),
            Event::Keep(server) => {
                if let Some(server) = self.servers.get_mut(server).filter(|s| s.is_up) {
                    server.keep();
                }
            }
            Event::Forget(server, life) => self.forget(server, life, now),
            Event::Ask => self.ask(now),
            Event::Second => self.second(now),
            Event::Turn(turn) => self.turn(turn, now),
            Event::Join(site, boot) => self.join(site, boot, now),
            Event::InUse(unit, first) => self.in_use(unit, first, now),
        }
    }

    fn start_server(&mut self, n: usize, now: Timestamp) {
        let Some(server) = self.servers.get_mut(n) else { return };
        server.offset_us = self.fates.get(server.pop).map_or(0, |fate| fate.clock_us);
        server.start(&self.fabric.network, now);
        let life = server.life;
        self.journal.note(now, 1, n, life);
        self.queue.add(now.after(SLOT), Event::Slot(n, life));
        self.queue.add(now.after(VIEW_MAX), Event::Publish(n, life));
        self.queue.add(now.after(REPAIR), Event::AskAgain(n, life));
        self.queue.add(now.after(FORGET), Event::Forget(n, life));
        if let Some(server) = self.servers.get_mut(n) {
            server.publish_at = Some(now.after(VIEW_MAX));
        }
        // Probes find it again within a second or so, and tell it everything.
        for site in 0..self.sites.len() {
            let boot = self.sites.get(site).map_or(0, |site| site.boot);
            let wait = Duration::from_micros(200_000 + self.dice.next() % 1_000_000);
            if boot > 0 {
                self.queue.add(now.after(wait), Event::Join(site, boot));
            }
        }
    }

    fn publish(&mut self, n: usize, life: u64, now: Timestamp) {
        let Some(server) = self.servers.get_mut(n) else { return };
        if server.life != life || !server.is_up || server.publish_at != Some(now) {
            return;
        }
        server.publish(now);
        let next = now.after(VIEW_MAX);
        server.publish_at = Some(next);
        self.queue.add(next, Event::Publish(n, life));
        let view = Arc::clone(&server.view);
        self.journal.note(now, 2, n, view.generation);
        for (target, verdict) in view.verdicts() {
            if let Some(pop) = self.targets.get(target) {
                self.gauge.verdict(*pop, n, verdict.standing, now);
            }
        }
    }

    fn forget(&mut self, n: usize, life: u64, now: Timestamp) {
        let Some(server) = self.servers.get_mut(n).filter(|server| server.life == life) else {
            return;
        };
        server.forget(now);
        self.queue.add(now.after(FORGET), Event::Forget(n, life));
    }

    /// Whether packets of ours pass between two POPs.
    fn connected(&self, one: usize, other: usize) -> bool {
        let open = |pop: usize| self.fates.get(pop).is_none_or(|f| f.cut == 0 && f.dark == 0);
        one == other || (open(one) && open(other))
    }

    /// The round trip between two POPs' machines.
    fn trip(&self, one: usize, other: usize) -> u32 {
        let slow = |pop: usize| self.fates.get(pop).map_or(0, |fate| fate.slow_us);
        self.world.between_us(one, other).saturating_add(slow(one).max(slow(other)))
    }

    /// Loads follow demand; everything is written down.
    fn second(&mut self, now: Timestamp) {
        self.queue.add(now.after(Duration::from_secs(1)), Event::Second);
        let day = self.scenario.crowd.day.map(|day| {
            let past = now.since(START).as_secs_f64() / day.duration().as_secs_f64().max(1.0);
            past.fract()
        });
        let mut demand = vec![0.0; self.fates.len()];
        let (mut total, mut trips, mut nearest) = (0.0, 0.0, 0.0);
        for (n, (unit, held)) in self.world.units.iter().zip(&self.crowd.held).enumerate() {
            if held.pop == NOWHERE {
                continue;
            }
            let factor = self.fates.get(unit.best).map_or(1.0, |fate| fate.demand);
            let light = day.map_or(1.0, |day| self.world.daylight(n, day));
            let weight = unit.weight * factor * light;
            total += weight;
            trips += weight * f64::from(held.rtt_us);
            nearest += weight * f64::from(unit.best_us);
            if let Some(of_pop) = demand.get_mut(usize::from(held.pop)) {
                *of_pop += weight;
            }
        }
        let ms = |sum: f64| if total > 0.0 { sum / total / 1_000.0 } else { 0.0 };
        let series = &mut self.gauge.series;
        series.latency.push(ms(trips));
        series.nearest.push(ms(nearest));
        series.agreement.push(None);
        for (pop, (load, demand)) in self.loads.iter_mut().zip(&demand).enumerate() {
            let capacity = self.world.capacity.get(pop).copied().unwrap_or(1.0);
            *load += LAG * (demand / capacity - *load);
            if let Some(of_pop) = series.loads.get_mut(pop) {
                of_pop.push(*load);
            }
        }
        for (sent, demand) in self.sent.iter_mut().zip(&demand) {
            *sent += demand * OCTETS;
        }
        self.watch_verdicts(now);
        let every = (self.end.since(START).as_secs() / SAMPLES).max(PAIRS_EVERY);
        if now.since(START).as_secs().is_multiple_of(every) {
            self.compare(now);
        }
    }

    /// Counts living POPs that are called down.
    fn watch_verdicts(&mut self, now: Timestamp) {
        if now < self.gauge.from {
            return;
        }
        let mut wrong = 0;
        for server in self.servers.iter().filter(|server| server.is_up) {
            for (target, verdict) in server.view.verdicts() {
                let fate = self.targets.get(target).and_then(|pop| self.fates.get(*pop));
                let down = verdict.standing == popnet_steering::Standing::Down;
                let alive = fate.is_some_and(|fate| fate.serves() && fate.cut == 0);
                wrong += u64::from(down && alive && fate.is_some_and(|f| f.recovered(now)));
            }
        }
        self.gauge.wrongly_down += wrong;
    }
}

/// The place of a unit number.
fn at(n: u32) -> usize {
    place(u64::from(n))
}
