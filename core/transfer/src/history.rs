//! The last differences of a zone, from which secondaries that are a little behind are served.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::difference::Difference;
use crate::serial::Serial;

/// Differences one after the other, the newest last; the oldest go when there are too many.
#[derive(Clone, Debug, Default)]
pub struct History {
    steps: VecDeque<Arc<Difference>>,
    octets: usize,
    limit: usize,
}

impl History {
    /// A history of at most `limit` octets.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { steps: VecDeque::new(), octets: 0, limit }
    }

    /// Adds the newest step. One that does not begin where the last ended starts afresh.
    pub fn push(&mut self, step: Arc<Difference>) {
        let fits = self.steps.back().is_none_or(|last| last.to() == step.from());
        // Secondaries ask by serial number: a step that goes back or stands would mislead them.
        if !fits || !step.to().is_after(step.from()) {
            self.clear();
        }
        if !step.to().is_after(step.from()) {
            return;
        }
        self.octets += step.octets();
        self.steps.push_back(step);
        while self.octets > self.limit {
            let Some(oldest) = self.steps.pop_front() else { break };
            self.octets -= oldest.octets();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.steps.clear();
        self.octets = 0;
    }

    /// The steps from `serial` to now; `None` when they do not go back so far.
    #[must_use]
    pub fn since(&self, serial: Serial) -> Option<Vec<Arc<Difference>>> {
        let first = self.steps.iter().position(|step| step.from() == serial)?;
        Some(self.steps.iter().skip(first).cloned().collect())
    }

    /// All steps, the newest last.
    pub fn steps(&self) -> impl Iterator<Item = &Arc<Difference>> {
        self.steps.iter()
    }

    /// The serial number that the newest step leads to.
    #[must_use]
    pub fn end(&self) -> Option<Serial> {
        self.steps.back().map(|step| step.to())
    }

    /// Octets of all steps.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// How many steps there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::difference::between;
    use crate::testing::zone;

    fn step(from: u32, to: u32) -> Arc<Difference> {
        Arc::new(between(&zone(from, &["a A 192.0.2.1"]), &zone(to, &["a A 192.0.2.2"])).unwrap())
    }

    #[test]
    fn bounded_and_unbroken() {
        let size = step(1, 2).octets();
        let mut history = History::new(3 * size);
        for n in 1..=5 {
            history.push(step(n, n + 1));
        }
        assert_eq!((history.len(), history.octets()), (3, 3 * size));
        assert!(history.since(Serial(2)).is_none(), "too far back");
        assert_eq!(history.since(Serial(4)).unwrap().len(), 2);
        assert!(history.since(Serial(6)).is_none(), "nothing is newer");
        // A gap, and a step back: what was before is of no use.
        history.push(step(9, 10));
        assert_eq!(history.len(), 1);
        history.push(step(10, 4));
        assert!(history.is_empty());
        let mut small = History::new(1);
        small.push(step(1, 2));
        assert!(small.is_empty());
    }
}
