//! Whose fall is not believed yet: too many at once on the word of one site, which may only have
//! lost its own way out (steering model, section 4). They are served as they were until a second
//! site says the same, at most a minute. What an operator takes out is not looked at here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use popnet_terms::{PopId, TargetId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::view::GuardHold;

/// Falls that come this close together are one.
const WINDOW: Duration = Duration::from_secs(30);

/// Nobody is held up longer.
const HOLD_MAX: Duration = Duration::from_mins(1);

/// More than this share of what a site's targets can carry is a mass, in percent.
const CAPACITY_PERCENT: u64 = 50;

/// And so is more than this share of all targets.
const TARGETS_PERCENT: usize = 30;

/// One target is no mass, however much of a site it carries.
const MASS_MIN: usize = 2;

/// Who is down by the probes' words, and since when.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Guard {
    falls: BTreeMap<TargetId, Fall>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fall {
    at: Timestamp,
    /// The one site on whose word it rests; `None`: several.
    witness: Option<PopId>,
    is_held: bool,
}

/// A target as the probes see it.
pub(crate) struct Seen<'a> {
    pub(crate) target: &'a TargetId,
    /// Who calls it down; `None`: it is not down.
    pub(crate) down: Option<&'a [PopId]>,
    /// Whether it was in service before.
    pub(crate) was_up: bool,
}

impl Guard {
    /// Who is held up at `now`: `seen` are all targets.
    pub(crate) fn review<'a>(
        &mut self,
        plan: &Plan,
        seen: impl Iterator<Item = Seen<'a>>,
        now: Timestamp,
    ) -> Option<GuardHold> {
        let mut all = 0;
        let mut falls = BTreeMap::new();
        for target in seen {
            all += 1;
            let Some(by) = target.down else { continue };
            let before = self.falls.remove(target.target);
            let witness = match by {
                [one] => Some(one.clone()),
                _ => None,
            };
            // Whoever was not in service fell long ago: there is nothing to hold it up by.
            let began = if target.was_up { now } else { Timestamp(i64::MIN) };
            let (at, is_held) = before.map_or((began, false), |fall| (fall.at, fall.is_held));
            let fall = Fall { at, is_held: is_held && witness.is_some(), witness };
            falls.insert(target.target.clone(), fall);
        }
        self.falls = falls;
        let witnesses: BTreeSet<PopId> =
            self.falls.values().filter_map(|fall| fall.witness.clone()).collect();
        for witness in &witnesses {
            self.hold(plan, witness, all, now);
        }
        self.told(now)
    }

    /// Holds up who fell on the word of `witness` alone, if they are too many.
    fn hold(&mut self, plan: &Plan, witness: &PopId, all: usize, now: Timestamp) {
        let of_witness = |fall: &Fall| fall.witness.as_ref() == Some(witness);
        let mass: BTreeSet<TargetId> = self
            .falls
            .iter()
            .filter(|(_, fall)| of_witness(fall) && now.since(fall.at) <= WINDOW)
            .map(|(target, _)| target.clone())
            .collect();
        let is_mass = mass.len() >= MASS_MIN
            && (mass.len() * 100 > all * TARGETS_PERCENT || breaks_a_site(plan, &mass));
        for (target, fall) in &mut self.falls {
            let is_young = now.since(fall.at) < HOLD_MAX;
            fall.is_held = is_young && (fall.is_held || (is_mass && mass.contains(target)));
        }
    }

    fn told(&self, now: Timestamp) -> Option<GuardHold> {
        let held = || self.falls.iter().filter(|(_, fall)| fall.is_held);
        let since = held().map(|(_, fall)| fall.at).min()?;
        let until = held().map(|(_, fall)| fall.at.after(HOLD_MAX)).max().unwrap_or(now);
        let witness = held().find_map(|(_, fall)| fall.witness.clone())?;
        let targets: Vec<TargetId> = held().map(|(target, _)| target.clone()).collect();
        let why = format!(
            "{witness} alone calls {} targets down at once; a second site has to say so",
            targets.len()
        );
        Some(GuardHold { targets, witness, since, until, why: why.into() })
    }
}

/// Whether any site would lose more than half of what its targets can carry.
fn breaks_a_site(plan: &Plan, mass: &BTreeSet<TargetId>) -> bool {
    plan.domains.iter().any(|together| {
        let whole: u64 = together.iter().map(|(_, capacity)| *capacity).sum();
        let falling = together.iter().filter(|(target, _)| mass.contains(target));
        let (count, lost) = falling.fold((0, 0_u64), |(n, sum), (_, c)| (n + 1, sum + c));
        count >= MASS_MIN && lost * 100 > whole * CAPACITY_PERCENT
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(n: usize) -> TargetId {
        TargetId::Pop(PopId::new(&format!("p{n}")))
    }

    /// Of `all` targets, the first `down.len()` are called down by those sites.
    fn review(guard: &mut Guard, plan: &Plan, all: usize, down: &[&str], at: i64) -> usize {
        let ids: Vec<TargetId> = (0..all).map(target).collect();
        let by: Vec<Vec<PopId>> =
            down.iter().map(|sites| sites.split(' ').map(PopId::new).collect()).collect();
        let seen = ids.iter().enumerate().map(|(n, target)| Seen {
            target,
            down: by.get(n).filter(|by| !by[0].as_str().is_empty()).map(Vec::as_slice),
            was_up: true,
        });
        let hold = guard.review(plan, seen, Timestamp(at * 1_000_000));
        hold.map_or(0, |hold| hold.targets.len())
    }

    #[test]
    fn many_at_once_on_one_word_are_held_for_a_minute() {
        let (plan, mut guard) = (Plan::default(), Guard::default());
        assert_eq!(review(&mut guard, &plan, 10, &["x"], 0), 0);
        assert_eq!(review(&mut guard, &plan, 10, &["x"; 3], 5), 0);
        // The fourth within half a minute: all four are more than three of ten.
        assert_eq!(review(&mut guard, &plan, 10, &["x"; 4], 10), 4);
        assert_eq!(review(&mut guard, &plan, 10, &["x"; 4], 50), 4);
        // Each has its own minute.
        assert_eq!(review(&mut guard, &plan, 10, &["x"; 4], 60), 3);
        assert_eq!(review(&mut guard, &plan, 10, &["x"; 4], 70), 0);
        assert_eq!(review(&mut guard, &plan, 10, &["x"; 4], 75), 0);
    }

    #[test]
    fn a_second_site_settles_it() {
        let (plan, mut guard) = (Plan::default(), Guard::default());
        assert_eq!(review(&mut guard, &plan, 5, &["x"; 4], 0), 4);
        assert_eq!(review(&mut guard, &plan, 5, &["x y", "x", "x", "x"], 1), 3);
        assert_eq!(review(&mut guard, &plan, 5, &["x y"; 4], 2), 0);
        // Both at once from the beginning.
        assert_eq!(review(&mut Guard::default(), &plan, 5, &["x y"; 5], 0), 0);
        // Two sites, each with its own.
        assert_eq!(review(&mut Guard::default(), &plan, 10, &["x", "x", "y", "y"], 0), 0);
    }

    #[test]
    fn slow_losses_and_single_ones_are_believed() {
        let (plan, mut guard) = (Plan::default(), Guard::default());
        let mut down = Vec::new();
        for n in 0..8 {
            down.push("x");
            assert_eq!(review(&mut guard, &plan, 10, &down, n * 31), 0, "{n}");
        }
        assert_eq!(review(&mut Guard::default(), &plan, 1, &["x"], 0), 0);
    }

    #[test]
    fn half_of_one_site_is_a_mass() {
        let domain = |from: usize| (from..from + 3).map(|n| (target(n), 10)).collect();
        let plan = Plan { domains: [domain(0), domain(3)].into(), ..Plan::default() };
        assert_eq!(review(&mut Guard::default(), &plan, 20, &["x", "x"], 0), 2);
        assert_eq!(review(&mut Guard::default(), &plan, 20, &["x", "", "", "x"], 0), 0);
    }

    #[test]
    fn who_was_down_before_is_not_raised() {
        let (plan, mut guard) = (Plan::default(), Guard::default());
        let ids: Vec<TargetId> = (0..3).map(target).collect();
        let by = [PopId::new("x")];
        for at in [0, 5] {
            let seen = ids.iter().map(|target| Seen { target, down: Some(&by), was_up: false });
            assert_eq!(guard.review(&plan, seen, Timestamp(at * 1_000_000)), None);
        }
    }
}
