//! Waits between attempts: they double up to a limit and are spread, so that nodes that lost the
//! same peer do not come back all at once.

use std::time::Duration;

/// The waits of one thing that is tried again and again.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits of about `first`, then double each time, never longer than `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// How long to wait before the next attempt: three quarters to all of the step.
    pub fn step(&mut self) -> Duration {
        let step = self.next.min(self.longest);
        self.next = step.saturating_mul(2).min(self.longest);
        let mut octet = [0u8];
        // Without randomness the wait is merely not spread.
        let _ = getrandom::fill(&mut octet);
        let [spread] = octet;
        step.saturating_sub((step / 4).saturating_mul(u32::from(spread)) / 255)
    }

    /// It worked: the next wait is the first again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_limit_and_starts_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(300));
        for most in [100, 200, 300, 300] {
            let wait = backoff.step();
            assert!(wait <= Duration::from_millis(most), "{wait:?} > {most} ms");
            assert!(wait >= Duration::from_millis(most * 3 / 4 - 1), "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.step() <= Duration::from_millis(100));
    }
}
