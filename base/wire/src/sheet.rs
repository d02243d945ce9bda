//! Role sheets: the few facts about its sites that a cache without the configuration needs (G6).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use popnet_terms::{CustomerId, NodeName, OriginId, Seconds, SiteName};
use serde::{Deserialize, Serialize};

use crate::delivery::Delivery;
use crate::rollout::{Digest, Epoch};

/// What a cache asks: "my sheet, when it differs from the one I have".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SheetAsk {
    /// The epoch of the sheet the asker has, if any.
    pub have: Option<Epoch>,
    /// How long the answer may be held back while nothing changes, in milliseconds.
    pub wait_ms: u32,
}

/// The sheet of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sheet {
    /// The configuration it was drawn from.
    pub epoch: Epoch,
    /// That configuration's digest.
    pub digest: Digest,
    /// Whose sheet it is.
    pub node: NodeName,
    /// The network's own zone, such as `cdn.northlight.example`.
    pub domain: Arc<str>,
    /// Where name servers answer.
    pub nameservers: Vec<SocketAddr>,
    /// Every site that this node's POP serves.
    pub sites: Vec<SiteSheet>,
}

/// One site's rules for its caches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteSheet {
    /// The hostname, or `*`.
    pub site: SiteName,
    /// Who pays.
    pub customer: CustomerId,
    /// How its responses are kept.
    pub cache: CacheRules,
    /// Exceptions by path; the first that matches counts.
    pub paths: Vec<PathRule>,
    /// Every origin in configured order: the order of last resort when no name server answers.
    pub origins: Vec<OriginAddress>,
    /// How client addresses are shortened before anything is written down.
    pub client_ip: Masking,
    /// The certificate's name in the node's store, when the site has TLS.
    pub certificate: Option<Arc<str>>,
    /// What is done on the way to clients.
    pub delivery: Arc<Delivery>,
}

/// Where an origin listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OriginAddress {
    /// Which one.
    pub id: OriginId,
    /// Hostname or address; or a folder of the asking node, which begins with `/` (hosted content).
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// Speak TLS to it.
    pub tls: bool,
}

/// A site's caching rules, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRules {
    /// Lifetime when the origin says nothing; zero: not fresh without the origin's word.
    pub default_ttl: Seconds,
    /// Longest lifetime kept.
    pub max_ttl: Seconds,
    /// Whether a tenth of the time since `Last-Modified` may serve as lifetime (RFC 9111 4.2.2).
    pub heuristic: bool,
    /// RFC 5861, when the origin does not say.
    pub stale_while_revalidate: Seconds,
    /// RFC 5861, when the origin does not say.
    pub stale_if_error: Seconds,
    /// Fields obeyed, most important first (RFC 9213).
    pub obey: Vec<Arc<str>>,
    /// Query parameters left out of the key; a final `*` matches any rest.
    pub query_ignore: Vec<Arc<str>>,
    /// Whether query parameters are sorted in the key.
    pub query_sort: bool,
    /// Most variants of one URL.
    pub vary_limit: u32,
    /// What to do with responses that set cookies.
    pub set_cookie: SetCookie,
    /// Fields that carry tags.
    pub tags: Vec<Arc<str>>,
    /// Largest stored response in octets.
    pub max_object: u64,
}

/// What to do with a response that sets a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetCookie {
    /// Hand it on, do not store.
    Bypass,
    /// Store it without the cookie.
    Strip,
    /// Store it with the cookie where the response itself says how long it lasts (RFC 9111 7.3).
    Obey,
}

/// An exception for some paths of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRule {
    /// The path; a final `*` matches any rest.
    pub path: Arc<str>,
    /// Never store, never answer from store.
    pub bypass: bool,
    /// Other cookie rule.
    pub set_cookie: Option<SetCookie>,
    /// Other default lifetime.
    pub default_ttl: Option<Seconds>,
    /// All that is done on the way to clients, where that differs from the site's.
    pub delivery: Option<Arc<Delivery>>,
}

/// How a client's address is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Masking {
    /// As it is.
    Full,
    /// Its /24 or /48.
    Prefix,
    /// A keyed hash.
    Hash,
    /// Not at all.
    None,
}

impl Masking {
    /// The address as this rule lets it be written; `None` when it may not.
    /// (A hash is made by the sender, which has the key; here it is the same as none.)
    #[must_use]
    pub fn apply(self, address: IpAddr) -> Option<IpAddr> {
        match self {
            Self::Full => Some(address),
            Self::Prefix => Some(popnet_terms::client_unit(address).addr()),
            Self::Hash | Self::None => None,
        }
    }
}
