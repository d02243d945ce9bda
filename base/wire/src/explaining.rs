//! "Why?": asked of the role that decided, answered by the code that decides.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use popnet_terms::{CacheReason, NodeName, TargetId};
use serde::{Deserialize, Serialize};

use crate::logging::Decision;

/// Which answer would this resolver get now? Nothing is counted or remembered by asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainDns {
    /// The name.
    pub name: Arc<str>,
    /// The type: 1 for A, 28 for AAAA …
    pub qtype: u16,
    /// Who would ask.
    pub resolver: IpAddr,
    /// With which client subnet.
    pub subnet: Option<IpNet>,
    /// What if these were down (or, `true`, up)?
    pub assume: Vec<(TargetId, bool)>,
}

/// The answer to [`ExplainDns`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DnsStory {
    /// A steered name, with the whole decision.
    Steered(Box<Decision>),
    /// A name whose records stand in a zone: owner, type and data as text.
    Static(Vec<String>),
    /// NXDOMAIN, NODATA, REFUSED … and why.
    Nothing {
        /// The response code in words.
        rcode: Arc<str>,
        /// The reason.
        why: Arc<str>,
    },
}

/// What would this URL get at this node?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainUrl {
    /// Scheme of the URL.
    pub scheme: Arc<str>,
    /// Host, lower case, without port.
    pub host: Arc<str>,
    /// Path and query.
    pub path: Arc<str>,
    /// Request fields that may matter (`accept-encoding` …).
    pub fields: Vec<(Arc<str>, Arc<str>)>,
}

/// One tier's answer to [`ExplainUrl`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlStory {
    /// The node.
    pub node: NodeName,
    /// `mem` or `disk`.
    pub tier: Arc<str>,
    /// The site whose rules apply; `None` when the host is nobody's.
    pub site: Option<Arc<str>>,
    /// The key, readable.
    pub key: Arc<str>,
    /// Verdict in one word: `hit`, `validate`, `forward`, `refuse`.
    pub verdict: Arc<str>,
    /// The one cause.
    pub reason: CacheReason,
    /// Remaining lifetime in seconds, negative when stale; `None` when nothing is stored.
    pub ttl: Option<i64>,
    /// Age in seconds.
    pub age: Option<u32>,
    /// Stored variants of the URL.
    pub variants: u32,
    /// Why the last response for it was not stored, if it was not.
    pub not_stored: Option<CacheReason>,
    /// Checks in order, each "passes" or where it stops.
    pub checks: Vec<(Arc<str>, Arc<str>)>,
}
