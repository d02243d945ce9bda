//! What of each publisher's words has come, and what has to be asked for again (steering model,
//! section 9): by the gaps between numbers, and by what publishers say that they have said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use popnet_terms::{NodeName, Timestamp};
use popnet_wire::probing::{Digest, RANGES_MAX};

/// Datagrams overtake each other by less than this.
const PATIENCE: Duration = Duration::from_millis(300);

/// An answer has this long before it is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// Numbers remembered beyond a gap, a publisher; the oldest gaps are given up for more.
const AHEAD_MAX: usize = 4_096;

/// Publishers remembered: more than any network has.
const PUBLISHERS_MAX: usize = 16_384;

/// What has come.
#[derive(Debug, Default)]
pub struct Ledger {
    heard: BTreeMap<NodeName, Heard>,
}

#[derive(Debug)]
struct Heard {
    boot: u64,
    /// Everything up to here has come, or cannot be had any more.
    floor: u64,
    /// What has come beyond it.
    ahead: BTreeSet<u64>,
    /// The newest number that is known to exist.
    high: u64,
    /// Since when there is a gap.
    open_since: Option<Timestamp>,
    asked_at: Option<Timestamp>,
}

/// What to ask a publisher for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Whom.
    pub publisher: NodeName,
    /// Of which start.
    pub boot: u64,
    /// First and last number of each gap.
    pub ranges: Vec<(u64, u64)>,
}

impl Ledger {
    /// A message with this number has come.
    pub fn heard(&mut self, publisher: &NodeName, boot: u64, seq: u64, now: Timestamp) {
        let Some(heard) = self.of(publisher, boot, seq.saturating_sub(1)) else { return };
        if seq > heard.floor {
            heard.ahead.insert(seq);
        }
        heard.high = heard.high.max(seq);
        heard.settle(now);
    }

    /// A publisher says what it has said. What it kept from before it was first heard here is
    /// asked for as well: it is what it said lately.
    pub fn digest(&mut self, digest: &Digest, now: Timestamp) {
        let first = digest.low.saturating_sub(1);
        let is_new = self.heard.get(&digest.publisher).is_none_or(|h| h.boot < digest.boot);
        let Some(heard) = self.of(&digest.publisher, digest.boot, first) else { return };
        if is_new {
            heard.asked_at = None;
        }
        // What is gone there will never come.
        heard.floor = heard.floor.max(first);
        heard.high = heard.high.max(digest.high);
        heard.settle(now);
    }

    /// What is to be asked for now; the asking is remembered.
    pub fn missing(&mut self, now: Timestamp) -> Vec<Missing> {
        let mut all = Vec::new();
        for (publisher, heard) in &mut self.heard {
            let is_late = heard.open_since.is_some_and(|since| now.since(since) >= PATIENCE);
            let may_ask = heard.asked_at.is_none_or(|at| now.since(at) >= RETRY);
            if is_late && may_ask {
                heard.asked_at = Some(now);
                let (publisher, boot) = (publisher.clone(), heard.boot);
                all.push(Missing { publisher, boot, ranges: heard.gaps() });
            }
        }
        all
    }

    /// Forgets whoever is not `known` any more.
    pub fn keep(&mut self, known: impl Fn(&NodeName) -> bool) {
        self.heard.retain(|publisher, _| known(publisher));
    }

    /// The account of one start, from `floor` on if it is new here. `None`: an earlier start.
    fn of(&mut self, publisher: &NodeName, boot: u64, floor: u64) -> Option<&mut Heard> {
        if self.heard.len() >= PUBLISHERS_MAX && !self.heard.contains_key(publisher) {
            return None;
        }
        let blank = || Heard {
            boot,
            floor,
            ahead: BTreeSet::new(),
            high: floor,
            open_since: None,
            asked_at: None,
        };
        let heard = self.heard.entry(publisher.clone()).or_insert_with(blank);
        if heard.boot < boot {
            *heard = blank();
        }
        (heard.boot == boot).then_some(heard)
    }
}

impl Heard {
    /// Moves the floor as far as nothing is missing.
    fn settle(&mut self, now: Timestamp) {
        while let Some(first) = self.ahead.first().copied() {
            if first > self.floor.saturating_add(1) && self.ahead.len() <= AHEAD_MAX {
                break;
            }
            self.floor = self.floor.max(first);
            self.ahead.pop_first();
        }
        self.open_since = match (self.floor < self.high, self.open_since) {
            (true, None) => Some(now),
            (true, since) => since,
            (false, _) => None,
        };
    }

    fn gaps(&self) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut next = self.floor.saturating_add(1);
        for seq in self.ahead.iter().copied().chain([self.high.saturating_add(1)]) {
            if seq > next {
                gaps.push((next, seq - 1));
            }
            next = seq.saturating_add(1);
            if gaps.len() == RANGES_MAX {
                break;
            }
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(ms * 1_000)
    }

    fn asked(ledger: &mut Ledger, ms: i64) -> Vec<(u64, u64)> {
        ledger.missing(at(ms)).into_iter().flat_map(|missing| missing.ranges).collect()
    }

    #[test]
    fn gaps_are_asked_for_until_they_are_filled() {
        let mut ledger = Ledger::default();
        let name = NodeName::new("probe1.fra1");
        for seq in [5, 6, 9, 8, 12] {
            ledger.heard(&name, 1, seq, at(0));
        }
        assert_eq!(asked(&mut ledger, 100), [], "they may only be late");
        assert_eq!(asked(&mut ledger, 300), [(7, 7), (10, 11)]);
        assert_eq!(asked(&mut ledger, 900), []);
        ledger.heard(&name, 1, 10, at(1_000));
        assert_eq!(asked(&mut ledger, 1_300), [(7, 7), (11, 11)]);
        ledger.heard(&name, 1, 7, at(1_400));
        ledger.heard(&name, 1, 11, at(1_400));
        assert_eq!(asked(&mut ledger, 9_000), []);
        // The last ones are only missed once somebody tells that they were said.
        let digest = |low, high| Digest { publisher: name.clone(), boot: 1, low, high };
        ledger.digest(&digest(1, 15), at(10_000));
        assert_eq!(asked(&mut ledger, 10_300), [(13, 15)]);
        ledger.digest(&digest(15, 15), at(12_000));
        assert_eq!(asked(&mut ledger, 12_000), [(15, 15)]);
        ledger.digest(&digest(30, 29), at(14_000));
        assert_eq!(asked(&mut ledger, 14_000), [], "what is gone is not asked for");
    }

    #[test]
    fn a_new_start_is_a_new_account_and_an_old_one_none() {
        let mut ledger = Ledger::default();
        let name = NodeName::new("probe1.fra1");
        ledger.heard(&name, 2, 40, at(0));
        ledger.heard(&name, 1, 90, at(0));
        assert_eq!(asked(&mut ledger, 1_000), []);
        ledger.digest(&Digest { publisher: name.clone(), boot: 3, low: 1, high: 2 }, at(0));
        assert_eq!(asked(&mut ledger, 5_000), [(1, 2)]);
        ledger.keep(|_| false);
        assert_eq!(asked(&mut ledger, 9_000), []);
    }

    #[test]
    fn senseless_numbers_do_no_harm() {
        let mut ledger = Ledger::default();
        let name = NodeName::new("probe1.fra1");
        for (low, high) in [(u64::MAX, 0), (0, u64::MAX - 1), (9, 3), (0, 0)] {
            ledger.digest(&Digest { publisher: name.clone(), boot: 1, low, high }, at(0));
        }
        for seq in (0..20_000).rev().map(|n| n * 2).chain([0, u64::MAX - 1]) {
            ledger.heard(&name, 1, seq, at(0));
        }
        assert!(asked(&mut ledger, 5_000).len() <= RANGES_MAX);
        assert!(ledger.heard.values().all(|heard| heard.ahead.len() <= AHEAD_MAX));
    }
}
