//! The control conversation: asks and replies in frames, over mutually authenticated TLS between
//! nodes and over a Unix socket inside one. Every wait and every size has a limit.

mod pipe;
mod present;
mod serve;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::frame::FrameError;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::identity::{Identity, words};
use crate::socket_path::SocketPath;
use pipe::{Pipe, PipeError};

pub use pipe::{decode_ask, decode_reply};
pub use present::Present;
pub use serve::{Counters, Gone, Handler, Peer, ReplySink, Served, serve_local, serve_tls};

/// The protocol's name in the TLS handshake.
pub(crate) const PROTOCOL: &[u8] = b"popnet-control/1";

/// Connecting and the handshake together.
pub const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Silence on an open conversation. Held-back answers (role sheets) take up to 30 s.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A conversation failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody there, or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// Nobody serves this Unix socket: the process does not run.
    #[error("{0}")]
    Nobody(String),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The peer is not who it should be, or does not accept us.
    #[error("{0}")]
    Untrusted(String),
    /// Octets that are no message.
    #[error("the answer is not a control message: {0}")]
    Foreign(#[from] FrameError),
    /// The peer says why it did not work.
    #[error("{0}")]
    Problem(#[from] Problem),
    /// A reply that does not belong to the question.
    #[error("unexpected answer to {0}")]
    Unexpected(&'static str),
}

impl LinkError {
    /// The error for a person.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::Problem(problem) => return problem.clone(),
            Self::Unreachable(_) | Self::Nobody(_) => "N0001",
            Self::TimedOut(_) => "N0002",
            Self::Untrusted(_) => "N0003",
            Self::Foreign(_) => "N0004",
            Self::Unexpected(_) => "N0005",
        };
        Problem::new(code, self.to_string(), "")
    }

    fn from_io(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => Self::Untrusted(words(tls)),
            None => Self::Unreachable(reason(error)),
        }
    }
}

impl From<PipeError> for LinkError {
    fn from(error: PipeError) -> Self {
        match error {
            PipeError::Io(error) => Self::from_io(&error),
            PipeError::Frame(error) => Self::Foreign(error),
            PipeError::Closed => {
                Self::Unreachable("connection closed by the other side".to_owned())
            }
            PipeError::Silent(after) => Self::TimedOut(after),
        }
    }
}

/// An I/O error without the operating system's number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let short = text.split(" (os error").next().unwrap_or_default();
    short.to_ascii_lowercase()
}

/// A conversation with one peer: several asks, one after the other.
#[derive(Debug)]
pub struct Link {
    pipe: Pipe,
    patience: Duration,
    /// An answer was left unread: its rest would be taken for the next answer.
    out_of_step: bool,
}

impl Link {
    /// A conversation with the node called `hostname`, which listens on `address`.
    ///
    /// # Errors
    /// Nobody there within five seconds, or somebody else.
    pub async fn tls(
        address: SocketAddr,
        hostname: &str,
        identity: &Identity,
    ) -> Result<Self, LinkError> {
        let name = ServerName::try_from(hostname.to_owned())
            .map_err(|_| LinkError::Untrusted(format!("{hostname:?} is no hostname")))?;
        let connector = TlsConnector::from(Arc::new(identity.client_tls_for(PROTOCOL)));
        let connect = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            connector.connect(name, stream).await
        };
        let stream = timeout(CONNECT_MAX, connect)
            .await
            .map_err(|_| LinkError::TimedOut(CONNECT_MAX))?
            .map_err(|error| LinkError::from_io(&error))?;
        Ok(Self::over(Pipe::new(stream)))
    }

    /// A conversation with the process that serves the Unix socket at `path`.
    ///
    /// # Errors
    /// Nobody serves it.
    pub async fn local(path: &Path) -> Result<Self, LinkError> {
        let connect = async {
            let short = SocketPath::of(path)?;
            UnixStream::connect(short.path()).await
        };
        let stream = timeout(CONNECT_MAX, connect)
            .await
            .map_err(|_| LinkError::TimedOut(CONNECT_MAX))?
            .map_err(|error| Self::not_there(&error))?;
        Ok(Self::over(Pipe::new(stream)))
    }

    /// A socket's file outlives a process that was killed, and then refuses.
    fn not_there(error: &io::Error) -> LinkError {
        let why = reason(error);
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            LinkError::Nobody(why)
        } else {
            LinkError::Unreachable(why)
        }
    }

    fn over(pipe: Pipe) -> Self {
        Self { pipe, patience: SILENCE_MAX, out_of_step: false }
    }

    /// Waits at most `patience` for each reply.
    #[must_use]
    pub fn patient_for(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Asks; the replies are read from what this returns.
    ///
    /// # Errors
    /// The connection broke, or an earlier answer was left unread.
    pub async fn ask(&mut self, ask: &Ask) -> Result<Replies<'_>, LinkError> {
        if self.out_of_step {
            return Err(LinkError::Unexpected("an earlier ask, whose answer was left unread"));
        }
        self.out_of_step = true;
        self.pipe.send(ask, self.patience).await?;
        Ok(Replies { link: self, over: false })
    }

    /// Asks what has one reply.
    ///
    /// # Errors
    /// As [`Self::ask`]; a problem of the peer's; no reply or more than one.
    pub async fn ask_one(&mut self, ask: &Ask) -> Result<Reply, LinkError> {
        let mut replies = self.ask(ask).await?;
        let first = replies.next().await?.ok_or(LinkError::Unexpected("an ask: nothing"))?;
        match replies.next().await? {
            None => Ok(first),
            Some(_) => Err(LinkError::Unexpected("an ask that has one reply")),
        }
    }
}

/// The replies to one ask.
#[derive(Debug)]
pub struct Replies<'a> {
    link: &'a mut Link,
    over: bool,
}

impl Replies<'_> {
    /// The next reply; `None` when all have come. [`Reply::End`] and [`Reply::Problem`] are taken
    /// off here: the first as `None`, the second as an error.
    ///
    /// # Errors
    /// The peer's problem, a broken connection, octets that are no reply.
    pub async fn next(&mut self) -> Result<Option<Reply>, LinkError> {
        if self.over {
            return Ok(None);
        }
        let reply: Reply = self.link.pipe.receive(self.link.patience).await?;
        Ok(match reply {
            Reply::End => {
                self.close();
                None
            }
            Reply::Problem(problem) => {
                self.close();
                return Err(problem.into());
            }
            Reply::Node(_)
            | Reply::Role(_)
            | Reply::Sheet(_)
            | Reply::Rollout(_)
            | Reply::Receipts(_)
            | Reply::PurgeStarted(_)
            | Reply::Purges(_)
            | Reply::Dns(_)
            | Reply::Url(_)
            | Reply::Answer(_)
            | Reply::Network(_)
            | Reply::Progress { .. }
            | Reply::Pushed { .. }
            | Reply::Versions(_)
            | Reply::Version(_)
            | Reply::Zone(_)
            | Reply::Trips(_)
            | Reply::DnsInView { .. }
            | Reply::ZoneInViews(_)
            | Reply::Explained(_)
            | Reply::Moves(_)
            | Reply::DnsCounts(_) => Some(reply),
        })
    }

    fn close(&mut self) {
        self.over = true;
        self.link.out_of_step = false;
    }
}
