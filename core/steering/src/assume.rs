//! "What if?": a view and rules in which some things are otherwise than they are. The decision
//! itself does not know that it is about a supposition.

use std::collections::BTreeMap;
use std::sync::Arc;

use popnet_terms::{Micros, Removed, Timestamp};
use popnet_wire::inquiring::{Assumed, Assumption};

use crate::rules::SiteRules;
use crate::view::{Standing, Verdict, View};

/// The way to one target as it is supposed to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) rtt: Option<Micros>,
    pub(crate) loss: Option<u16>,
}

impl View {
    /// The view in which `assumptions` hold. Those about prices and bindings are no part of a
    /// view: see [`SiteRules::assuming`] and [`crate::Question::bound`].
    #[must_use]
    pub fn assuming(&self, assumptions: &[Assumption]) -> Self {
        let mut verdicts = BTreeMap::clone(&self.verdicts);
        let mut ways = BTreeMap::clone(&self.ways);
        for Assumption { target, what } in assumptions {
            match what {
                Assumed::Rtt(rtt) => ways.entry(target.clone()).or_default().rtt = Some(*rtt),
                Assumed::Loss(loss) => ways.entry(target.clone()).or_default().loss = Some(*loss),
                Assumed::Cost(_) | Assumed::Unbound => {}
                Assumed::Up
                | Assumed::Down
                | Assumed::Drained
                | Assumed::Load(_)
                | Assumed::Shed(_) => {
                    let before = verdicts.get(target).map(AsRef::as_ref);
                    let verdict = supposed(before, *what, self.at);
                    verdicts.insert(target.clone(), Arc::new(verdict));
                }
            }
        }
        Self { verdicts: Arc::new(verdicts), ways: Arc::new(ways), ..self.clone() }
    }
}

impl SiteRules {
    /// The rules in which the assumptions about prices hold.
    #[must_use]
    pub fn assuming(&self, assumptions: &[Assumption]) -> Self {
        let mut rules = self.clone();
        for Assumption { target, what } in assumptions {
            let Assumed::Cost(cost) = what else { continue };
            for known in rules.targets.iter_mut().filter(|known| known.id == *target) {
                known.cost = *cost;
            }
        }
        rules
    }
}

fn supposed(before: Option<&Verdict>, what: Assumed, at: Timestamp) -> Verdict {
    let blank = Verdict {
        standing: Standing::Up,
        since: at,
        reason: None,
        why: "".into(),
        age: None,
        seen_by: Vec::new(),
        load: None,
        epoch: None,
        response: None,
        dissent: 0,
        out: Vec::new(),
        shed: 0,
        is_kept: false,
        toll: None,
        ramp: 1_000,
        regions: [].into(),
        bandwidth: None,
        used: None,
    };
    let known = before.cloned().unwrap_or_else(|| blank.clone());
    let out = |standing, reason, why: &str| Verdict {
        standing,
        reason: Some(reason),
        why: why.into(),
        regions: [].into(),
        ..known.clone()
    };
    match what {
        // Every machine of it: an assumption is about the whole target.
        Assumed::Up => Verdict { load: known.load, response: known.response, ..blank },
        Assumed::Down => out(Standing::Down, Removed::DownProbe, "assumed down"),
        Assumed::Drained => out(Standing::Draining, Removed::Drained, "assumed drained"),
        Assumed::Load(load) => Verdict { load: Some(load), ..known },
        Assumed::Shed(shed) => Verdict { shed: shed.min(1_000), is_kept: true, ..known },
        Assumed::Cost(_) | Assumed::Unbound | Assumed::Rtt(_) | Assumed::Loss(_) => known,
    }
}
