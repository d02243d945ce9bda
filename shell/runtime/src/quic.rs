//! QUIC between nodes of the network: datagrams for measurements, streams for logs. The same trust
//! as the control conversation: both sides show a certificate of our authority.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{EndpointConfig, IdleTimeout, Incoming, TokioRuntime, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use rustls::pki_types::CertificateDer;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::time::timeout;

use crate::bind::{self, BindError};
use crate::identity::{Identity, hostname_in};

pub use quinn::{
    ConnectionError, ReadError, ReadExactError, ReadToEndError, RecvStream, SendDatagramError,
    SendStream, WriteError,
};

/// The protocol's name in the handshake.
const PROTOCOL: &[u8] = b"popnet/1";
/// Connecting and the handshake together.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Often enough for address translators on the way, and to notice a dead peer within `IDLE_MAX`.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A peer silent for so long is gone.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// Streams that one peer may have open: log batches of a few customers at a time.
const STREAMS_MAX: u32 = 64;
/// Datagrams waiting to be read or sent on one connection, in octets.
const DATAGRAM_BUFFER: usize = 1 << 20;
/// Connections of one endpoint.
const CONNECTIONS_MAX: usize = 1024;
/// Handshakes under way before unproven addresses are told to try again.
const HANDSHAKES_EASY: usize = 64;
/// Connections that are ready and not yet taken by `accept`.
const READY_MAX: usize = 64;

/// No connection.
#[derive(Debug, thiserror::Error)]
pub enum QuicError {
    /// The address or name cannot be used.
    #[error("cannot connect: {0}")]
    Connect(#[from] quinn::ConnectError),
    /// It broke, or the peer is not who it should be.
    #[error("{0}")]
    Broken(#[from] ConnectionError),
    /// No answer in time.
    #[error("no answer within {} s", CONNECT_MAX.as_secs())]
    TimedOut,
    /// The peer showed no certificate with a name.
    #[error("the other side has no name")]
    Nameless,
}

/// What an endpoint has seen since it started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Handshakes that failed: no certificate of ours, or given up.
    pub untrusted: AtomicU64,
    /// Turned away because too many were open.
    pub refused: AtomicU64,
}

/// A UDP port that speaks QUIC.
#[derive(Debug)]
pub struct Endpoint {
    inner: quinn::Endpoint,
    ready: Mutex<mpsc::Receiver<Connection>>,
    counters: Arc<Counters>,
}

impl Endpoint {
    /// Opens `address` for peers of our network; can also connect from there. Must be called
    /// inside the runtime.
    ///
    /// # Errors
    /// Who holds the port, or why else it cannot be opened.
    pub fn listen(address: SocketAddr, identity: &Identity) -> Result<Self, BindError> {
        let socket = bind::udp(address, false)?;
        let other = |source| BindError::Other { what: format!("{address}/udp"), source };
        let server = server_config(identity).map_err(other)?;
        let own = socket.local_addr().map_err(other)?;
        let config = endpoint_config(&own.to_string(), identity);
        let mut inner = quinn::Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))
            .map_err(other)?;
        inner.set_default_client_config(client_config(identity).map_err(other)?);
        let (sender, receiver) = mpsc::channel(READY_MAX);
        let counters = Arc::<Counters>::default();
        tokio::spawn(admit(inner.clone(), sender, Arc::clone(&counters)));
        Ok(Self { inner, ready: Mutex::new(receiver), counters })
    }

    /// An endpoint on any port that only connects. Must be called inside the runtime.
    ///
    /// # Errors
    /// No port can be opened.
    pub fn client(identity: &Identity) -> io::Result<Self> {
        // One socket for both families where the machine has IPv6.
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let four = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut inner = quinn::Endpoint::client(both).or_else(|_| quinn::Endpoint::client(four))?;
        inner.set_default_client_config(client_config(identity)?);
        let (_, receiver) = mpsc::channel(1);
        Ok(Self { inner, ready: Mutex::new(receiver), counters: Arc::default() })
    }

    /// The port.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// What it has seen.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// A connection with the node called `hostname` at `address`.
    ///
    /// # Errors
    /// Nobody there within five seconds, or somebody else.
    pub async fn connect(
        &self,
        address: SocketAddr,
        hostname: &str,
    ) -> Result<Connection, QuicError> {
        let connecting = self.inner.connect(address, hostname)?;
        let inner = timeout(CONNECT_MAX, connecting).await.map_err(|_| QuicError::TimedOut)??;
        Connection::of(inner)
    }

    /// The next peer that has proven who it is; `None` once the endpoint is closed.
    pub async fn accept(&self) -> Option<Connection> {
        self.ready.lock().await.recv().await
    }

    /// Ends every connection and waits, for a moment, until the peers know.
    pub async fn close(&self) {
        self.inner.close(VarInt::from_u32(0), b"shutting down");
        let _ = timeout(Duration::from_secs(1), self.inner.wait_idle()).await;
    }
}

/// Takes handshakes side by side, so that a slow one holds nobody up.
async fn admit(
    endpoint: quinn::Endpoint,
    ready: mpsc::Sender<Connection>,
    counters: Arc<Counters>,
) {
    let handshakes = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let incoming = tokio::select! {
            () = ready.closed() => return,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        let under_way = CONNECTIONS_MAX - handshakes.available_permits();
        if endpoint.open_connections() > CONNECTIONS_MAX {
            counters.refused.fetch_add(1, Ordering::Relaxed);
            incoming.refuse();
            continue;
        }
        if under_way > HANDSHAKES_EASY && incoming.may_retry() {
            let _ = incoming.retry();
            continue;
        }
        let Ok(place) = Arc::clone(&handshakes).try_acquire_owned() else {
            counters.refused.fetch_add(1, Ordering::Relaxed);
            incoming.refuse();
            continue;
        };
        let (ready, counters) = (ready.clone(), Arc::clone(&counters));
        tokio::spawn(async move {
            let admitted = handshake(incoming).await;
            drop(place);
            match admitted {
                Ok(connection) => {
                    counters.accepted.fetch_add(1, Ordering::Relaxed);
                    let _ = ready.send(connection).await;
                }
                Err(error) => {
                    counters.untrusted.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%error, "QUIC handshake failed");
                }
            }
        });
    }
}

async fn handshake(incoming: Incoming) -> Result<Connection, QuicError> {
    let connecting = incoming.accept()?;
    let inner = timeout(CONNECT_MAX, connecting).await.map_err(|_| QuicError::TimedOut)??;
    Connection::of(inner)
}

/// A connection with a peer that has proven its name. Clones are the same connection.
#[derive(Clone, Debug)]
pub struct Connection {
    inner: quinn::Connection,
    peer: Arc<str>,
}

impl Connection {
    fn of(inner: quinn::Connection) -> Result<Self, QuicError> {
        let peer = inner
            .peer_identity()
            .and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok())
            .and_then(|chain| hostname_in(chain.first()?))
            .ok_or(QuicError::Nameless)?;
        Ok(Self { inner, peer: peer.into() })
    }

    /// The peer's hostname, `NODE.POP.DOMAIN`, from its certificate.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Where the peer sends from.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.inner.remote_address()
    }

    /// What a packet there and back takes now, smoothed (RFC 9002 5.3).
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.inner.rtt()
    }

    /// Sends one datagram; it may be lost. Older unsent ones are dropped when the buffer is full.
    ///
    /// # Errors
    /// Too large, or the connection is over.
    pub fn send_datagram(&self, octets: Bytes) -> Result<(), SendDatagramError> {
        self.inner.send_datagram(octets)
    }

    /// The next datagram from the peer.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        self.inner.read_datagram().await
    }

    /// Opens a stream in both directions.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        self.inner.open_bi().await
    }

    /// The next stream that the peer opens in both directions.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        self.inner.accept_bi().await
    }

    /// Resolves when the connection is over, with why.
    pub async fn closed(&self) -> ConnectionError {
        self.inner.closed().await
    }

    /// Whether the connection is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.close_reason().is_some()
    }

    /// Ends the connection, with a word for the peer's log.
    pub fn close(&self, why: &str) {
        self.inner.close(VarInt::from_u32(0), why.as_bytes());
    }
}

/// Makes an endpoint at `own` know the connections of the one before it: after a kill and a
/// restart, peers that go on sending are told at once that nobody remembers them (stateless reset,
/// RFC 9000 10.3), instead of finding out by silence.
#[must_use]
pub fn endpoint_config(own: &str, identity: &Identity) -> EndpointConfig {
    // A key for each socket: with one for all, whoever sees a connection of one port could have it
    // ended by asking at another (RFC 9000 21.11).
    let reset = identity.derive(&format!("popnet quic reset {own}"));
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset)));
    // Only packets for identifiers of our making are answered with a reset. That key is a short
    // one, so it is derived on its own.
    let ids = identity.derive(&format!("popnet quic connection ids {own}"));
    let ids = ids.first_chunk().map_or(0, |octets| u64::from_be_bytes(*octets));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

fn transport() -> io::Result<Arc<TransportConfig>> {
    let mut config = TransportConfig::default();
    config
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::try_from(IDLE_MAX).map_err(io::Error::other)?))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER);
    Ok(Arc::new(config))
}

fn server_config(identity: &Identity) -> io::Result<quinn::ServerConfig> {
    let tls =
        QuicServerConfig::try_from(identity.server_tls_for(PROTOCOL)).map_err(io::Error::other)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(transport()?);
    Ok(config)
}

fn client_config(identity: &Identity) -> io::Result<quinn::ClientConfig> {
    let tls =
        QuicClientConfig::try_from(identity.client_tls_for(PROTOCOL)).map_err(io::Error::other)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(transport()?);
    Ok(config)
}
