//! Up and down after so many attempts, and held back for a while by whoever flaps (steering model,
//! section 4).

use std::time::Duration;

use popnet_terms::Timestamp;
use popnet_wire::probing::Health;

/// After how many attempts a state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Successes in a row before "up".
    pub rise: u16,
    /// Failures in a row before "down".
    pub fall: u16,
    /// Time between two attempts.
    pub interval: Duration,
}

/// Rise and fall of one subject seen by one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthMachine {
    health: Health,
    /// Attempts in a row that had the same result.
    streak: u16,
    last_passed: Option<bool>,
    /// Failures since [`CLEAN`] successes in a row.
    failures: u16,
    /// What falls have earned, in thousandths, as it was at the last one.
    penalty: u32,
    fell_at: Timestamp,
}

/// A state that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: Health,
    /// After.
    pub to: Health,
}

/// So many successes in a row make earlier failures forgotten.
const CLEAN: u16 = 5;

/// So many failures without such a run are a fall, however they are spread; more where the
/// configuration wants more in a row.
const SPREAD_FALL: u16 = 5;

/// What one fall adds.
const FALL_PENALTY: u32 = 1_000;

/// What falls have earned is half of it after so long.
const HALF_LIFE: Duration = Duration::from_mins(15);

/// From here on a subject is held back.
const DAMPED_FROM: u32 = 2_500;

/// What falls can earn at most; more would only be capped by [`HELD_MAX`].
const PENALTY_MAX: u32 = 12_000;

/// Nobody is held back longer than this for flapping.
const HELD_MAX: Duration = Duration::from_mins(10);

impl Default for HealthMachine {
    fn default() -> Self {
        Self {
            health: Health::Unknown,
            streak: 0,
            last_passed: None,
            failures: 0,
            penalty: 0,
            fell_at: Timestamp(0),
        }
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
    pub fn attempt(&mut self, passed: bool, limits: &Limits, now: Timestamp) -> Option<Transition> {
        if self.last_passed == Some(passed) {
            self.streak = self.streak.saturating_add(1);
        } else {
            self.streak = 1;
        }
        self.last_passed = Some(passed);
        if !passed {
            self.failures = self.failures.saturating_add(1);
        } else if self.streak >= CLEAN {
            self.failures = 0;
        }
        let from = self.health;
        let to = match (from, passed) {
            (Health::Unknown, true) => Health::Up,
            (Health::Up | Health::Unknown, false) if self.has_fallen(limits) => Health::Down,
            (Health::Down, true) if self.streak >= self.wanted(limits, now) => Health::Up,
            (Health::Up | Health::Down, true)
            | (Health::Up | Health::Unknown | Health::Down, false) => from,
        };
        if (from, to) == (Health::Up, Health::Down) {
            self.penalty = (self.penalty_at(now) + FALL_PENALTY).min(PENALTY_MAX);
            self.fell_at = now;
        }
        if from != to {
            self.failures = 0;
        }
        self.health = to;
        (from != to).then_some(Transition { from, to })
    }

    /// Successes in a row that are wanted before it is up again.
    #[must_use]
    pub fn wanted(&self, limits: &Limits, now: Timestamp) -> u16 {
        let rise = limits.rise.max(1);
        let penalty = self.penalty_at(now);
        if penalty < DAMPED_FROM {
            return rise;
        }
        let interval = limits.interval.as_millis().max(1);
        let most = u16::try_from(HELD_MAX.as_millis() / interval).unwrap_or(u16::MAX);
        let factor = 1_u16.checked_shl(penalty / FALL_PENALTY).unwrap_or(u16::MAX);
        rise.saturating_mul(factor).min(most).max(rise)
    }

    fn has_fallen(&self, limits: &Limits) -> bool {
        self.streak >= limits.fall.max(1) || self.failures >= SPREAD_FALL.max(limits.fall)
    }

    /// What the falls' penalty has become: a straight line between the halvings.
    fn penalty_at(&self, now: Timestamp) -> u32 {
        let (age, half) = (now.since(self.fell_at).as_millis(), HALF_LIFE.as_millis());
        let halvings = u32::try_from(age / half).unwrap_or(u32::MAX);
        let start = self.penalty.checked_shr(halvings).unwrap_or(0);
        let gone = u128::from(start - start / 2) * (age % half) / half;
        start.saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { rise: 3, fall: 2, interval: Duration::from_secs(5) };

    /// Attempts every five seconds as `+` and `-`, states after each as `?`, `U`, `D`.
    fn check(fall: u16, attempts: &str, states: &str) {
        let mut machine = HealthMachine::default();
        let limits = Limits { fall, ..LIMITS };
        let mut now = Timestamp(1_000_000_000);
        let seen: String = attempts
            .chars()
            .map(|attempt| {
                machine.attempt(attempt == '+', &limits, now);
                now = now.after(limits.interval);
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
        check(2, "+++", "UUU");
        check(2, "--", "?D");
        check(2, "-+", "?U");
        check(2, "+-+--", "UUUUD");
        check(2, "+--++-+++", "UUDDDDDDU");
        check(3, "+--+--+---", "UUUUUUUDDD");
    }

    #[test]
    fn failures_that_are_spread_add_up() {
        check(3, "+-+-+-+-+-", "UUUUUUUUUD");
        check(3, "+-++++-++++-++++-++++-", "UUUUUUUUUUUUUUUUUUUUUD");
        // Five good ones in a row, and all is forgotten.
        check(3, "+-+-+-+-+++++-+", "UUUUUUUUUUUUUUU");
        check(7, "+-+-+-+-+-+-+-", "UUUUUUUUUUUUUD");
    }

    /// Attempts until it is up again.
    fn recover(machine: &mut HealthMachine, now: &mut Timestamp) -> usize {
        let mut attempts = 0;
        while machine.health() != Health::Up {
            machine.attempt(true, &LIMITS, *now);
            *now = now.after(LIMITS.interval);
            attempts += 1;
        }
        attempts
    }

    fn fall(machine: &mut HealthMachine, now: &mut Timestamp) {
        for _ in 0..2 {
            machine.attempt(false, &LIMITS, *now);
            *now = now.after(LIMITS.interval);
        }
        assert_eq!(machine.health(), Health::Down);
    }

    #[test]
    fn who_flaps_is_held_back_longer_and_longer() {
        let mut machine = HealthMachine::default();
        let mut now = Timestamp(1_000_000_000);
        machine.attempt(true, &LIMITS, now);
        let mut waits = Vec::new();
        for _ in 0..9 {
            fall(&mut machine, &mut now);
            waits.push(recover(&mut machine, &mut now));
        }
        // Twice is bad luck; then four and eight times as long, at most ten minutes.
        assert_eq!(waits[..4], [3, 3, 12, 24]);
        assert!(waits.iter().all(|attempts| *attempts <= 120), "{waits:?}");
        assert!(waits[8] >= 48, "{waits:?}");
        // An hour of peace, and it is as everybody else.
        now = now.after(Duration::from_hours(1));
        fall(&mut machine, &mut now);
        assert_eq!(recover(&mut machine, &mut now), 3);
    }

    #[test]
    fn one_fall_costs_nothing_whatever_the_clock_says() {
        for at in [i64::MIN, 0, i64::MAX] {
            let mut machine = HealthMachine::default();
            machine.attempt(true, &LIMITS, Timestamp(at));
            for _ in 0..2 {
                machine.attempt(false, &LIMITS, Timestamp(at));
            }
            assert_eq!(machine.wanted(&LIMITS, Timestamp(at)), 3);
        }
    }
}
