//! Requests that are made up, with everything that they are made by stated.

use std::collections::HashMap;

/// Objects that are asked for again and again.
pub(crate) const OBJECTS: usize = 20_000;
pub(crate) const REQUESTS: usize = 200_000;

/// An object and its octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) object: u64,
    pub(crate) octets: u64,
}

/// What differs from objects of one size, each asked for as often as Zipf says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// The exponent.
    pub(crate) skew: f64,
    /// After so many requests one of the 300 most wanted changes places with any other.
    pub(crate) moves: Option<usize>,
    /// After so many requests a crawler asks for 10,000 further objects, the same each time.
    pub(crate) scans: Option<usize>,
    /// Of a hundred requests so many are for what nobody asks for again.
    pub(crate) once: u64,
    /// Sizes from 1 KiB to 4 MiB (Pareto, 1.2) instead of 10 KiB.
    pub(crate) sizes: bool,
}

/// What is asked for, in order, and the octets of the objects that are asked for again and again.
pub(crate) fn trace(kind: &Kind) -> (Vec<Ask>, u64) {
    let mut chance = Chance(42);
    let mut reach = 0.0;
    let shares: Vec<f64> = (1..=OBJECTS)
        .map(|rank| {
            reach += (rank as f64).powf(-kind.skew);
            reach
        })
        .collect();
    let mut ranks: Vec<u64> = (0..OBJECTS as u64).collect();
    let octets = |object: u64| if kind.sizes { pareto(object) } else { 10 << 10 };
    let footprint = (0..OBJECTS as u64).map(octets).sum();
    let ask = |object: u64| Ask { object, octets: octets(object) };
    let mut asked = Vec::with_capacity(REQUESTS);
    let (mut nobody, crawled) = (1 << 40, 1 << 32);
    while asked.len() < REQUESTS {
        let turn = asked.len() + 1;
        if kind.moves.is_some_and(|moves| turn.is_multiple_of(moves)) {
            let wanted = chance.below(300);
            let other = chance.below(OBJECTS as u64);
            ranks.swap(wanted, other);
        }
        if kind.scans.is_some_and(|scans| turn % scans < 10_000) {
            let at = kind.scans.map_or(0, |scans| turn % scans);
            asked.push(ask(crawled + at as u64));
        } else if chance.below(100) < kind.once as usize {
            nobody += 1;
            asked.push(ask(nobody));
        } else {
            let point = chance.part() * reach;
            let rank = shares.partition_point(|share| *share < point).min(OBJECTS - 1);
            asked.push(ask(*ranks.get(rank).unwrap()));
        }
    }
    (asked, footprint)
}

fn pareto(object: u64) -> u64 {
    let part = Chance(object).part().max(1e-9);
    ((1024.0 * part.powf(-1.0 / 1.2)) as u64).min(4 << 20)
}

/// SplitMix64: the same numbers each time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> usize {
        (self.next() % end) as usize
    }

    /// From 0 to 1.
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[test]
fn wanted_as_often_as_stated() {
    let kind = Kind { name: "", skew: 0.9, once: 50, ..Kind::default() };
    let (asked, _) = trace(&kind);
    let mut counts: HashMap<u64, u64> = HashMap::new();
    for ask in &asked {
        *counts.entry(ask.object).or_default() += 1;
    }
    let once = asked.iter().filter(|ask| ask.object >= 1 << 40).count();
    assert!(once.abs_diff(REQUESTS / 2) < REQUESTS / 100, "{once}");
    let ratio = counts[&0] as f64 / counts[&9] as f64;
    assert!((ratio - 10_f64.powf(0.9)).abs() < 1.0, "{ratio}");
}
