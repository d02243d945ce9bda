//! Which numbers of a sender's sequence have arrived: a high-water mark and the gaps below it, as
//! ranges. A gap is a loss until it is filled; every bill can print its completeness from this.

/// Ranges kept for one sender. Numbers arrive nearly in order, so there is one range and, for
/// moments, a few; each more than that is a real loss. Beyond this the oldest gap is closed for
/// good and stays counted as missing.
const RANGES_MAX: usize = 1_000;

/// What an arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Not seen before.
    New,
    /// Seen before, or so old that its gap was closed for good.
    Before,
}

/// The numbers that have arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// First and last of each run, in order, neither touching nor overlapping.
    ranges: Vec<(u64, u64)>,
    /// Numbers in gaps that were closed for good.
    lost: u64,
}

impl Arrivals {
    /// Nothing has arrived.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From what [`Arrivals::ranges`] and [`Arrivals::lost`] gave. Takes any ranges: what is upside
    /// down is left out, what overlaps is merged.
    #[must_use]
    pub fn from_parts(mut ranges: Vec<(u64, u64)>, lost: u64) -> Self {
        ranges.retain(|(first, last)| first <= last);
        ranges.sort_unstable();
        let mut clean: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match clean.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last)
                }
                Some(_) | None => clean.push((first, last)),
            }
        }
        let mut arrivals = Self { ranges: clean, lost };
        arrivals.bound();
        arrivals
    }

    /// First and last of each run, in order.
    #[must_use]
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Numbers in gaps that were closed for good.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether `seq` has arrived.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= seq);
        after
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|(_, last)| seq <= *last)
    }

    /// Notes that `seq` has arrived.
    pub fn insert(&mut self, seq: u64) -> Arrived {
        if self.contains(seq) {
            return Arrived::Before;
        }
        let at = self.ranges.partition_point(|(first, _)| *first < seq);
        self.ranges.insert(at, (seq, seq));
        self.join(at);
        if let Some(before) = at.checked_sub(1) {
            self.join(before);
        }
        self.bound();
        Arrived::New
    }

    /// Makes one range of the one at `at` and the next when they touch.
    fn join(&mut self, at: usize) {
        let (Some(&(_, last)), Some(&(next, end))) = (self.ranges.get(at), self.ranges.get(at + 1))
        else {
            return;
        };
        if last.checked_add(1) == Some(next) {
            self.ranges.remove(at + 1);
            if let Some(range) = self.ranges.get_mut(at) {
                range.1 = end;
            }
        }
    }

    /// Closes the oldest gaps for good when there are too many.
    fn bound(&mut self) {
        while self.ranges.len() > RANGES_MAX {
            let (first, last) = self.ranges.remove(0);
            if let Some(oldest) = self.ranges.first_mut() {
                self.lost = self.lost.saturating_add(oldest.0 - last - 1);
                oldest.0 = first;
            }
        }
    }

    /// The lowest number that has arrived. What lies below it went elsewhere or was lost.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.ranges.first().map(|range| range.0)
    }

    /// The highest number that has arrived.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last().map(|range| range.1)
    }

    /// The gaps between the lowest and the highest, first and last of each, in order.
    pub fn gaps(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges
            .iter()
            .zip(self.ranges.iter().skip(1))
            .map(|(before, after)| (before.1 + 1, after.0 - 1))
    }

    /// Numbers between the lowest and the highest that have not arrived.
    #[must_use]
    pub fn missing(&self) -> u64 {
        let open: u64 = self.gaps().map(|(first, last)| last - first + 1).sum();
        open.saturating_add(self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arriving: &[u64], ranges: &[(u64, u64)], missing: u64) {
        let mut arrivals = Arrivals::new();
        for seq in arriving {
            assert_eq!(arrivals.insert(*seq), Arrived::New, "{seq} of {arriving:?}");
        }
        assert_eq!(arrivals.ranges(), ranges, "{arriving:?}");
        assert_eq!(arrivals.missing(), missing, "{arriving:?}");
        for seq in arriving {
            assert_eq!(arrivals.insert(*seq), Arrived::Before, "{seq} again");
        }
        assert_eq!(Arrivals::from_parts(ranges.to_vec(), 0), arrivals);
    }

    #[test]
    fn ranges_and_gaps() {
        check(&[], &[], 0);
        check(&[1, 2, 3], &[(1, 3)], 0);
        check(&[3, 1, 2], &[(1, 3)], 0);
        check(&[1, 2, 5, 6, 9], &[(1, 2), (5, 6), (9, 9)], 4);
        check(&[5, 1, 3, 4, 2], &[(1, 5)], 0);
        check(&[100, 101], &[(100, 101)], 0);
        check(&[u64::MAX, u64::MAX - 1, 0], &[(0, 0), (u64::MAX - 1, u64::MAX)], u64::MAX - 2);
    }

    #[test]
    fn ranges_from_a_damaged_file_are_put_in_order() {
        let arrivals = Arrivals::from_parts(vec![(5, 9), (7, 3), (1, 2), (3, 4), (8, 12)], 7);
        assert_eq!(arrivals.ranges(), [(1, 12)]);
        assert_eq!(arrivals.missing(), 7);
    }

    #[test]
    fn too_many_gaps_are_closed_and_stay_counted() {
        let mut arrivals = Arrivals::new();
        for n in 0..5_000u64 {
            arrivals.insert(n * 2 + 1);
        }
        assert_eq!(arrivals.ranges().len(), RANGES_MAX);
        assert_eq!(arrivals.missing(), 4_999);
        assert_eq!(arrivals.insert(2), Arrived::Before);
        assert_eq!(arrivals.insert(9_998), Arrived::New);
        assert_eq!(arrivals.missing(), 4_998);
    }
}
