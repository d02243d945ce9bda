//! The canonical form of a configuration and its digest: two texts that say the same have the
//! same digest, whatever their order, spacing and comments.

use popnet_wire::rollout::Digest;
use sha2::{Digest as _, Sha256};

use crate::network::Network;

/// `network` as TOML with its tables sorted and nothing that the author left out.
#[must_use]
pub fn canonical(network: &Network) -> String {
    toml_edit::ser::to_string_pretty(network).expect("every configuration type has a TOML form")
}

/// SHA-256 of the canonical form.
#[must_use]
pub fn digest(network: &Network) -> Digest {
    Digest(Sha256::digest(canonical(network)).into())
}
