//! Notifications that go out (RFC 1996): to whom, when again, and when to give up.

use std::net::SocketAddr;
use std::time::Duration;

use popnet_terms::Timestamp;

use crate::serial::Serial;

/// Waits between attempts: each twice the one before. RFC 1996 3.6 asks for patience; a secondary
/// that is not there for a minute looks by itself when it is back.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 6;

/// A notification to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// To whom.
    pub to: SocketAddr,
    /// About which serial number.
    pub serial: Serial,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    serial: Serial,
    attempts: u32,
    next: Timestamp,
}

/// Those who are told of new states of one zone.
#[derive(Clone, Debug, Default)]
pub struct Heralds(Vec<(SocketAddr, Option<Open>)>);

impl Heralds {
    /// Tells `whom`, and nobody now.
    #[must_use]
    pub fn new(whom: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(whom.into_iter().map(|to| (to, None)).collect())
    }

    /// The same for other listeners; what is open stays open for those who stay.
    #[must_use]
    pub fn with(&self, whom: impl IntoIterator<Item = SocketAddr>) -> Self {
        let open = |to: SocketAddr| self.0.iter().find(|(known, _)| *known == to).and_then(|k| k.1);
        Self(whom.into_iter().map(|to| (to, open(to))).collect())
    }

    /// The zone has a new serial number.
    pub fn announce(&mut self, serial: Serial, now: Timestamp) {
        for (_, open) in &mut self.0 {
            *open = Some(Open { serial, attempts: 0, next: now });
        }
    }

    /// What is to be sent now. Each call counts as an attempt.
    pub fn due(&mut self, now: Timestamp) -> Vec<Call> {
        let mut calls = Vec::new();
        for (to, place) in &mut self.0 {
            let Some(open) = place.as_mut().filter(|open| open.next <= now) else { continue };
            if open.attempts >= ATTEMPTS {
                *place = None;
                continue;
            }
            let wait = FIRST_WAIT * 2u32.saturating_pow(open.attempts);
            open.attempts += 1;
            open.next = now.after(wait);
            calls.push(Call { to: *to, serial: open.serial, attempt: open.attempts });
        }
        calls
    }

    /// `from` has heard of `serial`.
    pub fn answered(&mut self, from: SocketAddr, serial: Serial) {
        for (to, place) in &mut self.0 {
            if *to == from && place.is_some_and(|open| open.serial == serial) {
                *place = None;
            }
        }
    }

    /// When there is something to do next.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.0.iter().filter_map(|(_, open)| Some((*open)?.next)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn again_and_given_up() {
        let (a, b) = ("192.0.2.1:53".parse().unwrap(), "192.0.2.2:53".parse().unwrap());
        let mut heralds = Heralds::new([a, b]);
        let start = Timestamp(0);
        assert!(heralds.due(start).is_empty() && heralds.next().is_none());
        heralds.announce(Serial(1), start);
        assert_eq!(heralds.due(start).len(), 2);
        assert!(heralds.due(start).is_empty(), "not twice at once");
        heralds.answered(a, Serial(1));
        let mut waits = Vec::new();
        let mut now = start;
        while let Some(next) = heralds.next() {
            waits.push(next.since(now).as_secs());
            now = next;
            assert!(heralds.due(now).iter().all(|call| call.to == b));
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64]);
        // An answer about an older state does not end the news of the newer.
        heralds.announce(Serial(2), now);
        heralds.answered(b, Serial(1));
        assert_eq!(heralds.due(now).len(), 2);
        assert_eq!(heralds.with([b]).0.len(), 1);
        assert!(heralds.with([b]).next().is_some());
    }
}
