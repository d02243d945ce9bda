//! The typed whole. Field docs are the help texts of the JSON Schema.
//!
//! Optional fields are what the author left out; the accessors beside them give what is then in
//! force, so that "unset" and "zero" stay different.

mod atlas;
mod customers;
mod delivery;
mod dns;
mod dnssec;
mod hours;
mod kinds;
mod machines;
mod policies;
mod probes;
mod serve;
mod simulate;
mod sites;
mod taps;
mod transfers;
mod views;
mod zones;

use std::collections::BTreeMap;

use popnet_terms::{CustomerId, NodeName, OriginGroupId, PopId, ProbeId, SiteName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use atlas::AtlasFiles;
pub use customers::{
    Billing, BillingModel, ClientIp, Customer, CustomerLogs, Inputs, Logs, OriginGroup,
    OriginServer, Retention,
};
pub use delivery::{CodingName, Compress, Cors, Delivery, FieldChanges, PlainHttp};
pub(crate) use dns::SLIP_MAX;
pub use dns::{Dns, DnsTcp, RateLimit};
pub use dnssec::{Dnssec, DnssecAlgorithm, DnssecDenial};
pub use hours::{Hours, NotHours};
pub use kinds::{
    CommandRequest, DnsRcode, DnsRequest, FtpRequest, SnmpRequest, StreamFormat, StreamRequest,
    TcpTalk,
};
pub use machines::{Capacity, Listen, Location, Node, Pop, Service, Transit, Workers};
pub use policies::{
    AnswerForm, Ecs, LastResort, Persist, PersistBy, PersistMode, Policy, Preset, Shed, Tie,
    Weights,
};
pub use probes::{
    Budget, Expect, LatencyMethod, Probe, ProbeFrom, ProbeKind, ProbeRequest, ProbeTarget,
};
pub use serve::Serve;
pub use simulate::{City, Simulate};
pub use sites::{
    CacheSettings, CookieRule, Preload, QueryRules, Rule, RuleAction, Site, SiteKind, SiteTls,
};
pub use taps::{DnsTap, LineFormat, QueryLog, TapMessages};
pub(crate) use taps::{TAP_KEEP_MAX, TAP_SIZE_MIN};
pub use transfers::{Peer, PeerError, Pin, PinError, TlsPrimary, UpdateGrant, Who, WhoError};
pub(crate) use views::VIEWS_MAX;
pub use views::View;
pub use zones::{CertificateFiles, Zone, ZonesFrom};

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
    /// How name servers meet those who ask.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dns: Dns,
    /// Ordinary DNS zones.
    #[serde(default)]
    pub zones: BTreeMap<String, Zone>,
    /// Folders full of zone files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones_from: Option<ZonesFrom>,
    /// Other zones for some clients: a question belongs to the first view that it fits, else to
    /// the zones of everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<View>,
    /// Certificates that lie on the nodes as files.
    #[serde(default)]
    pub certificates: BTreeMap<String, CertificateFiles>,
    /// Databases that say where clients are.
    #[serde(default, skip_serializing_if = "is_default")]
    pub atlas: AtlasFiles,
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
    /// Signing our own zone and those that a site is the top of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dnssec: Option<Dnssec>,
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

/// Whether the author left a table out: then the canonical form leaves it out too.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The schema of a list of IP networks.
fn networks(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "popnet-network" } })
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
