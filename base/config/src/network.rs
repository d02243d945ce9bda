//! The typed whole. Field docs are the help texts of the JSON Schema.
//!
//! Optional fields are what the author left out; the accessors beside them give what is then in
//! force, so that "unset" and "zero" stay different.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use popnet_terms::{
    BitRate, CustomerId, NodeName, Octets, OriginGroupId, PerTime, PopId, ProbeId, Role, SiteName,
    Span,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The global configuration of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Name, zone and layout.
    pub network: Identity,
    /// Who may change this file, and who hands it on to whom.
    #[serde(default)]
    pub masters: Masters,
    /// Points of presence.
    #[serde(default)]
    pub pops: BTreeMap<PopId, Pop>,
    /// Service and latency probes.
    #[serde(default)]
    pub probes: BTreeMap<ProbeId, Probe>,
    /// Log servers and how long they keep what.
    #[serde(default)]
    pub logs: Logs,
    /// Named rules for choosing, reusable by sites.
    #[serde(default)]
    pub policies: BTreeMap<String, Policy>,
    /// Who pays.
    #[serde(default)]
    pub customers: BTreeMap<CustomerId, Customer>,
    /// Customers' own servers.
    #[serde(default)]
    pub origin_groups: BTreeMap<OriginGroupId, OriginGroup>,
    /// What customers give us to serve, by hostname; `*` is every other host.
    #[serde(default)]
    pub sites: BTreeMap<SiteName, Site>,
    /// Ordinary DNS zones.
    #[serde(default)]
    pub zones: BTreeMap<String, Zone>,
    /// Folders full of zone files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones_from: Option<ZonesFrom>,
    /// Certificates that lie on the nodes as files.
    #[serde(default)]
    pub certificates: BTreeMap<String, CertificateFiles>,
    /// Lab networks only: distances and loads that do not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulate: Option<Simulate>,
}

/// Name, zone and layout of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Short name.
    pub name: String,
    /// Layout of this file; 1 today.
    pub schema: u32,
    /// Our own zone: nodes are `NODE.POP.` below it.
    pub domain: String,
    /// Where people reach the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
}

/// Who may change the configuration, and the tree it travels down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Masters {
    /// Nodes whose certificates may push (A7).
    pub allow: Vec<NodeName>,
    /// Which nodes must accept before a switch.
    pub quorum: Quorum,
    /// Versions kept on each master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<u32>,
    /// Parent → children (A3).
    pub relay: BTreeMap<NodeName, Vec<NodeName>>,
}

/// Which nodes must accept before a switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Quorum {
    /// Every node that can be reached.
    #[default]
    AllLive,
    /// More than half of all.
    Majority,
}

/// A point of presence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pop {
    /// Name for people.
    #[serde(default)]
    pub title: String,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Relative price of a byte sent from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// What it can carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// Taken out of answers by the operator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drain: bool,
    /// Its machines.
    #[serde(default)]
    pub nodes: BTreeMap<String, Node>,
}

/// A place on the globe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// Region's short name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// What a POP or a server can carry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Outgoing traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<BitRate>,
    /// Requests a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
}

/// One machine with our software.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// What it runs.
    pub roles: Vec<Role>,
    /// Its addresses; the first is the one others use.
    pub address: Vec<IpAddr>,
    /// Where it listens when not on its addresses' usual ports.
    #[serde(default, skip_serializing_if = "is_default")]
    pub listen: Listen,
    /// Threads.
    #[serde(default, skip_serializing_if = "is_default")]
    pub workers: Workers,
    /// Memory tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Octets>,
    /// Disk tier; 0 switches it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Octets>,
}

/// Where a node listens. An empty list: the address with the usual port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// DNS over UDP and TCP; usually port 53.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub dns: Vec<SocketAddr>,
    /// HTTP; usually 80.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub http: Vec<SocketAddr>,
    /// HTTPS; usually 443. Only opened when the node has a certificate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub https: Vec<SocketAddr>,
    /// The disk tier, for caches of the same POP; usually 7604.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub store: Vec<SocketAddr>,
    /// Control, mutually authenticated TLS; usually 7601.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub control: Vec<SocketAddr>,
    /// Measurements, QUIC; usually 7602.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub probe: Vec<SocketAddr>,
    /// Log batches, QUIC; usually 7603.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub logs: Vec<SocketAddr>,
    /// NetView; usually 7600.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub netview: Vec<SocketAddr>,
}

fn sockets(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "popnet-socket" } })
}

fn networks(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "popnet-network" } })
}

/// What a node listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// DNS.
    Dns,
    /// HTTP.
    Http,
    /// HTTPS.
    Https,
    /// The disk tier.
    Store,
    /// Control.
    Control,
    /// Measurements.
    Probe,
    /// Log batches.
    Logs,
    /// NetView.
    Netview,
}

impl Service {
    /// The service's key in `listen`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Http => "http",
            Self::Https => "https",
            Self::Store => "store",
            Self::Control => "control",
            Self::Probe => "probe",
            Self::Logs => "logs",
            Self::Netview => "netview",
        }
    }

    /// The usual port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Dns => 53,
            Self::Http => 80,
            Self::Https => 443,
            Self::Netview => 7600,
            Self::Control => 7601,
            Self::Probe => 7602,
            Self::Logs => 7603,
            Self::Store => 7604,
        }
    }
}

impl Node {
    /// Where the node listens for `service`: what it says, else its addresses and the usual port.
    #[must_use]
    pub fn listens(&self, service: Service) -> Vec<SocketAddr> {
        let said = match service {
            Service::Dns => &self.listen.dns,
            Service::Http => &self.listen.http,
            Service::Https => &self.listen.https,
            Service::Store => &self.listen.store,
            Service::Control => &self.listen.control,
            Service::Probe => &self.listen.probe,
            Service::Logs => &self.listen.logs,
            Service::Netview => &self.listen.netview,
        };
        if said.is_empty() {
            self.address.iter().map(|ip| SocketAddr::new(*ip, service.port())).collect()
        } else {
            said.clone()
        }
    }

    /// Whether the node runs `role`.
    #[must_use]
    pub fn runs(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether the node holds the global configuration (G6).
    #[must_use]
    pub fn holds_configuration(&self) -> bool {
        self.roles.iter().any(|role| role.holds_configuration())
    }
}

/// Threads of a node; unset: one a core.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Workers {
    /// Threads that answer DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<u32>,
    /// Threads that answer HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<u32>,
}

/// A probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What kind.
    pub kind: ProbeKind,
    /// Service probes: what is probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ProbeTarget>,
    /// HTTP probes: what is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<ProbeRequest>,
    /// Service probes: what a good answer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
    /// Service probes: time between two attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// Service probes: an attempt's longest time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Failures in a row before "down".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fall: Option<u16>,
    /// Successes in a row before "up".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rise: Option<u16>,
    /// Which POPs probe, and how many must agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ProbeFrom>,
    /// Latency probes: methods in the order in which they are tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<LatencyMethod>,
    /// Latency probes: packets a burst.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<u16>,
    /// Latency probes: measure a busy resolver again this often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Span>,
    /// Latency probes: forget after this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire: Option<Span>,
    /// Latency probes: politeness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

impl Probe {
    /// Time between two attempts.
    #[must_use]
    pub fn interval(&self) -> Span {
        self.interval.unwrap_or(Span::seconds(5))
    }

    /// An attempt's longest time.
    #[must_use]
    pub fn timeout(&self) -> Span {
        self.timeout.unwrap_or(Span::seconds(2))
    }

    /// Failures in a row before "down".
    #[must_use]
    pub fn fall(&self) -> u16 {
        self.fall.unwrap_or(3)
    }

    /// Successes in a row before "up".
    #[must_use]
    pub fn rise(&self) -> u16 {
        self.rise.unwrap_or(3)
    }

    /// How many POPs must agree before a target is called down.
    #[must_use]
    pub fn agree(&self) -> u16 {
        self.from.as_ref().and_then(|from| from.agree).unwrap_or(1)
    }

    /// Whether `pop` takes part.
    #[must_use]
    pub fn is_from(&self, pop: &PopId) -> bool {
        self.from.as_ref().is_none_or(|from| selects(&from.pops, pop))
    }
}

/// What kind of probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// An HTTP request with content check.
    Http,
    /// Opening a TCP connection.
    Tcp,
    /// Time and loss towards resolvers.
    Latency,
}

/// What a service probe looks at: one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeTarget {
    /// Every node with this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Every server of this group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_group: Option<OriginGroupId>,
}

/// What an HTTP probe asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// Method; GET when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Path and query.
    pub path: String,
    /// Host field; the target's address when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
}

/// What a good answer is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Statuses; 200 when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u16>,
    /// Text that the content has (P7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    /// SHA-256 of the whole content, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_sha256: Option<String>,
    /// Response field with the target's load, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_header: Option<String>,
    /// JSON pointer to the target's load in the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_json: Option<String>,
}

/// Which POPs probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeFrom {
    /// POPs; `*` is all.
    pub pops: Vec<String>,
    /// How many must agree before a target is called down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agree: Option<u16>,
}

/// How a latency is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LatencyMethod {
    /// A DNS query to port 53.
    #[serde(rename = "dns-query")]
    DnsQuery,
    /// Opening TCP port 53.
    #[serde(rename = "tcp-53")]
    Tcp53,
    /// ICMP echo.
    #[serde(rename = "icmp")]
    Icmp,
}

/// Politeness towards other people's resolvers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Probes a second and POP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_pop: Option<u32>,
    /// Bursts to one resolver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_resolver: Option<PerTime>,
}

/// Log servers and how long they keep what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Logs {
    /// Log servers of customers that name none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub default: Vec<NodeName>,
    /// Kept on each sender until a log server has acknowledged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spool: Option<Octets>,
    /// Share of name-server decisions kept in full, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_sample: Option<f64>,
    /// How long records are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// How long records are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Span>,
    /// DNS queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Span>,
    /// Steered answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decisions: Option<Span>,
    /// Counters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing: Option<Span>,
    /// Who did what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Span>,
}

/// How a server is chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The named rule it starts from.
    pub preset: Preset,
    /// Weights of the terms.
    pub score: Weights,
    /// Who counts as equal.
    pub tie: Tie,
    /// Load at which clients move.
    pub shed: Shed,
    /// Form of the answer.
    pub answer: AnswerForm,
    /// Whether client subnets in queries count.
    pub ecs: Ecs,
    /// Whether a client comes back to the same target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persist: Option<Persist>,
    /// Tried in order when no target is healthy; empty: unknown, damped, backup, all, static.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_resort: Vec<LastResort>,
}

/// Named rules for choosing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Lowest score: latency, loss, load and cost.
    #[default]
    Fastest,
    /// The cheapest among those near the fastest.
    CheapestWithin,
    /// The first that is well.
    FailoverOrder,
    /// Shares by weight.
    Weighted,
    /// By distance on the globe.
    GeoOnly,
    /// The seed's literal sum of latencies.
    SumNs,
    /// Shares by capacity, wherever the client is.
    Spread,
}

/// Weights of the terms of a score; every term is in milliseconds-equivalent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Of the round trip; 1 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// Of loss; 1 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Of load; 1 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// Milliseconds that one unit of cost is worth; 0 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_ms: Option<f64>,
}

/// Who counts as equal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tie {
    /// This close to the best; 5 ms when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// Or within this share of the best; 0.10 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

/// Load at which clients move.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shed {
    /// New clients move above this load; 0.80 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Bound clients too above this one; 0.95 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard: Option<f64>,
}

/// Form of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerForm {
    /// Most targets in an answer; 2 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u8>,
    /// Shortest time to live; 20 s when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_min: Option<Span>,
    /// Longest time to live; 300 s when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_max: Option<Span>,
}

/// Whether client subnets in queries count (RFC 7871).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ecs {
    /// Never.
    Never,
    /// Whenever the query has one.
    #[default]
    Prefer,
    /// Only from resolvers known to be public.
    OnlyPublicResolvers,
    /// Only from listed resolvers.
    RequireTrusted,
}

/// Whether a client comes back to the same target (N7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Persist {
    /// `hash` keeps no state, `bound` does.
    pub mode: PersistMode,
    /// What counts as the same client; the resolver when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersistBy>,
    /// For how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
}

/// How persistence is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PersistMode {
    /// By hashing.
    Hash,
    /// By a row for each client.
    Bound,
}

/// What counts as the same client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PersistBy {
    /// The resolver's site.
    Resolver,
    /// The client subnet.
    Subnet,
}

/// A step of last resort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LastResort {
    /// Targets whose health is not known.
    Unknown,
    /// Targets held back for flapping whose last probe was good.
    Damped,
    /// The site's backup.
    Backup,
    /// Every addressable target.
    All,
    /// The zone's own records.
    Static,
}

/// Who pays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// Name for people.
    #[serde(default)]
    pub title: String,
    /// How the bill is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing: Option<Billing>,
    /// Where its records go, and how addresses are shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<CustomerLogs>,
}

/// How a bill is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Billing {
    /// What is counted.
    pub model: BillingModel,
    /// Traffic paid for in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<BitRate>,
    /// Where days begin; UTC when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

/// What a bill counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BillingModel {
    /// 95th percentile of traffic.
    P95,
    /// Octets.
    Bytes,
    /// DNS queries.
    Queries,
}

/// Where a customer's records go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerLogs {
    /// Its log servers; the network's default when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<NodeName>,
    /// How client addresses are written down; shortened when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<ClientIp>,
}

/// How client addresses are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientIp {
    /// As they are.
    Full,
    /// Their /24 or /48.
    Prefix,
    /// A keyed hash.
    Hash,
    /// Not at all.
    None,
}

/// A group of a customer's servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OriginGroup {
    /// The servers.
    pub servers: BTreeMap<String, OriginServer>,
}

/// A customer's server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OriginServer {
    /// Host or address, with a port or without (80, with TLS 443).
    pub address: String,
    /// Speak TLS to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// The probe that watches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeId>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Its share where shares count; 1 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Relative price of a byte sent from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// What it can carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
}

/// What a customer gives us to serve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Whose.
    pub customer: CustomerId,
    /// Served by our caches, or only steered.
    pub kind: SiteKind,
    /// How a server is chosen; `fastest` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Cached sites: POPs that serve it; `*` is all, and what unset means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pops: Option<Vec<String>>,
    /// The group of servers with the content.
    pub origins: OriginGroupId,
    /// Cached sites: the customer's own servers compete with the POPs for the answer (S14).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answer_with_origins: bool,
    /// TLS towards clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SiteTls>,
    /// How responses are kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cache: CacheSettings,
    /// Exceptions by path; the first that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Filling the caches ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preload: Option<Preload>,
}

/// Served by our caches, or only steered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SiteKind {
    /// Our caches answer for it (S11: a static name).
    Cached,
    /// Answers name the customer's servers; no traffic passes us (S11: a dynamic name).
    Direct,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteTls {
    /// The certificate's name: a key of `certificates`, or one that lies in the nodes' own store.
    pub certificate: String,
    /// Offer HTTP/3.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub http3: bool,
}

/// How responses are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSettings {
    /// Lifetime when the origin says nothing; 0 s when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_ttl: Option<Span>,
    /// Longest lifetime; 30 d when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<Span>,
    /// Guess a lifetime from `Last-Modified` (RFC 9111 4.2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heuristic: Option<bool>,
    /// Serve stale this long while validating (RFC 5861).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_while_revalidate: Option<Span>,
    /// Serve stale this long when the origin fails (RFC 5861).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_if_error: Option<Span>,
    /// Fields obeyed, most important first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obey: Option<Vec<String>>,
    /// Query parameters and the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<QueryRules>,
    /// Most variants of one URL; 8 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vary_limit: Option<u32>,
    /// What to do with responses that set cookies; bypass when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_cookie: Option<CookieRule>,
    /// Fields that carry tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Largest stored response; 2 GiB when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_object: Option<Octets>,
}

/// Query parameters and the key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueryRules {
    /// Parameters left out of the key; a final `*` matches any rest.
    pub ignore: Vec<String>,
    /// Sort parameters in the key.
    pub sort: bool,
}

/// What to do with a response that sets a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CookieRule {
    /// Hand it on, do not store.
    Bypass,
    /// Store it without the cookie.
    Strip,
}

/// An exception for some paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The path; a final `*` matches any rest.
    pub path: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<RuleAction>,
    /// Other cookie rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_cookie: Option<CookieRule>,
    /// Other default lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_ttl: Option<Span>,
}

/// What a path rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleAction {
    /// Never store, never answer from store.
    Bypass,
}

/// Filling the caches ahead (A9).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preload {
    /// Where the list of URLs is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sitemap: Option<String>,
    /// When, such as `daily 03:30`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How fast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<PerTime>,
    /// How many links deep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
}

/// An ordinary DNS zone: either `file` or `primaries`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Zone file, relative to the configuration file or to the node's zone folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Servers to transfer it from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub primaries: Vec<IpAddr>,
    /// Servers that are notified and may transfer it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secondaries: Vec<IpAddr>,
    /// Name of the key for transfers; the secret lies on the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsig_key: Option<String>,
    /// Signing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dnssec: Option<Dnssec>,
}

/// Signing a zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dnssec {
    /// Sign it.
    pub sign: bool,
    /// With which algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<DnssecAlgorithm>,
}

/// Signature algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DnssecAlgorithm {
    /// ECDSA P-256 with SHA-256.
    Ecdsap256sha256,
    /// Ed25519.
    Ed25519,
}

/// A folder of zone files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZonesFrom {
    /// Every `NAME.zone` in it is served as zone NAME.
    pub directory: PathBuf,
}

/// A certificate and its key as files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The chain, PEM, relative to the configuration file.
    pub chain: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

/// What does not exist in a lab: distances and loads. Only networks named `lab` may have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Simulate {
    /// City by city: who asks from there, and how far everything is.
    pub cities: BTreeMap<String, City>,
    /// Load forced on a POP, 0 to 1.
    pub load: BTreeMap<PopId, f64>,
    /// Milliseconds added to everything a POP says.
    pub slow: BTreeMap<PopId, Span>,
}

/// A simulated city.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct City {
    /// Name for people.
    #[serde(default)]
    pub title: String,
    /// Client networks that are there.
    #[schemars(schema_with = "networks")]
    pub clients: Vec<IpNet>,
    /// Round trip to each POP (`iad1`) and origin (`acme-www/main`).
    pub rtt: BTreeMap<String, Span>,
}

impl Simulate {
    /// The city that `client` is in.
    #[must_use]
    pub fn city_of(&self, client: IpAddr) -> Option<(&str, &City)> {
        self.cities
            .iter()
            .find(|(_, city)| city.clients.iter().any(|net| net.contains(&client)))
            .map(|(name, city)| (name.as_str(), city))
    }

    /// The round trip between `client` and `target` (a POP's key or `GROUP/SERVER`), with what
    /// `slow` adds.
    #[must_use]
    pub fn rtt(&self, client: IpAddr, target: &str) -> Option<Span> {
        let (_, city) = self.city_of(client)?;
        let base = city.rtt.get(target)?;
        let slow = self.slow.get(target).copied().unwrap_or_default();
        Some(Span(base.0.saturating_add(slow.0)))
    }
}

/// Whether the author left a table out: then the canonical form leaves it out too.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether `list` names `pop` or has `*`.
#[must_use]
pub fn selects(list: &[String], pop: &PopId) -> bool {
    list.iter().any(|entry| entry == "*" || entry == pop.as_str())
}

impl Network {
    /// Every node with its full name, in order of POP and key.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeName, &PopId, &Node)> {
        self.pops.iter().flat_map(|(pop, of)| {
            of.nodes.iter().map(move |(key, node)| (NodeName::of(key, pop), pop, node))
        })
    }

    /// The node called `name`.
    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.pops.get(&name.pop())?.nodes.get(name.node())
    }

    /// The hostname of `node` in our own zone: also the name in its certificate.
    #[must_use]
    pub fn hostname(&self, node: &NodeName) -> String {
        format!("{node}.{}", self.network.domain)
    }

    /// The site that serves `host` (lower case, no port): its own, else `*`.
    #[must_use]
    pub fn site_of(&self, host: &str) -> Option<(&SiteName, &Site)> {
        self.sites.get_key_value(host).or_else(|| self.sites.get_key_value("*"))
    }
}
