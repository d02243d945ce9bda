//! The ways to the other name servers: bindings out, what they missed back. One that is away is
//! tried again and again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use popnet_config::network::Network;
use popnet_runtime::backoff::Backoff;
use popnet_runtime::quic::{Connection, Endpoint};
use popnet_terms::NodeName;
use popnet_wire::frame::{Conversation, decode};
use popnet_wire::probing::Datagram;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::Message;

/// Datagrams that a slow connection may be behind; what it misses it asks for.
const BEHIND_MAX: usize = 4_096;

/// First and longest wait between two attempts to connect.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// A datagram on its way out, for everybody or for one.
#[derive(Clone, Debug)]
struct Parcel {
    to: Option<NodeName>,
    octets: Bytes,
}

/// The ways out.
#[derive(Debug)]
pub(super) struct Lines {
    endpoint: Arc<Endpoint>,
    out: broadcast::Sender<Parcel>,
    inbox: mpsc::Sender<Message>,
    open: BTreeMap<NodeName, (SocketAddr, CancellationToken)>,
    shutdown: CancellationToken,
}

impl Lines {
    pub(super) fn new(
        endpoint: Endpoint,
        inbox: mpsc::Sender<Message>,
        shutdown: CancellationToken,
    ) -> Self {
        let (out, _) = broadcast::channel(BEHIND_MAX);
        Self { endpoint: Arc::new(endpoint), out, inbox, open: BTreeMap::new(), shutdown }
    }

    /// Connects to the name servers of `network` besides `own`, and leaves those it has no longer.
    pub(super) fn configure(&mut self, network: &Network, own: &NodeName) {
        let wanted: BTreeMap<NodeName, SocketAddr> =
            network.name_servers().filter(|(name, _)| name != own).collect();
        self.open.retain(|name, (address, stop)| {
            let stays = wanted.get(name) == Some(address);
            if !stays {
                stop.cancel();
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
                address,
                hostname: network.hostname(&name),
                endpoint: Arc::clone(&self.endpoint),
                out: self.out.clone(),
                inbox: self.inbox.clone(),
                stop: stop.clone(),
            };
            tokio::spawn(line.run());
            self.open.insert(name, (address, stop));
        }
    }

    /// Sends to one, or to everybody who is connected.
    pub(super) fn send(&self, to: Option<&NodeName>, octets: Vec<u8>) {
        // Nobody is connected: whoever comes asks for everything.
        let _ = self.out.send(Parcel { to: to.cloned(), octets: octets.into() });
    }

    pub(super) async fn close(&self) {
        self.endpoint.close().await;
    }
}

struct Line {
    name: NodeName,
    address: SocketAddr,
    hostname: String,
    endpoint: Arc<Endpoint>,
    out: broadcast::Sender<Parcel>,
    inbox: mpsc::Sender<Message>,
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
        let mut out = self.out.subscribe();
        let _ = self.inbox.try_send(Message::Connected(self.name.clone()));
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                parcel = out.recv() => match parcel {
                    Ok(parcel) if parcel.to.as_ref().is_none_or(|to| *to == self.name) => {
                        if let Err(error) = connection.send_datagram(parcel.octets) {
                            tracing::debug!(server = self.hostname, %error, "bindings not sent");
                        }
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                datagram = connection.read_datagram() => {
                    let Ok(octets) = datagram else { return };
                    // A name server asks for itself only.
                    if let Ok(Datagram::Repair(repair)) = decode(Conversation::Probing, &octets)
                        && repair.asker == self.name
                    {
                        let _ = self.inbox.try_send(Message::Repair(repair));
                    }
                }
            }
        }
    }
}
