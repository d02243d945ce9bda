//! Attempts of the kinds that are not HTTP: what to do, and what came of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use popnet_config::network::{SnmpRequest, StreamFormat};
use popnet_terms::Micros;

use crate::action::{Address, JobId};

/// One attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Its number.
    pub id: JobId,
    /// Where.
    pub address: Address,
    /// From the first packet to the last octet.
    pub timeout: Duration,
    /// What to do there.
    pub task: Task,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Open a TCP connection, say something, wait for something.
    Talk {
        /// Sent first.
        send: Option<Arc<str>>,
        /// Has to come.
        expect: Option<Arc<str>>,
    },
    /// Log in and fetch a file (P4).
    Ftp {
        /// Who.
        user: Arc<str>,
        /// File with the password.
        password_file: Option<Arc<PathBuf>>,
        /// Which file.
        path: Arc<str>,
        /// Which octets the digest is over; `None` when none is wanted.
        digest: Option<(u64, u64)>,
    },
    /// One DNS query over UDP.
    Dns {
        /// The name.
        name: Arc<str>,
        /// The type.
        rtype: Arc<str>,
    },
    /// Listen to streamed media (P5).
    Stream {
        /// What it is.
        format: StreamFormat,
        /// Over TLS.
        tls: bool,
        /// The Host field.
        host: Arc<str>,
        /// Manifest or stream.
        path: Arc<str>,
        /// Endless streams: for this long.
        listen: Duration,
    },
    /// One ICMP echo.
    Echo,
    /// Start a program.
    Command {
        /// Which.
        program: Arc<PathBuf>,
        /// Its arguments.
        arguments: Arc<[String]>,
    },
    /// Read a machine's load by SNMP (P6).
    Snmp(Arc<SnmpRequest>),
}

/// What an attempt was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Time to open the connection, where there is one.
    pub connect: Option<Micros>,
    /// Time to the last octet.
    pub total: Micros,
    /// FTP: the last reply; HTTP streams: the status; commands: the exit code.
    pub code: u16,
    /// What came: a file, a DNS message, media, standard output; its beginning when it is long.
    pub content: Vec<u8>,
    /// SHA-256 over the wanted octets.
    pub digest: Option<[u8; 32]>,
    /// Streams: bits a second.
    pub rate: Option<u64>,
    /// Load in thousandths.
    pub load: Option<u16>,
}
