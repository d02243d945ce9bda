//! The configuration as one probing node uses it: what to probe, where, how, how often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use popnet_config::network::{
    Expect, LatencyMethod, Network, OriginServer, Probe, ProbeKind, Service,
};
use popnet_terms::{CustomerId, OriginGroupId, OriginId, PopId, ProbeId, Role};
use popnet_wire::probing::Subject;

use crate::action::Address;

/// One subject of one probe.
pub(crate) type Key = (ProbeId, Subject);

/// How to probe one subject.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    pub(crate) address: Address,
    pub(crate) how: How,
    pub(crate) expect: Expect,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) rise: u16,
    pub(crate) fall: u16,
    pub(crate) customer: CustomerId,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum How {
    Http { tls: bool, method: Arc<str>, path: Arc<str>, host: Arc<str> },
    Tcp,
}

impl How {
    /// The word in front of an address.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Http { tls: true, .. } => "https",
            Self::Http { tls: false, .. } => "http",
            Self::Tcp => "tcp",
        }
    }
}

/// How to measure latencies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bursts {
    pub(crate) methods: Vec<LatencyMethod>,
    pub(crate) samples: u16,
    pub(crate) timeout: Duration,
}

/// An attempt at least this far from the next, whatever the configuration says.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Packets a burst at most.
const SAMPLES_MAX: u16 = 10;

/// One machine answers as fast as it can; a second is an age.
const BURST_TIMEOUT: Duration = Duration::from_secs(1);

/// Every subject that a probe in `pop` looks at.
pub(crate) fn specs(network: &Network, pop: &PopId) -> BTreeMap<Key, Spec> {
    let mut specs = BTreeMap::new();
    for (id, probe) in network.probes.iter().filter(|(_, probe)| probe.is_from(pop)) {
        for (subject, spec) in subjects(network, id, probe) {
            specs.insert((id.clone(), subject), spec);
        }
    }
    specs
}

/// How `pop` measures latencies, if it does, with the configured politeness.
pub(crate) fn bursts<'a>(network: &'a Network, pop: &PopId) -> Option<(Bursts, &'a Probe)> {
    let latency = |probe: &&Probe| probe.kind == ProbeKind::Latency && probe.is_from(pop);
    let probe = network.probes.values().find(latency)?;
    let methods = if probe.methods.is_empty() {
        vec![LatencyMethod::DnsQuery, LatencyMethod::Tcp53]
    } else {
        probe.methods.clone()
    };
    let samples = probe.samples.unwrap_or(3).clamp(1, SAMPLES_MAX);
    let timeout = probe.timeout.map_or(BURST_TIMEOUT, |timeout| timeout.duration());
    Some((Bursts { methods, samples, timeout }, probe))
}

fn subjects(network: &Network, id: &ProbeId, probe: &Probe) -> Vec<(Subject, Spec)> {
    let mut found = Vec::new();
    if let Some(role) = probe.target.as_ref().and_then(|target| target.role) {
        let nodes = network.nodes().filter(|(_, _, node)| node.runs(role));
        for (name, _, node) in nodes {
            let tls = probe.request.as_ref().and_then(|request| request.tls).unwrap_or(false);
            let at =
                service_of(role, tls).and_then(|service| node.listens(service).into_iter().next());
            let Some(mut at) = at else { continue };
            // A node that listens everywhere is asked where others reach it.
            if let Some(ip) = node.address.first().filter(|_| at.ip().is_unspecified()) {
                at.set_ip(*ip);
            }
            let address = Address { host: at.ip().to_string().into(), port: at.port() };
            let spec = spec(probe, address, tls, CustomerId::network());
            found.extend(spec.map(|spec| (Subject::Node(name), spec)));
        }
    }
    let group = probe.target.as_ref().and_then(|target| target.origin_group.as_ref());
    for (name, servers) in &network.origin_groups {
        for (key, server) in &servers.servers {
            if group != Some(name) && server.probe.as_ref() != Some(id) {
                continue;
            }
            let (address, tls) = origin(probe, server);
            let spec = spec(probe, address, tls, owner(network, name));
            let origin = OriginId { group: name.clone(), server: key.as_str().into() };
            found.extend(spec.map(|spec| (Subject::Origin(origin), spec)));
        }
    }
    found
}

fn spec(probe: &Probe, address: Address, tls: bool, customer: CustomerId) -> Option<Spec> {
    let how = match probe.kind {
        ProbeKind::Latency => return None,
        ProbeKind::Tcp => How::Tcp,
        ProbeKind::Http => {
            let request = probe.request.as_ref();
            let method = request.and_then(|r| r.method.as_deref()).unwrap_or("GET");
            let path = request.map_or("/", |r| r.path.as_str());
            let host = request.and_then(|r| r.host.clone());
            let host = host.unwrap_or_else(|| address.to_string());
            How::Http { tls, method: method.into(), path: path.into(), host: host.into() }
        }
    };
    let interval = probe.interval().duration().max(INTERVAL_MIN);
    Some(Spec {
        address,
        how,
        expect: probe.expect.clone().unwrap_or_default(),
        interval,
        timeout: probe.timeout().duration().clamp(Duration::from_millis(1), Duration::from_mins(1)),
        rise: probe.rise(),
        fall: probe.fall(),
        customer,
    })
}

fn origin(probe: &Probe, server: &OriginServer) -> (Address, bool) {
    let asked = probe.request.as_ref().and_then(|request| request.tls);
    let tls = asked.or(server.tls).unwrap_or(false);
    (Address::parse(&server.address, if tls { 443 } else { 80 }), tls)
}

/// The customer of the first site with this group; a group that no site uses is ours.
fn owner(network: &Network, group: &OriginGroupId) -> CustomerId {
    let mut sites = network.sites.values().filter(|site| site.origins == *group);
    sites.next().map_or_else(CustomerId::network, |site| site.customer.clone())
}

/// Where a role answers over TCP. Measurements and logs are QUIC, which no such probe speaks.
fn service_of(role: Role, tls: bool) -> Option<Service> {
    match role {
        Role::Webcache if tls => Some(Service::Https),
        Role::Webcache => Some(Service::Http),
        Role::Webserver => Some(Service::Store),
        Role::Nameserver => Some(Service::Dns),
        Role::Netview => Some(Service::Netview),
        Role::Master => Some(Service::Control),
        Role::Netprobe | Role::Logserver => None,
    }
}
