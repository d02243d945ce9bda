//! A client's connection: its streams, and how it ends.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use popnet_terms::{Micros, Trip};
use quinn::{Connection, RecvStream, SendStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::code::{Broken, Code};
use super::exchange::Exchange;
use super::frame::{self, Content, Control, MAX_FIELD_SECTION_SIZE, ToEncoder};
use super::reader::Reader;
use crate::server::{Client, Limits, Service};

/// Kinds of streams of one direction (RFC 9114 6.2, RFC 9204 4.2).
const CONTROL: u64 = 0x0;
const PUSH: u64 = 0x1;
const TO_DECODER: u64 = 0x2;
const TO_ENCODER: u64 = 0x3;

/// Requests on one connection; whoever wants more opens another.
const REQUESTS_MAX: u64 = 100_000;
/// Requests that a client may give up beyond those it waited for, before it is taken for one that
/// only wants to cost.
const CANCELLED_MAX: u64 = 256;

/// A connection after its handshake.
pub(super) struct Talk<S: Service> {
    connection: Connection,
    limits: Limits,
    service: Arc<S>,
    shutdown: CancellationToken,
    /// Shortest round trip so far.
    least: Duration,
    /// Kinds of streams that are there.
    streams: Arc<Mutex<HashSet<u64>>>,
}

/// How requests ended.
#[derive(Default)]
struct Ends {
    answered: u64,
    cancelled: u64,
}

impl<S: Service> Talk<S> {
    pub(super) fn new(
        connection: Connection,
        limits: Limits,
        service: Arc<S>,
        shutdown: CancellationToken,
    ) -> Self {
        let least = connection.rtt();
        Self { connection, limits, service, shutdown, least, streams: Arc::default() }
    }

    /// Answers until the client leaves, is silent for too long, or does what it may not.
    pub(super) async fn run(mut self) {
        let code = self.converse().await;
        self.connection.close(code.into(), b"");
    }

    async fn converse(&mut self) -> Code {
        let Ok(mut control) = self.begin().await else { return Code::Internal };
        let mut exchanges = JoinSet::new();
        let mut one_way = JoinSet::new();
        let mut ends = Ends::default();
        // The number of the next request's stream.
        let mut next = 0;
        let mut leaving = false;
        let mut idle = Instant::now() + self.limits.head;
        loop {
            if leaving && exchanges.is_empty() {
                return Code::None;
            }
            tokio::select! {
                () = self.shutdown.cancelled(), if !leaving => {
                    leaving = true;
                    if leave(&mut control, next).await.is_err() {
                        return Code::None;
                    }
                }
                // Packets that ask nothing keep no connection open.
                () = sleep_until(idle), if exchanges.is_empty() => return Code::None,
                stream = self.connection.accept_bi() => {
                    let Ok((send, receive)) = stream else { return Code::None };
                    if leaving {
                        reject(send, receive);
                        continue;
                    }
                    next = (send.id().index() + 1) * 4;
                    self.least = self.least.min(self.connection.rtt());
                    let address = Some(self.connection.remote_address());
                    let exchange = Exchange {
                        service: Arc::clone(&self.service),
                        limits: self.limits,
                        client: Client { address, tls: true, draining: false },
                    };
                    exchanges.spawn(exchange.run(send, receive));
                    if next / 4 >= REQUESTS_MAX {
                        leaving = true;
                        if leave(&mut control, next).await.is_err() {
                            return Code::None;
                        }
                    }
                }
                stream = self.connection.accept_uni() => {
                    let Ok(stream) = stream else { return Code::None };
                    one_way.spawn(one_way_stream(stream, Arc::clone(&self.streams)));
                }
                Some(ended) = one_way.join_next() => {
                    if let Err(code) = flat(ended).unwrap_or(Ok(())) {
                        return code;
                    }
                }
                Some(ended) = exchanges.join_next() => {
                    idle = Instant::now() + self.limits.head;
                    match flat(ended) {
                        Some(Ok(())) => ends.answered += 1,
                        Some(Err(Broken::Connection(code))) => return code,
                        Some(Err(Broken::Stream(_) | Broken::Gone)) | None => ends.cancelled += 1,
                    }
                    if ends.cancelled > ends.answered + CANCELLED_MAX {
                        return Code::ExcessiveLoad;
                    }
                }
            }
        }
    }

    /// Opens our control stream. Streams for QPACK's instructions are not opened: there are none
    /// to give (RFC 9204 4.2).
    async fn begin(&self) -> Result<SendStream, ()> {
        let mut control = self.connection.open_uni().await.map_err(drop)?;
        let mut settings = Vec::new();
        frame::put_number(&mut settings, MAX_FIELD_SECTION_SIZE);
        let most = u64::try_from(self.limits.head_octets).unwrap_or(u64::MAX);
        frame::put_number(&mut settings, most);
        let mut out = Vec::new();
        frame::put_number(&mut out, CONTROL);
        put_frame(&mut out, frame::SETTINGS, &settings);
        control.write_all(&out).await.map_err(drop)?;
        Ok(control)
    }

    fn trip(&self) -> Option<Trip> {
        let path = self.connection.stats().path;
        let micros =
            |time: Duration| u32::try_from(time.as_micros()).map_or(Micros(u32::MAX), Micros);
        let count = |packets: u64| u32::try_from(packets).unwrap_or(u32::MAX);
        (path.rtt > Duration::ZERO).then(|| Trip {
            least: micros(self.least.min(path.rtt)),
            smoothed: micros(path.rtt),
            sent: count(path.sent_packets),
            again: count(path.lost_packets),
        })
    }
}

impl<S: Service> Drop for Talk<S> {
    fn drop(&mut self) {
        self.service.parted(self.connection.remote_address(), &|| self.trip());
    }
}

fn put_frame(out: &mut Vec<u8>, kind: u64, content: &[u8]) {
    frame::put_number(out, kind);
    frame::put_number(out, u64::try_from(content.len()).unwrap_or(u64::MAX));
    out.extend(content);
}

/// Says which request is the first that will not be answered (RFC 9114 5.2).
async fn leave(control: &mut SendStream, next: u64) -> Result<(), ()> {
    let mut content = Vec::new();
    frame::put_number(&mut content, next);
    let mut out = Vec::new();
    put_frame(&mut out, frame::GOAWAY, &content);
    control.write_all(&out).await.map_err(drop)
}

fn reject(mut send: SendStream, mut receive: RecvStream) {
    // Their errors are that the stream has ended.
    let _ = send.reset(Code::RequestRejected.into());
    let _ = receive.stop(Code::RequestRejected.into());
}

/// What a task came to; `None` when it panicked, which has been reported.
fn flat<T>(ended: Result<T, JoinError>) -> Option<T> {
    ended.ok()
}

/// Reads a stream of one direction for as long as it is there.
async fn one_way_stream(stream: RecvStream, streams: Arc<Mutex<HashSet<u64>>>) -> Result<(), Code> {
    let mut reader = Reader::new(stream, None);
    let Ok(Some(kind)) = reader.number().await else { return Ok(()) };
    if kind == PUSH {
        return Err(Code::StreamCreation);
    }
    if !matches!(kind, CONTROL | TO_DECODER | TO_ENCODER) {
        // Nobody knows it (RFC 9114 6.2).
        reader.stop(Code::StreamCreation);
        return Ok(());
    }
    if !streams.lock().unwrap_or_else(PoisonError::into_inner).insert(kind) {
        return Err(Code::StreamCreation);
    }
    let ended = match kind {
        CONTROL => control(&mut reader).await,
        TO_DECODER => to_decoder(&mut reader).await,
        _ => to_encoder(&mut reader).await,
    };
    Err(match ended {
        Err(Broken::Connection(code) | Broken::Stream(code)) => code,
        // They are there as long as the connection is.
        Ok(()) | Err(Broken::Gone) => Code::ClosedCritical,
    })
}

async fn control(reader: &mut Reader) -> Result<(), Broken> {
    let mut control = Control::default();
    while let Some((kind, length)) = reader.frame().await? {
        match control.begins(kind, length).map_err(Broken::Connection)? {
            Content::Skip => reader.skip(length).await?,
            Content::Read => {
                let content = reader.all(length).await?;
                control.frame(kind, &content).map_err(Broken::Connection)?;
            }
        }
    }
    Ok(())
}

async fn to_decoder(reader: &mut Reader) -> Result<(), Broken> {
    while let Some(octets) = reader.some(u64::MAX).await? {
        frame::to_decoder(&octets).map_err(Broken::Connection)?;
    }
    Ok(())
}

async fn to_encoder(reader: &mut Reader) -> Result<(), Broken> {
    let mut state = ToEncoder::default();
    while let Some(octets) = reader.some(u64::MAX).await? {
        state.take(&octets).map_err(Broken::Connection)?;
    }
    Ok(())
}
