//! How far a value may be believed at its age: fully while fresh, then halving, then not at all
//! (steering model, section 3).

use std::time::Duration;

/// How a kind of value ages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ageing {
    /// Up to this age a value counts fully.
    pub(crate) fresh: Duration,
    /// After that it halves in each such time.
    pub(crate) half_life: Duration,
    /// Older values count for nothing.
    pub(crate) expire: Duration,
}

/// Half of full confidence, in thousandths: below it the next rung of the ladder is asked.
pub(crate) const HALF: u16 = 500;

impl Ageing {
    /// Latency and loss of a client unit.
    pub(crate) fn latency(expire: Duration) -> Self {
        Self { fresh: Duration::from_mins(10), half_life: Duration::from_hours(1), expire }
    }

    /// What neighbours and networks know: it moves slower than what one client sees.
    pub(crate) fn path() -> Self {
        Self {
            fresh: Duration::from_hours(1),
            half_life: Duration::from_hours(12),
            expire: Duration::from_hours(14 * 24),
        }
    }

    /// A health word of a probe with this interval. Full state is sent again every ten seconds,
    /// so that nothing may expire in less than one such round and a half.
    pub(crate) fn health(interval: Duration) -> Self {
        Self {
            fresh: interval.saturating_mul(2),
            half_life: interval,
            expire: interval.saturating_mul(5).max(Duration::from_secs(15)),
        }
    }

    /// Belief in thousandths at `age`: a straight line between the halvings.
    pub(crate) fn confidence(self, age: Duration) -> u16 {
        if age <= self.fresh {
            return 1_000;
        }
        if age > self.expire {
            return 0;
        }
        // Fits for half a million years.
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let past = micros(age - self.fresh);
        let half_life = micros(self.half_life).max(1);
        let halvings = u32::try_from(past / half_life).unwrap_or(u32::MAX);
        let start = 1_000_u64.checked_shr(halvings).unwrap_or(0);
        let end = start / 2;
        let value = start - (start - end).saturating_mul(past % half_life) / half_life;
        u16::try_from(value).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let latency = Ageing::latency(Duration::from_hours(24));
        let check = |minutes: u64, confidence: u16| {
            assert_eq!(latency.confidence(Duration::from_mins(minutes)), confidence, "{minutes}");
        };
        check(0, 1_000);
        check(10, 1_000);
        check(40, 750);
        check(70, 500);
        check(130, 250);
        check(24 * 60 + 1, 0);
        let health = Ageing::health(Duration::from_secs(5));
        assert_eq!(health.confidence(Duration::from_secs(25)), 125);
        assert_eq!(health.confidence(Duration::from_secs(26)), 0);
    }
}
