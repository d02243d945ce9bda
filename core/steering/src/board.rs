//! The writer's side: probe reports in, in any order; the next view out.
//!
//! Each publisher is the only writer of its own words, and its words are ordered by
//! `(boot, seq)`, never by clock; so the order of arrival changes nothing. A word's age is the
//! time since it arrived plus the time that it lay at its publisher (a difference of two readings
//! of one clock), so that no two clocks have to agree (N12).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use popnet_config::network::Network;
use popnet_terms::{Micros, NodeName, PopId, TargetId, Timestamp};
use popnet_wire::probing::{Finding, Report, Sample, Subject};
use popnet_wire::rollout::Epoch;
use serde::{Deserialize, Serialize};

use crate::assess::{Assessor, Fence};
use crate::atlas::Atlas;
use crate::confidence::Ageing;
use crate::geo::{self, Models, Pair};
use crate::guard::{Guard, Seen};
use crate::health::{Word, Words};
use crate::latency::{Book, Word as Said};
use crate::plan::Plan;
use crate::prices::Prices;
use crate::sheds::Sheds;
use crate::view::{Connect, GuardHold, Standing, Verdict, View};

/// What became of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Samples that were news.
    pub accepted: usize,
    /// Samples that were older than, or the same as, what is known.
    pub old: usize,
    /// Samples about what this configuration does not have, or for which there is no room.
    pub foreign: usize,
}

/// The newest word of every publisher on everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Board {
    #[serde(skip)]
    plan: Plan,
    fence: Option<Fence>,
    words: BTreeMap<Subject, Words>,
    latency: Book,
    #[serde(skip)]
    atlas: Atlas,
    models: Arc<Models>,
    to_probes: BTreeMap<PopId, Micros>,
    sheds: Sheds,
    /// Kept behind the board, which had none in its first form.
    #[serde(skip)]
    prices: Prices,
    guard: Guard,
    tracks: BTreeMap<TargetId, Track>,
    #[serde(skip)]
    generation: u64,
}

/// What a verdict needs of those before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Track {
    /// The last verdict that was told.
    told: Arc<Verdict>,
    /// When it came back, while it is on its way to its full weight.
    returned: Option<Timestamp>,
}

/// The share of its weight that a target has when it has just come back, in thousandths.
const RAMP_FROM: u128 = 100;

/// Words older than this are dropped; long before, they count for nothing.
const WORD_KEEP: Duration = Duration::from_mins(30);

/// Client units that a model of distances rests on.
const MODEL_UNITS: usize = 4_096;

/// No service word lies longer than this at its publisher, and no latency longer than a day: a
/// larger difference is a clock that jumped.
const HELD_MAX: Duration = Duration::from_mins(5);
const LATENCY_HELD_MAX: Duration = Duration::from_hours(24);

/// A sample from after its own report is from a clock that goes wrong, or forged.
const AHEAD_MAX: Duration = Duration::from_secs(1);

impl Board {
    /// How many parts the latencies are kept in.
    pub const LATENCY_PARTS: u16 = crate::latency::PARTS;

    /// The form in which parts of the latencies are given out; older ones are taken over.
    pub const LATENCY_VERSION: u16 = crate::latency::VERSION;

    /// An empty board, which knows of nothing until [`Board::configure`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a configuration over: words about what it no longer has are dropped. In a managed
    /// network `epoch` is the one in force here; targets that say that they serve by an older one
    /// are taken out five seconds later.
    pub fn configure(&mut self, network: &Network, epoch: Option<Epoch>, now: Timestamp) {
        self.plan = Plan::compile(network);
        self.fence = epoch.map(|epoch| match self.fence {
            Some(fence) if fence.epoch == epoch => fence,
            Some(_) | None => Fence { epoch, since: now },
        });
        let plan = &self.plan;
        for (subject, words) in &mut self.words {
            words.retain(|probe, _| plan.expects(subject, probe));
        }
        self.forget(now);
    }

    /// All of it as octets, without the configuration and the databases of places.
    #[must_use]
    pub fn to_octets(&self) -> Vec<u8> {
        postcard::to_allocvec(&(self, &self.prices)).unwrap_or_default()
    }

    /// The board that [`Board::to_octets`] gave, under the configuration that was in force then.
    /// `None`: the octets are no board.
    #[must_use]
    pub fn from_octets(octets: &[u8], network: &Network) -> Option<Self> {
        let (board, rest): (Self, &[u8]) = postcard::take_from_bytes(octets).ok()?;
        let prices = match rest {
            [] => Prices::default(),
            rest => {
                let (prices, rest): (Prices, &[u8]) = postcard::take_from_bytes(rest).ok()?;
                rest.is_empty().then_some(())?;
                prices
            }
        };
        let latency = board.latency.recounted();
        Some(Self { plan: Plan::compile(network), latency, prices, ..board })
    }

    /// Takes a report in. The caller has made sure that it comes from its publisher.
    pub fn record(&mut self, report: &Report, received: Timestamp) -> Recorded {
        let mut recorded = Recorded::default();
        if !self.plan.publishers.contains(&report.publisher) {
            recorded.foreign = report.samples.len();
            return recorded;
        }
        for sample in &report.samples {
            if sample.at.since(report.sent) > AHEAD_MAX {
                recorded.foreign += 1;
                continue;
            }
            let held = report.sent.since(sample.at);
            let held_max = match sample.finding {
                Finding::Latency(_) => LATENCY_HELD_MAX,
                Finding::Service(_) | Finding::Shed(_) | Finding::Traffic(_) => HELD_MAX,
            };
            let held = if held > held_max { Duration::ZERO } else { held };
            let held = i64::try_from(held.as_micros()).unwrap_or(0);
            let at = Timestamp(received.0.saturating_sub(held));
            match self.record_sample(report, sample, at) {
                Some(true) => recorded.accepted += 1,
                Some(false) => recorded.old += 1,
                None => recorded.foreign += 1,
            }
        }
        recorded
    }

    /// The round trip from this name server to the probes of `pop`: the first term of the
    /// `sum-ns` policy (N22 read literally).
    pub fn record_path(&mut self, pop: &PopId, rtt: Micros) {
        self.to_probes.insert(pop.clone(), rtt);
    }

    /// Drops what counts for nothing any more. Call it every minute or so.
    pub fn forget(&mut self, now: Timestamp) {
        for words in self.words.values_mut() {
            for by_publisher in words.values_mut() {
                by_publisher.retain(|from, word| {
                    now.since(word.at) <= WORD_KEEP && self.plan.publishers.contains(from)
                });
            }
            words.retain(|_, by_publisher| !by_publisher.is_empty());
        }
        self.words.retain(|_, words| !words.is_empty());
        let pops: Vec<PopId> = self.plan.publishers.iter().map(NodeName::pop).collect();
        self.latency.forget(Ageing::path(), now, |pop| pops.contains(pop));
        self.to_probes.retain(|pop, _| pops.contains(pop));
        self.tracks.retain(|target, _| self.plan.targets.contains_key(target));
        let plan = &self.plan;
        self.sheds.forget(now, |target, pop| plan.may_speak_for(target, pop));
        self.prices.forget(now, |target, pop| plan.may_speak_for(target, pop));
    }

    /// What is known at `now`.
    pub fn view(&mut self, now: Timestamp) -> View {
        // Ages, expiry and schedules are counted in whole seconds.
        let now = Timestamp(now.unix_seconds().saturating_mul(1_000_000));
        self.generation += 1;
        let mut connect: BTreeMap<PopId, BTreeMap<TargetId, Connect>> = BTreeMap::new();
        for (target, subjects) in &self.plan.targets {
            for subject in subjects {
                self.add_connects(target, subject, &mut connect);
            }
        }
        let (verdicts, guard) = self.verdicts(now);
        View {
            at: now,
            generation: self.generation,
            guard: guard.map(Arc::new),
            verdicts: Arc::new(verdicts),
            latency: self.latency.table().clone(),
            latency_ageing: self.plan.latency(),
            atlas: self.atlas.clone(),
            models: Arc::clone(&self.models),
            connect: Arc::new(connect),
            to_probes: Arc::new(self.to_probes.clone()),
            ways: Arc::default(),
        }
    }

    /// The POPs that should measure the latency to `client`: those whose value is missing or is
    /// no longer believed by half (N14).
    #[must_use]
    pub fn needs(&self, client: IpNet, now: Timestamp) -> Vec<PopId> {
        let tried = self.latency.table().tried(client.trunc(), self.plan.latency(), now);
        self.plan.measuring.iter().filter(|pop| !tried.contains(pop)).cloned().collect()
    }

    /// The newest service words as reports with the time at which they came in: to be kept over a
    /// restart (N13) and given to [`Board::import`].
    #[must_use]
    pub fn export(&self) -> Vec<(Timestamp, Report)> {
        let mut reports: BTreeMap<(NodeName, u64, u64), Vec<Sample>> = BTreeMap::new();
        for word_of in self.words.values().flat_map(BTreeMap::values) {
            for (from, word) in word_of {
                let finding = Finding::Service(word.service.clone());
                let samples = reports.entry((from.clone(), word.boot, word.seq)).or_default();
                samples.push(Sample { at: word.at, finding });
            }
        }
        let report = |((publisher, boot, seq), samples): ((NodeName, u64, u64), Vec<Sample>)| {
            let sent = samples.iter().map(|sample| sample.at).max().unwrap_or_default();
            (sent, Report { publisher, boot, seq, epoch: Epoch(0), sent, samples })
        };
        reports.into_iter().map(report).collect()
    }

    /// Up to `most` parts of the latencies that changed since they were given out last, each as
    /// octets to be kept under its number, below [`Board::LATENCY_PARTS`].
    pub fn changed_latencies(&mut self, most: usize) -> Vec<(u16, Vec<u8>)> {
        self.latency.changed(most)
    }

    /// Takes a part over that [`Board::changed_latencies`] gave in the form of `version`; says how
    /// many rows it had. `None`: the octets are none of ours.
    pub fn restore_latencies(&mut self, version: u16, octets: &[u8]) -> Option<usize> {
        let pops: Vec<PopId> = self.plan.publishers.iter().map(NodeName::pop).collect();
        self.latency.restore(version, octets, |pop| pops.contains(pop))
    }

    /// Learns anew how distance on the globe becomes time, from what is measured. Once an hour is
    /// often enough.
    pub fn fit_models(&mut self, now: Timestamp) {
        let (table, ageing) = (self.latency.table(), self.plan.latency());
        let mut pairs: BTreeMap<Option<String>, Vec<Pair>> = BTreeMap::new();
        for (unit, known) in table.some(MODEL_UNITS, ageing, now) {
            let Some(from) = self.atlas.place(unit).and_then(|place| place.location) else {
                continue;
            };
            for known in known {
                let pop = table.pop(known.pop);
                let Some(to) = pop.and_then(|pop| self.plan.places.get(pop)) else { continue };
                let pair = Pair { km: geo::kilometres(&from, to), rtt: known.rtt };
                pairs.entry(to.region.clone()).or_default().push(pair);
            }
        }
        self.models = Arc::new(Models::fit(pairs));
    }

    /// From now on clients are looked up here.
    pub fn use_atlas(&mut self, atlas: Atlas) {
        self.atlas = atlas;
    }

    /// Takes over what [`Board::export`] gave.
    pub fn import(&mut self, kept: &[(Timestamp, Report)]) -> Recorded {
        let mut all = Recorded::default();
        for (received, report) in kept {
            let one = self.record(report, *received);
            all.accepted += one.accepted;
            all.old += one.old;
            all.foreign += one.foreign;
        }
        all
    }

    /// `Some(true)`: news; `Some(false)`: not; `None`: not for us.
    fn record_sample(&mut self, report: &Report, sample: &Sample, at: Timestamp) -> Option<bool> {
        let (boot, seq) = (report.boot, report.seq);
        match &sample.finding {
            Finding::Service(service) => {
                self.plan.expects(&service.subject, &service.probe).then_some(())?;
                let words = self.words.entry(service.subject.clone()).or_default();
                let by_publisher = words.entry(service.probe.clone()).or_default();
                let new = Word { boot, seq, at, service: service.clone() };
                let old = by_publisher.get(&report.publisher);
                let news = old.is_none_or(|old| (old.boot, old.seq) < (boot, seq));
                if news {
                    by_publisher.insert(report.publisher.clone(), new);
                }
                Some(news)
            }
            Finding::Latency(latency) => {
                let pop = report.publisher.pop();
                self.plan.measuring.contains(&pop).then_some(())?;
                let word = Said { publisher: &report.publisher, boot, seq, at };
                let place = self.atlas.place(latency.client);
                Some(self.latency.record(latency, word, place.as_ref()))
            }
            Finding::Shed(shed) => {
                let pop = report.publisher.pop();
                self.plan.may_speak_for(&shed.target, &pop).then_some(())?;
                Some(self.sheds.record(&report.publisher, (boot, seq), at, shed))
            }
            Finding::Traffic(traffic) => {
                let target = TargetId::Pop(traffic.pop.clone());
                self.plan.is_billed(&target).then_some(())?;
                self.plan.may_speak_for(&target, &report.publisher.pop()).then_some(())?;
                Some(self.prices.record(&report.publisher, (boot, seq), at, traffic))
            }
        }
    }

    /// The verdicts at `now`: what the words say, save for those who are held up; and who these
    /// are.
    fn verdicts(
        &mut self,
        now: Timestamp,
    ) -> (BTreeMap<TargetId, Arc<Verdict>>, Option<GuardHold>) {
        let (plan, words, fence) = (&self.plan, &self.words, self.fence);
        let assessor = Assessor { plan, fence, words, now };
        let by_words = plan.targets.iter();
        let by_words = by_words.map(|(id, subjects)| (id.clone(), assessor.verdict(id, subjects)));
        let mut verdicts: BTreeMap<TargetId, Verdict> = by_words.collect();
        let seen = verdicts.iter().map(|(target, verdict)| Seen {
            target,
            down: (verdict.standing == Standing::Down).then_some(verdict.seen_by.as_slice()),
            was_up: self.tracks.get(target).is_some_and(|t| t.told.standing < Standing::Unknown),
        });
        let guard = self.guard.review(plan, seen, now);
        for target in guard.iter().flat_map(|hold| &hold.targets) {
            let before = self.tracks.get(target).map(|track| &track.told);
            if let Some((before, verdict)) = before.zip(verdicts.get_mut(target)) {
                *verdict = Verdict { age: verdict.age, load: verdict.load, ..(**before).clone() };
            }
        }
        let told = verdicts.into_iter().map(|(target, mut verdict)| {
            let before = self.tracks.get(&target);
            verdict.since = match before {
                Some(track) if track.told.standing == verdict.standing => track.told.since,
                Some(_) | None => now,
            };
            let returned = before.and_then(|track| returned(track, &verdict, now));
            let ramp = plan.ramps.get(&target).copied().unwrap_or_default();
            let shed = self.sheds.of(&target, now);
            (verdict.shed, verdict.is_kept) = (shed.unwrap_or(0), shed.is_some());
            verdict.toll = self.prices.of(&target, now);
            verdict.ramp = returned.map_or(1_000, |at| share_back(now.since(at), ramp));
            let returned = returned.filter(|_| verdict.ramp < 1_000);
            let verdict = Arc::new(verdict);
            let track = Track { told: Arc::clone(&verdict), returned };
            self.tracks.insert(target.clone(), track);
            (target, verdict)
        });
        (told.collect(), guard)
    }

    /// The newest time to connect of each POP: the least over the target's machines.
    fn add_connects(
        &self,
        target: &TargetId,
        subject: &Subject,
        connect: &mut BTreeMap<PopId, BTreeMap<TargetId, Connect>>,
    ) {
        let by_probe = self.words.get(subject).into_iter().flat_map(BTreeMap::values);
        for (from, word) in by_probe.flatten() {
            // A failed attempt has no round trip to tell.
            if word.service.connect == Micros(0) {
                continue;
            }
            let new = Connect { rtt: word.service.connect, at: word.at };
            let of_pop = connect.entry(from.pop()).or_default();
            let kept = of_pop.entry(target.clone()).or_insert(new);
            if (new.rtt, new.at) < (kept.rtt, kept.at) {
                *kept = new;
            }
        }
    }
}

/// When a target came back from being down, if it is `verdict` that says so or it still counts.
fn returned(before: &Track, verdict: &Verdict, now: Timestamp) -> Option<Timestamp> {
    let is_out = |standing| matches!(standing, Standing::Down | Standing::Damped);
    match (is_out(before.told.standing), is_out(verdict.standing)) {
        (_, true) => None,
        (true, false) => Some(now),
        (false, false) => before.returned,
    }
}

/// The share of its weight that a target has so long after it came back, in thousandths.
fn share_back(age: Duration, whole: Duration) -> u16 {
    let gained = age.as_millis() * (1_000 - RAMP_FROM) / whole.as_millis().max(1);
    u16::try_from(RAMP_FROM + gained.min(1_000)).map_or(1_000, |share| share.min(1_000))
}
