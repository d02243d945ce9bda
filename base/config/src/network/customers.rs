//! Who pays, whose servers, and where records go.

use std::collections::BTreeMap;

use popnet_terms::{BitRate, NodeName, Octets, ProbeId, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Capacity, Location, Serve, is_default};

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
    /// What each name server keeps of its measurements, for explanations of the past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
    /// How long records are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// How much a name server keeps of what it measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Inputs {
    /// For how long; seven days where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Span>,
    /// At most so much on disk; 1 GiB where nothing is said, and 0 keeps nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Octets>,
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

/// Where a customer's content is: servers, or a folder that we host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OriginGroup {
    /// The servers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<String, OriginServer>,
    /// Hosted content in place of servers: a folder on every node with the role `webserver` that
    /// serves the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
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
    /// The share of it that is ours: at a load above this one no client is sent to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<f64>,
    /// When and for whom it serves.
    #[serde(default, skip_serializing_if = "is_default")]
    pub serve: Serve,
}
