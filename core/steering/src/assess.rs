//! From the verdicts on machines to the verdict on their target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use popnet_terms::{NodeName, PopId, Removed, TargetId, Timestamp};
use popnet_wire::probing::Subject;
use popnet_wire::rollout::Epoch;
use serde::{Deserialize, Serialize};

use crate::health::{Call, Machine, Opinion, Words, judge};
use crate::plan::Plan;
use crate::view::{Standing, Verdict, seconds};

/// The configuration that targets should serve by.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Fence {
    pub(crate) epoch: Epoch,
    pub(crate) since: Timestamp,
}

/// A target has this long to follow a new configuration.
const FENCE_GRACE: Duration = Duration::from_secs(5);

/// All that verdicts are formed from.
pub(crate) struct Assessor<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) fence: Option<Fence>,
    pub(crate) words: &'a BTreeMap<Subject, Words>,
    pub(crate) now: Timestamp,
}

impl Assessor<'_> {
    /// The verdict by the words alone.
    pub(crate) fn verdict(&self, target: &TargetId, subjects: &[Subject]) -> Verdict {
        let now = self.now;
        let machines: Vec<(&Subject, Machine)> = subjects
            .iter()
            .map(|subject| (subject, judge(self.plan, subject, self.words.get(subject), now)))
            .collect();
        let standing_of = |machine: &Machine| self.standing(machine, machine.opinion.call());
        // A target is as well as its best machine; the others are not named.
        let best = machines.iter().map(|(_, machine)| standing_of(machine)).min();
        let best = best.unwrap_or(Standing::Unknown);
        let serving = |machine: &Machine| standing_of(machine) == best;
        let spokesman = machines.iter().map(|(_, machine)| machine).find(|m| serving(m));
        let out = machines.iter().filter(|(_, machine)| !serving(machine));
        let out = out.filter_map(|(subject, _)| match subject {
            Subject::Node(node) => Some(node.clone()),
            Subject::Origin(_) => None,
        });
        let out: Vec<NodeName> = out.collect();
        let loads = machines.iter().filter(|(_, m)| serving(m)).filter_map(|(_, m)| m.load);
        let loads: Vec<u16> = loads.collect();
        let drained = self.plan.drained.contains(target) && best != Standing::Down;
        let (reason, why, seen_by) = self.grounds(best, spokesman, drained);
        let standing = if drained { Standing::Draining } else { best };
        let regions = if drained { [].into() } else { self.regions(&machines, standing) };
        let age = machines.iter().filter_map(|(_, machine)| machine.at).max();
        Verdict {
            standing,
            since: now,
            reason,
            why,
            age: age.map(|at| seconds(now, at)),
            seen_by,
            load: mean(&loads),
            epoch: machines.iter().filter_map(|(_, m)| Some(m.epoch?.0)).min(),
            response: spokesman.and_then(|machine| machine.response),
            dissent: spokesman.map_or(0, |machine| machine.dissent),
            out,
            shed: 0,
            is_kept: false,
            toll: None,
            ramp: 1_000,
            regions,
            bandwidth: self.plan.bandwidths.get(target).copied(),
            used: None,
        }
    }

    /// How a machine stands whom somebody calls so.
    fn standing(&self, machine: &Machine, call: Call) -> Standing {
        match call {
            Call::Down => Standing::Down,
            Call::Damped => Standing::Damped,
            Call::Unknown => Standing::Unknown,
            Call::Up | Call::Unwatched if self.is_behind(machine) => Standing::Behind,
            Call::Unwatched => Standing::Unwatched,
            Call::Up => Standing::Up,
        }
    }

    /// The regions that see the target otherwise than the world does.
    fn regions(
        &self,
        machines: &[(&Subject, Machine)],
        world: Standing,
    ) -> Arc<[(Arc<str>, Standing)]> {
        let named = machines.iter().flat_map(|(_, machine)| machine.regions.keys());
        let named: BTreeSet<&Arc<str>> = named.collect();
        let best = |name: &Arc<str>| {
            let calls = machines.iter().map(|(_, machine)| {
                let own = machine.regions.get(name).copied();
                self.standing(machine, own.unwrap_or_else(|| machine.opinion.call()))
            });
            calls.min().unwrap_or(world)
        };
        let all = named.into_iter().map(|name| (Arc::clone(name), best(name)));
        all.filter(|(_, standing)| *standing != world).collect()
    }

    /// Reason, words and witnesses for a standing.
    fn grounds(
        &self,
        standing: Standing,
        spokesman: Option<&Machine>,
        drained: bool,
    ) -> (Option<Removed>, Arc<str>, Vec<PopId>) {
        if drained {
            return (Some(Removed::Drained), "drained by the operator".into(), Vec::new());
        }
        if standing == Standing::Behind {
            let theirs = spokesman.and_then(|machine| machine.epoch).map_or(Epoch(0), |e| e.0);
            let ours = self.fence.map_or(Epoch(0), |fence| fence.epoch);
            let why = format!("serves by {theirs}, {ours} is in force");
            return (Some(Removed::ConfigBehind), why.into(), Vec::new());
        }
        match spokesman.map(|machine| &machine.opinion) {
            Some(Opinion::Down { reason, why, seen_by }) => {
                (Some(*reason), why.clone(), seen_by.clone())
            }
            Some(Opinion::Damped { why, seen_by }) => {
                (Some(Removed::Damped), why.clone(), seen_by.clone())
            }
            Some(Opinion::Unknown { reason, why }) => (*reason, why.clone(), Vec::new()),
            Some(Opinion::Unwatched) => (None, "no probe watches it".into(), Vec::new()),
            Some(Opinion::Up) | None => (None, "".into(), Vec::new()),
        }
    }

    /// Whether a machine said, after it had time to follow, that it serves by an older
    /// configuration than ours. One that says nothing is not judged.
    fn is_behind(&self, machine: &Machine) -> bool {
        let (Some(fence), Some((epoch, said_at))) = (self.fence, machine.epoch) else {
            return false;
        };
        let late = fence.since.after(FENCE_GRACE);
        epoch < fence.epoch && self.now > late && said_at > late
    }
}

fn mean(loads: &[u16]) -> Option<u16> {
    let sum: u64 = loads.iter().copied().map(u64::from).sum();
    let count = u64::try_from(loads.len()).ok()?;
    u16::try_from(sum.checked_div(count)?).ok()
}
