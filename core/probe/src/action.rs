//! What the prober wants done, and what it is told afterwards: plain values.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use popnet_config::network::LatencyMethod;
use popnet_terms::{CustomerId, Micros, ProbeId, Timestamp};
use popnet_wire::probing::{Cause, Health, Method, Sample, Subject};

use crate::attempt::{Attempt, Told};

/// Names an attempt; its outcome carries the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask by HTTP, then [`crate::Prober::handle_outcome`].
    Http(HttpJob),
    /// Open a TCP connection and close it again.
    Tcp(TcpJob),
    /// An attempt of another kind.
    Try(Attempt),
    /// Send a burst towards a resolver.
    Measure(MeasureJob),
    /// Send these to every name server.
    Report(Vec<Sample>),
    /// Write down that a subject's state changed (P20).
    Announce(Change),
}

/// Where a subject listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an address.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

impl Address {
    /// `HOST[:PORT]`, with the usual port of what is spoken there.
    #[must_use]
    pub fn parse(text: &str, usual: u16) -> Self {
        if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Self { host: ip.to_string().into(), port: usual };
        }
        match text.rsplit_once(':') {
            Some((host, port)) if let Ok(port) = port.parse() => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Self { host: host.into(), port }
            }
            Some(_) | None => Self { host: text.into(), port: usual },
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One HTTP attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpJob {
    /// Its number.
    pub id: JobId,
    /// Where.
    pub address: Address,
    /// Over TLS, verified for `host` (without its port).
    pub tls: bool,
    /// Method.
    pub method: Arc<str>,
    /// Path and query.
    pub path: Arc<str>,
    /// The Host field.
    pub host: Arc<str>,
    /// From the first packet to the last octet.
    pub timeout: Duration,
    /// Response field whose value is wanted.
    pub load_field: Option<Arc<str>>,
    /// Which octets the digest is over; `None` when none is wanted.
    pub digest: Option<(u64, u64)>,
    /// Octets of the content that are kept.
    pub keep: usize,
    /// Over TLS: the certificate has to be good for so many days more.
    pub certificate_days: Option<u16>,
}

/// One TCP attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpJob {
    /// Its number.
    pub id: JobId,
    /// Where.
    pub address: Address,
    /// Until it is open.
    pub timeout: Duration,
}

/// One burst towards a resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasureJob {
    /// Its number.
    pub id: JobId,
    /// Whom to ask.
    pub resolver: IpAddr,
    /// Tried in order, until one is answered.
    pub methods: Vec<LatencyMethod>,
    /// Packets.
    pub samples: u16,
    /// For each packet.
    pub timeout: Duration,
    /// The name that DNS queries ask for, as TXT; without it they ask for the root's servers.
    pub asked: Option<Arc<str>>,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An HTTP answer came, whole.
    Answered(Answer),
    /// The TCP connection opened.
    Connected {
        /// Time to open.
        connect: Micros,
    },
    /// An attempt of another kind came to an end.
    Told(Told),
    /// None of these.
    Failed(Failure),
    /// A burst is over.
    Burst(Burst),
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Time to open the connection.
    pub connect: Micros,
    /// Time to the last octet (P3).
    pub total: Micros,
    /// The content, or its beginning when it is long.
    pub content: Vec<u8>,
    /// SHA-256 of the wanted octets of the content.
    pub digest: Option<[u8; 32]>,
    /// Value of the wanted response field.
    pub load: Option<String>,
    /// Value of the `popnet-epoch` field.
    pub epoch: Option<String>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// In words: "connection refused".
    pub words: Arc<str>,
    /// Time to open the connection, when that much worked.
    pub connect: Option<Micros>,
    /// Time until it had failed.
    pub total: Micros,
}

/// A burst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burst {
    /// How the answers were got; `None` when no method was answered.
    pub method: Option<Method>,
    /// One entry a packet; `None` was lost.
    pub rtts: Vec<Option<Micros>>,
}

/// A subject's state changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// By which probe.
    pub probe: ProbeId,
    /// Of what.
    pub subject: Subject,
    /// Whose it is.
    pub customer: CustomerId,
    /// Before.
    pub from: Health,
    /// After.
    pub to: Health,
    /// Why.
    pub cause: Cause,
    /// In words.
    pub detail: Arc<str>,
}

/// A wish that is waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) resolver: IpAddr,
    pub(crate) client: IpNet,
}
