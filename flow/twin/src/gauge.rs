//! What is measured while the twin runs.

use std::collections::BTreeMap;

use popnet_steering::Standing;
use popnet_terms::Timestamp;

use crate::figures::Figure;
use crate::num::{count, float, percentile, share};
use crate::oracle::mean;

/// Values once a second from the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// Mean round trip of all clients in ms.
    pub(crate) latency: Vec<f64>,
    /// The least that it could be, whatever the load.
    pub(crate) nearest: Vec<f64>,
    /// Load of each POP.
    pub(crate) loads: Vec<Vec<f64>>,
    /// Share of pairs on which all name servers agree; sampled every few seconds.
    pub(crate) agreement: Vec<Option<f64>>,
    /// Answers a second.
    pub(crate) answers: Vec<f64>,
}

/// The measures.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    pub(crate) series: Series,
    /// Values from here on count for figures.
    pub(crate) from: Timestamp,
    pub(crate) answers: u64,
    pub(crate) moved: u64,
    pub(crate) again: u64,
    pub(crate) empty: u64,
    pub(crate) named_dead: u64,
    pub(crate) wrongly_down: u64,
    pub(crate) verdict_changes: u64,
    first_near: u64,
    first: u64,
    /// Waits for the first measurement, in seconds.
    pub(crate) in_use: Vec<f64>,
    /// Of verdicts, in seconds.
    spread: Vec<f64>,
    turning: BTreeMap<usize, Timestamp>,
    standings: Vec<Vec<Option<Standing>>>,
    /// Since when everything is dead, and when last an answer was no last resort.
    pub(crate) all_dead: Option<Timestamp>,
    pub(crate) last_hope: Option<Timestamp>,
    agreed: u64,
    asked: u64,
    /// The POP and the time of the demand step.
    pub(crate) step: Option<(usize, Timestamp)>,
    /// Times to live of the answers since the step, in seconds.
    pub(crate) ttl_sum: u64,
    pub(crate) ttl_count: u64,
}

/// So near to the best counts as near.
const NEAR_US: u32 = 25_000;

impl Gauge {
    pub(crate) fn new(pops: usize, servers: usize, from: Timestamp) -> Self {
        let series = Series { loads: vec![Vec::new(); pops], ..Series::default() };
        Self { series, from, standings: vec![vec![None; servers]; pops], ..Self::default() }
    }

    /// A first answer to somebody never seen before.
    pub(crate) fn first(&mut self, rtt_us: u32, best_us: u32) {
        self.first += 1;
        self.first_near += u64::from(rtt_us <= best_us.saturating_add(NEAR_US));
    }

    /// A name server's verdict on a POP, as it is published.
    pub(crate) fn verdict(
        &mut self,
        pop: usize,
        server: usize,
        standing: Standing,
        now: Timestamp,
    ) {
        let Some(of_pop) = self.standings.get_mut(pop) else { return };
        let Some(of_server) = of_pop.get_mut(server) else { return };
        let before = of_server.replace(standing);
        if before.is_none() || before == Some(standing) {
            return;
        }
        if now >= self.from {
            self.verdict_changes += 1;
        }
        self.turn(pop, now);
    }

    /// A name server that is down says nothing.
    pub(crate) fn silence(&mut self, server: usize, now: Timestamp) {
        for pop in 0..self.standings.len() {
            if let Some(slot) = self.standings.get_mut(pop).and_then(|of| of.get_mut(server)) {
                *slot = None;
            }
            if self.turning.contains_key(&pop) {
                self.turn(pop, now);
            }
        }
    }

    fn turn(&mut self, pop: usize, now: Timestamp) {
        let Some(of_pop) = self.standings.get(pop) else { return };
        let mut said = of_pop.iter().flatten();
        let first = said.next();
        let agree = said.all(|standing| Some(standing) == first);
        if !agree {
            self.turning.entry(pop).or_insert(now);
        } else {
            let since = self.turning.remove(&pop).unwrap_or(now);
            if since >= self.from {
                self.spread.push(now.since(since).as_secs_f64());
            }
        }
    }

    pub(crate) fn agreement(&mut self, agreed: u64, of: u64, now: Timestamp) {
        if now >= self.from {
            self.agreed += agreed;
            self.asked += of;
        }
        if let Some(last) = self.series.agreement.last_mut() {
            *last = Some(share(agreed, of));
        }
    }

    /// Seconds from the start to where figures begin.
    fn skip(&self, start: Timestamp) -> usize {
        crate::num::place(self.from.since(start).as_secs())
    }

    /// The figures that need nobody else's.
    pub(crate) fn figures(&mut self, world: &Context) -> BTreeMap<Figure, f64> {
        let skip = self.skip(world.start);
        let latency = mean(self.series.latency.get(skip..).unwrap_or_default());
        let mut all = BTreeMap::new();
        let mut say = |figure: Figure, value: Option<f64>| {
            if let Some(value) = value {
                all.insert(figure, value);
            }
        };
        let of = |part: u64, whole: u64| (whole > 0).then(|| share(part, whole));
        say(Figure::FirstAnswerNear, of(self.first_near, self.first));
        say(Figure::MeasuredInUse, percentile(&mut self.in_use, 0.95));
        say(Figure::MeanLatency, Some(latency));
        if let Some(ideals) = world.ideals {
            say(Figure::OverBest, Some(latency / ideals.bound - 1.0));
            say(Figure::UnderGlobe, Some(1.0 - latency / ideals.globe));
            say(Figure::UnderTurns, Some(1.0 - latency / ideals.turns));
        }
        say(Figure::Agreement, of(self.agreed, self.asked));
        say(Figure::AgreeAfterChange, percentile(&mut self.spread, 0.99));
        say(Figure::NamedDead, Some(float(self.named_dead)));
        say(Figure::WronglyDown, Some(float(self.wrongly_down)));
        say(Figure::Empty, Some(float(self.empty)));
        say(Figure::VerdictChanges, Some(float(self.verdict_changes)));
        say(Figure::Moved, of(self.moved, self.again));
        let dead = self.all_dead.zip(self.last_hope);
        let open = dead.map(|(dead, last)| last.since(dead).as_secs_f64() / world.interval);
        say(Figure::FailOpen, open);
        let after = |loads: &Vec<f64>| loads.get(skip..).unwrap_or_default().to_vec();
        let loads = self.series.loads.iter().flat_map(after);
        say(Figure::HighestLoad, loads.max_by(f64::total_cmp));
        if let Some((pop, at)) = self.step {
            let step =
                Step::of(self, pop, crate::num::place(at.since(world.start).as_secs()), world);
            say(Figure::Overshoot, step.overshoot);
            say(Figure::SpillOver, Some(step.spill_over));
            say(Figure::SettledPeriods, step.settled);
            say(Figure::Swing, Some(step.swing));
        }
        all
    }
}

/// What figures need to know of the scenario.
pub(crate) struct Context {
    pub(crate) start: Timestamp,
    pub(crate) interval: f64,
    /// The load that POPs should have at most.
    pub(crate) target: f64,
    pub(crate) ideals: Option<crate::oracle::Ideals>,
}

/// How the load of a POP came down after a step of its demand.
struct Step {
    overshoot: Option<f64>,
    spill_over: f64,
    settled: Option<f64>,
    swing: f64,
}

/// The load has settled when it stays this near to the target.
const SETTLED: f64 = 0.05;

impl Step {
    fn of(gauge: &Gauge, pop: usize, at: usize, world: &Context) -> Self {
        let none = Vec::new();
        let loads = gauge.series.loads.get(pop).unwrap_or(&none);
        // The load follows demand within a few seconds; before that the step is not there yet.
        let after = loads.get(at + 5..).unwrap_or_default();
        let reached = after.iter().position(|load| *load <= world.target + SETTLED);
        let low = reached.map(|at| after.iter().skip(at).copied().fold(f64::INFINITY, f64::min));
        let out = |load: &f64| (load - world.target).abs() > SETTLED;
        let last_out = after.iter().rposition(out).map_or(0, |last| last + 6);
        let ttl = share(gauge.ttl_sum, gauge.ttl_count);
        let period = ttl.max(world.interval).max(1.0);
        let settled = reached.map(|_| float(count(last_out)) / period);
        let tail = after.get(after.len() - after.len() / 3..).unwrap_or_default();
        let high = tail.iter().copied().fold(0.0, f64::max);
        let tail_low = tail.iter().copied().fold(f64::INFINITY, f64::min);
        let others = gauge.series.loads.iter().enumerate().filter(|(other, _)| *other != pop);
        let others = others.flat_map(|(_, loads)| loads.get(at..).unwrap_or_default());
        let top = others.copied().fold(0.0, f64::max);
        Self {
            overshoot: low.map(|low| (world.target - low).max(0.0)),
            spill_over: (top - world.target).max(0.0),
            settled,
            swing: (high - tail_low).max(0.0),
        }
    }
}
