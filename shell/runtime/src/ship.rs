//! Log records on their way to the customer's log server (C3, L1, N17): hot paths leave them in a
//! ring, a thread closes batches and writes them to the spool, tasks send them until they are
//! acknowledged.
//!
//! Counters are exact: never dropped, and a number names a batch for good, so that the log server
//! counts each once however often it arrives. Detail records may be dropped, and are counted then.
//! What was counted since the last batch, a quarter of a second, is lost when the process is
//! killed; nothing that is in the spool is.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use popnet_terms::{CustomerId, PopId, Role, SiteName};
use popnet_wire::logging::{Counter, Record};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::context::{Context, StartError};
use crate::files;
use crate::quic::Endpoint;

mod batch;
mod closer;
mod courier;
mod parts;
mod ring;
mod spool;

use closer::{Closer, Yard};
use courier::Lines;
use ring::Ring;
use spool::Totals;

pub use batch::{PACKED_MAX, UnpackError, folder_name, pack, unpack};
pub use courier::decode_ack;
pub use spool::unseal;

/// A boxed future: the same type as the futures crates call by this name.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Finds the log server of a customer: its address and the name in its certificate. Asked again
/// whenever a server fails or refuses.
pub type Locate =
    Arc<dyn Fn(CustomerId) -> BoxFuture<'static, Option<(SocketAddr, String)>> + Send + Sync>;

/// Takes records and counters from a role and brings them to the log servers. Cheap to clone.
#[derive(Clone)]
pub struct Shipper {
    /// `None`: there is no log server, and nothing is kept for one.
    inner: Option<Arc<Inner>>,
}

struct Inner {
    yard: Arc<Yard>,
    closer: Thread,
}

impl Drop for Inner {
    /// Without a drain, what is open still gets into the spool.
    fn drop(&mut self) {
        self.yard.stop.cancel();
        self.yard.finishing.store(true, Ordering::Release);
        self.closer.unpark();
    }
}

/// How shipping goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShipStatistics {
    /// Batches that no log server has acknowledged yet.
    pub spooled_batches: u64,
    /// Octets of those on disk.
    pub spooled_bytes: u64,
    /// Detail records dropped since start.
    pub dropped: u64,
    /// Batches sent more than once since start.
    pub resent: u64,
}

impl Shipper {
    /// Starts shipping for `role`, with what an earlier run left in the spool. To be called inside
    /// the asynchronous runtime; one for each role of a node.
    ///
    /// # Errors
    /// When the spool's folder cannot be used, or no port can be opened.
    pub fn start(
        context: &Context,
        role: Role,
        pop: PopId,
        locate: Locate,
        spool_max: u64,
    ) -> Result<Self, StartError> {
        let root = context.role_dir(role).join("spool");
        let trouble = || format!("the log spool {}", root.display());
        files::create_private_dir(&root).map_err(StartError::io(trouble()))?;
        let endpoint = Endpoint::client(&context.identity)
            .map_err(StartError::io("a UDP port for sending logs"))?;
        let left = spool::left_behind(&root).map_err(StartError::io(trouble()))?;
        let yard = Arc::new(Yard {
            ring: Ring::new(pop),
            totals: Arc::<Totals>::default(),
            root: root.clone(),
            sender: context.node.clone(),
            role,
            locate,
            spool_max,
            lines: Arc::new(Lines::new(endpoint)),
            runtime: Handle::current(),
            queues: std::sync::Mutex::default(),
            finishing: AtomicBool::new(false),
            closed: CancellationToken::new(),
            stop: CancellationToken::new(),
        });
        for customer in left {
            yard.queue(&customer).map_err(StartError::io(trouble()))?;
        }
        let closer = Closer::new(Arc::clone(&yard));
        let closer = thread::Builder::new()
            .name(format!("ship-{role}"))
            .spawn(move || closer.run())
            .map_err(StartError::io("a thread for sending logs"))?;
        Ok(Self { inner: Some(Arc::new(Inner { yard, closer: closer.thread().clone() })) })
    }

    /// For a network without log servers: forgets everything.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { inner: None }
    }

    /// Leaves a detail record. Never waits; when there is no room the record is dropped and
    /// counted.
    pub fn record(&self, customer: &CustomerId, record: Record) {
        self.record_all(customer, [record]);
    }

    /// Leaves detail records of one customer: for many, less than leaving each.
    pub fn record_all(&self, customer: &CustomerId, records: impl IntoIterator<Item = Record>) {
        let Some(inner) = &self.inner else { return };
        let fit = inner.yard.ring.record(customer, records);
        if fit.dropped > 0 {
            inner.yard.totals.dropped.fetch_add(fit.dropped, Ordering::Relaxed);
        }
        if fit.is_pressing {
            inner.closer.unpark();
        }
    }

    /// Adds to the customer's exact counter of `site` in this minute. Never dropped.
    pub fn count(&self, customer: &CustomerId, site: &SiteName, add: impl FnOnce(&mut Counter)) {
        let Some(inner) = &self.inner else { return };
        let minute = clock::now().unix_seconds().div_euclid(60);
        inner.yard.ring.count(customer, site, minute, add);
    }

    /// Closes open batches and waits until every batch is acknowledged, at most this long. The
    /// last call: what is left in the spool then goes out after the next start.
    pub async fn drain(&self, at_most: Duration) {
        let Some(inner) = &self.inner else { return };
        let yard = &inner.yard;
        yard.finishing.store(true, Ordering::Release);
        inner.closer.unpark();
        let emptied = async {
            yard.closed.cancelled().await;
            loop {
                let left = yard.totals.left.notified();
                tokio::pin!(left);
                left.as_mut().enable();
                if yard.totals.batches.load(Ordering::Relaxed) == 0 {
                    return;
                }
                left.await;
            }
        };
        if timeout(at_most, emptied).await.is_err() {
            let waiting = yard.totals.batches.load(Ordering::Relaxed);
            tracing::info!(role = %yard.role, waiting, "log batches stay in the spool until the next start");
        }
        yard.stop.cancel();
        yard.lines.close().await;
    }

    /// How shipping goes.
    #[must_use]
    pub fn statistics(&self) -> ShipStatistics {
        let Some(inner) = &self.inner else { return ShipStatistics::default() };
        let totals = &inner.yard.totals;
        ShipStatistics {
            spooled_batches: totals.batches.load(Ordering::Relaxed),
            spooled_bytes: totals.octets.load(Ordering::Relaxed),
            dropped: totals.dropped.load(Ordering::Relaxed),
            resent: totals.resent.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for Shipper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shipper").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}
