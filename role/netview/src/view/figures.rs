//! The six figures on top of the overview, with two minutes of history each.

use popnet_wire::asking::Scope;
use serde::Serialize;

use super::chart;
use super::format;
use super::pops::PopRow;
use crate::pulse::{Beat, Snapshot, Totals, float, per_second};

/// Seconds over which a rate is taken.
const RATE_OVER: usize = 5;

/// Seconds over which a hit ratio is taken.
const HITS_OVER: usize = 60;

/// Minutes over which the error ratio is taken: errors are counted by log servers, by the minute.
const ERRORS_OVER: i64 = 5;

/// What the network does now.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) requests_s: f64,
    pub(crate) bits_s: f64,
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) queries_s: f64,
    pub(crate) pops_up: usize,
    pub(crate) pops: usize,
    pub(crate) error_ratio: Option<f64>,
    /// Of the last hour, from the logs: exact.
    pub(crate) last_hour: Totals,
    #[serde(skip)]
    pub(crate) cards: Vec<Card>,
}

/// One figure for the page.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    pub(crate) label: &'static str,
    pub(crate) value: String,
    /// What the figure is of, for whoever wonders.
    pub(crate) note: String,
    /// A drawing; empty when there is no history.
    pub(crate) spark: String,
    pub(crate) summary: String,
    pub(crate) bad: bool,
}

/// The figures.
pub(crate) fn figures(snapshot: &Snapshot, pops: &[PopRow]) -> Figures {
    let beats = &snapshot.beats;
    let (now, span) = beats.last(RATE_OVER);
    let (minute, _) = beats.last(HITS_OVER);
    let (recent, last_hour) = sums(snapshot);
    // A POP without caches (a control site) serves nobody: it is in the table, not in the count.
    let serving = || pops.iter().filter(|pop| pop.serves);
    let mut figures = Figures {
        requests_s: per_second(now.requests, span),
        bits_s: per_second(now.bytes.saturating_mul(8), span),
        hit_ratio: minute.hit_ratio(),
        queries_s: per_second(now.queries, span),
        pops_up: serving().filter(|pop| pop.state.is_up()).count(),
        pops: serving().count(),
        error_ratio: recent.error_ratio(),
        last_hour,
        cards: Vec::new(),
    };
    figures.cards = cards(snapshot, &figures);
    figures
}

/// Everything of the last minutes, and of the last hour.
fn sums(snapshot: &Snapshot) -> (Totals, Totals) {
    let minute = snapshot.at.unix_seconds().div_euclid(60);
    let (mut recent, mut hour) = (Totals::default(), Totals::default());
    for (_, counter) in snapshot.counters(&Scope::Network) {
        hour.add(counter);
        if counter.minute > minute - ERRORS_OVER {
            recent.add(counter);
        }
    }
    (recent, hour)
}

fn cards(snapshot: &Snapshot, figures: &Figures) -> Vec<Card> {
    let rate = |value: fn(&Beat) -> u64| {
        snapshot.beats.series(|beat| Some(per_second(value(beat), beat.span)))
    };
    let known = !rate(|_| 0).is_empty();
    let text = |text: String| if known { text } else { "?".to_owned() };
    let bits = |value: f64| format::with_unit(value, "bps");
    let hits = snapshot.beats.series(|beat| beat.all.hit_ratio());
    vec![
        card(
            "Requests/s",
            text(format::si(figures.requests_s)),
            format!("{} in the last hour", format::count(figures.last_hour.requests)),
            &rate(|beat| beat.all.requests),
            format::si,
        ),
        card(
            "Out",
            text(bits(figures.bits_s)),
            format!("{} in the last hour", format::bytes(figures.last_hour.bytes_out)),
            &rate(|beat| beat.all.bytes.saturating_mul(8)),
            bits,
        ),
        card(
            "Hit ratio",
            text(format::percent(figures.hit_ratio)),
            "by requests, last minute".to_owned(),
            &hits,
            |share| format::percent(Some(share)),
        ),
        card(
            "DNS queries/s",
            text(format::si(figures.queries_s)),
            format!("{} in the last hour", format::count(figures.last_hour.queries)),
            &rate(|beat| beat.all.queries),
            format::si,
        ),
        Card {
            label: "POPs up",
            value: format!("{}/{}", figures.pops_up, figures.pops),
            note: if figures.pops_up == figures.pops { "all in service" } else { "see the table" }
                .to_owned(),
            spark: String::new(),
            summary: String::new(),
            bad: figures.pops_up < figures.pops,
        },
        Card {
            label: "Errors",
            value: format::percent(figures.error_ratio),
            note: format!("5xx, last {ERRORS_OVER} min"),
            spark: String::new(),
            summary: String::new(),
            bad: figures.error_ratio.is_some_and(|share| share > 0.01),
        },
    ]
}

fn card(
    label: &'static str,
    value: String,
    note: String,
    history: &[Option<f64>],
    print: impl Fn(f64) -> String,
) -> Card {
    let peak = history.iter().flatten().copied().fold(0.0, f64::max);
    let spark = if history.len() < 2 { String::new() } else { chart::spark(history) };
    let summary = format!("{label}, last {} s: peak {}, now {value}", history.len(), print(peak));
    Card { label, value, note, spark, summary, bad: false }
}

/// The share of `part` in `whole` as a bar's width, 0 to 100.
pub(crate) fn bar(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (100.0 * float(part) / float(whole)).clamp(0.0, 100.0) }
}
