//! Time for the prober: it starts at the time of day and then only goes forward, so that a clock
//! that is set hurries no probe and stops none.

use std::time::Instant;

use popnet_runtime::clock;
use popnet_terms::Timestamp;

/// A clock that only goes forward.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steady {
    began: Timestamp,
    at: Instant,
}

impl Steady {
    pub(crate) fn new() -> Self {
        Self { began: clock::now(), at: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.began.after(self.at.elapsed())
    }

    /// The instant at which this clock shows `time`.
    pub(crate) fn instant(&self, time: Timestamp) -> Instant {
        self.at + time.since(self.began)
    }
}
