//! Chance that can be repeated: everything that happens by chance is drawn from one seed.

use crate::num::{float, place};

/// 2^64 by the golden ratio: the step of the sequence.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A sequence of draws (SplitMix64: Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The sequence of `seed` for one purpose.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(noise(seed, purpose, 0))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// From 0 to 1, without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.next())
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// One of `0..below`; 0 when there is none.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        let below = u64::try_from(below).unwrap_or(u64::MAX).max(1);
        place(self.next() % below)
    }
}

/// What always belongs to these three numbers: persistent properties of the world.
pub(crate) fn noise(seed: u64, a: u64, b: u64) -> u64 {
    mix(mix(mix(seed.wrapping_add(STEP)) ^ a.wrapping_mul(STEP)) ^ b.wrapping_add(STEP))
}

/// `draw` as a number from 0 to 1, without 1.
pub(crate) fn unit(draw: u64) -> f64 {
    float(draw >> 11) / float(1 << 53)
}

/// `draw` as a waiting time with mean 1.
pub(crate) fn exponential(draw: u64) -> f64 {
    -(1.0 - unit(draw)).ln()
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_spread_and_repeat() {
        let mut one = Dice::new(7, 1);
        let mean = (0..10_000).map(|_| one.unit()).sum::<f64>() / 10_000.0;
        assert!((0.49..0.51).contains(&mean), "{mean}");
        let draws = |purpose| (0..8).map(|_| Dice::new(7, purpose).next()).collect::<Vec<_>>();
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        let waits = (0..10_000).map(|n| exponential(noise(3, n, 5))).sum::<f64>() / 10_000.0;
        assert!((0.96..1.04).contains(&waits), "{waits}");
    }
}
