//! Who does what where: the questions that roles ask of the configuration about its own machines.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use popnet_terms::{CustomerId, NodeName, PopId, Role, SiteName};

use crate::network::{Network, Node, Policy, Service, Site, SiteKind, selects};

impl Node {
    /// Where others reach the node for `service`: what it listens on, with "every address"
    /// replaced by the addresses it has.
    #[must_use]
    pub fn reached(&self, service: Service) -> Vec<SocketAddr> {
        let mut reached = Vec::new();
        for at in self.listens(service) {
            if !at.ip().is_unspecified() {
                reached.push(at);
                continue;
            }
            // Sockets of ours take one family: [::] is every address of IPv6 alone.
            let fits = |ip: &&IpAddr| at.is_ipv6() == ip.is_ipv6();
            reached
                .extend(self.address.iter().filter(fits).map(|ip| SocketAddr::new(*ip, at.port())));
        }
        reached
    }
}

impl Network {
    /// Whether there is a control plane: somebody may push.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        !self.masters.allow.is_empty()
    }

    /// Every node that runs `role`, in order of POP and key.
    pub fn running(&self, role: Role) -> impl Iterator<Item = (NodeName, &PopId, &Node)> {
        self.nodes().filter(move |(_, _, node)| node.runs(role))
    }

    /// Every node that runs `role` in `pop`.
    pub fn running_in(&self, role: Role, pop: &PopId) -> impl Iterator<Item = (NodeName, &Node)> {
        self.running(role).filter(move |(_, at, _)| *at == pop).map(|(name, _, node)| (name, node))
    }

    /// The name servers.
    pub fn nameservers(&self) -> impl Iterator<Item = (NodeName, &Node)> {
        self.running(Role::Nameserver).map(|(name, _, node)| (name, node))
    }

    /// Where name servers answer, those of `pop` first.
    #[must_use]
    pub fn dns_addresses(&self, pop: &PopId) -> Vec<SocketAddr> {
        let (near, far): (Vec<_>, Vec<_>) =
            self.running(Role::Nameserver).partition(|(_, at, _)| *at == pop);
        near.iter().chain(&far).flat_map(|(_, _, node)| node.reached(Service::Dns)).collect()
    }

    /// The disk tiers of `pop`.
    pub fn stores(&self, pop: &PopId) -> impl Iterator<Item = (NodeName, &Node)> {
        self.running_in(Role::Webserver, pop)
    }

    /// The log servers that take `customer`'s records; `_network` stands for ourselves.
    #[must_use]
    pub fn log_servers(&self, customer: &CustomerId) -> Vec<NodeName> {
        let own = self.customers.get(customer).and_then(|customer| customer.logs.as_ref());
        match own {
            Some(logs) if !logs.servers.is_empty() => logs.servers.clone(),
            Some(_) | None => self.logs.default.clone(),
        }
    }

    /// The first address of `node` for `service`: where others connect.
    #[must_use]
    pub fn address(&self, node: &NodeName, service: Service) -> Option<SocketAddr> {
        self.node(node)?.reached(service).first().copied()
    }

    /// Where `node` takes control.
    #[must_use]
    pub fn control_address(&self, node: &NodeName) -> Option<SocketAddr> {
        self.address(node, Service::Control)
    }

    /// The name servers, each with where it takes measurements.
    pub fn name_servers(&self) -> impl Iterator<Item = (NodeName, SocketAddr)> {
        let servers = self.nodes().filter(|(_, _, node)| node.runs(Role::Nameserver));
        servers.filter_map(|(name, _, _)| {
            let address = self.probe_address(&name)?;
            Some((name, address))
        })
    }

    /// Where `node` takes measurements.
    #[must_use]
    pub fn probe_address(&self, node: &NodeName) -> Option<SocketAddr> {
        self.address(node, Service::Probe)
    }

    /// Where `node` takes log batches.
    #[must_use]
    pub fn log_address(&self, node: &NodeName) -> Option<SocketAddr> {
        self.address(node, Service::Logs)
    }

    /// The name that latency probes ask resolvers for: who looks it up learns who asks.
    #[must_use]
    pub fn latency_probe_name(&self) -> String {
        format!("latency-probe.{}", self.network.domain)
    }

    /// The nodes that receive a configuration from `node` (A3).
    #[must_use]
    pub fn children(&self, node: &NodeName) -> &[NodeName] {
        self.masters.relay.get(node).map_or(&[], Vec::as_slice)
    }

    /// The node from which `node` receives configurations.
    #[must_use]
    pub fn parent(&self, node: &NodeName) -> Option<&NodeName> {
        let parent = self.masters.relay.iter().find(|(_, children)| children.contains(node));
        parent.map(|(parent, _)| parent)
    }

    /// Where a push begins: the first master of `masters.allow` that receives from nobody.
    #[must_use]
    pub fn relay_root(&self) -> Option<&NodeName> {
        self.masters.allow.iter().find(|name| {
            self.node(name).is_some_and(|node| node.runs(Role::Master))
                && self.parent(name).is_none()
        })
    }

    /// Every node that a push from `root` reaches, `root` among them.
    #[must_use]
    pub fn reached_by_relay(&self, root: &NodeName) -> BTreeSet<NodeName> {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![root.clone()];
        while let Some(node) = waiting.pop() {
            if reached.insert(node.clone()) {
                waiting.extend(self.children(&node).iter().cloned());
            }
        }
        reached
    }

    /// Whether the caches of `pop` serve `site`.
    #[must_use]
    pub fn serves(&self, pop: &PopId, site: &Site) -> bool {
        site.kind == SiteKind::Cached && site.pops.as_ref().is_none_or(|pops| selects(pops, pop))
    }

    /// The sites that the caches of `pop` serve.
    pub fn sites_of<'a>(
        &'a self,
        pop: &'a PopId,
    ) -> impl Iterator<Item = (&'a SiteName, &'a Site)> {
        self.sites.iter().filter(|(_, site)| self.serves(pop, site))
    }

    /// How a server is chosen for `site`; the defaults when it names no policy.
    #[must_use]
    pub fn policy_of(&self, site: &Site) -> Policy {
        let named = site.policy.as_ref().and_then(|name| self.policies.get(name));
        named.cloned().unwrap_or_default()
    }

    /// The static zone that `name` lies in: the one with the longest name.
    #[must_use]
    pub fn zone_of(&self, name: &str) -> Option<&str> {
        let zones = self.zones.keys().map(String::as_str);
        zones.filter(|zone| is_below(name, zone)).max_by_key(|zone| zone.len())
    }
}

/// Whether `name` is `zone` or lies below it; both in lower case without a final dot.
#[must_use]
pub fn is_below(name: &str, zone: &str) -> bool {
    match name.strip_suffix(zone) {
        Some(rest) => rest.is_empty() || rest.ends_with('.'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Network {
        toml_edit::de::from_str(include_str!("../../../examples/network.toml")).unwrap()
    }

    #[test]
    fn the_sample_network() {
        let network = sample();
        let names = |list: Vec<(NodeName, &Node)>| {
            list.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(network.nameservers().collect()), "ns1.fra1 ns1.iad1");
        assert_eq!(names(network.stores(&"nrt1".into()).collect()), "edge1.nrt1");
        assert_eq!(network.dns_addresses(&"iad1".into())[0].to_string(), "192.0.2.53:53");
        assert_eq!(network.log_servers(&"acme".into()), ["log1.fra1".into()]);
        assert_eq!(network.log_servers(&CustomerId::network()), ["log1.fra1".into()]);
        assert_eq!(network.relay_root().unwrap().as_str(), "ctl1.iad1");
        assert_eq!(network.parent(&"probe1.nrt1".into()).unwrap().as_str(), "ctl2.fra1");
        assert_eq!(network.reached_by_relay(&"ctl1.iad1".into()).len(), 8);
        let control = network.control_address(&"ns1.iad1".into()).unwrap();
        assert_eq!(control.to_string(), "192.0.2.53:7601");
        assert_eq!(network.sites_of(&"nrt1".into()).count(), 1);
    }

    #[test]
    fn every_address_means_those_it_has() {
        let node: Node = toml_edit::de::from_str(
            "roles = ['nameserver']\naddress = ['192.0.2.1', '2001:db8::1']\n\
             listen = { dns = ['0.0.0.0:53', '127.0.0.1:54'], control = ['[::]:9'] }",
        )
        .unwrap();
        let print = |service| {
            node.reached(service).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(print(Service::Dns), "192.0.2.1:53 127.0.0.1:54");
        assert_eq!(print(Service::Control), "[2001:db8::1]:9");
    }

    #[test]
    fn below() {
        for (name, zone, expected) in [
            ("www.example.net", "example.net", true),
            ("example.net", "example.net", true),
            ("badexample.net", "example.net", false),
            ("net", "example.net", false),
        ] {
            assert_eq!(is_below(name, zone), expected, "{name} {zone}");
        }
    }
}
