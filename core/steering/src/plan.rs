//! What the board needs of the configuration: who watches what, and how soon words age.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use popnet_config::network::{Capacity, Location, Network, Probe, ProbeKind, selects};
use popnet_terms::{NodeName, OriginId, PopId, ProbeId, Role, Span, TargetId};
use popnet_wire::probing::Subject;

use crate::confidence::Ageing;
use crate::rules::Rules;

/// Who watches what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Every target and its machines.
    pub(crate) targets: BTreeMap<TargetId, Vec<Subject>>,
    /// The probes of each machine.
    pub(crate) watched: BTreeMap<Subject, Vec<ProbeId>>,
    pub(crate) probes: BTreeMap<ProbeId, ProbePlan>,
    /// Nodes whose reports count: those that run probes.
    pub(crate) publishers: BTreeSet<NodeName>,
    /// POPs that measure latencies.
    pub(crate) measuring: BTreeSet<PopId>,
    pub(crate) latency_expire: Option<Duration>,
    pub(crate) drained: BTreeSet<TargetId>,
    /// Where POPs stand.
    pub(crate) places: BTreeMap<PopId, Location>,
    /// The region of each POP that has one.
    pub(crate) regions: BTreeMap<PopId, Arc<str>>,
    /// What targets may carry, in bits a second.
    pub(crate) bandwidths: BTreeMap<TargetId, u64>,
    /// POPs whose transit is billed by a percentile.
    pub(crate) billed: BTreeSet<TargetId>,
    /// How long a target is on its way back to its full weight.
    pub(crate) ramps: BTreeMap<TargetId, Duration>,
    /// Who serves together, with what each can carry beside the others; each such list once.
    pub(crate) domains: BTreeSet<Vec<(TargetId, u64)>>,
}

/// Nobody is back at once: a cache is cold.
const RAMP_MIN: Duration = Duration::from_mins(1);

/// What the board needs of one service probe.
#[derive(Clone, Debug)]
pub(crate) struct ProbePlan {
    pub(crate) ageing: Ageing,
    pub(crate) fall: u16,
    pub(crate) rise: u16,
    /// How many POPs have to agree, where the configuration says so.
    pub(crate) agree: Option<usize>,
    /// It only reads a load: its failures say nothing of the server's health.
    pub(crate) is_load: bool,
    pops: Vec<String>,
}

impl ProbePlan {
    fn of(probe: &Probe) -> Self {
        let everywhere = || vec![String::from("*")];
        Self {
            ageing: Ageing::health(probe.interval().duration()),
            fall: probe.fall(),
            rise: probe.rise(),
            agree: probe.from.as_ref().and_then(|from| from.agree).map(usize::from),
            is_load: probe.kind.is_load(),
            pops: probe.from.as_ref().map_or_else(everywhere, |from| from.pops.clone()),
        }
    }

    /// Whether `pop`'s word counts.
    pub(crate) fn hears(&self, pop: &PopId) -> bool {
        selects(&self.pops, pop)
    }
}

impl Plan {
    pub(crate) fn compile(network: &Network) -> Self {
        let mut plan = Self::default();
        let placed = network.pops.iter().filter_map(|(id, pop)| Some((id, pop.location.as_ref()?)));
        plan.places = placed.map(|(id, place)| (id.clone(), place.clone())).collect();
        let regions = plan.places.iter();
        let regions =
            regions.filter_map(|(id, place)| Some((id.clone(), place.region.as_deref()?)));
        plan.regions = regions.map(|(id, region)| (id, region.into())).collect();
        plan.add_sites(network);
        for (name, pop, node) in network.nodes() {
            if node.runs(Role::Netprobe) {
                plan.publishers.insert(name.clone());
            }
            if node.runs(Role::Webcache) {
                let target = TargetId::Pop(pop.clone());
                plan.targets.entry(target).or_default().push(Subject::Node(name));
            }
        }
        for (id, pop) in &network.pops {
            let target = TargetId::Pop(id.clone());
            plan.add_bandwidth(&target, pop.capacity.as_ref());
            if pop.transit.is_some() {
                plan.billed.insert(target.clone());
            }
            if pop.drain {
                plan.drained.insert(target);
            }
        }
        for (group, servers) in &network.origin_groups {
            for (key, server) in &servers.servers {
                let id = OriginId { group: group.clone(), server: key.as_str().into() };
                let subject = Subject::Origin(id.clone());
                let target = TargetId::Origin(id);
                plan.add_bandwidth(&target, server.capacity.as_ref());
                plan.targets.entry(target).or_default().push(subject.clone());
                // A server's own probe; probes that name its whole group follow below.
                if let Some(probe) = &server.probe {
                    plan.watch(subject, probe);
                }
            }
        }
        for (id, probe) in &network.probes {
            plan.add_probe(network, id, probe);
        }
        let known = &plan.probes;
        for probes in plan.watched.values_mut() {
            probes.retain(|probe| known.contains_key(probe));
        }
        plan
    }

    /// Who serves together, and for how long answers name them.
    fn add_sites(&mut self, network: &Network) {
        for site in Rules::compile(network).sites() {
            let regular = site.targets.iter().filter(|target| !target.is_backup);
            let together = regular.map(|target| (target.id.clone(), target.capacity));
            self.domains.insert(together.collect());
            let ramp = Duration::from_secs(2 * u64::from(site.ttl_max.0)).max(RAMP_MIN);
            for target in &site.targets {
                let longest = self.ramps.entry(target.id.clone()).or_insert(ramp);
                *longest = ramp.max(*longest);
            }
        }
    }

    fn add_bandwidth(&mut self, target: &TargetId, capacity: Option<&Capacity>) {
        let bandwidth = capacity.and_then(|capacity| capacity.bandwidth);
        self.bandwidths.extend(bandwidth.map(|rate| (target.clone(), rate.0)));
    }

    fn add_probe(&mut self, network: &Network, id: &ProbeId, probe: &Probe) {
        if probe.kind == ProbeKind::Latency {
            let expire = probe.expire.map(Span::duration);
            self.latency_expire = self.latency_expire.max(expire);
            let pops = self.publishers.iter().map(NodeName::pop);
            self.measuring.extend(pops.filter(|pop| probe.is_from(pop)));
            return;
        }
        self.probes.insert(id.clone(), ProbePlan::of(probe));
        let Some(target) = &probe.target else { return };
        if let Some(role) = target.role {
            for (name, _, node) in network.nodes() {
                if node.runs(role) {
                    self.watch(Subject::Node(name), id);
                }
            }
        }
        if let Some(group) = &target.origin_group {
            let servers = network.origin_groups.get(group).map(|found| &found.servers);
            for key in servers.into_iter().flatten().map(|(key, _)| key) {
                let id_of = OriginId { group: group.clone(), server: key.as_str().into() };
                self.watch(Subject::Origin(id_of), id);
            }
        }
    }

    fn watch(&mut self, subject: Subject, probe: &ProbeId) {
        let probes = self.watched.entry(subject).or_default();
        if !probes.contains(probe) {
            probes.push(probe.clone());
            probes.sort();
        }
    }

    /// How latencies age.
    pub(crate) fn latency(&self) -> Ageing {
        Ageing::latency(self.latency_expire.unwrap_or(Duration::from_hours(24)))
    }

    /// Whether the probes of `pop` say what `target` sheds.
    pub(crate) fn may_speak_for(&self, target: &TargetId, pop: &PopId) -> bool {
        let is_own = match target {
            TargetId::Pop(own) => own == pop,
            TargetId::Origin(_) => true,
        };
        is_own && self.targets.contains_key(target)
    }

    /// Whether what it sends is billed by a percentile.
    pub(crate) fn is_billed(&self, target: &TargetId) -> bool {
        self.billed.contains(target)
    }

    /// Whether a word of this probe about this subject is expected.
    pub(crate) fn expects(&self, subject: &Subject, probe: &ProbeId) -> bool {
        self.watched.get(subject).is_some_and(|probes| probes.contains(probe))
    }
}
