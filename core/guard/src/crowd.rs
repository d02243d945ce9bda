//! Who stays connected. New clients always get in: the connection that has been of no use for the
//! longest time makes room.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// Open connections, each with something of its owner's: what ends it.
#[derive(Debug)]
pub struct Crowd<T> {
    limit: usize,
    per_client: usize,
    next: u64,
    members: HashMap<u64, Member<T>>,
    /// By rank: who has been of no use for the longest time is first.
    order: BTreeMap<u64, u64>,
    clients: HashMap<IpAddr, BTreeSet<u64>>,
}

#[derive(Debug)]
struct Member<T> {
    client: IpAddr,
    rank: u64,
    ending: T,
}

/// A connection has come in.
#[derive(Debug, PartialEq, Eq)]
pub struct Entered<T> {
    /// Its number.
    pub id: u64,
    /// The connection that has to end for it.
    pub ends: Option<T>,
}

impl<T> Crowd<T> {
    /// Room for `limit` connections, `per_client` of one address (of one /64 with IPv6, where
    /// addresses cost nothing). At least one each.
    #[must_use]
    pub fn new(limit: usize, per_client: usize) -> Self {
        Self {
            limit: limit.max(1),
            per_client: per_client.max(1),
            next: 0,
            members: HashMap::new(),
            order: BTreeMap::new(),
            clients: HashMap::new(),
        }
    }

    /// Takes in a connection from `address`. When its client has too many, the client's own oldest
    /// one ends; when there are too many at all, the oldest of all.
    pub fn enter(&mut self, address: IpAddr, ending: T) -> Entered<T> {
        let client = client_of(address);
        let own = self.clients.get(&client);
        let own_oldest = own.filter(|own| own.len() >= self.per_client).and_then(BTreeSet::first);
        let oldest = match own_oldest {
            Some(rank) => Some(*rank),
            None if self.members.len() >= self.limit => self.order.keys().next().copied(),
            None => None,
        };
        let ends = oldest.and_then(|rank| self.order.get(&rank).copied());
        let ends = ends.and_then(|id| self.take(id));
        let id = self.number();
        let rank = self.number();
        self.members.insert(id, Member { client, rank, ending });
        self.order.insert(rank, id);
        self.clients.entry(client).or_default().insert(rank);
        Entered { id, ends }
    }

    /// The connection has asked a whole question: it is the youngest now. Octets that make no
    /// question are no progress, however many there are.
    pub fn progress(&mut self, id: u64) {
        let rank = self.number();
        let Some(member) = self.members.get_mut(&id) else { return };
        let before = std::mem::replace(&mut member.rank, rank);
        self.order.remove(&before);
        self.order.insert(rank, id);
        if let Some(own) = self.clients.get_mut(&member.client) {
            own.remove(&before);
            own.insert(rank);
        }
    }

    /// The connection has ended.
    pub fn leave(&mut self, id: u64) {
        let _ = self.take(id);
    }

    /// Connections now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn take(&mut self, id: u64) -> Option<T> {
        let member = self.members.remove(&id)?;
        self.order.remove(&member.rank);
        if let Some(own) = self.clients.get_mut(&member.client) {
            own.remove(&member.rank);
            if own.is_empty() {
                self.clients.remove(&member.client);
            }
        }
        Some(member.ending)
    }
}

fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(four) => IpAddr::V4(four),
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_oldest_without_progress_makes_room() {
        let mut crowd = Crowd::new(3, 9);
        let a = crowd.enter(ip("192.0.2.1"), 'a');
        let _b = crowd.enter(ip("192.0.2.2"), 'b');
        let c = crowd.enter(ip("192.0.2.3"), 'c');
        crowd.progress(a.id);
        assert_eq!(crowd.enter(ip("192.0.2.4"), 'd').ends, Some('b'));
        assert_eq!(crowd.enter(ip("192.0.2.5"), 'e').ends, Some('c'));
        crowd.leave(c.id);
        assert_eq!(crowd.enter(ip("192.0.2.6"), 'f').ends, Some('a'));
        assert_eq!(crowd.len(), 3);
        crowd.leave(a.id);
        assert_eq!(crowd.len(), 3, "who has left cannot leave again");
    }

    #[test]
    fn a_greedy_client_pays_for_itself() {
        let mut crowd = Crowd::new(100, 2);
        crowd.enter(ip("192.0.2.1"), 0);
        for number in 1..50 {
            let entered = crowd.enter(ip("192.0.2.2"), number);
            assert_eq!(entered.ends, (number > 2).then(|| number - 2), "{number}");
        }
        assert_eq!(crowd.len(), 3);
        // Addresses of one /64 are one client.
        let mut crowd = Crowd::new(100, 2);
        for low in 0..9 {
            crowd.enter(ip(&format!("2001:db8::{low}")), low);
        }
        assert_eq!(crowd.len(), 2);
        crowd.enter(ip("2001:db8:0:1::1"), 9);
        assert_eq!(crowd.len(), 3);
    }

    #[test]
    fn books_agree_after_many_turns() {
        let mut crowd = Crowd::new(20, 5);
        let mut state = 3u64;
        let mut ids = Vec::new();
        for turn in 0..5_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = usize::try_from(state >> 40).unwrap();
            match pick % 3 {
                0 => {
                    let last = u8::try_from(pick % 11).unwrap();
                    ids.push(crowd.enter(IpAddr::from([192, 0, 2, last]), turn).id);
                }
                1 if !ids.is_empty() => crowd.progress(ids[pick % ids.len()]),
                _ if !ids.is_empty() => crowd.leave(ids[pick % ids.len()]),
                _ => {}
            }
            assert!(crowd.len() <= 20);
            assert_eq!(crowd.order.len(), crowd.members.len());
            assert!(crowd.clients.len() <= crowd.members.len());
        }
        for id in ids {
            crowd.leave(id);
        }
        assert!(crowd.is_empty() && crowd.order.is_empty() && crowd.clients.is_empty());
    }
}
