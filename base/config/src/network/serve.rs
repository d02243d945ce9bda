//! When and for whom a target serves at all, whatever its health.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When and for whom a POP or a server serves, and what tells it from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// Out of service: never named, not even as a last resort and not to those who are bound to it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// Only clients of these countries (two capital letters, ISO 3166-1) and regions of POPs. Who
    /// is nowhere known to be is not served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_to: Vec<String>,
    /// Never clients of these countries and regions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub never_to: Vec<String>,
    /// When it serves, in UTC, such as `mon-fri 06:00-18:00`; always when unset.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<String>,
    /// What it can do, in words of your own; sites ask for them with `needs`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Who runs it or connects it: a second answer names another one where that is possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}
