//! Purge: emptying content out of the caches, with a receipt from every node (A2, C7).

use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use popnet_terms::{CustomerId, Micros, NodeName, OriginGroupId, SiteName, Timestamp};
use serde::{Deserialize, Serialize};

/// Number of a purge on its master; grows by one. Printed `f-0001`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PurgeId(pub u64);

impl fmt::Display for PurgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f-{:04}", self.0)
    }
}

/// The tag of a hosted file, which its answers carry whatever the URL that named it: spelt with
/// other percent-encoding, with a query or as its folder's page, it is the same file.
#[must_use]
pub fn file_tag(group: &OriginGroupId, relative: &Path) -> String {
    let mut tag = format!("{group}:/");
    for octet in relative.as_os_str().as_bytes() {
        match octet {
            b'/' | b'-' | b'.' | b'_' | b'~' => tag.push(char::from(*octet)),
            plain if plain.is_ascii_alphanumeric() => tag.push(char::from(*plain)),
            // Writing to a string cannot fail.
            other => drop(write!(tag, "%{other:02X}")),
        }
    }
    tag
}

/// An order as a person gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeOrder {
    /// Whose content; an order never reaches another customer's.
    pub customer: CustomerId,
    /// What.
    pub what: PurgeWhat,
    /// How.
    pub kind: PurgeKind,
    /// Who ordered it.
    pub actor: Arc<str>,
}

/// An order with its number, as nodes get it and journals keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Its number.
    pub id: PurgeId,
    /// When it was given.
    pub at: Timestamp,
    /// The order.
    pub order: PurgeOrder,
}

/// What is purged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PurgeWhat {
    /// One URL with all its variants, whatever its scheme.
    Url {
        /// The host's site.
        site: SiteName,
        /// Host as in the URL, lower case.
        host: Arc<str>,
        /// Path and query.
        path: Arc<str>,
    },
    /// Every URL of a site whose path starts so.
    Prefix {
        /// The site.
        site: SiteName,
        /// First octets of the path.
        path: Arc<str>,
    },
    /// Everything that carries a tag.
    Tag {
        /// The tag, case kept.
        tag: Arc<str>,
    },
    /// Everything of a site.
    Site {
        /// The site.
        site: SiteName,
    },
}

impl fmt::Display for PurgeWhat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { host, path, .. } => write!(f, "url {host}{path}"),
            Self::Prefix { site, path } => write!(f, "prefix {site}{path}*"),
            Self::Tag { tag } => write!(f, "key {tag}"),
            Self::Site { site } => write!(f, "site {site}"),
        }
    }
}

/// How content is purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PurgeKind {
    /// Becomes stale: validated before it is served again.
    Soft,
    /// Gone.
    Hard,
}

/// A node's receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeReceipt {
    /// Who.
    pub node: NodeName,
    /// What became of it there.
    pub state: PurgeState,
}

/// What became of a purge on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PurgeState {
    /// Done: no later answer shows the old content.
    Applied {
        /// Stored responses that were counted: in memory all that are hit, on disk those of a URL.
        /// A site, a prefix or a tag is purged on disk without a look at what lies there.
        objects: u64,
        /// From receipt to done.
        took: Micros,
    },
    /// Not reached: it applies the purge before it serves again.
    Unreachable(String),
}
