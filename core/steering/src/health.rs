//! From the POPs' words to one verdict on a machine, for the world and for each region that has
//! enough probes of its own (steering model, section 4).
//!
//! A region with two fresh POPs or more calls down what two thirds of their weight call down.
//! Everywhere else, what more than half of the world's weight calls down is down; or, where the
//! probe's configuration names how many POPs have to agree, what as many call down.

use std::collections::BTreeMap;
use std::sync::Arc;

use popnet_terms::{Micros, NodeName, PopId, ProbeId, Removed, Timestamp};
use popnet_wire::probing::{Cause, Health, Service, Subject};
use popnet_wire::rollout::Epoch;
use serde::{Deserialize, Serialize};

use crate::confidence::HALF;
use crate::plan::{Plan, ProbePlan};

/// One publisher's newest word on one subject by one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Word {
    pub(crate) boot: u64,
    pub(crate) seq: u64,
    /// When the probe happened, by this server's clock.
    pub(crate) at: Timestamp,
    pub(crate) service: Service,
}

/// Words on one subject by probe and publisher.
pub(crate) type Words = BTreeMap<ProbeId, BTreeMap<NodeName, Word>>;

/// What is known of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) opinion: Opinion,
    /// What regions say by themselves, where their own probes are enough.
    pub(crate) regions: BTreeMap<Arc<str>, Call>,
    /// Share of the POPs that call an up machine down, in thousandths.
    pub(crate) dissent: u16,
    /// When the newest word was formed.
    pub(crate) at: Option<Timestamp>,
    pub(crate) load: Option<u16>,
    /// The epoch it says it serves by, and when it said so.
    pub(crate) epoch: Option<(Epoch, Timestamp)>,
    /// Median over the POPs of the request's total time.
    pub(crate) response: Option<Micros>,
}

/// The agreed opinion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opinion {
    Up,
    /// No probe watches it, and nobody expects a word.
    Unwatched,
    Unknown {
        reason: Option<Removed>,
        why: Arc<str>,
    },
    /// Held back for flapping; the last probes were good.
    Damped {
        why: Arc<str>,
        seen_by: Vec<PopId>,
    },
    Down {
        reason: Removed,
        why: Arc<str>,
        seen_by: Vec<PopId>,
    },
}

/// An opinion without its grounds, worse ones later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Unwatched,
    Unknown,
    Up,
    Damped,
    Down,
}

impl Opinion {
    pub(crate) fn call(&self) -> Call {
        match self {
            Self::Up => Call::Up,
            Self::Unwatched => Call::Unwatched,
            Self::Unknown { .. } => Call::Unknown,
            Self::Damped { .. } => Call::Damped,
            Self::Down { .. } => Call::Down,
        }
    }
}

/// Loads older than this say nothing about now.
const LOAD_EXPIRE_SECONDS: u64 = 60;

/// Fresh POPs that a region needs to speak for itself.
const REGION_POPS: usize = 2;

/// The verdict on `subject`.
pub(crate) fn judge(
    plan: &Plan,
    subject: &Subject,
    words: Option<&Words>,
    now: Timestamp,
) -> Machine {
    let probes = plan.watched.get(subject).map(Vec::as_slice).unwrap_or_default();
    let none = BTreeMap::new();
    let mut opinion = Opinion::Unwatched;
    let mut regional: Vec<(Call, BTreeMap<Arc<str>, Call>)> = Vec::new();
    let mut dissent = 0;
    let mut heard: Vec<&Word> = Vec::new();
    let mut gauges: Vec<&Word> = Vec::new();
    for (id, probe) in probes.iter().filter_map(|id| Some((id, plan.probes.get(id)?))) {
        let said = words.and_then(|words| words.get(id)).unwrap_or(&none);
        let mine: Vec<(&NodeName, &Word)> =
            said.iter().filter(|(from, _)| probe.hears(&from.pop())).collect();
        if probe.is_load {
            gauges.extend(mine.into_iter().map(|(_, word)| word));
            continue;
        }
        let agreed = agreed(plan, probe, &mine, now);
        regional.push((agreed.opinion.call(), agreed.regions));
        // Of two probes of one machine the worse counts: a machine is up when every check that
        // says anything says so.
        if agreed.opinion.call() > opinion.call() {
            opinion = agreed.opinion;
        }
        dissent = dissent.max(agreed.dissent);
        heard.extend(mine.into_iter().map(|(_, word)| word));
    }
    for words in [&mut heard, &mut gauges] {
        words.sort_by_key(|word| std::cmp::Reverse((word.at, word.service.probe.clone())));
    }
    let recent = |word: &&&Word| now.since(word.at).as_secs() <= LOAD_EXPIRE_SECONDS;
    let mut totals: Vec<Micros> = heard.iter().filter(recent).map(|w| w.service.total).collect();
    totals.sort();
    Machine {
        opinion,
        regions: over_probes(&regional),
        dissent,
        at: heard.first().map(|word| word.at),
        // What a machine's own gauges say goes before what a page says of it.
        load: gauges.iter().chain(&heard).filter(recent).find_map(|word| word.service.load),
        epoch: heard.iter().find_map(|word| Some((word.service.epoch?, word.at))),
        response: totals.get(totals.len() / 2).copied(),
    }
}

/// The worst call of each region; a probe on which a region has no say of its own counts there as
/// it does everywhere.
fn over_probes(probes: &[(Call, BTreeMap<Arc<str>, Call>)]) -> BTreeMap<Arc<str>, Call> {
    let named = probes.iter().flat_map(|(_, regions)| regions.keys());
    let worst = |name: &Arc<str>| {
        let calls = probes.iter().map(|(all, own)| own.get(name).copied().unwrap_or(*all));
        calls.max().unwrap_or(Call::Unwatched)
    };
    named.map(|name| (Arc::clone(name), worst(name))).collect()
}

/// What one probe's publishers say together.
struct Agreed {
    opinion: Opinion,
    regions: BTreeMap<Arc<str>, Call>,
    /// The share of POPs that call it down although it is not.
    dissent: u16,
}

/// Weights, in thousandths of a fresh POP.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    up: u64,
    down: u64,
    /// The part of `down` whose last probes were good.
    held: u64,
    pops: usize,
    pops_down: usize,
    pops_held: usize,
    fresh: usize,
}

impl Tally {
    fn add(&mut self, probe: &ProbePlan, word: &Word, confidence: u16) {
        self.pops += 1;
        self.fresh += usize::from(confidence >= HALF);
        match word.service.health {
            Health::Up => self.up += u64::from(confidence),
            Health::Unknown => {}
            Health::Down => {
                self.down += u64::from(confidence);
                self.pops_down += 1;
                if is_held(probe, word) {
                    self.held += u64::from(confidence);
                    self.pops_held += 1;
                }
            }
        }
    }

    /// Down or not, by `rule`; or down only because those who flap are held back.
    fn call(self, rule: impl Fn(Self) -> bool) -> Call {
        let without_held = Self {
            up: self.up + self.held,
            down: self.down - self.held,
            pops_down: self.pops_down - self.pops_held,
            ..self
        };
        match (rule(self), rule(without_held)) {
            (true, true) => Call::Down,
            (true, false) => Call::Damped,
            (false, _) if self.up > 0 => Call::Up,
            (false, _) => Call::Unknown,
        }
    }

    /// Two thirds of a region's own weight.
    fn is_down_in_region(self) -> bool {
        self.down > 0 && self.down * 3 >= (self.down + self.up) * 2
    }

    /// More than half of the world's; or as many POPs as are asked for. Fewer may be left than
    /// have to agree: then all that are left decide.
    fn is_down(self, agree: Option<usize>) -> bool {
        match agree {
            Some(agree) => self.pops_down >= agree.min(self.pops).max(1),
            None => self.down * 2 > self.down + self.up,
        }
    }
}

/// Whether a word says down of what answers well: its probe holds it back.
fn is_held(probe: &ProbePlan, word: &Word) -> bool {
    let service = &word.service;
    service.health == Health::Down
        && service.cause == Cause::Passed
        && service.streak >= probe.rise.max(1)
}

fn agreed(plan: &Plan, probe: &ProbePlan, words: &[(&NodeName, &Word)], now: Timestamp) -> Agreed {
    let mut by_pop: BTreeMap<PopId, (&Word, u16)> = BTreeMap::new();
    for (from, word) in words {
        let confidence = probe.ageing.confidence(now.since(word.at));
        if confidence == 0 {
            continue;
        }
        // Several probes in one POP: one that can reach the subject outweighs one that cannot.
        let best = by_pop.entry(from.pop()).or_insert((word, confidence));
        if rank(word.service.health) < rank(best.0.service.health) {
            *best = (word, confidence);
        }
    }
    let mut world = Tally::default();
    let mut regional: BTreeMap<&Arc<str>, Tally> = BTreeMap::new();
    for (pop, (word, confidence)) in &by_pop {
        world.add(probe, word, *confidence);
        if let Some(region) = plan.regions.get(pop) {
            regional.entry(region).or_default().add(probe, word, *confidence);
        }
    }
    let own = regional.into_iter().filter(|(_, tally)| tally.fresh >= REGION_POPS);
    let own = own.map(|(name, tally)| (Arc::clone(name), tally.call(Tally::is_down_in_region)));
    let regions: BTreeMap<Arc<str>, Call> = own.collect();
    let down = || by_pop.iter().filter(|(_, (word, _))| word.service.health == Health::Down);
    let grounds = || down().map(|(pop, (word, _))| (pop, *word)).collect::<Vec<_>>();
    let share = u16::try_from(world.pops_down * 1_000 / world.pops.max(1)).unwrap_or(1_000);
    let (opinion, dissent) = match world.call(|tally| tally.is_down(probe.agree)) {
        Call::Down => (down_together(probe, &grounds()), 0),
        Call::Damped => (damped_together(&grounds()), 0),
        Call::Up => (Opinion::Up, share),
        Call::Unknown | Call::Unwatched => (unknown(probe, words, by_pop.is_empty(), now), 0),
    };
    Agreed { opinion, regions, dissent }
}

fn rank(health: Health) -> u8 {
    match health {
        Health::Up => 0,
        Health::Unknown => 1,
        Health::Down => 2,
    }
}

fn damped_together(down: &[(&PopId, &Word)]) -> Opinion {
    let passed = down.iter().filter(|(_, word)| word.service.cause == Cause::Passed);
    let streak = passed.map(|(_, word)| word.service.streak).max().unwrap_or(0);
    Opinion::Damped {
        why: format!("held back for flapping, {streak} passed since it was last down").into(),
        seen_by: down.iter().map(|(pop, _)| (*pop).clone()).collect(),
    }
}

fn down_together(probe: &ProbePlan, down: &[(&PopId, &Word)]) -> Opinion {
    let count = |cause: Cause| down.iter().filter(|(_, w)| w.service.cause == cause).count();
    // The cause that most POPs name; of equals the one that is most specific.
    let causes = [
        Cause::Content,
        Cause::Certificate,
        Cause::Status,
        Cause::Protocol,
        Cause::Timeout,
        Cause::Refused,
        Cause::Passed,
    ];
    let cause = causes.into_iter().rev().max_by_key(|cause| count(*cause));
    let cause = cause.unwrap_or(Cause::Passed);
    let spokesman = down.iter().find(|(_, word)| word.service.cause == cause);
    let why = spokesman.map_or_else(String::new, |(_, word)| {
        let streak = word.service.streak.min(probe.fall);
        format!("{}, {streak}/{} failed", word.service.detail, probe.fall)
    });
    Opinion::Down {
        reason: match cause {
            Cause::Content => Removed::ContentCheckFailed,
            Cause::Certificate => Removed::CertInvalid,
            Cause::Status | Cause::Protocol | Cause::Timeout | Cause::Refused | Cause::Passed => {
                Removed::DownProbe
            }
        },
        why: why.into(),
        seen_by: down.iter().map(|(pop, _)| (*pop).clone()).collect(),
    }
}

fn unknown(
    probe: &ProbePlan,
    words: &[(&NodeName, &Word)],
    stale: bool,
    now: Timestamp,
) -> Opinion {
    let newest = words.iter().map(|(_, word)| word.at).max();
    let (reason, why) = match newest {
        None => (None, "no report yet".to_owned()),
        Some(at) if stale => {
            let (age, limit) = (now.since(at).as_secs(), probe.ageing.expire.as_secs());
            (Some(Removed::MetricsStale), format!("last report {age} s, limit {limit} s"))
        }
        Some(_) => (Some(Removed::Warming), "not enough probes yet".to_owned()),
    };
    Opinion::Unknown { reason, why: why.into() }
}
