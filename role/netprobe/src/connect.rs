//! Opening a TCP connection to a subject, and the words for why it does not open.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use popnet_probe::{Address, Failure, Outcome, TcpJob};
use popnet_terms::Micros;
use popnet_wire::probing::Cause;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// How far an attempt has come: what is known of it when its time is up.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Time to open the connection.
    pub(crate) connect: Option<Micros>,
    /// What took how long, in order.
    pub(crate) phases: Vec<(&'static str, Micros)>,
}

impl Progress {
    /// What took how long, in order.
    #[must_use]
    pub fn phases(&self) -> &[(&'static str, Micros)] {
        &self.phases
    }

    /// A phase that began at `begun` is over.
    pub(crate) fn phase(&mut self, name: &'static str, begun: Instant) {
        // A server that leads us on and on fills no memory.
        if self.phases.len() < PHASES_MAX {
            self.phases.push((name, micros(begun.elapsed())));
        }
    }
}

/// Phases that are remembered.
const PHASES_MAX: usize = 32;

/// Why an attempt failed.
#[derive(Clone, Debug)]
pub(crate) struct Wrong {
    pub(crate) cause: Cause,
    pub(crate) words: Arc<str>,
}

impl Wrong {
    pub(crate) fn new(cause: Cause, words: impl Into<Arc<str>>) -> Self {
        Self { cause, words: words.into() }
    }
}

/// Opens a connection and closes it again.
pub(crate) async fn tcp(job: &TcpJob, progress: &mut Progress) -> Outcome {
    let begun = Instant::now();
    let result = timeout(job.timeout, open(&job.address, progress)).await;
    match result {
        Ok(Ok(_)) => Outcome::Connected { connect: progress.connect.unwrap_or_default() },
        Ok(Err(wrong)) => failed(wrong, progress, begun),
        Err(_) => failed(late(job.timeout), progress, begun),
    }
}

/// A connection to `address`: a name's addresses one after the other.
pub(crate) async fn open(address: &Address, progress: &mut Progress) -> Result<TcpStream, Wrong> {
    let begun = Instant::now();
    let found = resolve(address).await?;
    progress.phase("resolve", begun);
    let mut wrong = Wrong::new(Cause::Refused, "name has no address");
    for at in found {
        let begun = Instant::now();
        match TcpStream::connect(at).await {
            Ok(stream) => {
                progress.connect.get_or_insert(micros(begun.elapsed()));
                progress.phase("connect", begun);
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => wrong = Wrong::new(Cause::Refused, words_of(&error)),
        }
    }
    Err(wrong)
}

pub(crate) async fn resolve(address: &Address) -> Result<Vec<SocketAddr>, Wrong> {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, address.port)]);
    }
    let found = lookup_host((&*address.host, address.port)).await;
    let found = found.map_err(|_| Wrong::new(Cause::Refused, "name has no address"))?;
    Ok(found.take(ADDRESSES_MAX).collect())
}

pub(crate) fn failed(wrong: Wrong, progress: &Progress, begun: Instant) -> Outcome {
    let Wrong { cause, words } = wrong;
    let total = micros(begun.elapsed());
    Outcome::Failed(Failure { cause, words, connect: progress.connect, total })
}

pub(crate) fn late(limit: Duration) -> Wrong {
    Wrong::new(Cause::Timeout, format!("no answer within {} ms", limit.as_millis()))
}

/// The same words on every system, without its error numbers.
pub(crate) fn words_of(error: &io::Error) -> String {
    let known = [
        (io::ErrorKind::ConnectionRefused, "connection refused"),
        (io::ErrorKind::ConnectionReset, "connection reset"),
        (io::ErrorKind::BrokenPipe, "connection reset"),
        (io::ErrorKind::HostUnreachable, "host unreachable"),
        (io::ErrorKind::NetworkUnreachable, "network unreachable"),
        (io::ErrorKind::TimedOut, "connection timed out"),
    ];
    let found = known.into_iter().find(|(kind, _)| *kind == error.kind());
    found.map_or_else(|| error.to_string(), |(_, words)| words.to_owned())
}

pub(crate) fn micros(span: Duration) -> Micros {
    Micros(u32::try_from(span.as_micros()).unwrap_or(u32::MAX))
}
