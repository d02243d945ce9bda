//! Resolvers ask, and get what the real decision says.

use std::time::Duration;

use popnet_steering::{Client, Family, Pick, Question, choose};
use popnet_terms::{Because, RttSource, Seconds, Timestamp};
use popnet_wire::probing::Need;

use super::{Event, PAIRS, START, Twin, at};
use crate::crowd::{NOWHERE, STEP};
use crate::num::{count, float};

/// How soon an empty or missing answer is asked for again.
const RETRY: Seconds = Seconds(5);

/// Whether measured data is in use is looked at this often, and no longer than that.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_MAX: Duration = Duration::from_secs(15);

impl Twin<'_> {
    /// Everybody whose answer has ended asks.
    pub(super) fn ask(&mut self, now: Timestamp) {
        self.queue.add(now.after(STEP), Event::Ask);
        let mut answers = 0;
        for n in self.crowd.due(now) {
            self.resolve(at(n), now);
            answers += 1;
        }
        let rate = float(answers) / STEP.as_secs_f64();
        self.gauge.series.answers.push(rate);
    }

    /// A name server that answers: resolvers turn to the next where one does not.
    fn server(&mut self) -> Option<usize> {
        let first = self.dice.below(self.servers.len());
        let answers = |n: &usize| {
            let server = self.servers.get(*n);
            let dark = |pop: usize| self.fates.get(pop).is_some_and(|fate| fate.dark > 0);
            server.is_some_and(|server| server.is_up && !dark(server.pop))
        };
        (0..self.servers.len()).map(|n| (first + n) % self.servers.len()).find(answers)
    }

    fn question(&self, unit: usize) -> Question {
        let client = Client::Unit(self.world.net(unit));
        Question { client, family: Family::V4, bound: None }
    }

    fn pick(&mut self, unit: usize, server: usize) -> Option<Pick> {
        let site = self.world.units.get(unit)?.site;
        let question = self.question(unit);
        Some(self.servers.get_mut(server)?.pick(site, self.rules.get(site)?, &question))
    }

    /// How the way to the one that `server` names first is known.
    fn source(&self, unit: usize, server: usize) -> Option<RttSource> {
        let rules = self.rules.get(self.world.units.get(unit)?.site)?;
        let choice = choose(&self.servers.get(server)?.view, rules, &self.question(unit));
        let chosen = choice.targets.first().map(|chosen| &chosen.target);
        let of = choice.candidates.iter().find(|one| Some(&one.target) == chosen)?;
        of.score.as_ref().map(|score| score.rtt_source)
    }

    fn resolve(&mut self, n: usize, now: Timestamp) {
        let server = self.server();
        let choice = server.and_then(|server| Some((server, self.pick(n, server)?)));
        let Some((server, choice)) = choice else {
            self.crowd.take(n, None, 0, now);
            self.crowd.ask_at(n, now.after(Duration::from_secs(RETRY.0.into())));
            return;
        };
        let named: Vec<usize> =
            choice.targets.iter().filter_map(|t| self.targets.get(&t.target).copied()).collect();
        let first = named.first().copied();
        self.journal.note(now, 7, n, count(first.unwrap_or(usize::from(NOWHERE))));
        self.count(n, &choice, &named, now);
        if choice.needs_measurement {
            let need = Need { resolver: self.world.resolver(n), client: self.world.net(n) };
            if let Some(server) = self.servers.get_mut(server) {
                server.wish(need, now);
            }
        }
        let rtt = first.map_or(0, |pop| {
            let slow = self.fates.get(pop).map_or(0, |fate| fate.slow_us);
            self.world.rtt_us(n, pop).saturating_add(slow)
        });
        self.crowd.take(n, first, rtt, now);
        let holds = self.world.units.get(n).is_some_and(|unit| unit.over_holds);
        let held = choice.ttl.0.saturating_mul(if holds { 3 } else { 1 });
        self.crowd.ask_at(n, now.after(Duration::from_secs(held.into())));
    }

    /// What figures want to know of an answer.
    fn count(&mut self, n: usize, choice: &Pick, named: &[usize], now: Timestamp) {
        let Some(unit) = self.world.units.get(n) else { return };
        let held = self.crowd.held.get(n).copied();
        let first = named.first().copied();
        if held.is_some_and(|held| held.first.is_none()) && unit.is_new {
            if let Some(pop) = first {
                self.gauge.first(self.world.rtt_us(n, pop), unit.best_us);
            }
            if !unit.is_silent {
                self.queue.add(now.after(LOOK), Event::InUse(n, now));
            }
        }
        if now < self.gauge.from {
            return;
        }
        let gauge = &mut self.gauge;
        gauge.answers += 1;
        gauge.empty += u64::from(named.is_empty());
        if let Some(held) = held.filter(|held| held.pop != NOWHERE) {
            gauge.again += 1;
            gauge.moved += u64::from(first.is_some_and(|pop| pop != usize::from(held.pop)));
        }
        let late = self.scenario.network.interval.duration() * 2;
        let lost = |pop: &usize| {
            let since = self.fates.get(*pop).and_then(|fate| fate.dead_since);
            since.is_some_and(|since| now > since.after(late))
        };
        let last_resort = choice.because == Because::FallbackAll;
        if !last_resort && named.iter().any(lost) {
            gauge.named_dead += 1;
        }
        if gauge.all_dead.is_some() && !last_resort {
            gauge.last_hope = Some(now);
        }
        if gauge.step.is_some() {
            gauge.ttl_sum += u64::from(choice.ttl.0);
            gauge.ttl_count += 1;
        }
    }

    /// Whether a unit's answers rest on measurements by now.
    pub(super) fn in_use(&mut self, n: usize, first: Timestamp, now: Timestamp) {
        let waited = now.since(first);
        let server = self.server();
        let source = server.and_then(|server| self.source(n, server));
        let measured = source == Some(RttSource::Measured);
        if measured || waited >= LOOK_MAX {
            self.gauge.in_use.push(waited.as_secs_f64());
            return;
        }
        self.queue.add(now.after(LOOK), Event::InUse(n, first));
    }

    /// Asks all name servers the same about some units.
    pub(super) fn compare(&mut self, now: Timestamp) {
        let up: Vec<usize> = (0..self.servers.len())
            .filter(|n| self.servers.get(*n).is_some_and(|server| server.is_up))
            .collect();
        if up.len() < 2 || now.since(START) < Duration::from_secs(15) {
            return;
        }
        let (mut agreed, mut asked) = (0, 0);
        for _ in 0..PAIRS.min(self.world.units.len()) {
            let n = self.dice.below(self.world.units.len());
            if self.crowd.held.get(n).is_none_or(|held| held.first.is_none()) {
                continue;
            }
            let mut target = |server: &usize| {
                self.pick(n, *server)?.targets.into_iter().next().map(|chosen| chosen.target)
            };
            let mut said = up.iter().map(&mut target);
            let first = said.next();
            asked += 1;
            agreed += u64::from(said.all(|other| Some(&other) == first.as_ref()));
        }
        self.gauge.agreement(agreed, asked, now);
    }
}
