//! Views: other zones for some clients.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Who, Zone};

/// Most views: each has a table of all names of its own.
pub(crate) const VIEWS_MAX: usize = 64;

/// What some clients see in place of, or beside, the zones of everybody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Whose unsigned questions belong to it: `"any"`, addresses, networks. Signed ones, too, when
    /// there are no `keys`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<Who>,
    /// Names of keys (TSIG): a question that is signed with one of them belongs to the view,
    /// wherever it comes from; one that is signed with another does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Its own zones, from files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub zones: BTreeMap<String, Zone>,
}
