//! Whom a probing node speaks for when it comes to load, and what those shed. Every probe of a
//! POP keeps the same account of it; name servers follow the one whose name comes first, so that
//! when it dies the next one goes on from where both were.

use std::collections::BTreeMap;
use std::time::Duration;

use popnet_config::network::{Network, Policy, Shed as ShedForm, SiteKind};
use popnet_terms::{OriginId, PopId, Role, Span, TargetId, Timestamp};
use popnet_wire::probing::{Finding, Sample, Shed, Subject};

use crate::shed::{ShedRules, Shedder};

/// Loads older than this say nothing about now.
const LOAD_MAX: Duration = Duration::from_mins(1);

/// Times to live, where a policy says nothing.
const TTL_MAX: Duration = Duration::from_mins(5);
const TTL_MIN: Duration = Duration::from_secs(20);

/// Steps come no closer than this.
const PERIOD_MIN: Duration = Duration::from_secs(2);

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
    told: u16,
}

impl Relief {
    /// Takes a configuration over; who stays goes on from where it was.
    pub(crate) fn configure(&mut self, network: &Network, pop: &PopId) {
        let mut before = std::mem::take(&mut self.targets);
        for (target, subjects) in spoken_for(network, pop) {
            let rules = rules(network, &target, &subjects);
            let account = before.remove(&target);
            let mut account = account.unwrap_or_else(|| Account {
                shedder: Shedder::new(rules),
                period: rules.period,
                machines: BTreeMap::new(),
                told: 0,
            });
            account.shedder.configure(rules);
            account.period = rules.period;
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

    /// What is shed, of those whose load is known or who still shed.
    pub(crate) fn samples(&self, now: Timestamp) -> Vec<Sample> {
        let telling = self.targets.iter().filter_map(|(target, account)| {
            let load = account.load(now);
            let period = u32::try_from(account.period.as_secs().max(1)).unwrap_or(u32::MAX);
            let target = target.clone();
            let shed = Shed { target, shed: account.told, load, period };
            (load.is_some() || account.told > 0).then_some(shed)
        });
        telling.map(|shed| Sample { at: now, finding: Finding::Shed(shed) }).collect()
    }
}

impl Account {
    /// The mean over the machines that told one lately. They count alike: the configuration knows
    /// what a POP can carry and not what a machine can.
    fn load(&self, now: Timestamp) -> Option<u16> {
        let recent = |(at, load): (Timestamp, u16)| (now.since(at) <= LOAD_MAX).then_some(load);
        let loads: Vec<u64> =
            self.machines.values().filter_map(|known| recent((*known)?)).map(u64::from).collect();
        let count = u64::try_from(loads.len()).ok()?;
        u16::try_from(loads.iter().sum::<u64>().checked_div(count)?).ok()
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

/// The strictest of the policies of the sites that `target` serves. What a step does has mostly
/// been done after two periods: answers given before it last for their time to live, and half of
/// them have ended after half of it.
fn rules(network: &Network, target: &TargetId, subjects: &[Subject]) -> ShedRules {
    let usual = ShedRules::default();
    let fallback = Policy::default();
    let mut rules = ShedRules { target: u16::MAX, hard: u16::MAX, period: PERIOD_MIN, delay: 1 };
    for site in network.sites.values() {
        let serves = match target {
            TargetId::Pop(_) => site.kind == SiteKind::Cached,
            TargetId::Origin(origin) => {
                site.origins == origin.group
                    && (site.kind == SiteKind::Direct || site.answer_with_origins)
            }
        };
        if !serves {
            continue;
        }
        let policy = site.policy.as_deref().and_then(|key| network.policies.get(key));
        let policy = policy.unwrap_or(&fallback);
        let ShedForm { target, hard, .. } = policy.shed.clone();
        rules.target = rules.target.min(target.map_or(usual.target, permille));
        rules.hard = rules.hard.min(hard.map_or(usual.hard, permille));
        let longest = policy.answer.ttl_max.map_or(TTL_MAX, Span::duration);
        let shortest = policy.answer.ttl_min.map_or(TTL_MIN, Span::duration);
        rules.period = rules.period.max(longest / 2).max(shortest.min(longest));
    }
    let probed = network.probes.values().filter(|probe| {
        let of_role = |role| subjects.iter().any(|s| matches!(s, Subject::Node(_)) && role);
        let role = probe.target.as_ref().and_then(|to| to.role) == Some(Role::Webcache);
        let group = probe.target.as_ref().and_then(|to| to.origin_group.clone());
        let of_group = matches!(target, TargetId::Origin(id) if group.as_ref() == Some(&id.group));
        of_role(role) || of_group
    });
    let interval = probed.map(|probe| probe.interval().duration()).max().unwrap_or_default();
    ShedRules {
        target: if rules.target == u16::MAX { usual.target } else { rules.target },
        hard: if rules.hard == u16::MAX { usual.hard } else { rules.hard },
        period: rules.period.max(interval),
        ..rules
    }
}

/// A share in thousandths; what is no share at all is the whole.
fn permille(share: f64) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped just here; NaN becomes 0"
    )]
    let whole = (share * 1_000.0).round().clamp(0.0, 10_000.0) as u16;
    whole.max(1)
}
