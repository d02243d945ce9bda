//! The room for connections: how many there are, which one leaves when it is full, and the memory
//! that questions and answers of unusual length share.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::resource::{Resource, getrlimit};
use popnet_config::network::DnsTcp;
use popnet_guard::{Crowd, Entered};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::counters::{Counters, count};

/// Descriptors for everything but clients' connections: zones, logs, probes, sockets.
const DESCRIPTORS_KEPT: u64 = 256;
/// A connection may hold so many octets without asking: nearly every question and answer.
pub(crate) const SMALL: usize = 4 << 10;
/// What all connections together may hold beyond that: a thousand of the longest messages.
const LONG_MAX: usize = 64 << 20;

/// All connections of a node, whatever they speak.
#[derive(Debug)]
pub(crate) struct Hall {
    crowd: Mutex<Crowd<CancellationToken>>,
    lent: AtomicUsize,
}

impl Hall {
    /// Room as configured, as far as there are descriptors for it.
    pub(crate) fn new(said: &DnsTcp) -> Self {
        let wanted = usize::try_from(said.connections()).unwrap_or(usize::MAX);
        let granted = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
        let possible = granted.saturating_sub(DESCRIPTORS_KEPT).max(granted / 2);
        let limit = wanted.min(usize::try_from(possible).unwrap_or(usize::MAX));
        if limit < wanted && said.connections.is_some() {
            tracing::warn!(
                wanted,
                limit,
                "fewer connections than configured: the limit of open files (ulimit -n) is lower"
            );
        }
        let per_client = usize::try_from(said.per_client()).unwrap_or(usize::MAX);
        Self { crowd: Mutex::new(Crowd::new(limit, per_client)), lent: AtomicUsize::new(0) }
    }

    /// A seat for a connection from `address`. Another one may have to leave for it.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, counters: &Counters) -> Seat {
        let leave = CancellationToken::new();
        let Entered { id, ends } = self.with(|crowd| crowd.enter(address, leave.clone()));
        if let Some(other) = ends {
            count(&counters.tcp_full);
            other.cancel();
        }
        Seat { hall: Arc::clone(self), id, leave }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Crowd<CancellationToken>) -> T) -> T {
        act(&mut self.crowd.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Connections now.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.with(|crowd| crowd.len())
    }
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    hall: Arc<Hall>,
    id: u64,
    leave: CancellationToken,
}

impl Seat {
    /// A whole question has come: others are older now.
    pub(crate) fn progress(&self) {
        self.hall.with(|crowd| crowd.progress(self.id));
    }

    /// When somebody else needs the place.
    pub(crate) fn ended(&self) -> WaitForCancellationFuture<'_> {
        self.leave.cancelled()
    }

    /// Leave to hold `octets` altogether; up to [`SMALL`] nobody is asked. `None`: too many
    /// connections hold much already.
    pub(crate) fn borrow(&self, octets: usize) -> Option<Loan> {
        let octets = if octets > SMALL { octets } else { 0 };
        let lent = &self.hall.lent;
        let fits = |now: usize| now.checked_add(octets).filter(|sum| *sum <= LONG_MAX);
        lent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Loan { hall: Arc::clone(&self.hall), octets })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hall.with(|crowd| crowd.leave(self.id));
    }
}

/// Memory that was asked for; given back when dropped.
#[derive(Debug)]
pub(crate) struct Loan {
    hall: Arc<Hall>,
    octets: usize,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.hall.lent.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_and_loans_come_back() {
        let said = DnsTcp { connections: Some(2), ..DnsTcp::default() };
        let (hall, counters) = (Arc::new(Hall::new(&said)), Counters::default());
        let [a, b, c] = [1, 2, 3].map(|n| hall.enter([192, 0, 2, n].into(), &counters));
        assert!(a.leave.is_cancelled() && !b.leave.is_cancelled());
        assert_eq!(hall.len(), 2);
        assert_eq!(counters.tcp_full.load(Ordering::Relaxed), 1);
        drop((a, b));
        assert_eq!(hall.len(), 1);

        let small: Vec<_> = (0..9).map(|_| c.borrow(SMALL).unwrap()).collect();
        assert_eq!(hall.lent.load(Ordering::Relaxed), 0);
        let long: Vec<_> = std::iter::from_fn(|| c.borrow(1 << 16)).take(9_999).collect();
        assert_eq!(long.len(), LONG_MAX >> 16);
        drop((small, long));
        assert!(c.borrow(LONG_MAX).is_some() && c.borrow(LONG_MAX + 1).is_none());
    }
}
