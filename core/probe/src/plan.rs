//! The configuration as one probing node uses it: what to probe, where, how, how often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use popnet_config::network::{
    Capacity, Expect, LatencyMethod, Network, OriginServer, Probe, ProbeKind, Service,
    StreamRequest,
};
use popnet_terms::{CustomerId, Micros, OriginGroupId, OriginId, PopId, ProbeId, Role, Timestamp};
use popnet_wire::probing::Subject;

use crate::action::{Action, Address, JobId, Outcome};
use crate::attempt::Task;
use crate::check::Checked;
use crate::judge::Wanted;
use crate::politeness;
use crate::watch::Watch;

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
    /// Which octets of the content the digest is over.
    pub(crate) range: (u64, u64),
    /// What the subject may send, in bits a second, where that is configured.
    pub(crate) capacity: Option<u64>,
}

impl Spec {
    /// The range, when a digest is expected at all.
    pub(crate) fn digest(&self) -> Option<(u64, u64)> {
        self.expect.body_sha256.is_some().then_some(self.range)
    }

    /// Whether answers should tell a load.
    pub(crate) fn tells_load(&self) -> bool {
        let Expect { load_header, load_json, .. } = &self.expect;
        self.how.is_load() || load_header.is_some() || load_json.is_some()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum How {
    Http {
        tls: bool,
        method: Arc<str>,
        path: Arc<str>,
        host: Arc<str>,
    },
    Tcp,
    /// An exporter's page, by HTTP.
    Metrics {
        tls: bool,
        path: Arc<str>,
        host: Arc<str>,
    },
    Other {
        word: &'static str,
        task: Task,
        wanted: Wanted,
    },
}

impl How {
    /// Whether it only reads a load: then nobody goes up or down by it.
    pub(crate) fn is_load(&self) -> bool {
        match self {
            Self::Metrics { .. } => true,
            Self::Other { wanted, .. } => *wanted == Wanted::Load,
            Self::Http { .. } | Self::Tcp => false,
        }
    }

    /// The word in front of an address.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Http { tls: true, .. } => "https",
            Self::Http { tls: false, .. } => "http",
            Self::Tcp => "tcp",
            Self::Metrics { .. } => "metrics",
            Self::Other { word, .. } => word,
        }
    }
}

/// How to measure latencies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bursts {
    pub(crate) methods: Vec<LatencyMethod>,
    pub(crate) samples: u16,
    pub(crate) timeout: Duration,
    /// The name that DNS queries ask for: it leads back to us.
    pub(crate) asked: Arc<str>,
}

/// An attempt at least this far from the next, whatever the configuration says.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Unset: endless streams are listened to for this long.
const LISTEN: Duration = Duration::from_secs(1);

/// Where node exporters listen.
const METRICS_PORT: u16 = 9100;

/// Where SNMP agents listen (RFC 3417 3).
const SNMP_PORT: u16 = 161;

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
        use LatencyMethod::{DnsQuery, Icmp, Tcp53, Trace};
        vec![DnsQuery, Icmp, Tcp53, Trace]
    } else {
        probe.methods.clone()
    };
    let samples = samples(probe);
    let timeout = probe.timeout.map_or(BURST_TIMEOUT, |timeout| timeout.duration());
    let asked = network.latency_probe_name().into();
    Some((Bursts { methods, samples, timeout, asked }, probe))
}

/// Packets of a burst.
pub(crate) fn samples(probe: &Probe) -> u16 {
    probe.samples.unwrap_or(3).clamp(1, SAMPLES_MAX)
}

/// Between two bursts to one resolver.
pub(crate) fn pause(probe: &Probe) -> Duration {
    politeness::pause(probe.budget.as_ref())
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
            let capacity = share(network, role, &name.pop());
            let spec = spec(probe, address, tls, CustomerId::network());
            let spec = spec.map(|spec| Spec { capacity, ..spec });
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
            let capacity = bandwidth(server.capacity.as_ref());
            let spec = spec(probe, address, tls, owner(network, name));
            let spec = spec.map(|spec| Spec { capacity, ..spec });
            let origin = OriginId { group: name.clone(), server: key.as_str().into() };
            found.extend(spec.map(|spec| (Subject::Origin(origin), spec)));
        }
    }
    found
}

/// A machine's share of what its POP may send: the mean of its caches' loads is then the POP's.
fn share(network: &Network, role: Role, pop: &PopId) -> Option<u64> {
    let machines = u64::try_from(network.running_in(role, pop).count()).ok()?;
    let whole = bandwidth(network.pops.get(pop)?.capacity.as_ref())?;
    (role == Role::Webcache).then(|| whole.checked_div(machines)).flatten()
}

fn bandwidth(capacity: Option<&Capacity>) -> Option<u64> {
    Some(capacity?.bandwidth?.0)
}

fn spec(probe: &Probe, mut address: Address, tls: bool, customer: CustomerId) -> Option<Spec> {
    if let Some(port) = probe.port {
        address.port = port;
    }
    let how = how(probe, &mut address, tls)?;
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
        range: probe.digest_range().unwrap_or((0, u64::MAX)),
        capacity: None,
    })
}

/// What to do at `address`; `None` for a kind that watches nobody, and for a probe that lacks its
/// table.
fn how(probe: &Probe, address: &mut Address, tls: bool) -> Option<How> {
    let other = |word, task, wanted| Some(How::Other { word, task, wanted });
    match probe.kind {
        ProbeKind::Latency => None,
        ProbeKind::Tcp => match &probe.tcp {
            None => Some(How::Tcp),
            Some(talk) => {
                let [send, expect] =
                    [&talk.send, &talk.expect].map(|text| text.as_deref().map(Arc::from));
                other("tcp", Task::Talk { send, expect }, Wanted::Nothing)
            }
        },
        ProbeKind::Http => {
            let request = probe.request.as_ref();
            let method = request.and_then(|r| r.method.as_deref()).unwrap_or("GET");
            let path = request.map_or("/", |r| r.path.as_str());
            let host = request.and_then(|r| r.host.clone());
            let host = host.unwrap_or_else(|| address.to_string());
            Some(How::Http { tls, method: method.into(), path: path.into(), host: host.into() })
        }
        ProbeKind::Ftp => {
            let ftp = probe.ftp.as_ref()?;
            let task = Task::Ftp {
                user: ftp.user.as_deref().unwrap_or("anonymous").into(),
                password_file: ftp.password_file.clone().map(Arc::new),
                path: ftp.path.as_str().into(),
                digest: None,
            };
            other("ftp", task, Wanted::File)
        }
        ProbeKind::Dns => {
            let dns = probe.dns.as_ref()?;
            let rtype = dns.rtype.as_deref().unwrap_or("A").into();
            let rcode = dns.rcode.unwrap_or_default().code();
            let task = Task::Dns { name: dns.name.as_str().into(), rtype };
            other("dns", task, Wanted::Dns { rcode, answer: dns.answer })
        }
        ProbeKind::Stream => {
            let stream = probe.stream.as_ref()?;
            let wanted = Wanted::Rate(stream.rate.map_or(0, |rate| rate.0));
            other("stream", listening(stream, address, tls), wanted)
        }
        ProbeKind::Icmp => other("icmp", Task::Echo, Wanted::Nothing),
        ProbeKind::Command => {
            let command = probe.command.as_ref()?;
            let filled = |argument: &String| {
                argument
                    .replace("{host}", &address.host)
                    .replace("{port}", &address.port.to_string())
            };
            let arguments = command.arguments.iter().map(filled).collect();
            let program = Arc::new(command.program.clone());
            other("command", Task::Command { program, arguments }, Wanted::Exit)
        }
        // These are asked of an agent beside the server, not of the server.
        ProbeKind::Metrics => {
            address.port = probe.port.unwrap_or(METRICS_PORT);
            let host = address.to_string().into();
            let tls = probe.request.as_ref().and_then(|request| request.tls).unwrap_or(false);
            Some(How::Metrics { tls, path: "/metrics".into(), host })
        }
        ProbeKind::Snmp => {
            address.port = probe.port.unwrap_or(SNMP_PORT);
            let snmp = Arc::new(probe.snmp.clone()?);
            other("snmp", Task::Snmp(snmp), Wanted::Load)
        }
    }
}

fn listening(stream: &StreamRequest, address: &Address, tls: bool) -> Task {
    let host = stream.host.clone().unwrap_or_else(|| address.to_string());
    Task::Stream {
        format: stream.format,
        tls,
        host: host.into(),
        path: stream.path.as_str().into(),
        listen: stream.listen.map_or(LISTEN, |listen| listen.duration()),
    }
}

/// The attempt that `probe` makes at `address`, as `popnet probe run` does it once: what to do, and
/// whether its outcome is a good one.
#[must_use]
pub fn once(probe: &Probe, address: Address, tls: bool) -> Option<Once> {
    let spec = spec(probe, address, tls, CustomerId::network())?;
    Some(Once(Watch::new(spec, Timestamp(0))))
}

/// One attempt beside any schedule.
#[derive(Debug)]
pub struct Once(Watch);

impl Once {
    /// What to do.
    pub fn action(&mut self) -> Action {
        self.0.start(JobId(0), Timestamp(0))
    }

    /// What `outcome` is worth, with the words for it and the total time.
    #[must_use]
    pub fn judge(&self, outcome: &Outcome) -> (Checked, Micros) {
        let (checked, _, total) = self.0.read(outcome);
        (checked, total)
    }
}

fn origin(probe: &Probe, server: &OriginServer) -> (Address, bool) {
    let asked = probe.request.as_ref().and_then(|request| request.tls);
    let asked = asked.or(probe.stream.as_ref().and_then(|stream| stream.tls));
    let tls = asked.or(server.tls).unwrap_or(false);
    (Address::parse(&server.address, probe.kind.usual_port(tls)), tls)
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
