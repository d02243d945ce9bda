//! When a smoothed latency becomes a new published level (steering model, section 6). The
//! publisher holds the hysteresis, so that every name server sees the same number, answers do not
//! flutter, and whoever decides needs no memory.

use popnet_terms::Micros;

/// A value this close to the published one, in thousandths of it, is the same.
const BAND_PERMILLE: u64 = 150;

/// And so is one this close, however small the published one is.
const BAND_MIN_US: u64 = 5_000;

/// So many values in a row have to be outside of the band.
const PERIODS: u8 = 2;

/// One published level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    published: Option<Micros>,
    outside: u8,
}

impl Level {
    /// What is published; `None` before the first value.
    #[must_use]
    pub fn published(self) -> Option<Micros> {
        self.published
    }

    /// Takes the smoothed value of one more period in; says whether there is a new level now. The
    /// first value always is one.
    pub fn take(&mut self, smoothed: Micros) -> bool {
        let band = |level: Micros| (u64::from(level.0) * BAND_PERMILLE / 1_000).max(BAND_MIN_US);
        let is_inside = |level: Micros| u64::from(level.0.abs_diff(smoothed.0)) <= band(level);
        if self.published.is_some_and(is_inside) {
            self.outside = 0;
            return false;
        }
        self.outside += 1;
        let is_new = self.published.is_none() || self.outside >= PERIODS;
        if is_new {
            *self = Self { published: Some(smoothed), outside: 0 };
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds in, the level after each.
    fn check(values: &[u32], levels: &[u32]) {
        let mut level = Level::default();
        let seen = values.iter().map(|ms| {
            level.take(Micros(ms * 1_000));
            level.published().unwrap().0 / 1_000
        });
        assert_eq!(seen.collect::<Vec<u32>>(), levels, "{values:?}");
    }

    #[test]
    fn only_what_stays_outside_is_news() {
        check(&[100, 114, 115, 86, 85], &[100, 100, 100, 100, 100]);
        check(&[100, 116, 116], &[100, 100, 116]);
        check(&[100, 84, 84], &[100, 100, 84]);
        // One value is noise, also when the next one is outside on the other side later.
        check(&[100, 130, 110, 130, 110, 70], &[100, 100, 100, 100, 100, 100]);
        // Small levels have a band of five milliseconds.
        check(&[4, 9, 9, 10, 10], &[4, 4, 4, 4, 10]);
        check(&[1_000, 4_000, 4_000], &[1_000, 1_000, 4_000]);
    }

    #[test]
    fn the_greatest_values_are_values() {
        let mut level = Level::default();
        assert!(level.take(Micros(u32::MAX)) && !level.take(Micros(u32::MAX)));
        assert!(!level.take(Micros(0)) && level.take(Micros(0)));
    }
}
