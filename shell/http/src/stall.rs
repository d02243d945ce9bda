//! A limit on silence: armed while nothing moves, forgotten when something does.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Measures silence.
pub(crate) struct Stall {
    patience: Duration,
    /// Made at the first silence: most exchanges never need a timer.
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Stall {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, timer: None, armed: false }
    }

    /// Something moved.
    pub(crate) fn moved(&mut self) {
        self.armed = false;
    }

    /// Nothing moves just now; `true` when that has lasted too long.
    pub(crate) fn poll_over(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = Instant::now() + self.patience;
        let timer = match &mut self.timer {
            Some(timer) => timer,
            None => {
                self.armed = true;
                self.timer.insert(Box::pin(tokio::time::sleep_until(deadline)))
            }
        };
        if !self.armed {
            timer.as_mut().reset(deadline);
            self.armed = true;
        }
        matches!(timer.as_mut().poll(context), Poll::Ready(()))
    }
}
