//! Accepts HTTP: plain threads with a runtime each, so that a connection stays on one core.
//!
//! Every wait is bounded: for a TLS handshake, for a head, for request content, for a client that
//! does not read. A connection over the limit waits in the kernel's queue.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use popnet_terms::Trip;
use quinn::EndpointConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::h1::Connection;
pub use crate::h1::{Head, Output};
use crate::h3;
use crate::stall::Stall;
use crate::trip::Parting;

/// Limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of one worker.
    pub connections: usize,
    /// A TLS handshake.
    pub handshake: Duration,
    /// A whole request head, which is also how long a connection may be idle.
    pub head: Duration,
    /// Silence in request content, or of a client that does not read.
    pub stall: Duration,
    /// Octets of a request head.
    pub head_octets: usize,
    /// Fields of a request head.
    pub fields: usize,
    /// How long requests may go on after shutdown began.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A worker's file descriptors: a few hundred thousand octets of memory each thousand.
            connections: 16_384,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            head_octets: 64 << 10,
            fields: 128,
            drain: Duration::from_secs(10),
        }
    }
}

/// Octets of an answer over HTTP/2 that wait for a client to read: 8 MiB for all the requests that
/// a connection may have under way.
const UNREAD: usize = 64 << 10;

/// Where a server listens; already bound.
#[derive(Debug)]
pub enum Listener {
    /// HTTP/1.1.
    Tcp(std::net::TcpListener),
    /// TLS, then HTTP/2 or HTTP/1.1 by ALPN.
    Tls(std::net::TcpListener, Arc<rustls::ServerConfig>),
    /// HTTP/3 over QUIC, with the certificates of TLS.
    Quic(std::net::UdpSocket, Arc<rustls::ServerConfig>, EndpointConfig),
    /// HTTP/1.1 inside a node.
    Unix(std::os::unix::net::UnixListener),
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address; `None` over a Unix socket.
    pub address: Option<SocketAddr>,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Whether the server is draining: this connection takes no further request.
    pub draining: bool,
}

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers one request.
    fn answer(
        self: Arc<Self>,
        client: Client,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Answers a plain request (HTTP/1.1, no content, the connection stays) for which everything is
    /// at hand: writes the whole response into `out`. `false`, with nothing written:
    /// [`answer`](Self::answer) is asked.
    fn at_once(&self, client: Client, head: &Head<'_>, out: &mut Output) -> bool {
        let _ = (client, head, out);
        false
    }

    /// A client's TCP connection is about to be closed; `trip` asks the kernel how it went.
    fn parted(&self, client: SocketAddr, trip: &dyn Fn() -> Option<Trip>) {
        let _ = (client, trip);
    }
}

/// Serves one client's connection in HTTP/1.1 until it ends: what a worker does with each that it
/// accepts.
///
/// # Errors
/// When the connection breaks off.
pub async fn converse<T, S>(
    stream: T,
    client: Client,
    limits: &Limits,
    service: &Arc<S>,
) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service,
{
    let draining = AtomicBool::new(client.draining);
    Connection::new(stream, client, limits, Arc::clone(service), &draining).run().await
}

/// Running workers.
#[derive(Debug)]
pub struct Server {
    workers: Vec<thread::JoinHandle<()>>,
}

impl Server {
    /// Starts a thread for each entry of `workers`. They end after `shutdown` and the drain.
    ///
    /// # Errors
    /// When a thread, its runtime or a socket cannot be set up.
    pub fn start<S: Service>(
        name: &str,
        workers: Vec<Vec<Listener>>,
        limits: Limits,
        service: &Arc<S>,
        shutdown: &CancellationToken,
    ) -> io::Result<Self> {
        let mut threads = Vec::with_capacity(workers.len());
        for (number, listeners) in workers.into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let ways = {
                let _inside = runtime.enter();
                let open = |listener| Way::of(listener, &limits);
                listeners.into_iter().map(open).collect::<io::Result<Vec<_>>>()?
            };
            let worker = Worker {
                limits,
                service: Arc::clone(service),
                shutdown: shutdown.clone(),
                places: Arc::new(Semaphore::new(limits.connections)),
            };
            let thread = thread::Builder::new().name(format!("{name}-{number}"));
            threads.push(thread.spawn(move || runtime.block_on(worker.run(ways)))?);
        }
        Ok(Self { workers: threads })
    }

    /// Waits until every worker has ended.
    pub async fn wait(self) {
        let joined = tokio::task::spawn_blocking(move || {
            for worker in self.workers {
                // A worker's panic has been reported by its own thread.
                let _ = worker.join();
            }
        });
        let _ = joined.await;
    }
}

enum Socket {
    Tcp(TcpListener),
    Tls(TcpListener, TlsAcceptor),
    Unix(UnixListener),
}

/// What a worker listens at.
enum Way {
    Socket(Socket),
    Quic(quinn::Endpoint),
}

impl Way {
    fn of(listener: Listener, limits: &Limits) -> io::Result<Self> {
        match listener {
            Listener::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Self::Socket(Socket::Tcp(TcpListener::from_std(socket)?)))
            }
            Listener::Tls(socket, config) => {
                socket.set_nonblocking(true)?;
                let acceptor = TlsAcceptor::from(config);
                Ok(Self::Socket(Socket::Tls(TcpListener::from_std(socket)?, acceptor)))
            }
            Listener::Quic(socket, tls, config) => {
                h3::open(socket, &tls, config, limits).map(Self::Quic)
            }
            Listener::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Self::Socket(Socket::Unix(UnixListener::from_std(socket)?)))
            }
        }
    }
}

struct Worker<S> {
    limits: Limits,
    service: Arc<S>,
    shutdown: CancellationToken,
    places: Arc<Semaphore>,
}

impl<S> Clone for Worker<S> {
    fn clone(&self) -> Self {
        Self {
            limits: self.limits,
            service: Arc::clone(&self.service),
            shutdown: self.shutdown.clone(),
            places: Arc::clone(&self.places),
        }
    }
}

impl<S: Service> Worker<S> {
    async fn run(self, ways: Vec<Way>) {
        let mut accepting = JoinSet::new();
        for way in ways {
            let worker = self.clone();
            match way {
                Way::Socket(socket) => accepting.spawn(worker.accept(socket)),
                Way::Quic(endpoint) => accepting.spawn(worker.door(endpoint).run()),
            };
        }
        while accepting.join_next().await.is_some() {}
    }

    fn door(self, endpoint: quinn::Endpoint) -> h3::Door<S> {
        let Self { limits, service, shutdown, places } = self;
        h3::Door { endpoint, limits, service, shutdown, places }
    }

    async fn accept(self, socket: Socket) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let places = Arc::clone(&self.places);
            let next = async {
                let place = places.acquire_owned().await.ok()?;
                Some((place, socket.accept().await))
            };
            let next = tokio::select! {
                () = self.shutdown.cancelled() => break,
                next = next => next,
            };
            match next {
                None => break,
                Some((place, Ok(accepted))) => {
                    let worker = self.clone();
                    connections.spawn(async move {
                        worker.serve(accepted).await;
                        drop(place);
                    });
                }
                Some((_, Err(error))) => {
                    // Out of descriptors, or a connection that died in the queue: neither ends us.
                    tracing::debug!(%error, "accept");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        drop(socket);
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.limits.drain, all).await.is_err() {
            tracing::info!("connections cut off at the end of the drain");
        }
    }

    async fn serve(self, accepted: Accepted) {
        match accepted {
            Accepted::Tcp(stream, address) => {
                // Without it the last small piece of a response waits for an acknowledgement.
                let _ = stream.set_nodelay(true);
                let stream = self.parting(stream, address);
                self.http1(stream, Some(address), false).await;
            }
            Accepted::Unix(stream) => self.http1(stream, None, false).await,
            Accepted::Tls(stream, address, acceptor) => {
                let _ = stream.set_nodelay(true);
                let stream = self.parting(stream, address);
                let handshake =
                    tokio::time::timeout(self.limits.handshake, acceptor.accept(stream));
                let stream = match handshake.await {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => return tracing::debug!(%error, "handshake"),
                    Err(_) => return tracing::debug!("handshake took too long"),
                };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    self.http2(stream, address).await;
                } else {
                    self.http1(stream, Some(address), true).await;
                }
            }
        }
    }

    fn parting(&self, stream: tokio::net::TcpStream, client: SocketAddr) -> Parting<S> {
        Parting { stream, client, service: Arc::clone(&self.service) }
    }

    async fn http1<T>(self, stream: T, address: Option<SocketAddr>, tls: bool)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stream = Reading { stream, stall: Stall::new(self.limits.stall) };
        let client = Client { address, tls, draining: false };
        let draining = AtomicBool::new(false);
        let mut connection =
            Connection::new(stream, client, &self.limits, Arc::clone(&self.service), &draining);
        let mut running = std::pin::pin!(connection.run());
        let ended = tokio::select! {
            ended = running.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                draining.store(true, Ordering::Relaxed);
                running.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection");
        }
    }

    async fn http2<T>(self, stream: T, address: SocketAddr)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(Reading { stream, stall: Stall::new(self.limits.stall) });
        let answer = self.answering(Some(address), true);
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.head)
            .keep_alive_timeout(self.limits.handshake)
            .max_concurrent_streams(128)
            .max_send_buf_size(UNREAD)
            .max_header_list_size(u32::try_from(self.limits.head_octets).unwrap_or(u32::MAX))
            .auto_date_header(false)
            .serve_connection(io, service_fn(answer));
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection");
        }
    }

    fn answering(
        &self,
        address: Option<SocketAddr>,
        tls: bool,
    ) -> impl Fn(Request<Incoming>) -> Answering + use<S> {
        let service = Arc::clone(&self.service);
        let shutdown = self.shutdown.clone();
        let patience = self.limits.stall;
        move |request: Request<Incoming>| {
            let client = Client { address, tls, draining: shutdown.is_cancelled() };
            let service = Arc::clone(&service);
            let request = request.map(|content| Body::incoming(content, "client", patience));
            Box::pin(async move { Ok(service.answer(client, request).await) })
        }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

enum Accepted {
    Tcp(tokio::net::TcpStream, SocketAddr),
    Tls(tokio::net::TcpStream, SocketAddr, TlsAcceptor),
    Unix(tokio::net::UnixStream),
}

impl Socket {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(socket) => {
                socket.accept().await.map(|(stream, address)| Accepted::Tcp(stream, address))
            }
            Self::Tls(socket, acceptor) => {
                let (stream, address) = socket.accept().await?;
                Ok(Accepted::Tls(stream, address, acceptor.clone()))
            }
            Self::Unix(socket) => socket.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

/// A stream whose reader must keep reading: a client that takes nothing for too long is cut off.
struct Reading<T> {
    stream: T,
    stall: Stall,
}

impl<T> Reading<T> {
    fn judge<R>(
        &mut self,
        polled: Poll<io::Result<R>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        match polled {
            Poll::Ready(result) => {
                self.stall.moved();
                Poll::Ready(result)
            }
            Poll::Pending if self.stall.poll_over(context) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Reading<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Reading<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, octets);
        self.judge(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
