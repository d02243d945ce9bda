//! Configuration push: prepare down the relay tree, confirm up, then switch (A3–A5).

use std::fmt;

use popnet_terms::{NodeName, Timestamp};
use serde::{Deserialize, Serialize};

/// The number of a configuration; it only grows. 0 means none yet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// SHA-256 of a configuration's canonical text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One version of the global configuration, as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its number.
    pub epoch: Epoch,
    /// Digest of `text`.
    pub digest: Digest,
    /// The TOML text as its author wrote it, comments included.
    pub text: String,
    /// Who pushed it: a node or a person's name.
    pub author: String,
    /// Why, in the author's words.
    pub message: String,
    /// When the push began.
    pub at: Timestamp,
    /// The master that gave it its number and started the push: the root of its way.
    pub master: NodeName,
}

/// From a parent to a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Down {
    /// Check, store as staged, hand on to your children, then confirm for all of them.
    /// The tree to hand on along is the new version's own `masters.relay`.
    Prepare(Version),
    /// Switch to the staged version with this number and digest.
    Commit {
        /// The number prepared before.
        epoch: Epoch,
        /// Its digest.
        digest: Digest,
        /// Nodes that did not prepare: out of answers until they have caught up.
        fenced: Vec<NodeName>,
    },
    /// Forget the staged version with this number.
    Abort {
        /// The number prepared before.
        epoch: Epoch,
    },
    /// A returning child asks its parent the other way round: what is in force?
    Current,
    /// The same from a node that has this number: only something newer is sent.
    Newer(Epoch),
}

/// From a child to its parent: one entry for itself and for each node below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Up {
    /// The answer to prepare, commit and abort.
    Outcomes(Vec<(NodeName, Outcome)>),
    /// The answer to [`Down::Current`] and [`Down::Newer`]; `None` when there is nothing (newer).
    Current(Option<Version>),
}

/// What became of one node in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Stored as staged, checked.
    Prepared,
    /// Runs the new version.
    Switched,
    /// The staged version is gone.
    Aborted,
    /// The node refuses, with the reason: then the whole push is off.
    Refused(String),
    /// No connection, or it broke: the node is fenced and catches up when it returns.
    Unreachable(String),
}
