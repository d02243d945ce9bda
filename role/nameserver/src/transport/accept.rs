//! Takes connections in, asks a listed front who is behind it, and hands them on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use popnet_guard::{FRONT_MAX, Front};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::hall::Hall;
use super::{asker, doh, stream};
use crate::counters::count;
use crate::serve::{Ends, Transport};
use crate::shared::Shared;
use crate::transfer::{Caller, Shown};

/// After `accept` fails (too many open files), wait before the next attempt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A front's head, and then a TLS handshake: two round trips of the farthest client, with losses.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// What is spoken behind a listener.
#[derive(Clone)]
pub(super) enum Way {
    Plain,
    Tls(TlsAcceptor),
    Https(TlsAcceptor),
}

/// What a listener leads to.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) way: Way,
    pub(super) hall: Arc<Hall>,
    pub(super) shared: Arc<Shared>,
}

/// Accepts until `shutdown`.
pub(super) async fn run(listener: TcpListener, door: Door, shutdown: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                let at = stream.local_addr().ok().map(asker);
                let (door, shutdown) = (door.clone(), shutdown.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = door.welcome(stream, peer, at) => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a DNS connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Door {
    /// Most connections are at rest in the end: what comes before and what is spoken has memory of
    /// its own, so that each holds only what it needs now.
    pub(super) async fn welcome<S>(self, mut tcp: S, peer: SocketAddr, at: Option<SocketAddr>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut from = peer;
        if self.shared.shield.load().proxies.has(peer.ip()) {
            match timeout(HANDSHAKE_MAX, Box::pin(behind(&mut tcp))).await {
                Ok(Ok(client)) => from = client.unwrap_or(peer),
                Ok(Err(error)) => {
                    count(&self.shared.counters.front_junk);
                    return tracing::debug!(%peer, %error, "a front without a PROXY head");
                }
                Err(_) => return count(&self.shared.counters.front_junk),
            }
        }
        let from = asker(from);
        let ends = |transport| Ends { from, at, transport };
        let seat = self.hall.enter(from.ip(), &self.shared.counters);
        let (acceptor, transport) = match self.way {
            Way::Plain => {
                let caller = Caller { ends: ends(Transport::Tcp), shown: None };
                let plain = stream::converse(tcp, caller, seat, self.shared);
                return Box::pin(plain).await;
            }
            Way::Tls(acceptor) => (acceptor, Transport::Tls),
            Way::Https(acceptor) => (acceptor, Transport::Https),
        };
        let handshake = tokio::select! {
            () = seat.ended() => return,
            handshake = timeout(HANDSHAKE_MAX, Box::pin(acceptor.accept(tcp))) => handshake,
        };
        let tls = match handshake {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake of a DNS client"),
            Err(_) => return tracing::debug!("TLS handshake of a DNS client took too long"),
        };
        match transport {
            Transport::Https => {
                let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                Box::pin(doh::converse(tls, is_h2, ends(transport), seat, self.shared)).await;
            }
            Transport::Udp | Transport::Tcp | Transport::Tls | Transport::Quic => {
                let shown = Shown::of(tls.get_ref().1.peer_certificates());
                let caller = Caller { ends: ends(transport), shown };
                Box::pin(stream::converse(tls, caller, seat, self.shared)).await;
            }
        }
    }
}

/// Who is behind a front; `None`: the front itself. Takes exactly the head from the stream.
async fn behind<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<SocketAddr>> {
    let mut head = Vec::with_capacity(64);
    // The head's length stands in its first octets.
    let mut wanted = 16;
    loop {
        let known = head.len();
        head.resize(wanted, 0);
        let rest = head.get_mut(known..).unwrap_or_default();
        stream.read_exact(rest).await?;
        match Front::read(&head) {
            Front::Whole(_, client) => return Ok(client),
            Front::More if wanted == 16 => {
                let length = head.last_chunk::<2>().map_or(0, |two| u16::from_be_bytes(*two));
                wanted = (16 + usize::from(length)).min(FRONT_MAX);
            }
            Front::More | Front::Foreign => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
