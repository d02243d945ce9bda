//! DNS over HTTPS (RFC 8484): GET and POST of `/dns-query`, over HTTP/2 and HTTP/1.1.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64URL_NOPAD;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use popnet_runtime::clock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};

use super::hall::{Loan, Seat};
use crate::notes::Notes;
use crate::serve::{Desk, Ends};
use crate::shared::Shared;

const PATH: &str = "/dns-query";
const MESSAGE: &str = "application/dns-message";
/// A DNS message has at most so many octets.
const MESSAGE_MAX: usize = 65_535;
/// Octets of a request that is refused: a client that is not heard out does not hear why.
const HEARD_MAX: usize = 1 << 20;
/// Octets of a request head, a message in its path included. Longer ones are for POST.
const HEAD_MAX: u16 = 16 << 10;
/// Questions under way on one connection.
const STREAMS_MAX: u32 = 100;
/// Octets that a client may send ahead.
const WINDOW: u32 = 65_535;
/// Octets of answers on one connection that its client has not taken: one of the longest, or a
/// hundred padded ones.
const UNSENT_MAX: usize = 68 << 10;
/// How long questions under way may go on after a connection was told to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// One connection and its client.
struct Caller {
    ends: Ends,
    seat: Seat,
    shared: Arc<Shared>,
    begun: Instant,
    /// When the last question was answered, in milliseconds since it began.
    asked_ms: AtomicU64,
    unsent: AtomicUsize,
}

/// An answer on its way: what it holds comes back when it is gone.
struct Parcel {
    octets: Vec<u8>,
    caller: Arc<Caller>,
    _loan: Loan,
}

impl Parcel {
    /// `None`: the client takes nothing, or too many hold much already.
    fn wrap(octets: Vec<u8>, caller: Arc<Caller>) -> Option<Self> {
        let loan = caller.seat.answer(octets.len())?;
        let fits = |now: usize| now.checked_add(octets.len()).filter(|sum| *sum <= UNSENT_MAX);
        caller.unsent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Self { octets, caller, _loan: loan })
    }
}

impl AsRef<[u8]> for Parcel {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.caller.unsent.fetch_sub(self.octets.len(), Ordering::Relaxed);
    }
}

/// Answers until the client leaves, asks nothing for too long, or somebody else needs its place.
pub(super) async fn converse<S>(stream: S, is_h2: bool, ends: Ends, seat: Seat, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let begun = Instant::now();
    let caller = Arc::new(Caller {
        ends,
        seat,
        shared,
        begun,
        asked_ms: AtomicU64::new(0),
        unsent: AtomicUsize::new(0),
    });
    let ended = if is_h2 { http2(stream, &caller).await } else { http1(stream, &caller).await };
    if let Err(error) = ended {
        tracing::debug!(%error, "DNS over HTTPS connection");
    }
}

async fn http1<S>(stream: S, caller: &Arc<Caller>) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let answering = Arc::clone(caller);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(caller.idle())
        .max_header_size(usize::from(HEAD_MAX))
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| Arc::clone(&answering).answer(request)),
        );
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = caller.seat.ended() => return Ok(()),
        () = caller.rest() => connection.as_mut().graceful_shutdown(),
    }
    timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
}

async fn http2<S>(stream: S, caller: &Arc<Caller>) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let answering = Arc::clone(caller);
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(UNSENT_MAX)
        .max_header_list_size(u32::from(HEAD_MAX))
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| Arc::clone(&answering).answer(request)),
        );
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = caller.seat.ended() => return Ok(()),
        () = caller.rest() => connection.as_mut().graceful_shutdown(),
    }
    timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
}

impl Caller {
    fn idle(&self) -> Duration {
        self.shared.shield.load().idle
    }

    /// Resolves when nothing was asked for too long.
    async fn rest(&self) {
        loop {
            let asked = Duration::from_millis(self.asked_ms.load(Ordering::Relaxed));
            let until = self.begun + asked + self.idle();
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let question = match self.question(request).await {
            Ok(question) => question,
            Err(refusal) => return Ok(refusal.response()),
        };
        self.seat.progress();
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.asked_ms.store(since, Ordering::Relaxed);
        let mut out = vec![0; MESSAGE_MAX];
        let length = {
            let table = self.shared.table.load();
            let view = self.shared.view.load();
            let shield = self.shared.shield.load();
            let desk = Desk::new(&self.shared, &table, &view, &shield);
            let mut notes = Notes::at(clock::now());
            let length = desk.answer(&question, &self.ends, &mut notes, &mut out);
            notes.hand_on(&self.shared, &table);
            length
        };
        if length == 0 {
            return Ok(Refusal::NoMessage.response());
        }
        // The buffer is for the longest.
        out.truncate(length);
        out.shrink_to_fit();
        // What is chosen for one client is not for a cache that others share.
        let age = ttl(&out);
        let age =
            age.map_or_else(|| "no-store".to_owned(), |ttl| format!("private, max-age={ttl}"));
        let Some(parcel) = Parcel::wrap(out, Arc::clone(&self)) else {
            return Ok(Refusal::Busy.response());
        };
        let mut response = Response::new(Full::new(Bytes::from_owner(parcel)));
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(MESSAGE));
        if let Ok(age) = HeaderValue::from_str(&age) {
            fields.insert(CACHE_CONTROL, age);
        }
        Ok(response)
    }

    /// The message in a request.
    async fn question(&self, request: Request<Incoming>) -> Result<Bytes, Refusal> {
        if request.uri().path() != PATH {
            return Err(Refusal::Path);
        }
        if request.method() == Method::GET {
            return message_in_path(request.uri().query().unwrap_or_default())
                .ok_or(Refusal::NoMessage);
        }
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        let wanted = kind.trim().eq_ignore_ascii_case(MESSAGE);
        let reading = self.read(request.into_body());
        let read = timeout(self.idle(), reading).await.unwrap_or(Err(Refusal::Slow));
        if wanted { read } else { Err(Refusal::Kind) }
    }

    async fn read(&self, mut body: Incoming) -> Result<Bytes, Refusal> {
        let mut message = BytesMut::new();
        let (mut loan, mut length) = (self.seat.question(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::NoMessage)?;
            let Ok(octets) = frame.into_data() else { continue };
            length += octets.len();
            if length > HEARD_MAX {
                break;
            }
            if length > MESSAGE_MAX {
                continue;
            }
            if !loan.grow(length) {
                return Err(Refusal::Busy);
            }
            message.extend_from_slice(&octets);
        }
        if length > MESSAGE_MAX { Err(Refusal::Long) } else { Ok(message.freeze()) }
    }
}

/// The message in the query part of a GET of DNS over HTTPS: base64url without padding (RFC 8484
/// 6).
#[must_use]
pub fn message_in_path(query: &str) -> Option<Bytes> {
    let said = query.split('&').find_map(|part| part.strip_prefix("dns="))?;
    let message = BASE64URL_NOPAD.decode(said.as_bytes()).ok()?;
    (message.len() <= MESSAGE_MAX).then(|| Bytes::from(message))
}

/// Why a request holds no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Path,
    Method,
    Kind,
    NoMessage,
    Long,
    Slow,
    Busy,
}

impl Refusal {
    fn response(self) -> Response<Full<Bytes>> {
        let (status, words) = match self {
            Self::Path => (StatusCode::NOT_FOUND, "questions go to /dns-query\n"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "GET or POST\n"),
            Self::Kind => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type: application/dns-message\n")
            }
            Self::NoMessage => (StatusCode::BAD_REQUEST, "no DNS query in this request\n"),
            Self::Long => (StatusCode::PAYLOAD_TOO_LARGE, "a DNS message has 65535 octets\n"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "the question took too long\n"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too much under way\n"),
        };
        let mut response = Response::new(Full::new(Bytes::from_static(words.as_bytes())));
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        if self == Self::Method {
            fields.insert(ALLOW, HeaderValue::from_static("GET, POST"));
        }
        response
    }
}

/// How long an answer may be kept: the lowest TTL of its answer section, else of its authority
/// section (RFC 8484 5.1). `None`: it says nothing about that.
fn ttl(answer: &[u8]) -> Option<u32> {
    let message = domain::base::Message::from_slice(answer).ok()?;
    let lowest = |section: domain::base::message::RecordSection<'_, [u8]>| {
        section.filter_map(Result::ok).map(|record| record.ttl().as_secs()).min()
    };
    let answers = lowest(message.answer().ok()?);
    answers.or_else(|| lowest(message.authority().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_paths() {
        let message = |query| message_in_path(query).map(|message| message.to_vec());
        assert_eq!(message("dns=AAAB"), Some(vec![0, 0, 1]));
        assert_eq!(message("a=b&dns=_-8&c"), Some(vec![0xff, 0xef]));
        for bad in ["", "dns", "dns=A", "dns=AA==", "dns=+/8", "DNS=AAAB", "dns=AA%3D"] {
            assert_eq!(message(bad), None, "{bad}");
        }
    }
}
