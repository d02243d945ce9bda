//! From the POPs' words to one verdict on a machine (steering model, section 4): down when as
//! many POPs as the probe asks for say so, up when one says so, else not known.

use std::collections::BTreeMap;
use std::sync::Arc;

use popnet_terms::{Micros, NodeName, PopId, ProbeId, Removed, Timestamp};
use popnet_wire::probing::{Cause, Health, Service, Subject};
use popnet_wire::rollout::Epoch;

use crate::plan::{Plan, ProbePlan};

/// One publisher's newest word on one subject by one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    Down {
        reason: Removed,
        why: Arc<str>,
        seen_by: Vec<PopId>,
    },
}

/// Loads older than this say nothing about now.
const LOAD_EXPIRE_SECONDS: u64 = 60;

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
    let mut dissent = 0;
    let mut heard: Vec<&Word> = Vec::new();
    for (id, probe) in probes.iter().filter_map(|id| Some((id, plan.probes.get(id)?))) {
        let said = words.and_then(|words| words.get(id)).unwrap_or(&none);
        let mine: Vec<(&NodeName, &Word)> =
            said.iter().filter(|(from, _)| probe.hears(&from.pop())).collect();
        let (of_probe, share) = agreed(probe, &mine, now);
        opinion = worse(opinion, of_probe);
        dissent = dissent.max(share);
        heard.extend(mine.into_iter().map(|(_, word)| word));
    }
    heard.sort_by_key(|word| std::cmp::Reverse((word.at, word.service.probe.clone())));
    let recent = |word: &&&Word| now.since(word.at).as_secs() <= LOAD_EXPIRE_SECONDS;
    let mut totals: Vec<Micros> = heard.iter().filter(recent).map(|w| w.service.total).collect();
    totals.sort();
    Machine {
        opinion,
        dissent,
        at: heard.first().map(|word| word.at),
        load: heard.iter().filter(recent).find_map(|word| word.service.load),
        epoch: heard.iter().find_map(|word| Some((word.service.epoch?, word.at))),
        response: totals.get(totals.len() / 2).copied(),
    }
}

/// What one probe's publishers say together, and the share of POPs that call it down although it
/// is not.
fn agreed(probe: &ProbePlan, words: &[(&NodeName, &Word)], now: Timestamp) -> (Opinion, u16) {
    let fresh = |word: &Word| probe.ageing.confidence(now.since(word.at)) > 0;
    let mut by_pop: BTreeMap<PopId, &Word> = BTreeMap::new();
    for (from, word) in words.iter().filter(|(_, word)| fresh(word)) {
        // Several probes in one POP: one that can reach the subject outweighs one that cannot.
        let best = by_pop.entry(from.pop()).or_insert(word);
        if rank(word.service.health) < rank(best.service.health) {
            *best = word;
        }
    }
    let saying = |health| by_pop.iter().filter(move |(_, word)| word.service.health == health);
    let down: Vec<(&PopId, &&Word)> = saying(Health::Down).collect();
    // Fewer POPs may be left than have to agree: then all that are left decide.
    let needed = probe.agree.min(by_pop.len()).max(1);
    if down.len() >= needed {
        return (down_together(probe, &down), 0);
    }
    let share = down.len() * 1_000 / by_pop.len().max(1);
    if saying(Health::Up).next().is_some() {
        return (Opinion::Up, u16::try_from(share).unwrap_or(1_000));
    }
    (unknown(probe, words, by_pop.is_empty(), now), 0)
}

fn rank(health: Health) -> u8 {
    match health {
        Health::Up => 0,
        Health::Unknown => 1,
        Health::Down => 2,
    }
}

fn down_together(probe: &ProbePlan, down: &[(&PopId, &&Word)]) -> Opinion {
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

/// Of two probes of one machine the worse counts: a machine is up when every check that says
/// anything says so.
fn worse(a: Opinion, b: Opinion) -> Opinion {
    let badness = |opinion: &Opinion| match opinion {
        Opinion::Unwatched => 0,
        Opinion::Unknown { .. } => 1,
        Opinion::Up => 2,
        Opinion::Down { .. } => 3,
    };
    if badness(&b) > badness(&a) { b } else { a }
}
