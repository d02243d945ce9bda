//! What the board needs of the configuration: who watches what, and how soon words age.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use popnet_config::network::{Location, Network, Probe, ProbeKind, selects};
use popnet_terms::{NodeName, OriginId, PopId, ProbeId, Role, Span, TargetId};
use popnet_wire::probing::Subject;

use crate::confidence::Ageing;

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
}

/// What the board needs of one service probe.
#[derive(Clone, Debug)]
pub(crate) struct ProbePlan {
    pub(crate) ageing: Ageing,
    pub(crate) fall: u16,
    pub(crate) agree: usize,
    pops: Vec<String>,
}

impl ProbePlan {
    fn of(probe: &Probe) -> Self {
        let everywhere = || vec![String::from("*")];
        Self {
            ageing: Ageing::health(probe.interval().duration()),
            fall: probe.fall(),
            agree: usize::from(probe.agree().max(1)),
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
            if pop.drain {
                plan.drained.insert(TargetId::Pop(id.clone()));
            }
        }
        for (group, servers) in &network.origin_groups {
            for (key, server) in &servers.servers {
                let id = OriginId { group: group.clone(), server: key.as_str().into() };
                let subject = Subject::Origin(id.clone());
                plan.targets.entry(TargetId::Origin(id)).or_default().push(subject.clone());
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

    /// Whether a word of this probe about this subject is expected.
    pub(crate) fn expects(&self, subject: &Subject, probe: &ProbeId) -> bool {
        self.watched.get(subject).is_some_and(|probes| probes.contains(probe))
    }
}
