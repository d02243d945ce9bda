//! `node.toml`: who a managed node is. Facts about the network are in the global configuration;
//! a node that only caches has nothing but this file (C6, G6).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use popnet_config::network::{CertificateFiles, Node};
use popnet_terms::NodeName;
use popnet_wire::control::Problem;
use serde::{Deserialize, Serialize};

/// The content of `node.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeFile {
    /// NODE.POP.
    pub(crate) name: NodeName,
    /// The network's own zone.
    pub(crate) domain: String,
    /// Folder with the node's certificate, key and the authority's certificate.
    pub(crate) identity: PathBuf,
    /// Nodes that hand configurations on to this one; empty at the top master.
    #[serde(default)]
    pub(crate) parents: Vec<Parent>,
    /// Name servers of the network: how a cache finds everything else.
    #[serde(default)]
    pub(crate) nameservers: Vec<SocketAddr>,
    /// What the machine runs and where it listens.
    pub(crate) node: Node,
    /// Certificates towards clients, by name.
    #[serde(default)]
    pub(crate) certificates: BTreeMap<String, CertificateFiles>,
}

/// A parent's control address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parent {
    /// NODE.POP.
    pub(crate) node: NodeName,
    /// Where its control port is.
    pub(crate) address: SocketAddr,
}

impl NodeFile {
    /// The file's name in the configuration folder.
    pub(crate) const NAME: &str = "node.toml";

    /// Reads `folder/node.toml`.
    pub(crate) fn read(folder: &Path) -> Result<Self, Problem> {
        let path = folder.join(Self::NAME);
        let cannot = |why: String| {
            let next = "popnet run --config FILE --node NAME   runs a node from a file instead";
            Problem::new("R0001", format!("{}: {why}", path.display()), next)
        };
        let text = std::fs::read_to_string(&path).map_err(|error| cannot(error.to_string()))?;
        toml_edit::de::from_str(&text).map_err(|error| cannot(error.to_string()))
    }

    /// Writes `folder/node.toml`.
    pub(crate) fn write(&self, folder: &Path) -> std::io::Result<()> {
        let text = toml_edit::ser::to_string_pretty(self).map_err(std::io::Error::other)?;
        std::fs::write(folder.join(Self::NAME), text)
    }
}

impl From<Parent> for popnet_configd::Parent {
    fn from(parent: Parent) -> Self {
        Self { node: parent.node, address: parent.address }
    }
}
