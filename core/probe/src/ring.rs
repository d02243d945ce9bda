//! What was reported lately, so that what is lost on the way can be had again (steering model,
//! section 9).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use popnet_terms::{NodeName, Timestamp};
use popnet_wire::probing::{Digest, RANGES_MAX, Repair, Sample};

/// Reports kept: two megabytes of the largest.
const REPORTS_MAX: usize = 2_048;

/// Older ones are repeated by nobody: name servers that were away that long learn anew.
const AGE_MAX: Duration = Duration::from_mins(5);

/// Reports in answer to one message: more are asked for again.
const ANSWERS_MAX: usize = 128;

/// The reports of one start, each with its number.
#[derive(Debug, Default)]
pub struct Ring {
    high: u64,
    kept: VecDeque<(Timestamp, Arc<[Sample]>)>,
}

impl Ring {
    /// Numbers a report and keeps it.
    pub fn add(&mut self, samples: Arc<[Sample]>, now: Timestamp) -> u64 {
        self.high += 1;
        self.kept.push_back((now, samples));
        let is_old = |kept: &VecDeque<(Timestamp, Arc<[Sample]>)>| {
            kept.len() > REPORTS_MAX || kept.front().is_some_and(|(at, _)| now.since(*at) > AGE_MAX)
        };
        while is_old(&self.kept) {
            self.kept.pop_front();
        }
        self.high
    }

    /// The number of the newest report; 0 before the first.
    #[must_use]
    pub fn high(&self) -> u64 {
        self.high
    }

    /// What can be had.
    #[must_use]
    pub fn digest(&self, publisher: &NodeName, boot: u64) -> Digest {
        Digest { publisher: publisher.clone(), boot, low: self.low(), high: self.high }
    }

    /// The reports that `repair` asks for, with their numbers.
    #[must_use]
    pub fn answer(&self, repair: &Repair) -> Vec<(u64, Arc<[Sample]>)> {
        let low = self.low();
        let gaps = repair.ranges.iter().take(RANGES_MAX);
        let numbers = gaps.flat_map(|(first, last)| (*first).max(low)..=(*last).min(self.high));
        let report = |number: u64| {
            let place = usize::try_from(number.checked_sub(low)?).ok()?;
            Some((number, Arc::clone(&self.kept.get(place)?.1)))
        };
        numbers.take(ANSWERS_MAX).filter_map(report).collect()
    }

    /// The number of the oldest report kept.
    fn low(&self) -> u64 {
        self.high + 1 - u64::try_from(self.kept.len()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(ring: &Ring, ranges: &[(u64, u64)]) -> Vec<u64> {
        let asker = NodeName::new("ns1.fra1");
        let repair = Repair { asker, boot: 1, ranges: ranges.to_vec(), all: false };
        ring.answer(&repair).into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn gaps_are_filled_as_far_as_there_is_anything() {
        let mut ring = Ring::default();
        assert_eq!((ring.low(), ring.high()), (1, 0));
        assert!(numbers(&ring, &[(0, u64::MAX)]).is_empty());
        for number in 1..=10 {
            assert_eq!(ring.add([].into(), Timestamp(0)), number);
        }
        assert_eq!(numbers(&ring, &[(2, 3), (9, 99), (7, 6)]), [2, 3, 9, 10]);
        let later = Timestamp(0).after(AGE_MAX + Duration::from_secs(1));
        ring.add([].into(), later);
        assert_eq!(numbers(&ring, &[(0, u64::MAX)]), [11]);
        for _ in 0..3_000 {
            ring.add([].into(), later);
        }
        assert_eq!(ring.low(), 3_011 + 1 - 2_048);
        assert_eq!(numbers(&ring, &[(0, u64::MAX)]).len(), ANSWERS_MAX);
    }
}
