//! Where a node's control port is, and asking there.

use std::net::SocketAddr;
use std::time::Duration;

use popnet_config::network::Network;
use popnet_runtime::Identity;
use popnet_runtime::link::{Link, LinkError};
use popnet_terms::NodeName;
use popnet_wire::control::{Ask, Reply};

/// A node's control port and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    pub(crate) hostname: String,
}

impl Way {
    /// The way to `node` as `network` has it.
    pub(crate) fn to(network: &Network, node: &NodeName) -> Option<Self> {
        let address = network.control_address(node)?;
        Some(Self { address, hostname: network.hostname(node) })
    }

    /// Opens a conversation.
    pub(crate) async fn open(&self, identity: &Identity) -> Result<Link, LinkError> {
        Link::tls(self.address, &self.hostname, identity).await
    }

    /// Asks what has one reply, all within `limit`.
    pub(crate) async fn ask_one(
        &self,
        identity: &Identity,
        ask: &Ask,
        limit: Duration,
    ) -> Result<Reply, LinkError> {
        let asking = async { self.open(identity).await?.patient_for(limit).ask_one(ask).await };
        tokio::time::timeout(limit, asking).await.unwrap_or(Err(LinkError::TimedOut(limit)))
    }
}
