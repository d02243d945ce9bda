//! The account of the memory tier: every octet that is kept is charged before it is taken, and
//! given back when the last who reads it has let go. What is charged never exceeds the capacity.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Octets in use, and how many may be.
#[derive(Debug)]
pub(crate) struct Account {
    capacity: u64,
    used: AtomicU64,
}

impl Account {
    pub(crate) fn new(capacity: u64) -> Arc<Self> {
        Arc::new(Self { capacity, used: AtomicU64::new(0) })
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Charges `octets`, if they fit.
    pub(crate) fn charge(self: &Arc<Self>, octets: u64) -> Option<Charge> {
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
            used.checked_add(octets).filter(|sum| *sum <= self.capacity)
        });
        taken.ok()?;
        Some(Charge { account: Arc::clone(self), octets })
    }
}

/// Octets that are charged until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Arc<Account>,
    octets: u64,
}

impl Charge {
    /// Adds another charge of the same account to this one.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.octets += other.octets;
        other.octets = 0;
    }

    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.used.fetch_sub(self.octets, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_over() {
        let account = Account::new(10);
        let mut first = account.charge(4).unwrap();
        assert!(account.charge(7).is_none());
        first.join(account.charge(6).unwrap());
        assert_eq!((first.octets(), account.used()), (10, 10));
        assert!(account.charge(1).is_none());
        drop(first);
        assert_eq!(account.used(), 0);
        assert!(account.charge(u64::MAX).is_none());
    }
}
