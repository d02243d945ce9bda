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
/// What all connections together may hold beyond that in questions, and as much again in answers:
/// a thousand of the longest messages.
const LONG_MAX: usize = 64 << 20;

/// All connections of a node, whatever they speak.
#[derive(Debug)]
pub(crate) struct Hall {
    crowd: Mutex<Crowd<CancellationToken>>,
    questions: Arc<Pool>,
    /// Apart, so that nobody's long questions take the memory for others' answers.
    answers: Arc<Pool>,
}

/// Octets that are lent.
#[derive(Debug, Default)]
struct Pool(AtomicUsize);

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
        let crowd = Mutex::new(Crowd::new(limit, per_client));
        Self { crowd, questions: Arc::default(), answers: Arc::default() }
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

    /// Nothing yet, for a question that has begun.
    pub(crate) fn question(&self) -> Loan {
        Loan { pool: Arc::clone(&self.hall.questions), octets: 0 }
    }

    /// Leave to hold an answer of `octets`. `None`: too many hold much already.
    pub(crate) fn answer(&self, octets: usize) -> Option<Loan> {
        let mut loan = Loan { pool: Arc::clone(&self.hall.answers), octets: 0 };
        loan.grow(octets).then_some(loan)
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
    pool: Arc<Pool>,
    octets: usize,
}

impl Loan {
    /// Leave to hold `octets` altogether; up to [`SMALL`] nobody is asked. `false`: too many hold
    /// much already, and nothing has changed.
    pub(crate) fn grow(&mut self, octets: usize) -> bool {
        if octets <= SMALL || octets <= self.octets {
            return true;
        }
        let more = octets - self.octets;
        let fits = |now: usize| now.checked_add(more).filter(|sum| *sum <= LONG_MAX);
        let granted = self.pool.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if granted {
            self.octets = octets;
        }
        granted
    }

    /// Gives everything back.
    pub(crate) fn settle(&mut self) {
        self.pool.0.fetch_sub(std::mem::take(&mut self.octets), Ordering::Relaxed);
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.settle();
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

        let small: Vec<_> = (0..9).map(|_| c.answer(SMALL).unwrap()).collect();
        assert_eq!(hall.answers.0.load(Ordering::Relaxed), 0);
        let long: Vec<_> = std::iter::from_fn(|| c.answer(1 << 16)).take(9_999).collect();
        assert_eq!(long.len(), LONG_MAX >> 16);
        // Questions have their own, and pay for what they hold, not for what they announce.
        let mut question = c.question();
        assert!(question.grow(SMALL) && question.grow(SMALL + 1) && question.grow(1 << 16));
        assert_eq!(hall.questions.0.load(Ordering::Relaxed), 1 << 16);
        assert!(!question.grow(LONG_MAX + 1) && question.grow(LONG_MAX));
        question.settle();
        drop((small, long));
        assert!(c.answer(LONG_MAX).is_some() && c.answer(LONG_MAX + 1).is_none());
        assert_eq!(hall.questions.0.load(Ordering::Relaxed), 0);
    }
}
