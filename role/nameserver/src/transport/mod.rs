//! Every way to a name server that is a connection: DNS over TCP, TLS, HTTPS and QUIC. All lead to
//! the same `Desk`; UDP has its own threads (`udp`).
//!
//! - `accept`: takes connections, and the head of a listed front.
//! - `hall`: how many there are, who leaves when it is full, and memory for long questions.
//! - `stream`: questions with a length in front, over TCP or TLS.
//! - `doh`, `doq`: the same in requests and in streams.
//! - `keys`: the certificate that clients see.

mod accept;
mod doh;
mod doq;
mod hall;
mod keys;
mod stream;

pub use doh::message_in_path;
pub use doq::message_in_stream;

use std::net::SocketAddr;
use std::sync::Arc;

use popnet_config::Held;
use popnet_config::network::{Node, Service};
use popnet_runtime::{Context, StartError, bind, descriptors};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::shared::Shared;
use crate::transfer::Asking;
pub(crate) use hall::Hall;
use keys::Keys;

/// What comes in over a TCP listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    /// Questions as they are.
    Plain,
    /// Questions within TLS.
    Tls,
    /// Requests within TLS.
    Https,
}

/// The ports, bound before anything is served.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    streams: Vec<(TcpListener, Speech)>,
    quic: Vec<std::net::UdpSocket>,
}

impl Listeners {
    /// Binds what `node` listens on. Must be called inside the runtime.
    pub(crate) fn bind(node: &Node) -> Result<Self, StartError> {
        let mut listeners = Self::default();
        let speeches = [
            (Service::Dns, Speech::Plain),
            (Service::Dot, Speech::Tls),
            (Service::Doh, Speech::Https),
        ];
        for (service, speech) in speeches {
            for address in node.listens(service) {
                listeners.streams.push((bind::tcp_async(address, false)?, speech));
            }
        }
        for address in node.listens(Service::Doq) {
            listeners.quic.push(bind::udp(address, false)?);
        }
        Ok(listeners)
    }

    fn is_encrypted(&self) -> bool {
        !self.quic.is_empty() || self.streams.iter().any(|(_, speech)| *speech != Speech::Plain)
    }
}

/// Serves `listeners` until shutdown.
///
/// # Errors
/// The machine takes a bound socket back.
pub(crate) fn start(
    listeners: Listeners,
    context: &Context,
    config: &watch::Receiver<Arc<Held>>,
    shared: &Arc<Shared>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    descriptors::raise();
    let held = Arc::clone(&config.borrow());
    let hall = Arc::new(Hall::new(&held.network.dns.tcp));
    let shutdown = &context.shutdown;
    let mut tasks = Vec::new();
    let (keys, following) = Keys::new(config, context);
    if listeners.is_encrypted() {
        tasks.push(tokio::spawn(following));
    }
    let tls = keys::server_config(&keys, &[b"dot"], Some(Asking::new(shared)))?;
    let https = keys::server_config(&keys, &[b"h2", b"http/1.1"], None)?;
    for (listener, speech) in listeners.streams {
        let way = match speech {
            Speech::Plain => accept::Way::Plain,
            Speech::Tls => accept::Way::Tls(Arc::clone(&tls).into()),
            Speech::Https => accept::Way::Https(Arc::clone(&https).into()),
        };
        let door = accept::Door { way, hall: Arc::clone(&hall), shared: Arc::clone(shared) };
        tasks.push(tokio::spawn(accept::run(listener, door, shutdown.clone())));
    }
    for socket in listeners.quic {
        let tls = keys::server_config(&keys, &[b"doq"], Some(Asking::new(shared)))?;
        let door = doq::Door {
            hall: Arc::clone(&hall),
            shared: Arc::clone(shared),
            shutdown: shutdown.clone(),
            at: socket.local_addr().ok().filter(|at| !at.ip().is_unspecified()),
        };
        tasks.push(doq::start(socket, &tls, door)?);
    }
    Ok(tasks)
}

/// Serves one connection of the plain DNS port from `peer`, whatever it is made of: a front's head,
/// when `peer` is one, then questions, until it ends.
pub(crate) async fn serve_plain<S>(
    stream: S,
    peer: SocketAddr,
    hall: &Arc<Hall>,
    shared: &Arc<Shared>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (hall, shared) = (Arc::clone(hall), Arc::clone(shared));
    accept::Door { way: accept::Way::Plain, hall, shared }.welcome(stream, peer, None).await;
}

/// The asker's address: an IPv4 address that came in IPv6 is one.
fn asker(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}
