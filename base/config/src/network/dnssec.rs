//! Signing of zones.

use popnet_terms::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Peer;

/// Signing a zone. Its keys lie on the nodes, in `keys/dnssec/ZONE` of the state folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dnssec {
    /// Sign it.
    pub sign: bool,
    /// With which algorithm; `ecdsap256sha256` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<DnssecAlgorithm>,
    /// How absence is shown; `nsec` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<DnssecDenial>,
    /// What `denial = "nsec3"` was called at first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nsec3: bool,
    /// One key for everything, instead of one for the keys, which the parent names, and another
    /// for the records.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single_key: bool,
    /// How long a signature holds; 14 d when unset. It is made again after two thirds of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validity: Option<Span>,
    /// How long a key for the records is used; until told when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zsk_lifetime: Option<Span>,
    /// How long the key that the parent names is used; until told when unset. Needs `parents`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ksk_lifetime: Option<Span>,
    /// Name servers of the parent zone, such as `"192.0.2.1"` or `"192.0.2.1:5301"`, asked for the
    /// zone's DS records: a key that the parent names changes only where all are seen to follow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Peer>,
}

impl Dnssec {
    /// How absence is shown.
    #[must_use]
    pub fn denial(&self) -> DnssecDenial {
        let old = if self.nsec3 { DnssecDenial::Nsec3 } else { DnssecDenial::Nsec };
        self.denial.unwrap_or(old)
    }
}

/// How a signed zone shows that something is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DnssecDenial {
    /// NSEC records: the zone's names can be listed.
    Nsec,
    /// NSEC3 records (no salt, no iterations): the names must be guessed.
    Nsec3,
    /// An NSEC record made for each question (RFC 9824): the names cannot be listed. Only a server
    /// that has the keys can answer.
    Compact,
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
