//! What customers give us to serve.

use std::collections::BTreeMap;

use popnet_terms::{CustomerId, Octets, OriginGroupId, PerTime, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Delivery, is_default};

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
    /// Tags that a POP or server has to have to serve it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Milliseconds by which a target counts as nearer for this site, or below 0 as farther: a
    /// POP, or GROUP/SERVER.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bias_ms: BTreeMap<String, f64>,
    /// A group of servers that is named when nothing else is well: addresses, or names, which are
    /// answered as an alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<OriginGroupId>,
    /// TLS towards clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SiteTls>,
    /// How responses are kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cache: CacheSettings,
    /// What is done on the way to clients.
    #[serde(default, skip_serializing_if = "is_default")]
    pub delivery: Delivery,
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
    /// What to do with responses that set cookies; obey when unset.
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
    /// Store it with the cookie where the response itself says how long it lasts.
    Obey,
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
    /// Other delivery: each of its keys counts instead of the site's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
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
