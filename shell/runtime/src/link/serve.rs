//! The answering side of the control conversation.

use std::fs;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use popnet_wire::control::{Ask, Problem, Reply};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::pipe::{Pipe, PipeError};
use super::{CONNECT_MAX, PROTOCOL, SILENCE_MAX};
use crate::bind::BindError;
use crate::identity::{Identity, hostname_in};
use crate::socket_path::SocketPath;

/// Conversations at a time on one listener; a node has a few hundred peers at most.
const CONNECTIONS_MAX: usize = 1024;
/// Replies that a handler may be ahead of a slow reader.
const REPLIES_AHEAD: usize = 16;
/// A reader that takes longer for one reply is gone.
const WRITE_MAX: Duration = Duration::from_secs(30);
/// After `accept` fails (too many open files), wait before the next attempt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody on this machine who may open the Unix socket.
    Local,
    /// A node or person of this network, by the name in its certificate.
    Node {
        /// `NODE.POP.DOMAIN`, lower case.
        hostname: Arc<str>,
    },
}

/// Answers asks. Called for each ask; asks of one conversation come one after the other.
pub trait Handler: Send + Sync + 'static {
    /// Puts the replies to `ask` into `out` and returns; [`Reply::End`] is added by itself.
    /// Runs to its end even when the asker has gone.
    fn answer(&self, peer: Peer, ask: Ask, out: ReplySink) -> impl Future<Output = ()> + Send;
}

/// The asker has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Takes the replies to one ask.
#[derive(Clone, Debug)]
pub struct ReplySink {
    sender: mpsc::Sender<Reply>,
}

impl ReplySink {
    /// A sink and what comes out of it, for tests and for handing replies on.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Reply>) {
        let (sender, receiver) = mpsc::channel(REPLIES_AHEAD);
        (Self { sender }, receiver)
    }

    /// Sends one reply; waits while the asker reads slowly.
    ///
    /// # Errors
    /// The asker has gone; whoever answers a long ask may stop.
    pub async fn send(&self, reply: Reply) -> Result<(), Gone> {
        self.sender.send(reply).await.map_err(|_| Gone)
    }

    /// Says why it does not work. Nothing may follow.
    pub async fn problem(&self, problem: Problem) {
        let _ = self.send(Reply::Problem(problem)).await;
    }

    /// Resolves when the asker has gone.
    pub async fn gone(&self) {
        self.sender.closed().await;
    }
}

/// What a listener has seen since it started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Conversations begun.
    pub accepted: AtomicU64,
    /// Turned away because too many were open.
    pub refused: AtomicU64,
    /// Peers without a certificate of ours.
    pub untrusted: AtomicU64,
    /// Conversations ended because of octets that are no ask.
    pub junk: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A served listener.
#[derive(Debug)]
pub struct Served {
    task: JoinHandle<()>,
    counters: Arc<Counters>,
}

impl Served {
    /// What it has seen.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Waits until it has ended after its shutdown.
    pub async fn wait(self) {
        let _ = self.task.await;
    }
}

struct Service<H> {
    handler: Arc<H>,
    counters: Arc<Counters>,
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
}

// Written out because a derive would ask that handlers can be cloned.
impl<H> Clone for Service<H> {
    fn clone(&self) -> Self {
        Self {
            handler: Arc::clone(&self.handler),
            counters: Arc::clone(&self.counters),
            places: Arc::clone(&self.places),
            shutdown: self.shutdown.clone(),
        }
    }
}

impl<H: Handler> Service<H> {
    fn new(handler: Arc<H>, shutdown: CancellationToken) -> Self {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self { handler, counters: Arc::default(), places, shutdown }
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        count(if place.is_some() { &self.counters.accepted } else { &self.counters.refused });
        place
    }

    /// Asks and answers until the peer ends, is silent too long, sends junk, or we shut down.
    async fn converse(self, mut pipe: Pipe, peer: Peer) {
        loop {
            let ask = tokio::select! {
                () = self.shutdown.cancelled() => return,
                ask = pipe.receive::<Ask>(SILENCE_MAX) => ask,
            };
            let ask = match ask {
                Ok(ask) => ask,
                Err(PipeError::Frame(error)) => {
                    count(&self.counters.junk);
                    tracing::debug!(?peer, %error, "not an ask; conversation ended");
                    return;
                }
                Err(PipeError::Closed | PipeError::Silent(_) | PipeError::Io(_)) => return,
            };
            if self.answer(&mut pipe, peer.clone(), ask).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, pipe: &mut Pipe, peer: Peer, ask: Ask) -> Result<(), Gone> {
        let (sink, replies) = ReplySink::channel();
        let answering = self.handler.answer(peer, ask, sink);
        let ((), written) = tokio::join!(answering, write_replies(pipe, replies));
        written
    }
}

/// Hands replies on as they come, and an end after the last. Returning drops the receiver, which
/// tells the handler that nobody listens any more.
async fn write_replies(pipe: &mut Pipe, mut replies: mpsc::Receiver<Reply>) -> Result<(), Gone> {
    while let Some(reply) = replies.recv().await {
        pipe.send(&reply, WRITE_MAX).await.map_err(|_| Gone)?;
        if matches!(reply, Reply::Problem(_) | Reply::End) {
            return Ok(());
        }
    }
    pipe.send(&Reply::End, WRITE_MAX).await.map_err(|_| Gone)
}

/// Serves the Unix socket at `path`, for this user alone. Must be called inside the runtime; the
/// socket is bound when this returns.
///
/// # Errors
/// Another process serves it, or the file system refuses.
pub fn serve_local<H: Handler>(
    path: &Path,
    handler: Arc<H>,
    shutdown: CancellationToken,
) -> Result<Served, BindError> {
    let listener = bind_local(path)?;
    let service = Service::new(handler, shutdown);
    let counters = Arc::clone(&service.counters);
    let path = path.to_owned();
    let task = tokio::spawn(async move {
        accept_local(&listener, &service).await;
        let _ = fs::remove_file(path);
    });
    Ok(Served { task, counters })
}

fn bind_local(path: &Path) -> Result<UnixListener, BindError> {
    let other = |source| BindError::Other { what: path.display().to_string(), source };
    let short = SocketPath::of(path).map_err(other)?;
    if path.exists() {
        // A socket that nobody serves is left from a process that was killed.
        if std::os::unix::net::UnixStream::connect(short.path()).is_ok() {
            return Err(BindError::SocketTaken { path: path.display().to_string() });
        }
        fs::remove_file(path).map_err(other)?;
    }
    let listener = UnixListener::bind(short.path()).map_err(other)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(other)?;
    Ok(listener)
}

async fn accept_local<H: Handler>(listener: &UnixListener, service: &Service<H>) {
    loop {
        let accepted = tokio::select! {
            () = service.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted.map(|(stream, _)| stream),
        };
        let Some(stream) = or_pause(accepted).await else { continue };
        let Some(place) = service.place() else { continue };
        tokio::spawn(local_conversation(service.clone(), stream, place));
    }
}

async fn local_conversation<H: Handler>(
    service: Service<H>,
    stream: UnixStream,
    _place: OwnedSemaphorePermit,
) {
    service.converse(Pipe::new(stream), Peer::Local).await;
}

/// Serves `listener` for nodes of our network. Must be called inside the runtime.
///
/// # Errors
/// The listener cannot be used by the runtime.
pub fn serve_tls<H: Handler>(
    listener: TcpListener,
    identity: &Identity,
    handler: Arc<H>,
    shutdown: CancellationToken,
) -> io::Result<Served> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let acceptor = TlsAcceptor::from(Arc::new(identity.server_tls_for(PROTOCOL)));
    let service = Service::new(handler, shutdown);
    let counters = Arc::clone(&service.counters);
    let task = tokio::spawn(async move { accept_tls(&listener, &acceptor, &service).await });
    Ok(Served { task, counters })
}

async fn accept_tls<H: Handler>(
    listener: &tokio::net::TcpListener,
    acceptor: &TlsAcceptor,
    service: &Service<H>,
) {
    loop {
        let accepted = tokio::select! {
            () = service.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted.map(|(stream, _)| stream),
        };
        let Some(stream) = or_pause(accepted).await else { continue };
        let Some(place) = service.place() else { continue };
        tokio::spawn(tls_conversation(service.clone(), acceptor.clone(), stream, place));
    }
}

async fn tls_conversation<H: Handler>(
    service: Service<H>,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let from = stream.peer_addr().ok();
    let handshake = tokio::select! {
        () = service.shutdown.cancelled() => return,
        handshake = timeout(CONNECT_MAX, acceptor.accept(stream)) => handshake,
    };
    let Ok(Ok(stream)) = handshake else {
        count(&service.counters.untrusted);
        tracing::debug!(?from, "control handshake failed");
        return;
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let Some(hostname) = certificate.and_then(|c| hostname_in(c)) else {
        count(&service.counters.untrusted);
        return;
    };
    service.converse(Pipe::new(stream), Peer::Node { hostname: hostname.into() }).await;
}

/// The stream, or a pause: an accept that fails at once would otherwise spin.
async fn or_pause<S>(accepted: io::Result<S>) -> Option<S> {
    match accepted {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}
