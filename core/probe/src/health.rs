//! Up and down after so many attempts in a row.

use popnet_wire::probing::Health;

/// Rise and fall of one subject seen by one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthMachine {
    health: Health,
    /// Attempts in a row that had the same result.
    streak: u16,
    last_passed: Option<bool>,
}

/// A state that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: Health,
    /// After.
    pub to: Health,
}

impl Default for HealthMachine {
    fn default() -> Self {
        Self { health: Health::Unknown, streak: 0, last_passed: None }
    }
}

impl HealthMachine {
    /// The state.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// Attempts in a row with the last one's result.
    #[must_use]
    pub fn streak(&self) -> u16 {
        self.streak
    }

    /// Takes one attempt in. From the unknown the first success is enough: a probe that has just
    /// started must not keep a healthy subject waiting. A failure is never enough by itself.
    pub fn attempt(&mut self, passed: bool, rise: u16, fall: u16) -> Option<Transition> {
        if self.last_passed == Some(passed) {
            self.streak = self.streak.saturating_add(1);
        } else {
            self.streak = 1;
        }
        self.last_passed = Some(passed);
        let from = self.health;
        let to = match (from, passed) {
            (Health::Unknown, true) => Health::Up,
            (Health::Up | Health::Unknown, false) if self.streak >= fall.max(1) => Health::Down,
            (Health::Down, true) if self.streak >= rise.max(1) => Health::Up,
            (Health::Up | Health::Down, true)
            | (Health::Up | Health::Unknown | Health::Down, false) => from,
        };
        self.health = to;
        (from != to).then_some(Transition { from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attempts as `+` and `-`, states after each as `?`, `U`, `D`.
    fn check(attempts: &str, states: &str) {
        let mut machine = HealthMachine::default();
        let seen: String = attempts
            .chars()
            .map(|attempt| {
                machine.attempt(attempt == '+', 3, 2);
                match machine.health() {
                    Health::Up => 'U',
                    Health::Down => 'D',
                    Health::Unknown => '?',
                }
            })
            .collect();
        assert_eq!(seen, states, "{attempts}");
    }

    #[test]
    fn rise_and_fall() {
        check("+++", "UUU");
        check("--", "?D");
        check("-+", "?U");
        check("+-+--", "UUUUD");
        check("+--++-+++", "UUDDDDDDU");
    }
}
