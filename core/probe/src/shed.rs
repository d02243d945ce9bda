//! Which share of its new clients a target asks name servers to send elsewhere (steering model,
//! section 6). One writer a target; name servers only obey.
//!
//! What was asked for shows in the load little by little, as answers given before end: so it is
//! reckoned how much of each step shows by now. That part leaves the load that is told; by the
//! share that it kept, the load tells what share must be kept to come to the target, and the step
//! goes to there. Thus a step may follow each load that is told, none is taken twice for what is
//! still on its way, and a long way makes the loop slow and not restless. What is reckoned wrongly
//! of the way comes into the next step as a factor and does not add up, as it would in a plain
//! integral loop (its bound: [`gain_bound`]).

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
    /// How long answers last that were given while nothing was shed, at most.
    pub calm_ttl: Duration,
    /// How long they last while something is shed.
    pub shed_ttl: Duration,
}

impl ShedRules {
    /// The control period: by then what a step does has been done for most.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.shed_ttl.max(self.calm_ttl / 2)
    }

    /// No two steps are closer: that also bounds how many have to be remembered.
    fn spacing(&self) -> Duration {
        (self.calm_ttl.max(self.shed_ttl) / STEPS).max(SPACING_MIN)
    }
}

impl Default for ShedRules {
    fn default() -> Self {
        let (calm_ttl, shed_ttl) = (Duration::from_secs(300), Duration::from_secs(20));
        Self { target: 800, hard: 950, calm_ttl, shed_ttl }
    }
}

/// The controller of one target. Shares and loads inside are in millionths.
#[derive(Clone, Debug)]
pub struct Shedder {
    rules: ShedRules,
    shed: i64,
    /// Since when something is shed.
    since: Option<Timestamp>,
    /// Steps that may not all show yet, oldest first.
    steps: VecDeque<Step>,
    /// The newest load that was looked at.
    seen: Option<Timestamp>,
    /// No step before.
    next: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    at: Timestamp,
    by: i64,
    /// Until all of it shows.
    reach: Duration,
}

/// The whole.
const WHOLE: i64 = 1_000_000;

/// A share of this many millionths stays whatever the load: without any client no load says how
/// many could come back.
const SHED_MAX: i64 = 950_000;

/// The part of the way to what is wanted that a step goes; the whole would do if all that is
/// reckoned were right.
const GAIN: i64 = 850_000;

/// Within [`CLOSE`] of the target, where loads go up and down of themselves.
const GAIN_CLOSE: i64 = 350_000;
const CLOSE: i64 = 50_000;

/// Steps up together at most, in the time in which one comes to show: where the load is below
/// `hard` and where it is above.
const UP_MAX: i64 = 100_000;
const UP_MAX_HARD: i64 = 500_000;

/// Steps down together at most, in the same time: who comes back too soon has to go again.
const DOWN_MAX: i64 = 50_000;

/// Loads this near to the target are on target: loads are never exact.
const NEAR: i64 = 5_000;

/// From a step until the first clients follow it: a report waits for company, a view is
/// published, and loads are told as they were a moment ago.
const LAG: Duration = Duration::from_secs(1);

/// Steps in the longest way, at most.
const STEPS: u32 = 32;
const SPACING_MIN: Duration = Duration::from_millis(500);

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
        let rules = clean(rules);
        Self { rules, shed: 0, since: None, steps: VecDeque::new(), seen: None, next: None }
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

    /// Tells the newest load in thousandths and when it was read, where it is known now, and takes
    /// a step when the load is new and the last step is not just past. Gives what is to be shed,
    /// in thousandths.
    pub fn step(&mut self, now: Timestamp, load: Option<(Timestamp, u16)>) -> u16 {
        if self.next.is_some_and(|next| now < next) {
            return self.shed();
        }
        let (by, wait) = match load {
            Some((at, _)) if self.seen.is_some_and(|seen| at <= seen) => return self.shed(),
            Some((at, load)) => {
                self.seen = Some(at);
                (self.reckon(at, i64::from(load.max(1)) * 1_000), self.rules.spacing())
            }
            None if self.shed == 0 => return 0,
            None => (-(self.shed / FADE).max(DOWN_MAX / 10), self.rules.period()),
        };
        self.next = Some(now.after(wait));
        self.go(now, by);
        self.shed()
    }

    /// The step that a load of `at` asks for.
    fn reckon(&self, at: Timestamp, load: i64) -> i64 {
        let target = i64::from(self.rules.target) * 1_000;
        // What is kept of all that would come, and what will be when every step shows.
        let kept = (WHOLE - self.shown(at)).max(WHOLE - SHED_MAX);
        let to_come = load * (WHOLE - self.shed) / kept;
        let error = (to_come - target).abs();
        if error <= NEAR {
            return 0;
        }
        let wanted = WHOLE - kept * target / load;
        let gain = if error <= CLOSE { GAIN_CLOSE } else { GAIN };
        let by = (wanted - self.shed) * gain / WHOLE;
        let is_hard = load > i64::from(self.rules.hard) * 1_000;
        let up_max = if is_hard { UP_MAX_HARD } else { UP_MAX };
        let lately = self.steps.iter().map(|step| step.by);
        let (up, down) = lately.fold((0, 0), |(up, down), by| (up + by.max(0), down + by.min(0)));
        by.clamp((-DOWN_MAX - down).min(0), (up_max - up).max(0))
    }

    /// How much of what is shed shows at `at`.
    fn shown(&self, at: Timestamp) -> i64 {
        let to_come = self.steps.iter().map(|step| step.by * (WHOLE - step.shown(at)) / WHOLE);
        (self.shed - to_come.sum::<i64>()).clamp(0, WHOLE)
    }

    fn go(&mut self, now: Timestamp, by: i64) {
        self.steps.retain(|step| step.shown(now) < WHOLE);
        let shed = (self.shed + by).clamp(0, SHED_MAX);
        let by = shed - self.shed;
        self.shed = shed;
        if by != 0 {
            // Answers that were given before anything was shed still last for their long time.
            let calm = self.since.map_or(Duration::ZERO, |since| now.since(since));
            let reach = self.rules.calm_ttl.saturating_sub(calm).max(self.rules.shed_ttl);
            self.steps.push_back(Step { at: now, by, reach });
        }
        self.since = (shed > 0).then(|| self.since.unwrap_or(now));
    }
}

impl Step {
    /// How much of it shows at `at`: answers end evenly over the time that they last.
    fn shown(&self, at: Timestamp) -> i64 {
        let past = at.since(self.at).saturating_sub(LAG).as_millis();
        let part = past.saturating_mul(1_000_000) / self.reach.as_millis().max(1);
        i64::try_from(part).unwrap_or(WHOLE).min(WHOLE)
    }
}

fn clean(rules: ShedRules) -> ShedRules {
    let at_least = |ttl: Duration| ttl.max(Duration::from_secs(1));
    ShedRules {
        target: rules.target.max(1),
        calm_ttl: at_least(rules.calm_ttl),
        shed_ttl: at_least(rules.shed_ttl),
        ..rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients of one target, of whom each asks again when its answer ends. `share` thousandths of
    /// them can be moved, the first half of whom weighs `skew` thousandths of the second; they
    /// keep answers `hold` thousandths of their time.
    struct Plant {
        rules: ShedRules,
        hold: i64,
        share: i64,
        skew: i64,
        /// When each asks next, in tenths of a second, and whether it is here.
        clients: Vec<(i64, bool)>,
    }

    const CLIENTS: i64 = 1_000;

    /// The loads of twelve name servers' clients are read every five seconds.
    const READ: i64 = 50;

    impl Plant {
        fn new() -> Self {
            let calm_ttl = Duration::from_secs(30);
            let rules = ShedRules { calm_ttl, ..ShedRules::default() };
            Self { rules, hold: 1_000, share: 1_000, skew: 1_000, clients: Vec::new() }
        }

        fn weight(&self, draw: i64) -> i64 {
            if draw < CLIENTS / 2 { self.skew } else { 1_000 }
        }

        /// Loads, once a reading of `READ` tenths of a second.
        fn run(&mut self, demand: impl Fn(i64) -> i64, seconds: i64) -> Vec<i64> {
            let calm = i64::try_from(self.rules.calm_ttl.as_millis()).unwrap() / 100;
            let short = i64::try_from(self.rules.shed_ttl.as_millis()).unwrap() / 100;
            let held = |ttl: i64| (ttl * self.hold / 1_000).max(1);
            self.clients = (0..CLIENTS).map(|n| (n * 617 % held(calm), true)).collect();
            let all: i64 = (0..CLIENTS).map(|draw| self.weight(draw)).sum();
            let mut shedder = Shedder::new(self.rules);
            let mut shed = 0;
            let mut loads = Vec::new();
            for tenth in 0..seconds * 10 {
                for (draw, (at, is_here)) in (0_i64..).zip(&mut self.clients) {
                    if *at == tenth {
                        let may_move = draw * 7 % 10 < self.share / 100;
                        *is_here = draw >= shed || !may_move;
                        *at += held(if shed > 0 { short } else { calm });
                    }
                }
                if tenth % READ == 0 {
                    let here = (0..).zip(&self.clients).filter(|(_, (_, is_here))| *is_here);
                    let weight: i64 = here.map(|(draw, _)| self.weight(draw)).sum();
                    let load = demand(tenth / 10) * weight / all;
                    loads.push(load);
                    let at = Timestamp(tenth * 100_000);
                    shed = shedder.step(at, Some((at, u16::try_from(load).unwrap()))).into();
                }
            }
            loads
        }
    }

    fn swing(loads: &[i64]) -> i64 {
        loads.iter().max().unwrap() - loads.iter().min().unwrap()
    }

    #[test]
    fn a_step_is_settled_in_three_periods_and_does_not_swing() {
        for demand in [1_000, 1_200, 1_500] {
            let loads = Plant::new().run(|now| if now < 21 { 600 } else { demand }, 400);
            // Three periods of 20 s after second 21.
            let settled = &loads[81 / 5..];
            assert!(settled.iter().all(|l| (l - 800).abs() <= 40), "{demand}: {loads:?}");
            assert!(swing(&loads[40..]) <= 16, "{demand}: {loads:?}");
        }
    }

    #[test]
    fn a_wrong_guess_of_the_way_is_borne() {
        for (hold, least) in [(200, 760), (500, 760), (1_500, 700), (2_000, 600), (3_000, 450)] {
            let loads = Plant { hold, ..Plant::new() }.run(|_| 1_500, 900);
            let late = &loads[100..];
            assert!(late.iter().all(|l| (l - 800).abs() <= 16), "{hold}: {loads:?}");
            let low = loads.iter().min().unwrap();
            assert!(*low >= least, "{hold}: {low} of {loads:?}");
        }
    }

    #[test]
    fn a_plant_unlike_the_reckoned_one_comes_to_the_target_too() {
        // Some cannot be moved; or the first weigh more or less than the others.
        for (share, skew) in [(600, 1_000), (800, 1_000), (1_000, 2_000), (1_000, 500)] {
            let loads = Plant { share, skew, ..Plant::new() }.run(|_| 1_400, 900);
            let late = &loads[100..];
            assert!(late.iter().all(|l| (l - 800).abs() <= 16), "{share} {skew}: {loads:?}");
        }
    }

    #[test]
    fn ramps_are_followed_and_all_comes_back() {
        // Up by a point every ten seconds to 150 %, then down again.
        let demand = |now: i64| (700 + now).min(2_300 - now).max(500);
        let loads = Plant::new().run(demand, 2_600);
        let (top, up) = (loads.iter().max().unwrap(), &loads[40..160]);
        assert!(*top <= 850 && swing(up) <= 80, "{loads:?}");
        assert_eq!(loads.last(), Some(&500), "nothing is shed any more");
    }

    #[test]
    fn square_waves_do_not_build_up() {
        let demand = |now: i64| if now / 300 % 2 == 0 { 1_300 } else { 700 };
        let loads = Plant::new().run(demand, 6_000);
        for wave in 1..10 {
            let high = &loads[wave * 120 + 16..wave * 120 + 60];
            assert!(high.iter().all(|l| *l <= 840), "wave {wave}: {high:?}");
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

    fn told(shedder: &mut Shedder, second: i64, load: u16) -> u16 {
        let at = Timestamp(second * 1_000_000);
        shedder.step(at, Some((at, load)))
    }

    #[test]
    fn steps_are_bounded_and_each_load_counts_once() {
        let mut shedder = Shedder::new(ShedRules::default());
        assert_eq!(told(&mut shedder, 0, 700), 0);
        assert_eq!(told(&mut shedder, 5, u16::MAX), 0, "too soon");
        assert_eq!(told(&mut shedder, 20, 900), 94);
        let old = Some((Timestamp(20_000_000), 2_000));
        assert_eq!(shedder.step(Timestamp(35_000_000), old), 94, "no news");
        assert_eq!(told(&mut shedder, 40, u16::MAX), 500, "half of the clients at once at most");
        assert_eq!(told(&mut shedder, 60, u16::MAX), 500);
        let mut sheds = vec![500];
        for n in 0..200 {
            sheds.push(told(&mut shedder, 400 + n * 20, 100));
        }
        assert!(sheds.windows(3).all(|few| few[0] - few[2] <= 100), "{sheds:?}");
        assert_eq!(sheds.last(), Some(&0));
        assert!(shedder.steps.is_empty(), "{:?}", shedder.steps);
    }

    #[test]
    fn any_loads_at_any_time_are_borne() {
        let mut shedder = Shedder::new(ShedRules {
            target: 0,
            hard: 0,
            calm_ttl: Duration::MAX,
            shed_ttl: Duration::ZERO,
        });
        for n in 0..3_000_i64 {
            let at = Timestamp(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()));
            let load = u16::try_from(n * 7_919 % 65_536).unwrap();
            shedder.step(at, (n % 5 > 0).then_some((at, load)));
            assert!(shedder.shed() <= 950 && shedder.steps.len() <= 64);
        }
    }

    #[test]
    fn silence_fades() {
        let mut shedder = Shedder::new(ShedRules::default());
        for n in 0..10 {
            told(&mut shedder, n * 20, 1_200);
        }
        let full = shedder.shed();
        assert!(full > 300, "{full}");
        let mut sheds = vec![full];
        for n in 1..60 {
            sheds.push(shedder.step(Timestamp((200 + n * 150) * 1_000_000), None));
        }
        assert!(sheds.is_sorted_by(|a, b| a >= b));
        assert!(sheds[1] < full && sheds[5] < full / 2 && sheds[50] == 0, "{sheds:?}");
        assert!(told(&mut shedder, 9_201, 1_200) > 0, "at once");
    }
}
