//! Why something is not on the shelf, remembered for a while: purged, or not storable the last
//! time. A table of fixed size in which newer memories take the place of older ones: forgetting is
//! harmless, it only makes a reason less exact and a request wait for another once more.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use popnet_cache::key::Key;
use popnet_terms::{CacheReason, Timestamp};

/// Slots; eight octets each.
const SLOTS: usize = 1 << 16;

/// After this long a response that could not be stored is worth waiting for again.
const UNSTORABLE_SECONDS: u32 = 120;

/// The table.
pub(crate) struct Absences {
    hasher: RandomState,
    slots: Box<[AtomicU64]>,
}

/// A memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    pub(crate) reason: CacheReason,
    pub(crate) seconds_ago: u32,
}

impl Absence {
    /// Whether requests for it had better not wait for each other.
    pub(crate) fn is_unstorable(self) -> bool {
        let lasting = matches!(
            self.reason,
            CacheReason::RespNoStore
                | CacheReason::RespPrivate
                | CacheReason::RespSetCookie
                | CacheReason::RespVaryStar
                | CacheReason::RespVaryLimit
                | CacheReason::RespNoFreshness
                | CacheReason::RespTooLarge
                | CacheReason::NotAdmitted
        );
        lasting && self.seconds_ago < UNSTORABLE_SECONDS
    }
}

impl Absences {
    pub(crate) fn new() -> Self {
        let slots = std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect();
        Self { hasher: RandomState::new(), slots }
    }

    /// From the top: 32 bits of the key's hash, 24 of the time in seconds, 8 of the reason + 1.
    fn slot(&self, key: &Key) -> Option<(&AtomicU64, u64)> {
        let hash = self.hasher.hash_one(key);
        let place = usize::try_from(hash % (SLOTS as u64)).ok()?;
        Some((self.slots.get(place)?, hash >> 32))
    }

    pub(crate) fn remember(&self, key: &Key, reason: CacheReason, now: Timestamp) {
        let Some((slot, tag)) = self.slot(key) else { return };
        let number = CacheReason::ALL.iter().position(|known| *known == reason).unwrap_or(0);
        let number = u64::try_from(number).unwrap_or(0) + 1;
        slot.store(tag << 32 | time(now) << 8 | number, Ordering::Relaxed);
    }

    pub(crate) fn forget(&self, key: &Key) {
        let Some((slot, tag)) = self.slot(key) else { return };
        let found = slot.load(Ordering::Relaxed);
        if found >> 32 == tag {
            let _ = slot.compare_exchange(found, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    pub(crate) fn recall(&self, key: &Key, now: Timestamp) -> Option<Absence> {
        let (slot, tag) = self.slot(key)?;
        let found = slot.load(Ordering::Relaxed);
        let number = usize::try_from(found & 0xff).ok()?.checked_sub(1)?;
        if found >> 32 != tag {
            return None;
        }
        let reason = *CacheReason::ALL.get(number)?;
        let seconds = time(now).wrapping_sub(found >> 8 & 0xff_ffff) & 0xff_ffff;
        Some(Absence { reason, seconds_ago: u32::try_from(seconds).ok()? })
    }
}

fn time(now: Timestamp) -> u64 {
    u64::try_from(now.unix_seconds()).unwrap_or(0) & 0xff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembered() {
        let absences = Absences::new();
        let key: Key = "http://a.test/x".to_owned().try_into().unwrap();
        let other: Key = "http://a.test/y".to_owned().try_into().unwrap();
        let at = |second: i64| Timestamp(second * 1_000_000);
        assert_eq!(absences.recall(&key, at(5)), None);
        absences.remember(&key, CacheReason::RespPrivate, at(5));
        let found = absences.recall(&key, at(8)).unwrap();
        assert_eq!(found, Absence { reason: CacheReason::RespPrivate, seconds_ago: 3 });
        assert!(found.is_unstorable());
        assert!(!absences.recall(&key, at(5 + 120)).unwrap().is_unstorable());
        absences.forget(&other);
        assert!(absences.recall(&key, at(8)).is_some());
        absences.forget(&key);
        assert_eq!(absences.recall(&key, at(8)), None);
    }
}
