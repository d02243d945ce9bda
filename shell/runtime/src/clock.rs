//! The one place that asks the machine for the time of day; cores are told it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use popnet_terms::Timestamp;

/// The time of day. A clock before 1970 counts as 1970.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Time that starts at the time of day and then only goes forward: a clock that is set hurries
/// nothing, stops nothing, and makes nothing older or younger.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    began: Timestamp,
    at: Instant,
}

impl Default for Steady {
    fn default() -> Self {
        Self { began: now(), at: Instant::now() }
    }
}

impl Steady {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.began.after(self.at.elapsed())
    }

    /// The instant at which this clock shows `time`.
    #[must_use]
    pub fn instant(&self, time: Timestamp) -> Instant {
        self.at + time.since(self.began)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_after_2020() {
        assert!(super::now().unix_seconds() > 1_577_836_800);
    }
}
