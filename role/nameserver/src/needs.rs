//! Wishes for latencies, from the workers to the probes (N14, N15): bounded, each client once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use popnet_terms::{NodeName, Timestamp};
use popnet_wire::frame::{Conversation, encode};
use popnet_wire::probing::{DATAGRAM_MAX, Datagram, Need, Needs};
use tokio::sync::mpsc;

use crate::counters::{Counters, count};

/// Wishes on their way from the workers. A slot of 100 ms sends at most a few dozen to a probe.
const QUEUE: usize = 1_024;
/// Clients that wait for their turn.
const PENDING: usize = 4_096;
/// A probe needs this long before asking it again makes sense.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// Clients asked for lately.
const ASKED: usize = 65_536;
/// Wishes in a datagram: the longest of them fit.
const PER_DATAGRAM: usize = 24;

/// The workers' end.
#[derive(Clone, Debug)]
pub(crate) struct Wishes(mpsc::Sender<Need>);

/// The other end.
pub(crate) type Wished = mpsc::Receiver<Need>;

pub(crate) fn channel() -> (Wishes, Wished) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Wishes(sender), receiver)
}

impl Wishes {
    /// Leaves a wish; never waits.
    pub(crate) fn wish(&self, need: Need, counters: &Counters) {
        if self.0.try_send(need).is_err() {
            count(&counters.need_overload);
        }
    }
}

/// Wishes that have not been sent, and those that have been lately.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// In order of arrival number, so that nobody waits for ever.
    waiting: BTreeMap<u64, Need>,
    numbers: BTreeMap<IpNet, u64>,
    next: u64,
    asked: BTreeMap<IpNet, Timestamp>,
}

impl Pending {
    /// Takes a wish in, unless it waits already or was sent a moment ago. Says whether there was
    /// room.
    pub(crate) fn add(&mut self, need: Need, now: Timestamp) -> bool {
        let fresh = |at: &Timestamp| now.since(*at) < PATIENCE;
        if self.numbers.contains_key(&need.client)
            || self.asked.get(&need.client).is_some_and(fresh)
        {
            return true;
        }
        if self.waiting.len() >= PENDING {
            return false;
        }
        self.numbers.insert(need.client, self.next);
        self.waiting.insert(self.next, need);
        self.next += 1;
        true
    }

    /// Takes out as many as one datagram holds, the longest waiting first.
    pub(crate) fn take(&mut self, now: Timestamp) -> Vec<Need> {
        let mut taken = Vec::new();
        while let Some((_, need)) =
            (taken.len() < PER_DATAGRAM).then(|| self.waiting.pop_first()).flatten()
        {
            self.numbers.remove(&need.client);
            if self.asked.len() >= ASKED {
                self.asked.retain(|_, at| now.since(*at) < PATIENCE);
            }
            if self.asked.len() < ASKED {
                self.asked.insert(need.client, now);
            }
            taken.push(need);
        }
        taken
    }
}

/// One datagram of wishes.
pub(crate) fn datagram(asker: &NodeName, sent: Timestamp, needs: Vec<Need>) -> Vec<u8> {
    let message = Datagram::Needs(Needs { asker: asker.clone(), sent, needs });
    let octets = encode(Conversation::Probing, &message);
    debug_assert!(octets.len() <= DATAGRAM_MAX);
    octets
}

/// Whether a wish can be carried out at all: an address that packets can be sent to.
pub(crate) fn is_probeable(resolver: IpAddr) -> bool {
    !resolver.is_unspecified() && !resolver.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(n: u16) -> Need {
        let resolver = IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, n, 1, 2, 3, 4, 5));
        Need { resolver, client: popnet_terms::client_unit(resolver) }
    }

    #[test]
    fn each_once_and_in_turn() {
        let mut pending = Pending::default();
        let now = Timestamp(1_000_000_000);
        for n in 0..60 {
            assert!(pending.add(need(n), now) && pending.add(need(n), now));
        }
        assert_eq!(pending.take(now), (0..24).map(need).collect::<Vec<_>>());
        assert!(pending.add(need(3), now));
        assert_eq!(pending.take(now).len(), 24);
        assert_eq!(pending.take(now).len(), 12);
        let later = now.after(PATIENCE);
        assert!(pending.add(need(3), later));
        assert_eq!(pending.take(later), [need(3)]);
    }

    #[test]
    fn bounded() {
        let mut pending = Pending::default();
        let full = u16::try_from(PENDING).unwrap();
        for n in 0..full {
            assert!(pending.add(need(n), Timestamp(0)));
        }
        assert!(!pending.add(need(full), Timestamp(0)));
    }

    #[test]
    fn the_longest_wishes_fit() {
        let needs: Vec<Need> = (0..24).map(|n| need(0xff00 + n)).collect();
        let name = "a-rather-long-node-name-of-the-longest-kind-there-is.and-its-pop-too";
        let octets = datagram(&NodeName::new(name), Timestamp(i64::MAX), needs);
        assert!(octets.len() <= DATAGRAM_MAX, "{}", octets.len());
    }
}
