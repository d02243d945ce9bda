//! A site's targets under one view: whatever of a choice does not depend on who asks, worked out
//! once for all who ask under it.

use std::sync::{Arc, OnceLock};

use popnet_terms::{Micros, Seconds, TargetId};

use crate::addresses::Addresses;
use crate::latency::PopNo;
use crate::rules::{SiteRules, Target};
use crate::score::Burden;
use crate::standing::withheld;
use crate::view::{Verdict, View};

/// A site's targets under one view. [`Lineup::choose`] makes choices of it; [`crate::choose()`]
/// does both at once.
#[derive(Debug)]
pub struct Lineup {
    /// In the order of the site's targets.
    pub(crate) stands: Vec<Stand>,
    /// Whether regions see any target otherwise than the world does.
    pub(crate) tells_regions_apart: bool,
    /// Whether it matters where the client is to who may be named.
    pub(crate) is_by_place: bool,
    /// Seconds until the hours of a target begin or end.
    pub(crate) next_change: Option<u32>,
}

/// One target as it stands for everybody.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) verdict: Option<Arc<Verdict>>,
    /// Of a POP that has measured clients itself: its number in the view.
    pub(crate) own: Option<PopNo>,
    /// Without machines that are out of service.
    pub(crate) addresses: Addresses,
    /// What its load and its price weigh.
    pub(crate) burden: Burden,
    /// What it sheds, in thousandths.
    pub(crate) shed: u16,
    /// The share of its weight that it has after it came back, in thousandths.
    pub(crate) ramp: u16,
    /// The ways from POPs that have measured clients, in order of their numbers, once somebody
    /// needs them.
    ways: OnceLock<Vec<Option<(Micros, Seconds)>>>,
}

impl Lineup {
    /// The targets of `rules` under `view`.
    #[must_use]
    pub fn new(view: &View, rules: &SiteRules) -> Self {
        let targets = || rules.targets.iter();
        let stands: Vec<Stand> = targets().map(|target| Stand::new(view, rules, target)).collect();
        let differs = |stand: &Stand| {
            stand.verdict.as_ref().is_some_and(|verdict| !verdict.regions.is_empty())
        };
        Self {
            tells_regions_apart: stands.iter().any(differs),
            is_by_place: targets().any(|target| target.limits.is_by_place()),
            next_change: targets().filter_map(|t| t.limits.next_change(view.at)).min(),
            stands,
        }
    }
}

impl Stand {
    fn new(view: &View, rules: &SiteRules, target: &Target) -> Self {
        let verdict = view.verdicts.get(&target.id);
        let own = match &target.id {
            TargetId::Pop(pop) => view.number(pop),
            TargetId::Origin(_) => None,
        };
        let addresses = match verdict {
            Some(verdict) if !verdict.out.is_empty() => {
                let is_out = |name| verdict.out.contains(name);
                let machines = target.nodes.iter();
                Addresses::of(&machines.filter(|m| !m.node.as_ref().is_some_and(is_out)))
            }
            Some(_) | None => target.addresses.clone(),
        };
        Self {
            own,
            addresses,
            burden: Burden::new(rules, target, verdict.map(AsRef::as_ref)),
            shed: verdict.map_or(0, |verdict| verdict.shed.max(withheld(target, verdict))),
            ramp: verdict.map_or(1_000, |verdict| verdict.ramp),
            verdict: verdict.cloned(),
            ways: OnceLock::new(),
        }
    }

    /// The time to connect from a POP to `target`, which stands here, and its age.
    pub(crate) fn way(
        &self,
        view: &View,
        target: &Target,
        from: PopNo,
    ) -> Option<(Micros, Seconds)> {
        let all = || view.pops().iter().map(|pop| view.connect(pop, &target.id)).collect();
        *self.ways.get_or_init(all).get(from.place())?
    }
}
