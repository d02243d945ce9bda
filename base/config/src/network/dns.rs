//! How name servers meet those who ask: who may, how often, and over what.

use std::path::PathBuf;

use ipnet::IpNet;
use popnet_terms::{PerTime, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DnsTap, QueryLog, is_default, networks};

/// How name servers meet those who ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Who may ask; unset: everybody. A zone's own list goes before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "networks")]
    pub allow_query: Option<Vec<IpNet>>,
    /// Fronts that put a PROXY head (version 2) before each connection to us.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "networks")]
    pub proxies: Vec<IpNet>,
    /// Certificate for DoT, DoH and DoQ; unset: one of the network's own authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Authorities (PEM, relative to the configuration file) whose certificates count in zone
    /// transfers over TLS: of `tls_primaries` with a `name`, and of askers in `"tls:NAME"` lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_ca: Option<PathBuf>,
    /// Askers that show a cookie must show one of ours over UDP, else they get BADCOOKIE.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_cookie: bool,
    /// Secrets of cookies that name servers share (RFC 9018 section 5), on each node (relative to
    /// the configuration file); unset: each node makes its own. The secrets never travel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie_secret_file: Option<PathBuf>,
    /// Connections of all kinds.
    #[serde(skip_serializing_if = "is_default")]
    pub tcp: DnsTcp,
    /// How often one prefix is answered over UDP; unset: as often as it asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Resolvers open to everybody: where a policy says `ecs = "only-public-resolvers"`, client
    /// subnets count only from these. Empty: from nobody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "networks")]
    pub public_resolvers: Vec<IpNet>,
    /// Where a policy says `ecs = "require-trusted"`, client subnets count only from these
    /// resolvers. Empty: from nobody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "networks")]
    pub trusted_resolvers: Vec<IpNet>,
    /// Copies of questions and answers for other programs (dnstap); unset: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tap: Option<DnsTap>,
    /// A line for each question and its answer; unset: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_log: Option<QueryLog>,
}

/// Connections to name servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DnsTcp {
    /// Most connections of a node; 20000 when unset. The oldest without a question makes room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Most connections of one address, or of one /64 of IPv6; 200 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_client: Option<u32>,
    /// How long a connection without a question stays; 10s when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Span>,
}

impl DnsTcp {
    /// Most connections of a node.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections.unwrap_or(20_000)
    }

    /// Most connections of one address.
    #[must_use]
    pub fn per_client(&self) -> u32 {
        self.per_client.unwrap_or(200)
    }

    /// How long a connection without a question stays.
    #[must_use]
    pub fn idle(&self) -> Span {
        self.idle.unwrap_or(Span::seconds(10))
    }
}

/// How often one prefix is answered over UDP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimit {
    /// Equal answers; unset: without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responses: Option<PerTime>,
    /// "No such records" of one zone; as `responses` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodata: Option<PerTime>,
    /// "No such name" of one zone; as `responses` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nxdomains: Option<PerTime>,
    /// Referrals to one cut; as `responses` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrals: Option<PerTime>,
    /// Errors; as `responses` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<PerTime>,
    /// Answers of every kind together; unset: without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<PerTime>,
    /// Every so-manieth answer over the limit goes out cut, 0 for none; 2 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slip: Option<u8>,
    /// How much of an IPv4 address is one asker; 24 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_prefix: Option<u8>,
    /// How much of an IPv6 address is one asker; 56 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_prefix: Option<u8>,
    /// Who is not limited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "networks")]
    pub exempt: Vec<IpNet>,
}

/// Most answers over the limit for one that goes out cut: more would leave no way in.
pub(crate) const SLIP_MAX: u8 = 10;

impl RateLimit {
    /// Of which so many over the limit one goes out cut; 0: none.
    #[must_use]
    pub fn slip(&self) -> u8 {
        self.slip.unwrap_or(2)
    }

    /// How much of an IPv4 address is one asker.
    #[must_use]
    pub fn ipv4_prefix(&self) -> u8 {
        self.ipv4_prefix.unwrap_or(24)
    }

    /// How much of an IPv6 address is one asker.
    #[must_use]
    pub fn ipv6_prefix(&self) -> u8 {
        self.ipv6_prefix.unwrap_or(56)
    }
}
