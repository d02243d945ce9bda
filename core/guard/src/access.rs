//! Lists of prefixes: who may ask for what.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use popnet_config::network::{Network, Zone};
use popnet_dns::{Name, suffixes};

/// A set of addresses. Looked up by halving, so that a list of thousands costs no query much.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Sorted and disjoint.
    four: Vec<Ipv4Net>,
    six: Vec<Ipv6Net>,
}

impl Access {
    /// The addresses in any of `nets`.
    #[must_use]
    pub fn of(nets: &[IpNet]) -> Self {
        let (mut four, mut six) = (Vec::new(), Vec::new());
        for net in nets {
            match net {
                IpNet::V4(net) => four.push(net.trunc()),
                IpNet::V6(net) => six.push(net.trunc()),
            }
        }
        let (mut four, mut six) = (Ipv4Net::aggregate(&four), Ipv6Net::aggregate(&six));
        four.sort_unstable();
        six.sort_unstable();
        Self { four, six }
    }

    /// Whether `address` is one of them. An IPv4 address that came over an IPv6 socket is what it
    /// stands for.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(ip) => {
                let after = self.four.partition_point(|net| net.network() <= ip);
                after
                    .checked_sub(1)
                    .and_then(|at| self.four.get(at))
                    .is_some_and(|net| net.contains(&ip))
            }
            IpAddr::V6(ip) => {
                let after = self.six.partition_point(|net| net.network() <= ip);
                after
                    .checked_sub(1)
                    .and_then(|at| self.six.get(at))
                    .is_some_and(|net| net.contains(&ip))
            }
        }
    }
}

/// Who may ask for which zone: a zone's own list, else the list for all, else everybody. The
/// network's nodes may always ask for its own names: they find each other by them (N24).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    all: Option<Access>,
    domain: Box<[u8]>,
    nodes: Access,
    /// By apex, in wire form and lower case.
    zones: BTreeMap<Box<[u8]>, Access>,
}

impl Gate {
    /// The lists of `network`. A zone whose key is no name is not served, and has none.
    #[must_use]
    pub fn build(network: &Network) -> Self {
        let all = network.dns.allow_query.as_deref().map(Access::of);
        let own = network.zones.iter().filter_map(|(name, zone)| {
            let apex: Name = name.parse().ok()?;
            Some((apex.as_wire().into(), Access::of(zone.allow_query.as_deref()?)))
        });
        let domain = network.network.domain.parse::<Name>();
        let domain = domain.map_or_else(|_| Box::default(), |name| name.as_wire().into());
        let nodes = network.nodes().flat_map(|(_, _, node)| node.address.iter());
        let nodes = Access::of(&nodes.map(|ip| IpNet::from(*ip)).collect::<Vec<_>>());
        Self { all, domain, nodes, zones: own.collect() }
    }

    /// The same for those who see `zones` in place of others.
    #[must_use]
    pub fn with(&self, zones: &BTreeMap<String, Zone>) -> Self {
        let mut gate = self.clone();
        for (name, zone) in zones {
            let Ok(apex) = name.parse::<Name>() else { continue };
            match zone.allow_query.as_deref() {
                Some(list) => gate.zones.insert(apex.as_wire().into(), Access::of(list)),
                None => gate.zones.remove(apex.as_wire()),
            };
        }
        gate
    }

    /// Whether everybody may ask for everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.zones.is_empty() && self.all.is_none()
    }

    /// Whether `asker` may ask for `qname`, which is in wire form and lower case.
    #[must_use]
    pub fn admits(&self, asker: IpAddr, qname: &[u8]) -> bool {
        if self.is_open() {
            return true;
        }
        // The deepest zone with a list of its own goes first.
        let own = suffixes(qname).find_map(|suffix| self.zones.get(suffix));
        let is_ours = || suffixes(qname).any(|suffix| *suffix == *self.domain);
        own.or(self.all.as_ref()).is_none_or(|list| list.has(asker))
            || (self.nodes.has(asker) && is_ours())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_of_a_list() {
        let list = Access::of(&nets(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "192.0.2.77/24",
            "198.51.100.1/32",
            "2001:db8::/32",
        ]));
        for inside in ["10.0.0.0", "10.255.255.255", "192.0.2.1", "198.51.100.1", "2001:db8:1::1"] {
            assert!(list.has(inside.parse().unwrap()), "{inside}");
        }
        assert!(list.has("::ffff:10.1.2.3".parse().unwrap()));
        for outside in
            ["9.255.255.255", "11.0.0.0", "192.0.3.0", "198.51.100.2", "2001:db9::", "::"]
        {
            assert!(!list.has(outside.parse().unwrap()), "{outside}");
        }
        assert!(!Access::default().has("192.0.2.1".parse().unwrap()));
        assert!(Access::of(&nets(&["0.0.0.0/0"])).has("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn the_deepest_list_counts() {
        let wire = |name: &str| name.parse::<Name>().unwrap().as_wire().to_vec();
        let mut gate = Gate::default();
        let (near, far) = ("10.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        assert!(gate.admits(far, &wire("a.test")));
        gate.zones.insert(wire("test").into(), Access::of(&nets(&["10.0.0.0/8"])));
        gate.zones.insert(wire("open.test").into(), Access::of(&nets(&["0.0.0.0/0"])));
        for (asker, name, admitted) in [
            (near, "a.test", true),
            (far, "a.test", false),
            (far, "test", false),
            (far, "a.open.test", true),
            (far, "elsewhere.example", true),
        ] {
            assert_eq!(gate.admits(asker, &wire(name)), admitted, "{asker} {name}");
        }
        gate.all = Some(Access::of(&nets(&["192.0.2.0/24"])));
        assert!(gate.admits(far, &wire("elsewhere.example")));
        assert!(!gate.admits(near, &wire("elsewhere.example")));
        // Our own nodes need our own names, and nothing else.
        gate.domain = wire("cdn.example").into();
        gate.nodes = Access::of(&nets(&["10.0.0.1/32"]));
        assert!(gate.admits(near, &wire("log1.fra1.cdn.example")));
        assert!(gate.admits(near, &wire("cdn.example")));
        assert!(!gate.admits(near, &wire("ncdn.example")));
        assert!(!gate.admits("10.0.0.2".parse().unwrap(), &wire("cdn.example")));
    }
}
