//! One decision as a funnel: who could have been answered, who was removed and why, how the rest
//! scored, and what the answer rests on.

use popnet_terms::Micros;
use popnet_wire::logging::{Candidate, Decision, Score};
use serde::Serialize;

use super::decisions::{DecisionLine, address, sees_scores};
use super::format;
use super::words;
use crate::pulse::DecisionRow;
use crate::users::UserRole;

/// One decision, whole.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Story {
    pub(crate) line: DecisionLine,
    pub(crate) site: String,
    pub(crate) policy: String,
    pub(crate) nameserver: String,
    pub(crate) subnet: String,
    pub(crate) ttl: u32,
    pub(crate) candidates: usize,
    pub(crate) removed: Vec<RemovedRow>,
    pub(crate) scored: Vec<ScoredRow>,
    /// Who came next, and by how much.
    pub(crate) closest: String,
    /// The same question on a command line; asked now, without counting.
    pub(crate) command: String,
    /// Scores and loads are left out for these eyes.
    pub(crate) limited: bool,
}

/// A candidate that was removed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RemovedRow {
    pub(crate) target: String,
    pub(crate) reason: &'static str,
    pub(crate) words: &'static str,
    pub(crate) detail: String,
    pub(crate) age: String,
    pub(crate) seen_by: String,
    /// What it would have had.
    pub(crate) would: String,
}

/// A candidate that was scored.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ScoredRow {
    pub(crate) rank: usize,
    pub(crate) target: String,
    pub(crate) chosen: bool,
    pub(crate) total: String,
    /// Width of its bar, 0 to 100.
    #[serde(skip)]
    pub(crate) bar: f64,
    pub(crate) terms: Vec<Term>,
    pub(crate) rtt: String,
}

/// One term of a score.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Term {
    pub(crate) name: &'static str,
    pub(crate) value: String,
}

/// The story of `row` for `eyes`.
pub(crate) fn story(row: &DecisionRow, eyes: &UserRole) -> Story {
    let decision = &row.decision;
    let full = sees_scores(eyes);
    let line = DecisionLine::of(row, eyes);
    Story {
        site: decision.site.to_string(),
        policy: if decision.policy.is_empty() {
            "default".to_owned()
        } else {
            decision.policy.to_string()
        },
        nameserver: decision.ns.to_string(),
        subnet: decision.ecs.map_or_else(|| "none".to_owned(), |net| net.to_string()),
        ttl: decision.ttl.0,
        candidates: decision.candidates.len(),
        removed: decision.candidates.iter().filter_map(|one| removed(one, full)).collect(),
        scored: scored(decision, full),
        closest: if full { closest(decision) } else { String::new() },
        command: command(decision, eyes),
        limited: !full,
        line,
    }
}

fn removed(candidate: &Candidate, full: bool) -> Option<RemovedRow> {
    let removal = candidate.removed.as_ref()?;
    let would = candidate.score.as_ref().filter(|_| full);
    Some(RemovedRow {
        target: candidate.target.to_string(),
        reason: removal.reason.code(),
        words: words::removed(removal.reason),
        detail: if full { removal.detail.to_string() } else { String::new() },
        age: removal.age.map_or_else(String::new, |age| {
            format::age(std::time::Duration::from_secs(age.0.into()))
        }),
        seen_by: if full { join(&removal.seen_by) } else { String::new() },
        would: would.map_or_else(String::new, |score| format::millis(score.points)),
    })
}

/// Those that were not removed, lowest score first; those without a score last.
fn scored(decision: &Decision, full: bool) -> Vec<ScoredRow> {
    let kept = decision.candidates.iter().filter(|one| one.removed.is_none());
    let mut kept: Vec<&Candidate> = kept.collect();
    kept.sort_by_key(|one| (points(one).unwrap_or(Micros(u32::MAX)), one.target.clone()));
    let most = kept.iter().filter_map(|one| points(one)).max().unwrap_or_default();
    let rows = kept.into_iter().enumerate();
    rows.map(|(at, one)| ScoredRow {
        rank: at + 1,
        target: one.target.to_string(),
        chosen: decision.chosen.contains(&one.target),
        total: match &one.score {
            Some(score) if full => format::millis(score.points),
            Some(_) | None => String::new(),
        },
        bar: match points(one) {
            Some(points) if full && most.0 > 0 => 100.0 * f64::from(points.0) / f64::from(most.0),
            Some(_) | None => 0.0,
        },
        terms: one.score.as_ref().filter(|_| full).map(terms).unwrap_or_default(),
        rtt: one.score.as_ref().map(rtt).unwrap_or_default(),
    })
    .collect()
}

fn points(candidate: &Candidate) -> Option<Micros> {
    candidate.score.as_ref().map(|score| score.points)
}

fn terms(score: &Score) -> Vec<Term> {
    let permille = |value: u16| format!("{:.2}", f64::from(value) / 1000.0);
    let mut terms = vec![Term { name: "latency", value: format::millis(score.latency) }];
    let mut add = |name, value: Micros, input: String| {
        let value = format::millis(value);
        let value = if input.is_empty() { value } else { format!("{value} ({input})") };
        terms.push(Term { name, value });
    };
    if score.loss.0 > 0 {
        add("loss", score.loss, permille(score.loss_permille));
    }
    add("load", score.load, permille(score.load_permille));
    if score.cost.0 > 0 {
        add("cost", score.cost, String::new());
    }
    if score.penalty.0 > 0 {
        add("penalty", score.penalty, String::new());
    }
    terms
}

fn rtt(score: &Score) -> String {
    let mut text = format!("{} {}", format::millis(score.rtt), words::rtt(score.rtt_source));
    if let Some(pop) = &score.rtt_via {
        text = format!("{text} via {pop}");
    }
    if let Some(age) = score.rtt_age {
        let age = format::age(std::time::Duration::from_secs(age.0.into()));
        text = format!("{text}, {age} ago");
    }
    text
}

/// What would have had to be otherwise.
fn closest(decision: &Decision) -> String {
    let Some(first) = decision.chosen.first() else { return "nobody was answered".to_owned() };
    let of = |one: &&Candidate| one.target == *first;
    let Some(best) = decision.candidates.iter().find(of).and_then(points) else {
        return String::new();
    };
    let others = decision.candidates.iter().filter(|one| one.target != *first);
    let scored = others.filter_map(|one| points(one).map(|points| (points, one)));
    let Some((points, next)) = scored.min_by_key(|(points, _)| *points) else {
        return "there was nobody else with a score".to_owned();
    };
    let difference = format::millis(Micros(points.0.abs_diff(best.0)));
    match (&next.removed, points < best) {
        (Some(removal), true) => format!(
            "{} would have won by {difference} had it not been removed ({})",
            next.target, removal.reason
        ),
        (Some(removal), false) => format!(
            "{} came next, {difference} behind, and was removed besides ({})",
            next.target, removal.reason
        ),
        (None, true) => {
            format!("{} scored {difference} less, within the tie", next.target)
        }
        (None, false) => {
            format!("{} came next; it would win with {difference} less", next.target)
        }
    }
}

fn command(decision: &Decision, eyes: &UserRole) -> String {
    let resolver = address(decision.resolver, eyes);
    let resolver = resolver.split('/').next().unwrap_or_default();
    let subnet = decision.ecs.map_or_else(String::new, |net| format!(" --subnet {net}"));
    format!(
        "popnet explain dns {} --type {} --resolver {resolver}{subnet}",
        decision.qname.trim_end_matches('.'),
        words::qtype(decision.qtype),
    )
}

fn join<T: ToString>(list: &[T]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
