//! The roles: the seed's components under their own names.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A software component that a node can run (S3: any combination on one machine).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Keeps the configuration's history and starts pushes.
    Master,
    /// Authoritative DNS that steers.
    Nameserver,
    /// Service and latency probes.
    Netprobe,
    /// The memory tier.
    Webcache,
    /// The disk tier.
    Webserver,
    /// Per-customer logs and counters.
    Logserver,
    /// The network in a browser.
    Netview,
}

impl Role {
    /// Every role, in the order in which a node starts them.
    pub const ALL: [Self; 7] = [
        Self::Master,
        Self::Nameserver,
        Self::Netprobe,
        Self::Logserver,
        Self::Webserver,
        Self::Webcache,
        Self::Netview,
    ];

    /// The role's word in the configuration and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Nameserver => "nameserver",
            Self::Netprobe => "netprobe",
            Self::Webcache => "webcache",
            Self::Webserver => "webserver",
            Self::Logserver => "logserver",
            Self::Netview => "netview",
        }
    }

    /// Whether a node with this role holds the global configuration (G6: caches do not).
    #[must_use]
    pub fn holds_configuration(self) -> bool {
        !matches!(self, Self::Webcache | Self::Webserver)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no role.
#[derive(Debug, thiserror::Error)]
#[error(
    "no role is called {0:?}; roles: master nameserver netprobe webcache webserver logserver netview"
)]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| UnknownRole(text.into()))
    }
}
