//! HTTP/3 (RFC 9114) over QUIC. The transport is a library's; frames, field sections and the rules
//! of streams are ours, because a server has to end what breaks them with the right error.
//!
//! Requests are not taken before the handshake is over (0-RTT): they could be sent again by
//! whoever saw them, and a cache cannot tell which of them its origins may see twice.

mod code;
mod content;
mod exchange;
mod frame;
mod head;
mod qpack;
mod reader;
mod table;
mod talk;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{EndpointConfig, IdleTimeout, Incoming, TokioRuntime, TransportConfig, VarInt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::frame::{Content, Control, ToEncoder};
use self::qpack::Most;
use self::talk::Talk;
use crate::server::{Limits, Service};

/// Requests under way on one connection.
const REQUESTS_MAX: u32 = 128;
/// Streams of one direction that a client may have open: three have a meaning.
const ONE_WAY_MAX: u32 = 16;
/// Octets that a client may send ahead on a stream, and on a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const WINDOW: u32 = 1 << 20;
/// Octets of answers that a client has not acknowledged: 80 Mbit/s to the other side of the world.
const SEND_WINDOW: u64 = 2 << 20;
/// Octets of a client whose handshake has not begun, and of all such clients.
const HANDSHAKE_OCTETS: u64 = 16 << 10;
const HANDSHAKES_OCTETS: u64 = 8 << 20;
/// Handshakes under way before clients have to show that they receive what is sent to them
/// (RFC 9000 8.1.2).
const HANDSHAKES_EASY: usize = 64;
/// Handshakes under way at all.
const HANDSHAKES_MAX: usize = 1_024;
/// How long the last acknowledgements are waited for.
const FAREWELL: Duration = Duration::from_secs(1);

/// The request in a field section, as the first frame of a request stream has it; `None` when it is
/// refused.
#[must_use]
pub fn request(section: &[u8], limits: &Limits) -> Option<Request<()>> {
    let most = Most { octets: limits.head_octets, fields: limits.fields };
    let fields = qpack::read(&Bytes::copy_from_slice(section), most).ok()?;
    head::request(fields).map(|asked| asked.head)
}

/// Whether `octets` may be the content of a control stream's frame of `kind`, after its settings.
#[must_use]
pub fn controls(kind: u64, octets: &[u8]) -> bool {
    let length = u64::try_from(octets.len()).unwrap_or(u64::MAX);
    let mut control = Control::default();
    let begun = match kind {
        frame::SETTINGS => Ok(()),
        _ => control.begins(frame::SETTINGS, 0).and_then(|_| control.frame(frame::SETTINGS, &[])),
    };
    match begun.and_then(|()| control.begins(kind, length)) {
        Ok(Content::Read) => control.frame(kind, octets).is_ok(),
        Ok(Content::Skip) => true,
        Err(_) => false,
    }
}

/// Whether `octets` may be instructions of a client: to our decoder, and to our encoder.
#[must_use]
pub fn instructs(octets: &[u8]) -> (bool, bool) {
    (frame::to_decoder(octets).is_ok(), ToEncoder::default().take(octets).is_ok())
}

/// A UDP port that speaks HTTP/3.
pub(crate) struct Door<S> {
    pub(crate) endpoint: quinn::Endpoint,
    pub(crate) limits: Limits,
    pub(crate) service: Arc<S>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) places: Arc<Semaphore>,
}

/// Opens a port. Must be called inside the runtime.
pub(crate) fn open(
    socket: std::net::UdpSocket,
    tls: &rustls::ServerConfig,
    config: EndpointConfig,
    limits: &Limits,
) -> io::Result<quinn::Endpoint> {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.max_early_data_size = 0;
    let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls));
    // Longer than an answer may take to begin: how long a request may be silent is ours to say.
    let idle = IdleTimeout::try_from(limits.head + limits.stall).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(idle))
        .max_concurrent_bidi_streams(VarInt::from_u32(REQUESTS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(ONE_WAY_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None);
    server
        .transport_config(Arc::new(transport))
        .max_incoming(HANDSHAKES_MAX)
        .incoming_buffer_size(HANDSHAKE_OCTETS)
        .incoming_buffer_size_total(HANDSHAKES_OCTETS);
    quinn::Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))
}

impl<S: Service> Door<S> {
    /// Serves until shutdown and the drain.
    pub(crate) async fn run(self) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let incoming = tokio::select! {
                () = self.shutdown.cancelled() => break,
                incoming = self.endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            let under_way = HANDSHAKES_MAX - handshakes.available_permits();
            if under_way >= HANDSHAKES_EASY && incoming.may_retry() {
                // Its error is that it may not be asked to.
                let _ = incoming.retry();
                continue;
            }
            let handshake = Arc::clone(&handshakes).try_acquire_owned();
            let place = Arc::clone(&self.places).try_acquire_owned();
            let (Ok(handshake), Ok(place)) = (handshake, place) else {
                incoming.refuse();
                continue;
            };
            let (limits, service) = (self.limits, Arc::clone(&self.service));
            let shutdown = self.shutdown.clone();
            connections.spawn(async move {
                let shaken = shake(incoming, limits.handshake).await;
                drop(handshake);
                match shaken {
                    Ok(connection) => {
                        Talk::new(connection, limits, service, shutdown).run().await;
                    }
                    Err(error) => tracing::debug!(%error, "HTTP/3 handshake"),
                }
                drop(place);
            });
        }
        self.endpoint.set_server_config(None);
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(self.limits.drain, all).await.is_err() {
            tracing::info!("HTTP/3 connections cut off at the end of the drain");
        }
        self.endpoint.close(code::Code::None.into(), b"");
        let _ = timeout(FAREWELL, self.endpoint.wait_idle()).await;
    }
}

async fn shake(incoming: Incoming, most: Duration) -> Result<quinn::Connection, String> {
    let connecting = incoming.accept().map_err(|error| error.to_string())?;
    let connected = timeout(most, connecting).await.map_err(|_| "took too long".to_owned())?;
    connected.map_err(|error| error.to_string())
}
