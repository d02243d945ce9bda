//! The timers of a secondary zone (RFC 1034 4.3.5): when to look, when to look again, when to
//! stop answering.

use std::time::Duration;

use popnet_terms::Timestamp;

use crate::record::Soa;
use crate::serial::Serial;

/// A zone that was never there is asked for again after a second, then ever later up to a minute.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What SOA records say is taken within these bounds: nobody looks all the time or never.
const LOOK_MIN: u32 = 1;
const LOOK_MAX: u32 = 28 * 86_400;

/// What is known of one secondary zone.
#[derive(Clone, Debug)]
pub struct Secondary {
    /// The numbers of the state that we have, and when a primary last confirmed it.
    have: Option<(Soa, Timestamp)>,
    next: Timestamp,
    failures: u32,
    /// A look is under way.
    busy: bool,
    /// Somebody said meanwhile that there is more.
    again: bool,
}

impl Secondary {
    /// A zone of which `have` was kept: it is looked for at once.
    #[must_use]
    pub fn new(have: Option<(Soa, Timestamp)>, now: Timestamp) -> Self {
        Self { have, next: now, failures: 0, busy: false, again: false }
    }

    /// Whether to look now; then [`Self::begin`], and tell what came of it.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        !self.busy && self.next <= now
    }

    /// When to look next; `None` while a look is under way.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        (!self.busy).then_some(self.next)
    }

    /// When a primary last said that what we have is its newest.
    #[must_use]
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        self.have.map(|(_, confirmed)| confirmed)
    }

    /// When the zone must no longer be answered from.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        let (soa, confirmed) = self.have?;
        Some(confirmed.after(seconds(soa.expire)))
    }

    /// Whether it is so late.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires().is_some_and(|end| end <= now)
    }

    /// A look begins.
    pub fn begin(&mut self) {
        self.busy = true;
        self.again = false;
    }

    /// A primary has no newer state than this, or we have it now.
    pub fn confirmed(&mut self, soa: Soa, now: Timestamp) {
        self.have = Some((soa, now));
        self.failures = 0;
        self.busy = false;
        let wait = seconds(soa.refresh.clamp(LOOK_MIN, LOOK_MAX));
        self.next = if self.again { now } else { now.after(wait) };
    }

    /// No primary could be asked.
    pub fn failed(&mut self, now: Timestamp) {
        self.busy = false;
        let wait = match self.have {
            Some((soa, _)) => seconds(soa.retry.clamp(LOOK_MIN, LOOK_MAX)),
            None => (FIRST_WAIT * 2u32.saturating_pow(self.failures.min(6))).min(WAIT_MAX),
        };
        self.failures = self.failures.saturating_add(1);
        self.next = if self.again { now } else { now.after(wait) };
    }

    /// A primary says that there is a new state, perhaps with which number (RFC 1996 3.11).
    pub fn notified(&mut self, serial: Option<Serial>, now: Timestamp) {
        let is_known = match (self.have, serial) {
            (Some((soa, _)), Some(serial)) => !serial.is_after(soa.serial),
            (None, _) | (_, None) => false,
        };
        if is_known {
            return;
        }
        if self.busy {
            self.again = true;
        } else {
            self.next = now;
        }
    }
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOA: Soa = Soa { serial: Serial(7), refresh: 100, retry: 10, expire: 1_000, minimum: 0 };

    fn at(second: i64) -> Timestamp {
        Timestamp(second * 1_000_000)
    }

    #[test]
    fn looks_retries_and_expires() {
        let mut zone = Secondary::new(None, at(0));
        let mut waits = Vec::new();
        let mut now = at(0);
        for _ in 0..9 {
            assert!(zone.is_due(now) && !zone.is_expired(now));
            zone.begin();
            assert!(!zone.is_due(now) && zone.next().is_none());
            zone.failed(now);
            waits.push(zone.next().unwrap().since(now).as_secs());
            now = zone.next().unwrap();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        zone.begin();
        zone.confirmed(SOA, at(1_000));
        assert_eq!((zone.next(), zone.expires()), (Some(at(1_100)), Some(at(2_000))));
        zone.begin();
        zone.failed(at(1_100));
        assert_eq!(zone.next(), Some(at(1_110)));
        assert!(!zone.is_expired(at(1_999)) && zone.is_expired(at(2_000)));
        zone.begin();
        zone.confirmed(SOA, at(2_001));
        assert!(!zone.is_expired(at(2_002)), "confirmed again");
    }

    #[test]
    fn notifications() {
        let mut zone = Secondary::new(Some((SOA, at(0))), at(0));
        zone.begin();
        zone.confirmed(SOA, at(1));
        zone.notified(Some(Serial(7)), at(2));
        assert!(!zone.is_due(at(2)), "we have it");
        zone.notified(Some(Serial(8)), at(2));
        assert!(zone.is_due(at(2)));
        zone.begin();
        zone.notified(None, at(3));
        assert!(!zone.is_due(at(3)), "one look at a time");
        zone.confirmed(Soa { serial: Serial(8), ..SOA }, at(4));
        assert!(zone.is_due(at(4)), "and another after it");
        // A SOA record that wants no rest gets a second.
        zone.begin();
        zone.confirmed(Soa { refresh: 0, ..SOA }, at(5));
        assert_eq!(zone.next(), Some(at(6)));
    }
}
