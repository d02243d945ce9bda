//! How a node and the network are.

use std::sync::Arc;

use popnet_terms::{CustomerId, Micros, NodeName, PopId, Role, TargetId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::purging::PurgeId;
use crate::rollout::{Digest, Epoch};

/// One node's own word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Who.
    pub node: NodeName,
    /// Program version.
    pub version: Arc<str>,
    /// Process id of the configuration daemon.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// Configuration in force, 0 for nodes that hold none.
    pub epoch: Epoch,
    /// Its digest.
    pub digest: Digest,
    /// Last purge applied.
    pub purge: PurgeId,
    /// Whether nothing that was purged waits to be applied here, as far as the node knows; false
    /// until it has asked once.
    pub purged: bool,
    /// Each role's word.
    pub roles: Vec<RoleStatus>,
}

/// One role's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RoleStatus {
    /// A role that has nothing to add, or did not answer (`up` false, with why).
    Plain {
        /// Which.
        role: Role,
        /// Whether it answered.
        up: bool,
        /// Why not.
        why: Arc<str>,
    },
    /// A name server's view of the targets.
    Nameserver {
        /// Queries answered since start, steered ones among them.
        queries: u64,
        /// Steered answers since start.
        steered: u64,
        /// Packets dropped since start, by reason.
        dropped: Vec<(Arc<str>, u64)>,
        /// Every target's verdict.
        targets: Vec<TargetStatus>,
    },
    /// A cache tier.
    Cache {
        /// Webcache or webserver.
        role: Role,
        /// Requests since start.
        requests: u64,
        /// Answered from this tier.
        hits: u64,
        /// Octets sent.
        bytes_out: u64,
        /// Stored responses.
        objects: u64,
        /// Octets used.
        used: u64,
        /// Octets allowed.
        capacity: u64,
        /// Epoch of the role sheet.
        sheet: Epoch,
    },
    /// A log server.
    Logserver {
        /// Batches stored since start.
        batches: u64,
        /// Batches missing, all senders.
        missing: u64,
        /// Customers it keeps.
        customers: Vec<CustomerId>,
        /// Batches and connections dropped since start, by reason.
        dropped: Vec<(Arc<str>, u64)>,
    },
}

impl RoleStatus {
    /// A role that is there and has nothing to add.
    #[must_use]
    pub fn up(role: Role) -> Self {
        Self::Plain { role, up: true, why: "".into() }
    }

    /// A role that is not as it should be, and why.
    #[must_use]
    pub fn down(role: Role, why: &str) -> Self {
        Self::Plain { role, up: false, why: why.into() }
    }
}

/// A name server's verdict on a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Which.
    pub target: TargetId,
    /// In one word.
    pub state: TargetState,
    /// Since when.
    pub since: Timestamp,
    /// Load in thousandths, when known.
    pub load: Option<u16>,
    /// Why it is not up; empty when it is.
    pub why: Arc<str>,
    /// Who says so.
    pub seen_by: Vec<PopId>,
    /// Total time of the last service probe, the median over probes.
    pub response: Option<Micros>,
}

/// The state words of every screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetState {
    /// In service.
    Up,
    /// In service, not well.
    Degraded,
    /// Not in service.
    Down,
    /// Being emptied of clients.
    Draining,
    /// Not known.
    Unknown,
    /// Older configuration or purges to catch up with.
    Behind,
}

impl TargetState {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Draining => "draining",
            Self::Unknown => "unknown",
            Self::Behind => "behind",
        }
    }
}

/// The network as a master sees it: each configured node's word, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// The network's name.
    pub network: Arc<str>,
    /// Configuration in force at the master.
    pub epoch: Epoch,
    /// When this was put together.
    pub at: Timestamp,
    /// Every configured node.
    pub nodes: Vec<(NodeName, Vec<Role>, Result<NodeStatus, String>)>,
}
