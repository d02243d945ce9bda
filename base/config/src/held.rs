//! A configuration in force, as the roles of a node hold it.

use std::path::PathBuf;

use popnet_wire::rollout::{Digest, Epoch};

use crate::network::Network;

/// A configuration in force: handed to roles whole and never changed in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Its number; 0 when it was read straight from a file.
    pub epoch: Epoch,
    /// Digest of its canonical form.
    pub digest: Digest,
    /// What it says.
    pub network: Network,
    /// Folder that relative file names in it start from.
    pub base_dir: PathBuf,
}
