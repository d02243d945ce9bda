//! Where every client unit is at the moment, and when its resolver asks again.

use std::time::Duration;

use popnet_terms::Timestamp;

use crate::num::place;

/// Resolvers ask in steps of this.
pub(crate) const STEP: Duration = Duration::from_millis(250);

/// Nobody's POP.
pub(crate) const NOWHERE: u16 = u16::MAX;

/// One unit's state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// The POP that it uses.
    pub(crate) pop: u16,
    /// The round trip to it.
    pub(crate) rtt_us: u32,
    /// When it asked first.
    pub(crate) first: Option<Timestamp>,
}

/// Everybody's state.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) held: Vec<Held>,
    /// Who asks in which step from the start.
    steps: Vec<Vec<u32>>,
    start: Timestamp,
}

impl Crowd {
    pub(crate) fn new(units: usize, start: Timestamp, length: Duration) -> Self {
        let steps = length.as_micros() / STEP.as_micros() + 2;
        let nobody = Held { pop: NOWHERE, rtt_us: 0, first: None };
        Self {
            held: vec![nobody; units],
            steps: vec![Vec::new(); place(u64::try_from(steps).unwrap_or(0))],
            start,
        }
    }

    /// Lets unit `n` ask at `at` or just after; after the end it does not.
    pub(crate) fn ask_at(&mut self, n: usize, at: Timestamp) {
        let past = at.since(self.start).as_micros().div_ceil(STEP.as_micros());
        let step = place(u64::try_from(past).unwrap_or(u64::MAX));
        if let (Some(step), Ok(n)) = (self.steps.get_mut(step), u32::try_from(n)) {
            step.push(n);
        }
    }

    /// Those who ask in the step that ends now.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<u32> {
        let step = now.since(self.start).as_micros() / STEP.as_micros();
        let step = place(u64::try_from(step).unwrap_or(u64::MAX));
        self.steps.get_mut(step).map(std::mem::take).unwrap_or_default()
    }

    /// Unit `n` got an answer.
    pub(crate) fn take(&mut self, n: usize, pop: Option<usize>, rtt_us: u32, now: Timestamp) {
        let Some(held) = self.held.get_mut(n) else { return };
        held.pop = pop.and_then(|pop| u16::try_from(pop).ok()).unwrap_or(NOWHERE);
        held.rtt_us = rtt_us;
        held.first.get_or_insert(now);
    }
}
