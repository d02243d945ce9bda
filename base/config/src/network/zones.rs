//! Ordinary zones and certificates that lie in files.

use std::path::PathBuf;

use ipnet::IpNet;
use popnet_terms::Octets;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Dnssec, Peer, TlsPrimary, UpdateGrant, Who, networks};

/// An ordinary DNS zone: either `file`, or `primaries` and `tls_primaries`, or a `catalog` of ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Zone file, relative to the configuration file or to the node's zone folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Servers to transfer it from, such as `"192.0.2.1"` or `"192.0.2.1:5301"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub primaries: Vec<Peer>,
    /// Servers to transfer it from over TLS, such as
    /// `{ address = "192.0.2.1", name = "ns1.example" }`; asked before `primaries`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls_primaries: Vec<TlsPrimary>,
    /// Servers that are notified and may transfer it: signed with `tsig_key`, when there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secondaries: Vec<Peer>,
    /// Name of the key for transfers; the secret lies on the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsig_key: Option<String>,
    /// It lists zones (RFC 9432): with primaries, zones that are transferred from them as well;
    /// without, all our zones that come from files.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub catalog: bool,
    /// What catalogs of ours say of this zone to those who follow them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Who else may transfer it: `"any"`, addresses, networks, `"key:NAME"`; over TLS `"tls:NAME"`
    /// and `"pin:BASE64"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_transfer: Vec<Who>,
    /// Who else, beside its primaries, may say that it has changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_notify: Vec<Who>,
    /// Who may change which records from afar.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_update: Vec<UpdateGrant>,
    /// Signed updates go on to its primary, which decides about them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forward_updates: bool,
    /// Most records that a transfer or an update may make of it; 10 million when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_records: Option<u64>,
    /// Most octets of its records; 256 MiB when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Octets>,
    /// Octets of differences kept for secondaries that are a little behind; 4 MiB when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Octets>,
    /// Who may ask for it; unset: what `dns.allow_query` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "networks")]
    pub allow_query: Option<Vec<IpNet>>,
    /// Signing; of a catalog: of the zones that it lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dnssec: Option<Dnssec>,
}

impl Zone {
    /// Whether it is transferred from other servers.
    #[must_use]
    pub fn is_secondary(&self) -> bool {
        !self.primaries.is_empty() || !self.tls_primaries.is_empty()
    }

    /// Whether it is a catalog of our own making.
    #[must_use]
    pub fn is_listing(&self) -> bool {
        self.catalog && self.file.is_none() && !self.is_secondary()
    }
}

/// A folder of zone files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZonesFrom {
    /// Every `NAME.zone` in it is served as zone NAME. What follows is said of each; a zone that
    /// is named under `zones` goes by what is said there.
    pub directory: PathBuf,
    /// Servers that are notified and may transfer them: signed with `tsig_key`, when there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secondaries: Vec<Peer>,
    /// Name of the key for transfers; the secret lies on the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsig_key: Option<String>,
    /// Who else may transfer them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_transfer: Vec<Who>,
    /// What catalogs of ours say of them to those who follow them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Signing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dnssec: Option<Dnssec>,
}

impl ZonesFrom {
    /// What is said of each zone in it.
    #[must_use]
    pub fn each(&self) -> Zone {
        Zone {
            secondaries: self.secondaries.clone(),
            tsig_key: self.tsig_key.clone(),
            allow_transfer: self.allow_transfer.clone(),
            group: self.group.clone(),
            dnssec: self.dnssec.clone(),
            ..Zone::default()
        }
    }
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
