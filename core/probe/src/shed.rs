//! Which share of its new clients a target asks name servers to send elsewhere (steering model,
//! section 6). One writer a target; name servers only obey.
//!
//! Integral control, once a period. What was asked for and cannot show in the load yet, because
//! the way from here over name servers and their answers' times to live and back takes some
//! periods, is reckoned in before the next step is taken: so a long way makes the loop slow and
//! not restless, and the gain may be that of a loop without delay. The plant's gain (how much load
//! leaves with a share) is first reckoned from the load itself, then learnt from what earlier
//! steps did.

use std::collections::VecDeque;
use std::time::Duration;

use popnet_terms::Timestamp;

/// How to shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShedRules {
    /// The load to keep to, in thousandths.
    pub target: u16,
    /// Above this load, in thousandths, larger steps are taken.
    pub hard: u16,
    /// Time between two steps: what a step does has mostly been done after one, so that it is no
    /// less than the answers' time to live, nor than the interval of loads.
    pub period: Duration,
    /// Periods until a step shows in the load that is told here; at most [`ShedRules::DELAY_MAX`].
    pub delay: usize,
}

impl ShedRules {
    /// The longest way that is reckoned with, in periods.
    pub const DELAY_MAX: usize = 3;
}

impl Default for ShedRules {
    fn default() -> Self {
        Self { target: 800, hard: 950, period: Duration::from_secs(20), delay: 1 }
    }
}

/// The controller of one target. Shares and loads inside are in millionths.
#[derive(Clone, Debug)]
pub struct Shedder {
    rules: ShedRules,
    shed: i64,
    /// The last steps, newest last.
    steps: VecDeque<i64>,
    /// What the plant's gain was seen to be, newest last.
    gains: VecDeque<i64>,
    heard: Option<i64>,
    before: Option<i64>,
    next: Option<Timestamp>,
}

/// The whole.
const WHOLE: i64 = 1_000_000;

/// A share of this many thousandths stays whatever the load: without any client no load says how
/// many could come back.
const SHED_MAX: i64 = 950_000;

/// Half of what a loop without delay bears (`K·G < 2`) would be 1; less, because what is
/// reckoned of the plant is never quite right.
const GAIN: i64 = 850_000;

/// Within [`CLOSE`] of the target, where a way that is longer or shorter than reckoned would make
/// a larger one swing for ever.
const GAIN_CLOSE: i64 = 350_000;
const CLOSE: i64 = 70_000;

/// Steps up at most, where the load is below `hard` and where it is above.
const UP_MAX: i64 = 100_000;
const UP_MAX_HARD: i64 = 350_000;

/// Steps down at most: who comes back too soon has to go again.
const DOWN_MAX: i64 = 50_000;

/// Loads this near to the target are on target: loads are never exact.
const NEAR: i64 = 5_000;

/// Smaller steps drown in the noise of loads and teach nothing.
const STEP_TEACHES: i64 = 20_000;

/// Gains remembered: their median counts.
const GAINS: usize = 5;

/// The least gain reckoned with, so that an idle target's steps stay finite.
const GAIN_MIN: i64 = 200_000;

/// Without any load told, what is shed fades in this many periods.
const FADE: i64 = 5;

/// `K·G` must be below this, in thousandths, in a loop whose delay of so many periods is not
/// reckoned in: `2·sin(π / (2(2d + 1)))`.
#[must_use]
pub fn gain_bound(delay: usize) -> u16 {
    match delay {
        0 => 2_000,
        1 => 1_000,
        2 => 618,
        _ => 445,
    }
}

impl Shedder {
    /// A controller that sheds nothing yet.
    #[must_use]
    pub fn new(rules: ShedRules) -> Self {
        Self {
            rules: clean(rules),
            shed: 0,
            steps: VecDeque::new(),
            gains: VecDeque::new(),
            heard: None,
            before: None,
            next: None,
        }
    }

    /// Takes new rules over; what is shed stays.
    pub fn configure(&mut self, rules: ShedRules) {
        self.rules = clean(rules);
    }

    /// What is shed, in thousandths.
    #[must_use]
    pub fn shed(&self) -> u16 {
        u16::try_from(self.shed / 1_000).unwrap_or(0)
    }

    /// When [`Shedder::step`] takes its next step; `None` before the first.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// Tells the load in thousandths, where it is known now, and takes a step when one is due.
    /// Gives what is to be shed, in thousandths. Of several loads in a period the last counts.
    pub fn step(&mut self, now: Timestamp, load: Option<u16>) -> u16 {
        if let Some(load) = load {
            self.heard = Some(i64::from(load) * 1_000);
        }
        if self.next.is_some_and(|next| now < next) {
            return self.shed();
        }
        self.next = Some(now.after(self.rules.period));
        let heard = self.heard.take();
        let step = heard.map_or(-(self.shed / FADE).max(DOWN_MAX / 10), |load| self.reckon(load));
        let shed = (self.shed + step).clamp(0, SHED_MAX);
        self.steps.push_back(shed - self.shed);
        if self.steps.len() > ShedRules::DELAY_MAX + 1 {
            self.steps.pop_front();
        }
        self.shed = shed;
        self.before = heard;
        self.shed()
    }

    /// The step that `load` asks for.
    fn reckon(&mut self, load: i64) -> i64 {
        let pending: i64 = self.steps.iter().rev().take(self.rules.delay).sum();
        // The load as it would be with nothing shed is what a whole share would take away.
        let kept = (WHOLE - (self.shed - pending)).max(WHOLE - SHED_MAX);
        let plain = (load * WHOLE / kept).max(GAIN_MIN);
        let gain = self.learn(load, plain);
        let to_come = load - gain * pending / WHOLE;
        let target = i64::from(self.rules.target) * 1_000;
        let error = to_come - target;
        if error.abs() <= NEAR {
            return 0;
        }
        let is_close = (load - target).abs() <= CLOSE;
        let is_hard = load > i64::from(self.rules.hard) * 1_000;
        let up_max = if is_hard { UP_MAX_HARD } else { UP_MAX };
        let step = error * if is_close { GAIN_CLOSE } else { GAIN } / gain;
        step.clamp(-DOWN_MAX, up_max)
    }

    /// The plant's gain: what earlier steps did, as far as that can be believed beside `plain`,
    /// which is right where every client can be moved and all are alike.
    fn learn(&mut self, load: i64, plain: i64) -> i64 {
        let shown = self.steps.iter().rev().nth(self.rules.delay).copied().unwrap_or(0);
        if let Some(before) = self.before.filter(|_| shown.abs() >= STEP_TEACHES) {
            let seen = (before - load) * WHOLE / shown;
            // Clients come and go for other reasons too: such steps teach nothing.
            if seen > plain / 4 && seen < plain * 4 {
                self.gains.push_back(seen);
            }
            if self.gains.len() > GAINS {
                self.gains.pop_front();
            }
        }
        let mut seen: Vec<i64> = self.gains.iter().copied().collect();
        seen.sort_unstable();
        let median = seen.get(seen.len() / 2).copied().filter(|_| seen.len() > 1);
        median.unwrap_or(plain).clamp(plain * 3 / 4, plain * 2)
    }
}

fn clean(rules: ShedRules) -> ShedRules {
    ShedRules {
        target: rules.target.max(1),
        period: rules.period.max(Duration::from_millis(100)),
        delay: rules.delay.min(ShedRules::DELAY_MAX),
        ..rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plant: a share `shed` of what comes goes elsewhere, `delay` periods after it was asked
    /// for. `fixed` thousandths of the load cannot be moved; `skew` thousandths say how much more
    /// than its share the first part of the clients weighs.
    struct Plant {
        delay: usize,
        asked: Vec<i64>,
        fixed: i64,
        skew: i64,
    }

    impl Plant {
        fn of(delay: usize) -> Self {
            Self { delay, asked: vec![0], fixed: 0, skew: 1_000 }
        }

        fn load(&self, demand: i64) -> u16 {
            let at = self.asked.len().saturating_sub(1 + self.delay);
            let shed = (self.asked[at] * self.skew / 1_000).min(1_000);
            let moved = (demand - self.fixed) * shed / 1_000;
            u16::try_from(demand - moved).unwrap()
        }
    }

    /// Loads, period by period.
    fn run(plant: &mut Plant, model: usize, demand: impl Fn(i64) -> i64, periods: i64) -> Vec<i64> {
        let rules = ShedRules { delay: model, ..ShedRules::default() };
        let mut shedder = Shedder::new(rules);
        let mut now = Timestamp(0);
        let mut loads = Vec::new();
        for period in 0..periods {
            let load = plant.load(demand(period));
            loads.push(load.into());
            plant.asked.push(shedder.step(now, Some(load)).into());
            now = now.after(rules.period);
        }
        loads
    }

    fn swing(loads: &[i64]) -> i64 {
        loads.iter().max().unwrap() - loads.iter().min().unwrap()
    }

    #[test]
    fn a_step_is_settled_in_three_periods_beyond_the_way_there() {
        for delay in 0..=3 {
            for demand in [1_000, 1_200, 1_500] {
                let mut plant = Plant::of(delay);
                let loads = run(&mut plant, delay, |_| demand, 40);
                let settled = &loads[delay + 3..];
                assert!(settled.iter().all(|l| *l <= 840), "d {delay} of {demand}: {loads:?}");
                assert!(loads.iter().all(|l| *l >= 760), "d {delay} of {demand}: {loads:?}");
                assert!(swing(&loads[delay + 6..]) <= 16, "d {delay} of {demand}: {loads:?}");
            }
        }
    }

    #[test]
    fn a_wrong_guess_of_the_way_is_borne() {
        for (real, model) in [(0, 1), (1, 0), (1, 2), (2, 1), (3, 2), (2, 3)] {
            let loads = run(&mut Plant::of(real), model, |_| 1_500, 120);
            let late = &loads[60..];
            assert!(late.iter().all(|l| (l - 800).abs() <= 16), "{real} for {model}: {loads:?}");
        }
    }

    #[test]
    fn a_plant_unlike_the_reckoned_one_is_learnt() {
        // Half of the load cannot be moved; or the first clients weigh half as much again.
        for (fixed, skew) in [(500, 1_000), (300, 1_000), (0, 1_500), (0, 600)] {
            for delay in 1..=3 {
                let mut plant = Plant { fixed, skew, ..Plant::of(delay) };
                let loads = run(&mut plant, delay, |_| 1_400, 120);
                let late = &loads[60..];
                let near = |load: &i64| (load - 800).abs() <= 16;
                assert!(late.iter().all(near), "{fixed} {skew} d {delay}: {loads:?}");
            }
        }
    }

    #[test]
    fn ramps_are_followed_and_all_comes_back() {
        for delay in 1..=3 {
            // Up by two points a period to 150 %, then down again.
            let demand = |n: i64| (700 + n * 20).min(1_500).min(3_900 - n * 20).max(500);
            let loads = run(&mut Plant::of(delay), delay, demand, 260);
            let worst = loads.iter().max().unwrap();
            assert!(*worst <= 920, "d {delay}: {worst}");
            assert_eq!(loads[259], 500, "d {delay}: nothing is shed any more");
            let low = loads[10..110].iter().min().unwrap();
            assert!(*low >= 740, "d {delay}: {low}");
        }
    }

    #[test]
    fn square_waves_do_not_build_up() {
        for delay in 1..=3 {
            let demand = |n: i64| if n / 30 % 2 == 0 { 1_300 } else { 700 };
            let loads = run(&mut Plant::of(delay), delay, demand, 600);
            for wave in 1..10 {
                let at = wave * 60 + delay + 4;
                let high = &loads[at..wave * 60 + 30];
                assert!(high.iter().all(|l| *l <= 840), "d {delay} wave {wave}: {high:?}");
            }
        }
    }

    /// The bound itself, on the plain loop without foresight.
    #[test]
    fn the_plain_loop_obeys_the_bound() {
        for delay in 0..=3_usize {
            for (share, is_stable) in [(970, true), (1_030, false)] {
                let gain = f64::from(gain_bound(delay)) / 1_000.0 * f64::from(share) / 1_000.0;
                let mut sheds = vec![0.0_f64; delay + 1];
                let mut errors = Vec::new();
                for _ in 0..2_000 {
                    let error = 0.3 - sheds[sheds.len() - 1 - delay];
                    errors.push(error.abs());
                    sheds.push(sheds[sheds.len() - 1] + gain * error);
                }
                let late = errors[1_900..].iter().copied().fold(0.0, f64::max);
                assert_eq!(late < 0.3, is_stable, "d {delay} at {share}: {late}");
            }
        }
    }

    #[test]
    fn steps_are_bounded_and_come_once_a_period() {
        let mut shedder = Shedder::new(ShedRules::default());
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        assert_eq!(shedder.step(at(0), Some(700)), 0);
        assert_eq!(shedder.step(at(10), Some(u16::MAX)), 0);
        // The last load of the period, not the greatest.
        assert_eq!(shedder.step(at(20), Some(900)), 94);
        assert_eq!(shedder.step(at(25), Some(u16::MAX)), 94);
        assert_eq!(shedder.step(at(40), Some(u16::MAX)), 444);
        let mut last = 444;
        for n in 3..40 {
            let shed = shedder.step(at(n * 20), Some(100));
            assert!(last - shed <= 50, "{last} {shed}");
            last = shed;
        }
        assert_eq!(last, 0);
    }

    #[test]
    fn silence_fades() {
        let mut shedder = Shedder::new(ShedRules::default());
        for n in 0..10 {
            shedder.step(Timestamp(n * 20_000_000), Some(1_200));
        }
        let full = shedder.shed();
        assert!(full > 300, "{full}");
        let mut sheds = vec![full];
        for n in 10..60 {
            sheds.push(shedder.step(Timestamp(n * 20_000_000), None));
        }
        assert!(sheds.is_sorted_by(|a, b| a >= b));
        assert!(sheds[1] < full && sheds[5] < full / 2 && sheds[50] == 0, "{sheds:?}");
    }
}
