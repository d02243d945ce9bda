//! Whom a probing node speaks for when it comes to load, and what those shed. Every probe of a
//! POP keeps the same account of it; name servers follow the one whose name comes first, so that
//! when it dies the next one goes on from where both were.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use popnet_config::network::{Network, Policy, Site, SiteKind};
use popnet_terms::{OriginId, PopId, Role, Span, TargetId, Timestamp};
use popnet_wire::probing::{Finding, Sample, Shed, Subject};

use crate::shed::{ShedRules, Shedder};

/// Loads older than this say nothing about now.
const LOAD_MAX: Duration = Duration::from_mins(1);

/// Times to live, where a policy says nothing.
const TTL_MAX: Duration = Duration::from_mins(5);
const TTL_MIN: Duration = Duration::from_secs(20);

/// The targets that this node speaks for.
#[derive(Debug, Default)]
pub(crate) struct Relief {
    targets: BTreeMap<TargetId, Account>,
}

#[derive(Debug)]
struct Account {
    shedder: Shedder,
    period: Duration,
    /// Its machines with the newest load of each.
    machines: BTreeMap<Subject, Option<(Timestamp, u16)>>,
    /// Whether this node asks one of them for its load. If so it says from the start what is shed,
    /// be it nothing: until it has, name servers empty a target that is over the limit.
    is_asked: bool,
    told: u16,
}

impl Relief {
    /// Takes a configuration over; who stays goes on from where it was. `asked` are those whom
    /// this node asks for their load.
    pub(crate) fn configure(&mut self, network: &Network, pop: &PopId, asked: &BTreeSet<&Subject>) {
        let mut before = std::mem::take(&mut self.targets);
        for (target, subjects) in spoken_for(network, pop) {
            let rules = rules(network, &target);
            let account = before.remove(&target);
            let mut account = account.unwrap_or_else(|| Account {
                shedder: Shedder::new(rules),
                period: rules.period(),
                machines: BTreeMap::new(),
                is_asked: false,
                told: 0,
            });
            account.shedder.configure(rules);
            account.period = rules.period();
            account.is_asked = subjects.iter().any(|subject| asked.contains(subject));
            let kept = |subject: Subject| {
                let load = account.machines.get(&subject).copied().flatten();
                (subject, load)
            };
            account.machines = subjects.into_iter().map(kept).collect();
            self.targets.insert(target, account);
        }
    }

    /// Takes a machine's load in; `None`: it did not tell.
    pub(crate) fn load(&mut self, subject: &Subject, load: Option<u16>, now: Timestamp) {
        let Some(load) = load else { return };
        for account in self.targets.values_mut() {
            if let Some(known) = account.machines.get_mut(subject) {
                *known = Some((now, load));
            }
        }
    }

    /// Takes the steps that are due; whether a share changed.
    pub(crate) fn step(&mut self, now: Timestamp) -> bool {
        let mut is_news = false;
        for account in self.targets.values_mut() {
            let load = account.load(now);
            let shed = account.shedder.step(now, load);
            is_news |= shed != account.told;
            account.told = shed;
        }
        is_news
    }

    /// What is shed, of those whose load is known or asked for, or who still shed.
    pub(crate) fn samples(&self, now: Timestamp) -> Vec<Sample> {
        let telling = self.targets.iter().filter_map(|(target, account)| {
            let load = account.load(now).map(|(_, load)| load);
            let period = u32::try_from(account.period.as_secs().max(1)).unwrap_or(u32::MAX);
            let target = target.clone();
            let shed = Shed { target, shed: account.told, load, period };
            (account.is_asked || load.is_some() || account.told > 0).then_some(shed)
        });
        telling.map(|shed| Sample { at: now, finding: Finding::Shed(shed) }).collect()
    }
}

impl Account {
    /// The mean over the machines that told one lately. They count alike: the configuration knows
    /// what a POP can carry and not what a machine can. With it the time of the newest.
    fn load(&self, now: Timestamp) -> Option<(Timestamp, u16)> {
        let told = self.machines.values().flatten();
        let recent: Vec<_> = told.filter(|(at, _)| now.since(*at) <= LOAD_MAX).collect();
        let newest = recent.iter().map(|(at, _)| *at).max()?;
        let sum: u64 = recent.iter().map(|(_, load)| u64::from(*load)).sum();
        let mean = sum.checked_div(u64::try_from(recent.len()).ok()?)?;
        Some((newest, u16::try_from(mean).ok()?))
    }
}

/// The caches of the node's own POP, and every customer's server.
fn spoken_for(network: &Network, pop: &PopId) -> BTreeMap<TargetId, Vec<Subject>> {
    let mut found: BTreeMap<TargetId, Vec<Subject>> = BTreeMap::new();
    for (name, of, node) in network.nodes() {
        if of == pop && node.runs(Role::Webcache) {
            found.entry(TargetId::Pop(pop.clone())).or_default().push(Subject::Node(name));
        }
    }
    for (group, servers) in &network.origin_groups {
        for key in servers.servers.keys() {
            let id = OriginId { group: group.clone(), server: key.as_str().into() };
            found.insert(TargetId::Origin(id.clone()), vec![Subject::Origin(id)]);
        }
    }
    found
}

/// The strictest of the policies of the sites that `target` serves, and the longest times to live.
pub(crate) fn rules(network: &Network, target: &TargetId) -> ShedRules {
    let usual = ShedRules::default();
    let fallback = Policy::default();
    let serves = |site: &&Site| match target {
        TargetId::Pop(_) => site.kind == SiteKind::Cached,
        TargetId::Origin(origin) => {
            site.origins == origin.group
                && (site.kind == SiteKind::Direct || site.answer_with_origins)
        }
    };
    let of_site = |site: &Site| {
        let policy = site.policy.as_deref().and_then(|key| network.policies.get(key));
        let policy = policy.unwrap_or(&fallback);
        let longest = policy.answer.ttl_max.map_or(TTL_MAX, Span::duration);
        let shortest = policy.answer.ttl_min.map_or(TTL_MIN, Span::duration);
        ShedRules {
            target: policy.shed.target.map_or(usual.target, permille),
            hard: policy.shed.hard.map_or(usual.hard, permille),
            calm_ttl: longest,
            shed_ttl: shortest.min(longest),
        }
    };
    let strictest = |one: ShedRules, other: ShedRules| ShedRules {
        target: one.target.min(other.target),
        hard: one.hard.min(other.hard),
        calm_ttl: one.calm_ttl.max(other.calm_ttl),
        shed_ttl: one.shed_ttl.max(other.shed_ttl),
    };
    network.sites.values().filter(serves).map(of_site).reduce(strictest).unwrap_or(usual)
}

/// A share in thousandths; what is no share at all is the whole.
pub(crate) fn permille(share: f64) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped just here; NaN becomes 0"
    )]
    let whole = (share * 1_000.0).round().clamp(0.0, 10_000.0) as u16;
    whole.max(1)
}
