//! What a byte more costs where transit is billed by a percentile: the word of the POP's own
//! probes (steering model, section 6).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use popnet_terms::{NodeName, PopId, TargetId, Timestamp};
use popnet_wire::probing::Traffic;
use serde::{Deserialize, Serialize};

/// A publisher that was silent for so long speaks no more, where another one does: full state
/// comes every ten seconds.
const SILENT: Duration = Duration::from_secs(25);

/// Older words say nothing: then all of the price counts, as it would without a bill.
const EXPIRE: Duration = Duration::from_mins(5);

/// The highest share of a price that is believed, in thousandths: what is billed at the 98th
/// percentile, sent in the slots that are billed alone.
const PRICE_MAX: u16 = 60_000;

/// What a byte more costs at a POP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toll {
    /// The share of its price, in thousandths.
    pub price: u16,
    /// Why.
    pub because: TollBecause,
    /// What it sends, in bits a second.
    pub rate: u64,
    /// What is billed in any case, in bits a second.
    pub paid: u64,
    /// What it aims to stay below, in bits a second.
    pub aim: u64,
}

/// Why a byte more costs what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TollBecause {
    /// It sends less than it aims at: nothing is billed for a byte more.
    Free,
    /// It sends as much as it aims at: a byte more makes the whole bill dearer.
    AtAim,
    /// No aim is known yet: the price that is configured counts.
    NoAim,
}

/// The words of every publisher.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Prices {
    words: BTreeMap<TargetId, BTreeMap<NodeName, Word>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Word {
    order: (u64, u64),
    at: Timestamp,
    toll: Toll,
}

impl Prices {
    /// Takes a word in; says whether it is news.
    pub(crate) fn record(
        &mut self,
        publisher: &NodeName,
        order: (u64, u64),
        at: Timestamp,
        traffic: &Traffic,
    ) -> bool {
        let words = self.words.entry(TargetId::Pop(traffic.pop.clone())).or_default();
        if words.get(publisher).is_some_and(|old| old.order >= order) {
            return false;
        }
        words.insert(publisher.clone(), Word { order, at, toll: Toll::of(traffic) });
        true
    }

    /// What a byte more costs at `target`. Of those who speak the one whose name comes first
    /// counts.
    pub(crate) fn of(&self, target: &TargetId, now: Timestamp) -> Option<Toll> {
        let words = self.words.get(target)?;
        let speaks = |word: &&Word| now.since(word.at) <= SILENT;
        let newest = || words.values().max_by_key(|word| word.at);
        let word = words.values().find(speaks).or_else(newest)?;
        (now.since(word.at) <= EXPIRE).then_some(word.toll)
    }

    /// Drops what has expired, and the words of whoever may not speak any more.
    pub(crate) fn forget(&mut self, now: Timestamp, may: impl Fn(&TargetId, &PopId) -> bool) {
        for (target, words) in &mut self.words {
            words.retain(|publisher, word| {
                may(target, &publisher.pop()) && now.since(word.at) <= EXPIRE
            });
        }
        self.words.retain(|_, words| !words.is_empty());
    }
}

impl Toll {
    fn of(traffic: &Traffic) -> Self {
        let price = traffic.price.min(PRICE_MAX);
        let because = match (traffic.aim, price) {
            (0, _) => TollBecause::NoAim,
            (_, 0) => TollBecause::Free,
            (_, _) => TollBecause::AtAim,
        };
        Self { price, because, rate: traffic.rate, paid: traffic.paid, aim: traffic.aim }
    }
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { price, because, rate, paid, aim } = *self;
        let mbit = |bits: u64| bits.div_ceil(1_000_000);
        let times = f64::from(price) / 1_000.0;
        match because {
            TollBecause::Free => write!(
                f,
                "a byte more is free: {} Mbit/s are sent, the bill is for {} and the aim {}",
                mbit(rate),
                mbit(paid),
                mbit(aim)
            ),
            TollBecause::AtAim => write!(
                f,
                "a byte more costs {times:.2} times its price: {} Mbit/s are sent and the aim is {}",
                mbit(rate),
                mbit(aim)
            ),
            TollBecause::NoAim => write!(
                f,
                "all of the price counts: no day is over from which an aim for the bill is learnt"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_that_speaks_counts_until_it_is_old() {
        let target = TargetId::Pop(PopId::new("fra1"));
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        let mut prices = Prices::default();
        let mut say = |name: &str, seq: u64, second: i64, price: u16| {
            let pop = PopId::new("fra1");
            let traffic = Traffic { pop, rate: 9_000_000, paid: 1, aim: 9_000_000, price };
            prices.record(&NodeName::new(name), (1, seq), at(second), &traffic)
        };
        assert!(say("edge2.fra1", 1, 0, 300) && say("edge1.fra1", 1, 0, 0));
        assert!(!say("edge1.fra1", 1, 9, 900), "an old number is no news");
        assert!(say("edge2.fra1", 2, 40, 2_500));
        let of = |second: i64| prices.of(&target, at(second));
        let price = |second: i64| of(second).map(|toll| (toll.price, toll.because));
        assert_eq!(price(5), Some((0, TollBecause::Free)));
        assert_eq!(price(45), Some((2_500, TollBecause::AtAim)));
        assert_eq!((price(340).is_some(), price(341)), (true, None));
        let words = "a byte more costs 2.50 times its price: 9 Mbit/s are sent and the aim is 9";
        assert_eq!(of(45).unwrap().to_string(), words);
        prices.forget(at(341), |_, _| true);
        assert!(prices.words.is_empty());
    }
}
