//! Points of presence, their machines, and where these listen.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use popnet_terms::{BitRate, Octets, Role, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Serve, is_default};

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
    /// How what it sends is billed. Then `cost` counts only for what makes the bill dearer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transit: Option<Transit>,
    /// What it can carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// Taken out of answers by the operator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drain: bool,
    /// When and for whom it serves.
    #[serde(default, skip_serializing_if = "is_default")]
    pub serve: Serve,
    /// Its machines.
    #[serde(default)]
    pub nodes: BTreeMap<String, Node>,
}

/// Transit that is billed by a percentile of what is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transit {
    /// Paid in any case.
    pub commit: BitRate,
    /// The share of a bill's slots that counts, 0.5 to 0.99; the highest rest is forgotten. 0.95
    /// when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f64>,
    /// Time over which traffic is averaged. Five minutes when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Span>,
    /// What one bill is for, counted from 1970. A month of the calendar (UTC) when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Span>,
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

/// Where a node listens. An empty list: the address with the usual port, if there is one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// DNS over UDP and TCP; usually port 53.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub dns: Vec<SocketAddr>,
    /// DNS over TLS (RFC 7858), by custom on port 853. Not served when unset.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub dot: Vec<SocketAddr>,
    /// DNS over HTTPS (RFC 8484), by custom on port 443. Not served when unset.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub doh: Vec<SocketAddr>,
    /// DNS over QUIC (RFC 9250), by custom on port 853. Not served when unset.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub doq: Vec<SocketAddr>,
    /// HTTP; usually 80.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub http: Vec<SocketAddr>,
    /// HTTPS; usually 443. Only opened when the node has a certificate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub https: Vec<SocketAddr>,
    /// Whether HTTP/3 is served, too: by UDP, at the ports of HTTPS. Unset: yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http3: Option<bool>,
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
    /// The page of a probe that explains its packets, by custom on port 80. Not served when unset.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "sockets")]
    pub page: Vec<SocketAddr>,
}

fn sockets(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "popnet-socket" } })
}

/// What a node listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// DNS.
    Dns,
    /// DNS over TLS.
    Dot,
    /// DNS over HTTPS.
    Doh,
    /// DNS over QUIC.
    Doq,
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
    /// The page that explains a probe's packets.
    Page,
}

impl Service {
    /// The service's key in `listen`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Dot => "dot",
            Self::Doh => "doh",
            Self::Doq => "doq",
            Self::Http => "http",
            Self::Https => "https",
            Self::Store => "store",
            Self::Control => "control",
            Self::Probe => "probe",
            Self::Logs => "logs",
            Self::Netview => "netview",
            Self::Page => "page",
        }
    }

    /// The usual port; `None`: served only where the node says so.
    #[must_use]
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Dot | Self::Doh | Self::Doq | Self::Page => None,
            Self::Dns => Some(53),
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Netview => Some(7600),
            Self::Control => Some(7601),
            Self::Probe => Some(7602),
            Self::Logs => Some(7603),
            Self::Store => Some(7604),
        }
    }
}

impl Node {
    /// Whether HTTP/3 is served where HTTPS is.
    #[must_use]
    pub fn serves_http3(&self) -> bool {
        self.listen.http3.unwrap_or(true)
    }

    /// Where the node listens for `service`: what it says, else its addresses and the usual port.
    #[must_use]
    pub fn listens(&self, service: Service) -> Vec<SocketAddr> {
        let said = match service {
            Service::Dns => &self.listen.dns,
            Service::Dot => &self.listen.dot,
            Service::Doh => &self.listen.doh,
            Service::Doq => &self.listen.doq,
            Service::Http => &self.listen.http,
            Service::Https => &self.listen.https,
            Service::Store => &self.listen.store,
            Service::Control => &self.listen.control,
            Service::Probe => &self.listen.probe,
            Service::Logs => &self.listen.logs,
            Service::Netview => &self.listen.netview,
            Service::Page => &self.listen.page,
        };
        match service.port() {
            Some(port) if said.is_empty() => {
                self.address.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
            }
            Some(_) | None => said.clone(),
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
