//! The network that is simulated, as popnet's own configuration and as places in lists: a file's,
//! or one that is made to size.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use popnet_config::network::{Network, Policy, Probe, ProbeKind, SiteKind, Transit};
use popnet_terms::{BitRate, NodeName, PopId, Role, SiteName, Span, TargetId};

use crate::chance::noise;
use crate::num::{count, float, place, whole};
use crate::places::Atlas;
use crate::scenario::NetworkPlan;

/// The network.
#[derive(Clone, Debug)]
pub(crate) struct Fabric {
    pub(crate) network: Network,
    pub(crate) pops: Vec<Site>,
    /// Nodes that probe, with their POP's place.
    pub(crate) probes: Vec<(NodeName, usize)>,
    /// POPs whose probes watch caches.
    pub(crate) watchers: Vec<usize>,
    /// Nodes that answer, with their POP's place.
    pub(crate) servers: Vec<(NodeName, usize)>,
    /// Sites that are steered.
    pub(crate) sites: Vec<SiteName>,
    by_target: BTreeMap<TargetId, usize>,
    by_address: BTreeMap<String, usize>,
}

/// A POP's place in the world.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) id: PopId,
    pub(crate) lat: f64,
    pub(crate) lon: f64,
    /// The region that it is in.
    pub(crate) region: usize,
    /// Price of what it sends.
    pub(crate) price: f64,
    /// What is paid in any case, as demand.
    pub(crate) commit: f64,
}

/// The key of the policy that a scenario sets.
const POLICY: &str = "scenario";

impl Fabric {
    /// The network of `plan`, in which `policy`, if any, holds for every site.
    ///
    /// # Errors
    /// Why `text`, the configuration that the plan names, cannot be simulated.
    pub(crate) fn new(
        plan: &NetworkPlan,
        text: Option<&str>,
        policy: Option<&Policy>,
        atlas: &Atlas,
        seed: u64,
    ) -> Result<Self, String> {
        let made = text.is_none().then(|| made(plan, atlas, seed));
        let name = plan.file.as_deref().unwrap_or("network");
        let text = text.or(made.as_deref()).unwrap_or_default();
        let loaded = popnet_config::load(text, name);
        let loaded = loaded.map_err(|found| popnet_config::render(&found, text, name))?;
        let mut network = loaded.network;
        if let Some(policy) = policy {
            network.policies.insert(POLICY.into(), policy.clone());
            for site in network.sites.values_mut() {
                site.policy = Some(POLICY.into());
            }
        }
        // Customers' own servers have no load and no fate here.
        network.sites.retain(|_, site| site.kind == SiteKind::Cached);
        for site in network.sites.values_mut() {
            site.answer_with_origins = false;
        }
        network.simulate = None;
        Self::of(network, atlas)
    }

    fn of(network: Network, atlas: &Atlas) -> Result<Self, String> {
        let mut pops = Vec::new();
        for (id, pop) in &network.pops {
            let Some(at) = &pop.location else {
                return Err(format!("pops.{id} has no location, and a simulated POP needs one"));
            };
            pops.push(Site {
                id: id.clone(),
                lat: at.lat,
                lon: at.lon,
                region: atlas.nearest(at.lat, at.lon),
                price: pop.cost.unwrap_or(1.0),
                commit: 0.0,
            });
        }
        let at = |pop: &PopId| pops.iter().position(|site| site.id == *pop).unwrap_or(0);
        let of_role = |role: Role| -> Vec<(NodeName, usize)> {
            let nodes = network.nodes().filter(|(_, _, node)| node.runs(role));
            nodes.map(|(name, pop, _)| (name, at(pop))).collect()
        };
        let service = |probe: &&Probe| probe.kind != ProbeKind::Latency;
        let watches = |pop: &PopId| network.probes.values().filter(service).any(|p| p.is_from(pop));
        let (probes, servers) = (of_role(Role::Netprobe), of_role(Role::Nameserver));
        let watching = probes.iter().filter(|(name, _)| watches(&name.pop()));
        let mut watchers: Vec<usize> = watching.map(|(_, pop)| *pop).collect();
        watchers.dedup();
        let mut by_target = BTreeMap::new();
        let mut by_address = BTreeMap::new();
        for (_, pop, node) in network.nodes().filter(|(_, _, node)| node.runs(Role::Webcache)) {
            by_target.insert(TargetId::Pop(pop.clone()), at(pop));
            for address in &node.address {
                by_address.insert(address.to_string(), at(pop));
            }
        }
        let sites: Vec<SiteName> = network.sites.keys().cloned().collect();
        let lacks = [
            (servers.is_empty(), "a name server"),
            (probes.is_empty(), "a node with the role netprobe"),
            (by_target.is_empty(), "a node with the role webcache"),
            (sites.is_empty(), "a site of kind \"cached\""),
        ];
        if let Some((_, what)) = lacks.iter().find(|(lacking, _)| *lacking) {
            return Err(format!("the network has not {what}: nothing can be steered"));
        }
        Ok(Self { pops, probes, watchers, servers, sites, by_target, by_address, network })
    }

    /// Whose caches `target` is.
    pub(crate) fn pop_of(&self, target: &TargetId) -> Option<usize> {
        self.by_target.get(target).copied()
    }

    /// Whose cache listens at `host`.
    pub(crate) fn pop_at(&self, host: &str) -> Option<usize> {
        self.by_address.get(host).copied()
    }

    /// The POP called `name`.
    pub(crate) fn pop_named(&self, name: &str) -> Option<usize> {
        self.pops.iter().position(|site| site.id.as_str() == name)
    }

    /// Has each POP's traffic billed by `bill`, with a commit of `share` of the demand that is near
    /// it, and up to half more or less: commits are bought long before.
    pub(crate) fn set_commits(&mut self, natural: &[f64], share: f64, bill: &Bill, seed: u64) {
        for (n, (site, natural)) in (0..).zip(self.pops.iter_mut().zip(natural)) {
            let draw = float(noise(seed, 4, n) % 1_000) / 1_000.0;
            site.commit = natural * share * (0.5 + draw);
            if let Some(pop) = self.network.pops.get_mut(&site.id) {
                pop.transit = Some(Transit {
                    commit: BitRate(whole(site.commit * OCTETS * 8.0)),
                    percentile: None,
                    slot: Some(bill.slot),
                    period: Some(bill.period),
                });
            }
        }
    }

    /// Sets what each POP can carry.
    pub(crate) fn set_capacity(&mut self, capacity: &[f64]) {
        for (site, capacity) in self.pops.iter().zip(capacity) {
            if let Some(pop) = self.network.pops.get_mut(&site.id) {
                let mut of_pop = pop.capacity.take().unwrap_or_default();
                of_pop.requests = Some(whole(*capacity).max(1));
                pop.capacity = Some(of_pop);
            }
        }
    }
}

/// How long a bill and each of its slots are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bill {
    pub(crate) period: Span,
    pub(crate) slot: Span,
}

/// A demand of one is a megabit a second.
pub(crate) const OCTETS: f64 = 125_000.0;

/// A configuration for `plan`: POPs in the regions of the atlas in an order that the seed shuffles,
/// so that name servers and watchers, which are in the first of them, are far apart.
fn made(plan: &NetworkPlan, atlas: &Atlas, seed: u64) -> String {
    let mut order: Vec<usize> = (0..atlas.places.len()).collect();
    order.sort_by_key(|region| noise(seed, 0x504f_5053, count(*region)));
    let mut text = String::from(
        "[network]\nname = \"twin\"\nschema = 1\ndomain = \"twin.example\"\n[customers.twin]\ntitle = \"Twin\"\n",
    );
    let mut names: Vec<String> = Vec::new();
    for n in 0..plan.pops {
        let (lap, region) = (place(u64::from(n)) / order.len(), place(u64::from(n)) % order.len());
        let Some(region) = order.get(region).copied() else { continue };
        let Some(at) = atlas.places.get(region) else { continue };
        // Later laps stand up to three degrees beside the first.
        let aside = |what| {
            let draw = noise(seed, what, u64::from(n)) % 600;
            if lap == 0 { 0.0 } else { float(draw) / 100.0 - 3.0 }
        };
        let (lat, lon) = (at.lat + aside(1), at.lon + aside(2));
        let name = format!("{}{}", at.name, lap + 1);
        let draw = float(noise(seed, 3, u64::from(n)) % 1_000) / 999.0;
        let price = 1.0 + draw * (plan.dearest - 1.0);
        let [_, _, high, low] = n.to_be_bytes();
        let part = at.region;
        let _ = write!(
            text,
            "[pops.{name}]\nlocation = {{ lat = {lat:.3}, lon = {lon:.3}, region = \"{part}\" }}\n\
             cost = {price:.3}\ncapacity = {{ requests = 1000 }}\n[pops.{name}.nodes]\n\
             edge = {{ roles = [\"webcache\", \"webserver\"], address = [\"10.{high}.{low}.1\"] }}\n"
        );
        let takes_part = |some: u32| some == 0 || n < some;
        if takes_part(plan.watchers) || takes_part(plan.measuring) {
            let _ = writeln!(
                text,
                "probe = {{ roles = [\"netprobe\"], address = [\"10.{high}.{low}.2\"] }}"
            );
        }
        for server in (0..plan.name_servers).filter(|server| server % plan.pops.max(1) == n) {
            let last = 10 + server / plan.pops.max(1);
            let _ = writeln!(
                text,
                "ns{server} = {{ roles = [\"nameserver\"], address = [\"10.{high}.{low}.{last}\"] }}"
            );
        }
        names.push(name);
    }
    let listed = |some: u32| {
        let some = if some == 0 { names.len() } else { place(some.into()) };
        let quoted: Vec<String> = names.iter().take(some).map(|n| format!("\"{n}\"")).collect();
        quoted.join(", ")
    };
    let NetworkPlan { interval, timeout, fall, rise, agree, .. } = plan;
    let _ = write!(
        text,
        "[probes.edge]\nkind = \"http\"\ntarget = {{ role = \"webcache\" }}\n\
         request = {{ path = \"/.popnet/health\", host = \"health.popnet.invalid\" }}\n\
         expect = {{ status = [200], body_contains = \"ok\", load_header = \"popnet-load\" }}\n\
         interval = \"{interval}\"\ntimeout = \"{timeout}\"\nfall = {fall}\nrise = {rise}\n\
         from = {{ pops = [{}], agree = {agree} }}\n\
         [probes.rtt]\nkind = \"latency\"\nsamples = 3\nfrom = {{ pops = [{}] }}\n\
         [origin_groups.twin.servers]\nmain = {{ address = \"192.0.2.1\" }}\n",
        listed(plan.watchers),
        listed(plan.measuring),
    );
    for n in 0..plan.sites {
        let _ = write!(
            text,
            "[sites.\"w{n}.twin.example\"]\ncustomer = \"twin\"\nkind = \"cached\"\npops = [\"*\"]\norigins = \"twin\"\n"
        );
    }
    text
}

/// The addresses at which resolvers of client units are: a /16 a prefix, from 20.0.0.0 on.
pub(crate) fn resolver(prefix: u32, unit: u32) -> IpAddr {
    let [_, _, _, third] = unit.to_be_bytes();
    IpAddr::from(((20 << 24) + (prefix << 16) + (u32::from(third) << 8) + 53).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_networks_are_good_configurations() {
        let atlas = Atlas::new();
        for (pops, name_servers, watchers) in [(1, 1, 0), (12, 3, 3), (130, 24, 8), (4, 9, 0)] {
            let agree = 1;
            let plan =
                NetworkPlan { pops, name_servers, watchers, agree, ..NetworkPlan::default() };
            let fabric = Fabric::new(&plan, None, None, &atlas, 5).unwrap();
            assert_eq!(fabric.pops.len(), place(pops.into()));
            assert_eq!(fabric.servers.len(), place(name_servers.into()));
            assert!(fabric.pop_at("10.0.0.1").is_some());
        }
        let plan = NetworkPlan { file: Some("network.toml".into()), ..NetworkPlan::default() };
        let text = include_str!("../../../examples/network.toml");
        let fabric = Fabric::new(&plan, Some(text), None, &atlas, 5).unwrap();
        assert_eq!((fabric.pops.len(), fabric.servers.len(), fabric.sites.len()), (3, 2, 1));
        let lame = text.replace("location", "#");
        assert!(Fabric::new(&plan, Some(&lame), None, &atlas, 5).is_err());
    }
}
