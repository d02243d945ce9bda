//! Databases that say where clients are.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Databases in MMDB format (MaxMind's, DB-IP's and others) that lie on the name servers as files:
/// what a client that was never measured is judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AtlasFiles {
    /// Networks by their autonomous system number, relative to the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<PathBuf>,
    /// Cities or countries, relative to the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub places: Option<PathBuf>,
}
