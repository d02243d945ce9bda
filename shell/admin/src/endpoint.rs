//! Where a configuration daemon is talked to.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use popnet_runtime::identity::Identity;
use popnet_runtime::link::{Link, LinkError};

/// A way to a configuration daemon.
#[derive(Clone)]
pub enum Endpoint {
    /// The daemon of this machine, by its Unix socket (`RUN_DIR/admin.sock`).
    Local(PathBuf),
    /// Another machine's control port, with a certificate of the network.
    Tls {
        /// Where.
        address: SocketAddr,
        /// The name that must stand in its certificate.
        hostname: String,
        /// Ours.
        identity: Arc<Identity>,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Tls { address, hostname, .. } => write!(f, "{hostname} ({address})"),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Endpoint {
    /// Opens a conversation.
    pub(crate) async fn open(&self) -> Result<Link, LinkError> {
        match self {
            Self::Local(path) => Link::local(path).await,
            Self::Tls { address, hostname, identity } => {
                Link::tls(*address, hostname, identity).await
            }
        }
    }
}
