//! Round trips to clients, summed by client unit (steering model, section 5: free measurements).
//! One connection counts once, whatever it carried; nobody's address is kept.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use popnet_terms::{Micros, Timestamp, Trip, client_unit};
use popnet_wire::trips::{TripsAsk, TripsTold, UNITS_MAX, UnitTrips};

/// Units kept: some ten megabytes. The one that was heard of longest ago makes room.
const KEPT_MAX: usize = 65_536;

/// What is known of every unit.
#[derive(Debug)]
pub struct Trips {
    boot: u64,
    last: u64,
    units: BTreeMap<IpNet, Unit>,
    /// Units by their last change.
    order: BTreeMap<u64, IpNet>,
}

#[derive(Clone, Copy, Debug)]
struct Unit {
    change: u64,
    at: Timestamp,
    rtt: Micros,
    spread: Micros,
    loss: u16,
    connections: u32,
}

impl Trips {
    /// Nothing yet. `boot` differs from start to start and is never 0.
    #[must_use]
    pub fn new(boot: u64) -> Self {
        Self { boot: boot.max(1), last: 0, units: BTreeMap::new(), order: BTreeMap::new() }
    }

    /// Takes a connection in that ended at `now`. One without a measured round trip says nothing.
    pub fn record(&mut self, client: IpAddr, trip: Trip, now: Timestamp) {
        if trip.least == Micros(0) {
            return;
        }
        let client = client_unit(client.to_canonical());
        let before = self.units.get(&client).copied();
        if let Some(before) = before {
            self.order.remove(&before.change);
        } else if self.units.len() >= KEPT_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.units.remove(&oldest);
        }
        self.last += 1;
        self.order.insert(self.last, client);
        self.units.insert(client, Unit { change: self.last, ..Unit::after(before, trip, now) });
    }

    /// What is new since `ask`; everything for one who knows another start.
    #[must_use]
    pub fn told(&self, ask: TripsAsk, now: Timestamp) -> TripsTold {
        let after = if ask.boot == self.boot { ask.after.min(self.last) } else { 0 };
        let news = self.order.range(after.saturating_add(1)..).take(UNITS_MAX);
        let mut told = TripsTold { boot: self.boot, upto: after, units: Vec::new() };
        for (change, client) in news {
            let Some(unit) = self.units.get(client) else { continue };
            told.upto = *change;
            told.units.push(unit.told(*client, now));
        }
        told
    }
}

impl Unit {
    /// The newest connection counts for an eighth: enough to follow a changed way within a
    /// minute's connections, too little for one that is far off to move much.
    fn after(before: Option<Self>, trip: Trip, now: Timestamp) -> Self {
        let blend = |old: u32, new: u32| {
            u32::try_from((u64::from(old) * 7 + u64::from(new)) / 8).unwrap_or(u32::MAX)
        };
        let spread = trip.smoothed.0.saturating_sub(trip.least.0);
        let again = u64::from(trip.again.min(trip.sent)) * 1_000;
        let loss = again.checked_div(u64::from(trip.sent)).unwrap_or(0);
        let loss = u16::try_from(loss).unwrap_or(1_000);
        let Some(old) = before else {
            let (rtt, spread) = (trip.least, Micros(spread));
            return Self { change: 0, at: now, rtt, spread, loss, connections: 1 };
        };
        Self {
            change: 0,
            at: now,
            rtt: Micros(blend(old.rtt.0, trip.least.0).max(1)),
            spread: Micros(blend(old.spread.0, spread)),
            loss: u16::try_from(blend(u32::from(old.loss), u32::from(loss))).unwrap_or(1_000),
            connections: old.connections.saturating_add(1),
        }
    }

    fn told(&self, client: IpNet, now: Timestamp) -> UnitTrips {
        UnitTrips {
            client,
            rtt: self.rtt,
            spread: self.spread,
            loss: self.loss,
            connections: self.connections,
            age_ms: u32::try_from(now.since(self.at).as_millis()).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip(least: u32) -> Trip {
        Trip { least: Micros(least), smoothed: Micros(least + 500), sent: 100, again: 1 }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_unit_is_smoothed_and_told_once() {
        let mut trips = Trips::new(7);
        let at = |second: i64| Timestamp(second * 1_000_000);
        trips.record(ip("192.0.2.77"), trip(20_000), at(1));
        trips.record(ip("::ffff:192.0.2.1"), trip(28_000), at(2));
        trips.record(ip("2001:db8:1:2::3"), trip(9_000), at(3));
        trips.record(ip("198.51.100.1"), trip(0), at(3));
        let told = trips.told(TripsAsk::default(), at(4));
        let seen: Vec<_> = told.units.iter().map(|u| (u.client.to_string(), u.rtt.0)).collect();
        assert_eq!(seen, [("192.0.2.0/24".into(), 21_000), ("2001:db8:1::/48".into(), 9_000)]);
        let first = told.units[0];
        assert_eq!((first.spread.0, first.loss, first.connections), (500, 10, 2));
        assert_eq!(first.age_ms, 2_000);
        let ask = TripsAsk { boot: told.boot, after: told.upto };
        assert_eq!(trips.told(ask, at(5)).units, []);
        trips.record(ip("192.0.2.9"), trip(21_000), at(6));
        assert_eq!(trips.told(ask, at(6)).units.len(), 1);
        // Who knows another start is told everything, and so is one from the future of this one.
        assert_eq!(trips.told(TripsAsk { boot: 6, after: 3 }, at(6)).units.len(), 2);
        assert_eq!(trips.told(TripsAsk { boot: 7, after: u64::MAX }, at(6)).units.len(), 0);
    }

    #[test]
    fn the_table_is_bounded_and_is_told_in_pieces() {
        let mut trips = Trips::new(0);
        let count = u32::try_from(KEPT_MAX).unwrap() + 10;
        for n in 0..count {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + (n << 8));
            trips.record(address.into(), trip(1 + n), Timestamp(0));
        }
        assert_eq!((trips.units.len(), trips.order.len()), (KEPT_MAX, KEPT_MAX));
        let (mut ask, mut heard) = (TripsAsk::default(), Vec::new());
        loop {
            let told = trips.told(ask, Timestamp(0));
            assert!(told.units.len() <= UNITS_MAX);
            ask = TripsAsk { boot: told.boot, after: told.upto };
            if told.units.is_empty() {
                break;
            }
            heard.extend(told.units);
        }
        // The ten that were heard of first have made room.
        assert_eq!((heard.len(), heard[0].rtt), (KEPT_MAX, Micros(11)));
    }
}
