//! A limit on silence: armed while nothing moves, forgotten when something does.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Measures silence.
pub(crate) struct Stall {
    patience: Duration,
    /// Since when nothing moves.
    since: Option<Instant>,
    /// Made at the first silence: most exchanges never need a timer. It is set anew only when it
    /// goes off, so that a silence costs no more than a look at the clock.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, since: None, timer: None }
    }

    /// Something moved.
    pub(crate) fn moved(&mut self) {
        self.since = None;
    }

    /// Nothing moves just now; `true` when that has lasted too long.
    pub(crate) fn poll_over(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = *self.since.get_or_insert_with(Instant::now) + self.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= deadline {
                return true;
            }
            timer.as_mut().reset(deadline);
        }
        false
    }
}
