//! Ordinary zones and certificates that lie in files.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::networks;

/// An ordinary DNS zone: either `file` or `primaries`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// Zone file, relative to the configuration file or to the node's zone folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Servers to transfer it from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub primaries: Vec<IpAddr>,
    /// Servers that are notified and may transfer it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secondaries: Vec<IpAddr>,
    /// Name of the key for transfers; the secret lies on the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsig_key: Option<String>,
    /// Who may ask for it; unset: what `dns.allow_query` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "networks")]
    pub allow_query: Option<Vec<IpNet>>,
    /// Signing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dnssec: Option<Dnssec>,
}

/// Signing a zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dnssec {
    /// Sign it.
    pub sign: bool,
    /// With which algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<DnssecAlgorithm>,
}

/// Signature algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DnssecAlgorithm {
    /// ECDSA P-256 with SHA-256.
    Ecdsap256sha256,
    /// Ed25519.
    Ed25519,
}

/// A folder of zone files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZonesFrom {
    /// Every `NAME.zone` in it is served as zone NAME.
    pub directory: PathBuf,
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
