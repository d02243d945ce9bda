//! A QUIC connection to every name server: reports out, wishes and hit counts in. A server that
//! is away is tried again and again; meanwhile the others are told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use popnet_config::network::Network;
use popnet_runtime::backoff::Backoff;
use popnet_runtime::quic::{Connection, Endpoint};
use popnet_terms::NodeName;
use popnet_wire::frame::{Conversation, FrameError};
use popnet_wire::probing::{DATAGRAM_MAX, Datagram, Hits, Needs, Repair};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

/// Datagrams that a slow connection may be behind; what it misses comes again within ten seconds.
const BEHIND_MAX: usize = 1_024;

/// Messages from name servers that wait; more are dropped, and asked for again.
const INBOX_MAX: usize = 1_024;

/// First and longest wait between two attempts to connect.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What comes from name servers.
#[derive(Debug)]
pub(crate) enum Message {
    /// One has connected.
    Joined,
    Needs(Needs),
    Hits(Hits),
    Repair(Repair),
}

/// A datagram on its way out.
#[derive(Clone, Debug)]
struct Parcel {
    /// For this name server only.
    to: Option<NodeName>,
    octets: Bytes,
}

/// The connections.
#[derive(Debug)]
pub(crate) struct Sessions {
    endpoint: Arc<Endpoint>,
    reports: broadcast::Sender<Parcel>,
    inbox: mpsc::Sender<Message>,
    foreign: Arc<AtomicU64>,
    open: BTreeMap<NodeName, Session>,
    shutdown: CancellationToken,
}

#[derive(Debug)]
struct Session {
    address: SocketAddr,
    stop: CancellationToken,
}

/// A datagram from a name server. Takes any octets.
///
/// # Errors
/// Says why they are none.
pub fn decode(octets: &[u8]) -> Result<Datagram, FrameError> {
    if octets.len() > DATAGRAM_MAX {
        return Err(FrameError::TooLong(octets.len()));
    }
    popnet_wire::frame::decode(Conversation::Probing, octets)
}

impl Sessions {
    pub(crate) fn new(
        endpoint: Endpoint,
        shutdown: CancellationToken,
    ) -> (Self, mpsc::Receiver<Message>) {
        let (inbox, messages) = mpsc::channel(INBOX_MAX);
        let sessions = Self {
            endpoint: Arc::new(endpoint),
            reports: broadcast::Sender::new(BEHIND_MAX),
            inbox,
            foreign: Arc::default(),
            open: BTreeMap::new(),
            shutdown,
        };
        (sessions, messages)
    }

    /// Connects to the name servers that `network` has, and leaves those it has no longer.
    pub(crate) fn configure(&mut self, network: &Network) {
        let wanted: BTreeMap<NodeName, SocketAddr> = network.name_servers().collect();
        self.open.retain(|name, session| {
            let stays = wanted.get(name) == Some(&session.address);
            if !stays {
                session.stop.cancel();
            }
            stays
        });
        for (name, address) in wanted {
            if self.open.contains_key(&name) {
                continue;
            }
            let stop = self.shutdown.child_token();
            let line = Line {
                name: name.clone(),
                endpoint: Arc::clone(&self.endpoint),
                address,
                hostname: network.hostname(&name),
                reports: self.reports.clone(),
                inbox: self.inbox.clone(),
                foreign: Arc::clone(&self.foreign),
                stop: stop.clone(),
            };
            tokio::spawn(line.run());
            self.open.insert(name, Session { address, stop });
        }
    }

    /// Sends one datagram to every name server that is connected.
    pub(crate) fn broadcast(&self, datagram: Vec<u8>) {
        // Nobody connected: the next one to join is told everything.
        let _ = self.reports.send(Parcel { to: None, octets: datagram.into() });
    }

    /// Sends one datagram to one name server, if it is connected.
    pub(crate) fn send(&self, to: &NodeName, datagram: Vec<u8>) {
        let _ = self.reports.send(Parcel { to: Some(to.clone()), octets: datagram.into() });
    }

    /// Datagrams that were none of ours.
    pub(crate) fn foreign(&self) -> u64 {
        self.foreign.load(Ordering::Relaxed)
    }

    pub(crate) async fn close(&self) {
        self.endpoint.close().await;
    }
}

/// The way to one name server.
struct Line {
    name: NodeName,
    endpoint: Arc<Endpoint>,
    address: SocketAddr,
    hostname: String,
    reports: broadcast::Sender<Parcel>,
    inbox: mpsc::Sender<Message>,
    foreign: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Line {
    async fn run(self) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let connected = tokio::select! {
                () = self.stop.cancelled() => return,
                connected = self.endpoint.connect(self.address, &self.hostname) => connected,
            };
            match connected {
                Ok(connection) => {
                    backoff.reset();
                    tracing::debug!(server = self.hostname, "name server connected");
                    self.talk(&connection).await;
                    connection.close("leaving");
                }
                Err(error) => {
                    tracing::debug!(server = self.hostname, %error, "name server not reached");
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(backoff.step()) => {}
            }
        }
    }

    /// Until the connection breaks.
    async fn talk(&self, connection: &Connection) {
        // Before the greeting, so that the report that it causes is not missed.
        let mut reports = self.reports.subscribe();
        let _ = self.inbox.try_send(Message::Joined);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                report = reports.recv() => match report {
                    Ok(parcel) if parcel.to.as_ref().is_none_or(|to| *to == self.name) => {
                        self.send(connection, parcel.octets);
                    }
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                datagram = connection.read_datagram() => match datagram {
                    Ok(octets) => self.take(&octets),
                    Err(_) => return,
                },
            }
        }
    }

    fn send(&self, connection: &Connection, octets: Bytes) {
        if let Err(error) = connection.send_datagram(octets) {
            tracing::debug!(server = self.hostname, %error, "report not sent");
        }
    }

    fn take(&self, octets: &[u8]) {
        // A name server speaks for itself only; reports come from probes, not from it.
        let speaks = |asker: &NodeName| {
            self.hostname.strip_prefix(asker.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        let message = match decode(octets) {
            Ok(Datagram::Needs(needs)) if speaks(&needs.asker) => Message::Needs(needs),
            Ok(Datagram::Hits(hits)) if speaks(&hits.asker) => Message::Hits(hits),
            Ok(Datagram::Repair(repair)) if speaks(&repair.asker) => Message::Repair(repair),
            Ok(_) | Err(_) => {
                self.foreign.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        let _ = self.inbox.try_send(message);
    }
}
