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
use std::time::Duration;

use popnet_terms::{CustomerId, PopId, Role, SiteName};
use popnet_wire::logging::{Counter, Record};

use crate::context::{Context, StartError};

mod ring;

use ring::Ring;

/// A boxed future: the same type as the futures crates call by this name.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Finds the log server of a customer: its address and the name in its certificate. Asked again
/// whenever a server fails or refuses.
pub type Locate =
    Arc<dyn Fn(CustomerId) -> BoxFuture<'static, Option<(SocketAddr, String)>> + Send + Sync>;

/// Takes records and counters from a role and brings them to the log servers. Cheap to clone.
#[derive(Clone)]
pub struct Shipper {
    ring: Arc<Ring>,
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
    /// the asynchronous runtime.
    ///
    /// # Errors
    /// When the spool's folder cannot be used.
    pub fn start(
        context: &Context,
        role: Role,
        pop: PopId,
        locate: Locate,
        spool_max: u64,
    ) -> Result<Self, StartError> {
        let _ = (context, role, locate, spool_max);
        Ok(Self { ring: Arc::new(Ring::new(pop)) })
    }

    /// Leaves a detail record. Never waits; when there is no room the record is dropped and
    /// counted.
    pub fn record(&self, customer: &CustomerId, record: Record) {
        let _ = self.ring.record(customer, record);
    }

    /// Adds to the customer's exact counter of `site` in this minute. Never dropped.
    pub fn count(&self, customer: &CustomerId, site: &SiteName, add: impl FnOnce(&mut Counter)) {
        let minute = crate::clock::now().unix_seconds().div_euclid(60);
        self.ring.count(customer, site, minute, add);
    }

    /// Closes open batches and waits until every batch is acknowledged, at most this long. The
    /// last call: what is left in the spool goes out after the next start.
    #[expect(clippy::unused_async, reason = "waits once sending is in place")]
    pub async fn drain(&self, at_most: Duration) {
        let _ = at_most;
    }

    /// How shipping goes.
    #[must_use]
    pub fn statistics(&self) -> ShipStatistics {
        ShipStatistics::default()
    }
}

impl fmt::Debug for Shipper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shipper").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}
