//! From a version's text to what roles hold, and whether this very node can run it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use popnet_config::network::Network;
use popnet_config::{Held, Loaded};
use popnet_rollout::Tree;
use popnet_terms::{NodeName, Role};
use popnet_wire::rollout::Version;

/// The name under which messages show a pushed text.
pub(crate) const FILE_NAME: &str = "popnet.toml";

/// Reads `text`; mistakes come as a person reads them.
pub(crate) fn load(text: &str) -> Result<Loaded, String> {
    popnet_config::load(text, FILE_NAME)
        .map_err(|found| popnet_config::render(&found, text, FILE_NAME).trim_end().to_owned())
}

/// What roles hold of `version`.
pub(crate) fn hold(version: &Version, base_dir: &Path) -> Result<Arc<Held>, String> {
    let loaded = load(&version.text)?;
    Ok(Arc::new(Held {
        epoch: version.epoch,
        digest: loaded.digest,
        network: loaded.network,
        base_dir: base_dir.to_owned(),
    }))
}

/// What a node needs to know to judge a version.
pub(crate) struct Judge<'a> {
    pub(crate) me: &'a NodeName,
    pub(crate) base_dir: &'a Path,
    /// The configuration in force, if any.
    pub(crate) held: Option<&'a Network>,
}

impl Judge<'_> {
    /// What the version says, if this node can run it.
    ///
    /// # Errors
    /// Why it cannot, in words for whoever pushes.
    pub(crate) fn judge(&self, version: &Version) -> Result<Network, String> {
        let loaded = load(&version.text)?;
        if loaded.digest != version.digest {
            return Err("the text is not what its digest says".to_owned());
        }
        let network = loaded.network;
        if let Some(held) = self.held
            && !held.masters.allow.contains(&version.master)
        {
            // A7: who may change the configuration stands in the configuration in force.
            return Err(format!("{} is not in masters.allow here", version.master));
        }
        let Some(node) = network.node(self.me) else {
            return Err(format!("{} is not part of the new version", self.me));
        };
        if node.runs(Role::Nameserver) {
            self.zones_are_here(&network)?;
        }
        Ok(network)
    }

    /// Zone files lie on the nodes; a name server without one would forget the zone.
    fn zones_are_here(&self, network: &Network) -> Result<(), String> {
        for (zone, of) in &network.zones {
            if let Some(file) = &of.file {
                let path = self.base_dir.join(file);
                if !path.is_file() {
                    return Err(format!("zone {zone:?}: {} is not on this node", path.display()));
                }
            }
        }
        Ok(())
    }
}

/// The way of a push that `master` starts: over every node that holds the configuration (G6).
pub(crate) fn way(network: &Network, master: &NodeName) -> Tree {
    Tree::of(master, &holders(network), &network.masters.relay)
}

/// The nodes that hold the configuration.
pub(crate) fn holders(network: &Network) -> BTreeSet<NodeName> {
    network
        .nodes()
        .filter(|(_, _, node)| node.holds_configuration())
        .map(|(name, _, _)| name)
        .collect()
}
