//! The reception: QUIC connections of nodes, one stream a batch. Octets are bounded and checked
//! before anything is stored; what is no batch is counted and dropped.

use std::sync::Arc;
use std::time::Duration;

use popnet_config::Held;
use popnet_runtime::quic::{Connection, Endpoint, RecvStream, SendStream};
use popnet_runtime::ship::{PACKED_MAX, unpack};
use popnet_terms::{CustomerId, NodeName, Role};
use popnet_wire::frame::{Conversation, encode};
use popnet_wire::logging::{Ack, BatchId, Receipt};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gate::admit;
use crate::store::{Job, Work};
use crate::tallies::{Tallies, one};

/// A batch takes milliseconds; a sender that is slower is gone.
const READ_MAX: Duration = Duration::from_secs(20);
/// Batches in hand at once, over every connection: bounds the memory that they take.
const IN_HAND_MAX: usize = 48;
/// How long batches in hand may take after the end was called.
const END_MAX: Duration = Duration::from_secs(5);

/// Takes batches off connections.
#[derive(Clone, Debug)]
pub(crate) struct Reception {
    own: NodeName,
    config: watch::Receiver<Arc<Held>>,
    intake: mpsc::Sender<Work>,
    tallies: Arc<Tallies>,
    in_hand: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Reception {
    /// For the log server on node `own`, which hands batches to `intake`.
    pub(crate) fn new(
        own: NodeName,
        config: watch::Receiver<Arc<Held>>,
        intake: mpsc::Sender<Work>,
        tallies: Arc<Tallies>,
    ) -> Self {
        let in_hand = Arc::new(Semaphore::new(IN_HAND_MAX));
        Self { own, config, intake, tallies, in_hand, tasks: TaskTracker::new() }
    }

    /// Works until `shutdown`, and until what is in hand then is stored.
    pub(crate) async fn run(self, endpoints: Vec<Arc<Endpoint>>, shutdown: CancellationToken) {
        let mut doors = JoinSet::new();
        for endpoint in endpoints {
            let (reception, shutdown) = (self.clone(), shutdown.clone());
            doors.spawn(async move {
                shutdown.run_until_cancelled(reception.door(&endpoint)).await;
                endpoint
            });
        }
        let mut closing = Vec::new();
        while let Some(door) = doors.join_next().await {
            closing.extend(door.ok());
        }
        shutdown.cancelled().await;
        self.in_hand.close();
        self.tasks.close();
        let _ = timeout(END_MAX, self.tasks.wait()).await;
        for endpoint in closing {
            endpoint.close().await;
        }
    }

    async fn door(&self, endpoint: &Endpoint) {
        while let Some(connection) = endpoint.accept().await {
            tracing::debug!(peer = connection.peer(), "a sender of logs has come");
            let reception = self.clone();
            tokio::spawn(async move { reception.attend(connection).await });
        }
    }

    /// Takes streams off one connection until it ends. A stream waits for its place before it is
    /// read: until then QUIC holds its sender back.
    async fn attend(self, connection: Connection) {
        while let Ok((send, receive)) = connection.accept_bi().await {
            let Ok(place) = Arc::clone(&self.in_hand).acquire_owned().await else { return };
            let (reception, connection) = (self.clone(), connection.clone());
            self.tasks.spawn(async move {
                reception.stream(&connection, send, receive).await;
                drop(place);
            });
        }
    }

    async fn stream(&self, connection: &Connection, mut send: SendStream, receive: RecvStream) {
        let Some(ack) = self.take(connection.peer(), receive).await else {
            let _ = send.reset(1u32.into());
            return;
        };
        if send.write_all(&encode(Conversation::Logging, &ack)).await.is_ok() {
            let _ = send.finish();
        }
    }

    /// Reads one batch and has it stored. `None`: nothing can be said of it; the sender
    /// tries again.
    async fn take(&self, peer: &str, mut receive: RecvStream) -> Option<Ack> {
        let Ok(Ok(packed)) = timeout(READ_MAX, receive.read_to_end(PACKED_MAX)).await else {
            one(&self.tallies.unread);
            let _ = receive.stop(1u32.into());
            return None;
        };
        let unpacked = spawn_blocking(move || (unpack(&packed), packed)).await.ok()?;
        let (batch, packed) = match unpacked {
            (Ok(batch), packed) => (batch, packed),
            (Err(error), _) => {
                one(&self.tallies.corrupt);
                tracing::debug!(peer, %error, "octets that are no batch");
                return Some(Ack { id: nameless(), result: Receipt::Corrupt });
            }
        };
        let id = batch.id.clone();
        let admitted = admit(&self.config.borrow().network, &self.own, peer, &id);
        if let Err(why) = admitted {
            one(&self.tallies.refused);
            tracing::debug!(peer, why, "a batch was refused");
            return Some(Ack { id, result: Receipt::Refused(why) });
        }
        let (reply, stored) = oneshot::channel();
        let job = Job { batch, packed, reply };
        self.intake.send(Work::Batch(Box::new(job))).await.ok()?;
        let result = stored.await.ok()?;
        Some(Ack { id, result })
    }
}

/// Stands for a batch that could not be read.
fn nameless() -> BatchId {
    let (sender, customer) = (NodeName::new(""), CustomerId::new(""));
    BatchId { sender, role: Role::Logserver, customer, seq: 0 }
}
