//! Connections to next hops: HTTP/1.1 over TCP, TLS or a Unix socket, kept and used again.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use popnet_field::list;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;

use crate::body::Body;
use crate::failure::{Failure, FailureKind};
use crate::interim::Ahead;

/// Places that pools are kept for; beyond it, those without an exchange are forgotten.
const POOLS_MAX: usize = 4_096;

/// Octets read at once, and of a response's head at most: what an answer that nobody takes holds
/// here.
const READ_MAX: usize = 64 << 10;

/// Limits towards next hops.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To connect, TLS included, and to wait for a free connection.
    pub connect: Duration,
    /// From the request to the first octet of the answer.
    pub first_octet: Duration,
    /// Silence in the middle of the content.
    pub stall: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// Unused connections kept for one place.
    pub idle_most: usize,
    /// Exchanges at once with one place.
    pub exchanges: usize,
    /// Requests that wait for one of them to end; one more is refused at once.
    pub waiting: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_octet: Duration::from_secs(15),
            stall: Duration::from_secs(15),
            // Below what servers usually grant, so that few requests meet a closing connection.
            idle: Duration::from_secs(20),
            idle_most: 64,
            exchanges: 1_024,
            waiting: 4_096,
        }
    }
}

/// Where a next hop listens.
#[derive(Clone)]
pub enum Place {
    /// Plain TCP; the host is a name or an address.
    Tcp {
        /// Name or address.
        host: Arc<str>,
        /// Port.
        port: u16,
    },
    /// TLS over TCP.
    Tls {
        /// Name or address to connect to.
        host: Arc<str>,
        /// Port.
        port: u16,
        /// The name its certificate must have.
        name: Arc<str>,
        /// Trust, and our own certificate if one is shown.
        config: Arc<rustls::ClientConfig>,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Place {
    /// What may be told to strangers: of a socket on this machine only its last name.
    fn told(&self) -> String {
        match self {
            Self::Tcp { .. } | Self::Tls { .. } => self.to_string(),
            Self::Unix(path) => path
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        }
    }

    /// What makes connections interchangeable.
    fn key(&self) -> String {
        match self {
            Self::Tcp { .. } | Self::Unix(_) => self.to_string(),
            Self::Tls { name, config, .. } => {
                format!("{self} {name} {:p}", Arc::as_ptr(config))
            }
        }
    }
}

/// A pool of connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    patience: Patience,
    pools: Mutex<HashMap<String, Pool>>,
}

struct Pool {
    idle: Vec<Idle>,
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

struct Idle {
    sender: SendRequest<Body>,
    since: Instant,
}

impl Client {
    /// A pool without connections.
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        Self { shared: Arc::new(Shared { patience, pools: Mutex::default() }) }
    }

    /// Sends `request` to `place`. The URI is sent in origin form; a `Host` field must be there.
    /// A request without content that meets a connection which its server was just closing is
    /// sent once more over a new one.
    ///
    /// # Errors
    /// Says what failed, in the words of RFC 9209.
    pub async fn send(
        &self,
        place: &Place,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Failure> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let origin_form: Uri = path.parse().unwrap_or_default();
        *request.uri_mut() = origin_form;
        *request.version_mut() = http::Version::HTTP_11;
        frame(&mut request);
        let next_hop = place.told();
        let key = place.key();
        let permit = self.permit(&key, &next_hop).await?;
        let again = repeatable(&request);
        if let Some(sender) = self.shared.take(&key) {
            match self.exchange(sender, request, &next_hop).await {
                Ok(done) => return self.finish(done, key, permit, &next_hop),
                Err((failure, Unsent(Some(back)))) if failure.kind == FailureKind::Terminated => {
                    request = *back;
                }
                Err((failure, Unsent(None))) if failure.kind == FailureKind::Terminated => {
                    request = again.ok_or(failure)?;
                }
                Err((failure, _)) => return Err(failure),
            }
        }
        let sender = self.connect(place, &next_hop).await?;
        match self.exchange(sender, request, &next_hop).await {
            Ok(done) => self.finish(done, key, permit, &next_hop),
            Err((failure, _)) => Err(failure),
        }
    }

    async fn permit(&self, key: &str, next_hop: &str) -> Result<OwnedSemaphorePermit, Failure> {
        let Patience { exchanges, waiting: most, connect, .. } = self.shared.patience;
        let (places, waiting) = {
            let mut pools = self.shared.pools();
            if pools.len() >= POOLS_MAX {
                // Places that were asked once and never again.
                pools.retain(|_, pool| Arc::strong_count(&pool.places) > 1);
            }
            let pool = pools.entry(key.to_owned()).or_insert_with(|| Pool {
                idle: Vec::new(),
                places: Arc::new(Semaphore::new(exchanges)),
                waiting: Arc::default(),
            });
            (Arc::clone(&pool.places), Arc::clone(&pool.waiting))
        };
        if let Ok(permit) = Arc::clone(&places).try_acquire_owned() {
            return Ok(permit);
        }
        let refused = |detail: String| Failure::new(FailureKind::Overload, next_hop, detail);
        let Some(_turn) = Turn::take(waiting, most) else {
            return Err(refused(format!("{exchanges} requests at once, {most} more are waiting")));
        };
        match tokio::time::timeout(connect, places.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                Err(refused(format!("{exchanges} requests at once, none ended in time")))
            }
        }
    }

    async fn exchange(
        &self,
        mut sender: SendRequest<Body>,
        request: Request<Body>,
        next_hop: &str,
    ) -> Result<(Response<hyper::body::Incoming>, SendRequest<Body>), (Failure, Unsent)> {
        if sender.ready().await.is_err() {
            let failure = Failure::new(FailureKind::Terminated, next_hop, "connection was closed");
            return Err((failure, Unsent(Some(Box::new(request)))));
        }
        let (mut request, sent) = counted(request);
        Ahead::listen(&mut request);
        let mut answer = pin!(sender.try_send_request(request));
        let mut before = 0;
        loop {
            match tokio::time::timeout(self.shared.patience.first_octet, answer.as_mut()).await {
                Ok(Ok(response)) => return Ok((response, sender)),
                Ok(Err(mut error)) => {
                    let back = Unsent(error.take_message().map(Box::new));
                    return Err((Failure::of_exchange(error.error(), next_hop), back));
                }
                Err(_) => {
                    // While a request's content still moves, its answer cannot be late.
                    let now = sent.load(Ordering::Relaxed);
                    if now == before {
                        let kind = FailureKind::ResponseTimeout;
                        let failure = Failure::new(kind, next_hop, "no answer in time");
                        return Err((failure, Unsent(None)));
                    }
                    before = now;
                }
            }
        }
    }

    fn finish(
        &self,
        (response, sender): (Response<hyper::body::Incoming>, SendRequest<Body>),
        key: String,
        permit: OwnedSemaphorePermit,
        next_hop: &str,
    ) -> Result<Response<Body>, Failure> {
        if let Some(why) = unusable(&response) {
            return Err(Failure::new(FailureKind::Protocol, next_hop, why));
        }
        let (head, incoming) = response.into_parts();
        let stall = self.shared.patience.stall;
        let content = Body::incoming(incoming, next_hop, stall);
        let lease = Lease { shared: Arc::clone(&self.shared), key, sender, _permit: permit };
        let body = if content.is_end_stream() {
            lease.give_back();
            content
        } else {
            Body::stream(Leased { content, lease: Some(lease) })
        };
        Ok(Response::from_parts(head, body))
    }

    async fn connect(&self, place: &Place, next_hop: &str) -> Result<SendRequest<Body>, Failure> {
        let connecting = tokio::time::timeout(self.shared.patience.connect, open(place, next_hop));
        connecting.await.unwrap_or_else(|_| {
            let kind = FailureKind::ConnectTimeout;
            Err(Failure::new(kind, next_hop, "no connection in time"))
        })
    }
}

/// A place in a queue, given up when dropped.
struct Turn(Arc<AtomicUsize>);

impl Turn {
    fn take(waiting: Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let turn = Self(waiting);
        (before < most).then_some(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that certainly was not sent.
struct Unsent(Option<Box<Request<Body>>>);

/// Says how content of unknown length is framed. Without it, hyper sends none with a GET.
fn frame(request: &mut Request<Body>) {
    let unknown = request.body().length().is_none();
    if unknown && !request.headers().contains_key(header::CONTENT_LENGTH) {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(header::TRANSFER_ENCODING, chunked);
    }
}

/// Why a response cannot be passed on, if so.
fn unusable(response: &Response<hyper::body::Incoming>) -> Option<&'static str> {
    if response.status().is_informational() {
        // RFC 9110 15.2.2: nobody asked to change the protocol.
        return Some("101 without having been asked");
    }
    let fields = response.headers();
    let lines = fields.get_all(header::TRANSFER_ENCODING).iter().map(|value| value.as_bytes());
    let name = |member: &'_ [u8]| -> Vec<u8> {
        let end = member.iter().position(|octet| *octet == b';').unwrap_or(member.len());
        member.get(..end).unwrap_or_default().trim_ascii().to_ascii_lowercase()
    };
    let codings: Vec<Vec<u8>> = lines.flat_map(list::members).map(name).collect();
    // RFC 9112 6.1: we sent no TE, so there is only chunked, which has been taken off.
    let known = codings.iter().any(|coding| CODINGS.iter().any(|name| coding == name.as_bytes()));
    match codings.as_slice() {
        [] => None,
        [only] if only == b"chunked" => None,
        // 6.3: such content ends with the connection. A word that names no coding at all cannot
        // have changed it; beside a length, nobody knows what is meant.
        _ if !known && !fields.contains_key(header::CONTENT_LENGTH) => None,
        _ => Some("a transfer coding that was not asked for"),
    }
}

/// Every transfer coding that there is (RFC 9112 7, 12.3).
const CODINGS: [&str; 6] = ["chunked", "compress", "deflate", "gzip", "x-compress", "x-gzip"];

/// The same request, whose content counts what is taken of it.
fn counted(request: Request<Body>) -> (Request<Body>, Arc<AtomicU64>) {
    let octets = Arc::<AtomicU64>::default();
    let count = Arc::clone(&octets);
    let add = move |taken| {
        count.fetch_add(taken, Ordering::Relaxed);
    };
    (request.map(|content| content.counted(add)), octets)
}

/// The same request once more, where it has no content and asking twice does no harm.
fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    let harmless = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !harmless || !request.body().is_end_stream() {
        return None;
    }
    Some(same(request, Body::empty()))
}

/// A request as `request`, with other content.
#[must_use]
pub fn same<B>(request: &Request<B>, content: Body) -> Request<Body> {
    let mut copy = Request::new(content);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    if let Some(ahead) = Ahead::of(request) {
        copy.extensions_mut().insert(ahead);
    }
    copy
}

async fn open(place: &Place, next_hop: &str) -> Result<SendRequest<Body>, Failure> {
    match place {
        Place::Tcp { host, port } => handshake(tcp(host, *port, next_hop).await?, next_hop).await,
        Place::Tls { host, port, name, config } => {
            let stream = tcp(host, *port, next_hop).await?;
            let name = ServerName::try_from(name.to_string())
                .map_err(|error| Failure::new(FailureKind::Tls, next_hop, error.to_string()))?;
            let stream = TlsConnector::from(Arc::clone(config))
                .connect(name, stream)
                .await
                .map_err(|error| Failure::of_connect(&error, next_hop))?;
            handshake(stream, next_hop).await
        }
        Place::Unix(path) => {
            let stream = UnixStream::connect(path)
                .await
                .map_err(|error| Failure::of_connect(&error, next_hop))?;
            handshake(stream, next_hop).await
        }
    }
}

async fn tcp(host: &str, port: u16, next_hop: &str) -> Result<TcpStream, Failure> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| Failure::of_connect(&error, next_hop))?;
    // A request goes out whole, not after the acknowledgement of its first piece.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn handshake<T>(stream: T, next_hop: &str) -> Result<SendRequest<Body>, Failure>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_MAX)
        .max_headers(256)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failure::of_exchange(&error, next_hop))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to a next hop");
        }
    });
    Ok(sender)
}

impl Shared {
    fn pools(&self) -> MutexGuard<'_, HashMap<String, Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, key: &str) -> Option<SendRequest<Body>> {
        let mut pools = self.pools();
        let pool = pools.get_mut(key)?;
        pool.idle
            .retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < self.patience.idle);
        pool.idle.pop().map(|idle| idle.sender)
    }

    fn keep(&self, key: &str, sender: SendRequest<Body>) {
        let mut pools = self.pools();
        if let Some(pool) = pools.get_mut(key)
            && pool.idle.len() < self.patience.idle_most
            && !sender.is_closed()
        {
            pool.idle.push(Idle { sender, since: Instant::now() });
        }
    }
}

/// A connection in use.
struct Lease {
    shared: Arc<Shared>,
    key: String,
    sender: SendRequest<Body>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    fn give_back(self) {
        self.shared.keep(&self.key, self.sender);
    }
}

/// Content that gives its connection back at its end; dropped before, the connection is closed.
struct Leased {
    content: Body,
    lease: Option<Lease>,
}

impl HttpBody for Leased {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.content).poll_frame(context);
        let ended = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => this.content.is_end_stream(),
            Poll::Ready(Some(Err(_))) => {
                this.lease = None;
                false
            }
            Poll::Pending => false,
        };
        if ended && let Some(lease) = this.lease.take() {
            lease.give_back();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

/// Whether a request has content, as its fields tell.
#[must_use]
pub fn has_content<B>(request: &Request<B>) -> bool {
    let fields = request.headers();
    fields.contains_key(header::TRANSFER_ENCODING)
        || fields.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}
