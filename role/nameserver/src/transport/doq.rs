//! DNS over QUIC (RFC 9250): a question a stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use popnet_dns::{Parsed, parse_query};
use popnet_runtime::{StartError, clock};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, EndpointConfig, IdleTimeout, Incoming, RecvStream, SendStream, TokioRuntime,
    TransportConfig, VarInt,
};
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::asker;
use super::hall::{Hall, SMALL, Seat};
use crate::counters::count;
use crate::notes::Notes;
use crate::serve::{Desk, Ends, Transport};
use crate::shared::Shared;
use crate::transfer::{self, Caller, Shown};

/// RFC 9250 4.3: why a connection or stream ends.
const NO_ERROR: VarInt = VarInt::from_u32(0);
const INTERNAL_ERROR: VarInt = VarInt::from_u32(1);
const PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);

/// Two octets of length and the longest message.
const MESSAGE_MAX: usize = 2 + 65_535;
/// Questions under way on one connection.
const STREAMS_MAX: u32 = 100;
/// Octets of a client whose handshake has not begun, and of all such clients.
const HANDSHAKE_OCTETS: u64 = 16 << 10;
const HANDSHAKES_OCTETS: u64 = 8 << 20;
/// Octets that a client may send ahead, or leave unacknowledged: one of the longest messages.
const WINDOW: u32 = 66 << 10;
/// A handshake: two round trips of the farthest client, with losses.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Handshakes under way before askers have to show that they receive what is sent to them.
const HANDSHAKES_EASY: usize = 64;
/// Handshakes under way at all.
const HANDSHAKES_MAX: usize = 1_024;
/// A client that does not take its answer for so long is gone.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// What a port leads to.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) hall: Arc<Hall>,
    pub(super) shared: Arc<Shared>,
    pub(super) shutdown: CancellationToken,
    /// Where it is asked; `None` where the socket has no one address.
    pub(super) at: Option<SocketAddr>,
}

/// Serves `socket` until shutdown.
pub(super) fn start(
    socket: std::net::UdpSocket,
    tls: &Arc<rustls::ServerConfig>,
    door: Door,
) -> Result<JoinHandle<()>, StartError> {
    let words = || StartError::io("DNS over QUIC");
    let tls = QuicServerConfig::try_from(Arc::clone(tls)).map_err(std::io::Error::other);
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls.map_err(words())?));
    let idle = IdleTimeout::try_from(door.shared.shield.load().idle);
    let idle = idle.map_err(std::io::Error::other).map_err(words())?;
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(idle))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(u64::from(WINDOW))
        .datagram_receive_buffer_size(None);
    server
        .transport_config(Arc::new(transport))
        .max_incoming(HANDSHAKES_MAX)
        .incoming_buffer_size(HANDSHAKE_OCTETS)
        .incoming_buffer_size_total(HANDSHAKES_OCTETS);
    let runtime = Arc::new(TokioRuntime);
    let endpoint = quinn::Endpoint::new(EndpointConfig::default(), Some(server), socket, runtime);
    let endpoint = endpoint.map_err(words())?;
    Ok(tokio::spawn(accept(endpoint, door)))
}

async fn accept(endpoint: quinn::Endpoint, door: Door) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let incoming = tokio::select! {
            () = door.shutdown.cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let under_way = HANDSHAKES_MAX - handshakes.available_permits();
        if under_way > HANDSHAKES_EASY && incoming.may_retry() {
            // Its error is that it may not be asked to.
            let _ = incoming.retry();
            continue;
        }
        let Ok(place) = Arc::clone(&handshakes).try_acquire_owned() else {
            count(&door.shared.counters.tcp_full);
            incoming.refuse();
            continue;
        };
        let door = door.clone();
        tokio::spawn(async move {
            let connection = handshake(incoming).await;
            drop(place);
            match connection {
                Ok(connection) => door.converse(connection).await,
                Err(error) => tracing::debug!(%error, "DNS over QUIC handshake"),
            }
        });
    }
    endpoint.close(NO_ERROR, b"");
    let _ = timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
}

async fn handshake(incoming: Incoming) -> Result<Connection, String> {
    let connecting = incoming.accept().map_err(|error| error.to_string())?;
    let connected = timeout(HANDSHAKE_MAX, connecting).await.map_err(|error| error.to_string())?;
    connected.map_err(|error| error.to_string())
}

impl Door {
    /// Answers until the client leaves, asks nothing for too long, or somebody else needs its
    /// place.
    async fn converse(self, connection: Connection) {
        let from = asker(connection.remote_address());
        let seat = Arc::new(self.hall.enter(from.ip(), &self.shared.counters));
        let ends = Ends { from, at: self.at, transport: Transport::Quic };
        loop {
            // Packets that ask nothing keep no connection open.
            let until = Instant::now() + self.shared.shield.load().idle;
            let (send, receive) = tokio::select! {
                () = seat.ended() => return connection.close(EXCESSIVE_LOAD, b""),
                () = sleep_until(until) => return connection.close(NO_ERROR, b""),
                stream = connection.accept_bi() => match stream {
                    Ok(stream) => stream,
                    Err(_) => return,
                },
            };
            let exchange = Exchange {
                ends,
                seat: Arc::clone(&seat),
                shared: Arc::clone(&self.shared),
                connection: connection.clone(),
            };
            tokio::spawn(exchange.run(send, receive));
        }
    }
}

/// One question.
struct Exchange {
    ends: Ends,
    seat: Arc<Seat>,
    shared: Arc<Shared>,
    connection: Connection,
}

impl Exchange {
    async fn run(self, mut send: SendStream, mut receive: RecvStream) {
        let idle = self.shared.shield.load().idle;
        let question = match timeout(idle, self.read(&mut receive)).await {
            Ok(Ok(question)) => question,
            Ok(Err(code)) => return self.connection.close(code, b""),
            // It is slow, not wrong: the others on the connection go on.
            Err(_) => {
                let _ = send.reset(EXCESSIVE_LOAD);
                let _ = receive.stop(EXCESSIVE_LOAD);
                return;
            }
        };
        let Some(message) = message_in_stream(&question) else {
            return self.connection.close(PROTOCOL_ERROR, b"");
        };
        self.seat.progress();
        if transfer::concern(message).is_some() {
            return self.transfer(message, &mut send).await;
        }
        let Some(answer) = self.answer(message) else {
            let _ = send.reset(INTERNAL_ERROR);
            return;
        };
        let Some(_held) = self.seat.answer(answer.len()) else {
            let _ = send.reset(EXCESSIVE_LOAD);
            return;
        };
        if let Ok(Ok(())) = timeout(WRITE_MAX, send.write_all(&answer)).await {
            let _ = send.finish();
        }
    }

    /// Transfers are many messages on one stream (RFC 9250 4.2); updates and notifications come
    /// this way, too.
    async fn transfer(&self, message: &[u8], send: &mut SendStream) {
        let shown = self.connection.peer_identity();
        let shown = shown.and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        let shown = shown.and_then(|chain| Shown::of(Some(chain.as_slice())));
        let caller = Caller { ends: self.ends, shown };
        let sent = Box::pin(transfer::stream(&self.shared, message, &caller, send)).await;
        self.seat.progress();
        match sent {
            Ok(()) => drop(send.finish()),
            Err(_) => drop(send.reset(INTERNAL_ERROR)),
        }
    }

    /// Everything that comes on the stream.
    async fn read(&self, receive: &mut RecvStream) -> Result<BytesMut, VarInt> {
        let mut question = BytesMut::new();
        let mut loan = self.seat.question();
        loop {
            let chunk = receive.read_chunk(SMALL, true).await.map_err(|_| PROTOCOL_ERROR)?;
            let Some(chunk) = chunk else { return Ok(question) };
            let length = question.len() + chunk.bytes.len();
            if length > MESSAGE_MAX {
                return Err(PROTOCOL_ERROR);
            }
            if !loan.grow(length) {
                return Err(EXCESSIVE_LOAD);
            }
            question.extend_from_slice(&chunk.bytes);
        }
    }

    /// The answer with its length in front.
    fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let table = self.shared.table.load();
        let view = self.shared.view.load();
        let shield = self.shared.shield.load();
        let desk = Desk::new(&self.shared, &table, &view, &shield);
        let mut notes = Notes::at(clock::now());
        let mut out = vec![0; MESSAGE_MAX];
        let (front, rest) = out.split_first_chunk_mut::<2>()?;
        let length = desk.answer(message, &self.ends, &mut notes, rest);
        notes.hand_on(&self.shared, &table);
        *front = u16::try_from(length).ok().filter(|length| *length > 0)?.to_be_bytes();
        out.truncate(2 + length);
        out.shrink_to_fit();
        Some(out)
    }
}

/// The message in what a stream of DNS over QUIC brought. `None` is an error of protocol: a length
/// that is not the message's, a number other than 0 (RFC 9250 4.2.1), or a keepalive option
/// (5.5.2).
#[must_use]
pub fn message_in_stream(octets: &[u8]) -> Option<&[u8]> {
    let (length, message) = octets.split_first_chunk::<2>()?;
    if usize::from(u16::from_be_bytes(*length)) != message.len() || !message.starts_with(&[0, 0]) {
        return None;
    }
    match parse_query(message) {
        Parsed::Query(query) if query.edns.is_some_and(|edns| edns.keepalive) => None,
        Parsed::Query(_) | Parsed::Refuse(_) | Parsed::Drop(_) => Some(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        assert_eq!(message_in_stream(&[0, 3, 0, 0, 7]), Some(&[0, 0, 7][..]));
        for bad in [&[][..], &[0], &[0, 2, 0], &[0, 1, 0, 0], &[0, 3, 0, 1, 7], &[0, 0]] {
            assert_eq!(message_in_stream(bad), None, "{bad:?}");
        }
    }
}
