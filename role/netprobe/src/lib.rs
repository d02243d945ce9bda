//! NetProbe: asks every server that matters whether it is well and how far it is, and measures
//! the way to resolvers when a name server wants to know; tells every name server.
//!
//! What to do when is decided by [`popnet_probe::Prober`]; here are the sockets. The role depends
//! on nothing else of its POP (P18): when caches, name servers and log servers are gone, it goes
//! on probing and tells whoever is left.
//!
//! - [`http`], [`resolver`]: one attempt each, with its limits.
//! - `sessions`: a QUIC connection to every name server of the network.
//! - `page`: what people are told who wonder about our packets.
//! - `trips`: what the POP's caches saw of the ways to their clients.
//! - `serve`: the loop that carries out the prober's actions.
//!
//! - `ftp`, `dns`, `stream`, `icmp`, `talk`, `command`, `snmp`: attempts of the other kinds.

pub mod attempt;
pub mod http;
pub mod icmp;
pub mod resolver;
pub mod trace;

mod announce;
mod bill;
mod boot;
mod command;
mod connect;
mod dns;
mod ftp;
mod page;
mod serve;
mod sessions;
mod snmp;
mod stream;
mod talk;
mod trips;

use std::sync::Arc;

use popnet_config::Held;
use popnet_http::roots::Trust;
use popnet_runtime::{Context, Running, StartError};
use popnet_terms::Role;
use tokio::sync::watch;

pub use connect::Progress;
pub use sessions::decode;

/// Starts the role.
///
/// # Errors
/// Its folder, its socket or the way to log servers cannot be opened.
pub async fn start(
    context: Context,
    config: watch::Receiver<Arc<Held>>,
) -> Result<Running, StartError> {
    // Files are small and local, but reading authorities may take a while on a cold disk.
    let folder = context.role_dir(Role::Netprobe);
    let trust = tokio::task::spawn_blocking(move || {
        popnet_runtime::files::create_private_dir(&folder)
            .map_err(StartError::io(folder.display()))?;
        Ok::<Trust, StartError>(Trust::load(&folder))
    });
    let trust = trust.await.map_err(std::io::Error::other);
    let trust = trust.map_err(StartError::io("reading authorities"))??;
    serve::start(context, config, trust)
}
