//! Named rules for choosing a server (steering model).

use popnet_terms::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// How many of its spreads count with a round trip; 0 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
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
    /// Only from `dns.public_resolvers`.
    OnlyPublicResolvers,
    /// Only from `dns.trusted_resolvers`.
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
    /// An answer without an address.
    Empty,
    /// No answer: the resolver is told of a failure and asks elsewhere.
    Refuse,
}
