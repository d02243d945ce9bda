//! Round trips from POPs to client units, and what neighbours know of a unit without one.
//!
//! The table is cut into parts by the clients' /16 or /32, so that a view shares what did not
//! change and neighbours lie beside each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use popnet_terms::{Micros, NodeName, PopId, Timestamp};
use popnet_wire::probing::{Latency, Method};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::confidence::{Ageing, HALF};

const PARTS: usize = 256;

/// Client units kept: at some 300 octets each, 60 MB. More are refused until others expire.
const UNITS_MAX: usize = 200_000;

/// One POP's measurement of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) pop: PopId,
    pub(crate) publisher: NodeName,
    pub(crate) boot: u64,
    pub(crate) seq: u64,
    /// When, by this server's clock.
    pub(crate) at: Timestamp,
    /// Nothing answered.
    pub(crate) rtt: Option<Micros>,
    pub(crate) spread: Micros,
    pub(crate) loss: u16,
    pub(crate) samples: u16,
    pub(crate) method: Method,
}

impl Measured {
    pub(crate) fn finding(&self, client: IpNet) -> Latency {
        Latency {
            client,
            rtt: self.rtt,
            spread: self.spread,
            loss: self.loss,
            samples: self.samples,
            method: self.method,
        }
    }
}

/// Most networks have few POPs near a client.
type Row = SmallVec<[Measured; 2]>;
type Part = BTreeMap<IpNet, Row>;

/// A round trip from a POP to a unit, with how it is believed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) pop: PopId,
    pub(crate) rtt: Micros,
    pub(crate) loss: u16,
    pub(crate) at: Timestamp,
    pub(crate) confidence: u16,
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    parts: Vec<Arc<Part>>,
    units: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Arc::default()).collect(), units: 0 }
    }
}

impl Table {
    /// Keeps `new` when it is newer than what its publisher said before; `false` when it is not,
    /// or the table is full.
    pub(crate) fn record(&mut self, client: IpNet, new: Measured) -> bool {
        let client = client.trunc();
        let full = self.units >= UNITS_MAX;
        let Some(slot) = self.parts.get_mut(part_of(client)) else { return false };
        if full && !slot.contains_key(&client) {
            return false;
        }
        let part = Arc::make_mut(slot);
        let row = part.entry(client).or_insert_with(|| {
            self.units += 1;
            Row::new()
        });
        match row.iter_mut().find(|old| old.publisher == new.publisher) {
            Some(old) if (new.boot, new.seq) <= (old.boot, old.seq) => return false,
            Some(old) => *old = new,
            None => {
                row.push(new);
                row.sort_by(|a, b| a.publisher.cmp(&b.publisher));
            }
        }
        true
    }

    /// Drops what is older than `ageing` lets it count.
    pub(crate) fn forget(&mut self, ageing: Ageing, now: Timestamp, keep: impl Fn(&PopId) -> bool) {
        let alive = |m: &Measured| now.since(m.at) <= ageing.expire && keep(&m.pop);
        for slot in &mut self.parts {
            if slot.values().flatten().all(alive) {
                continue;
            }
            let part = Arc::make_mut(slot);
            for row in part.values_mut() {
                row.retain(|m| alive(m));
            }
            part.retain(|_, row| !row.is_empty());
        }
        self.units = self.parts.iter().map(|part| part.len()).sum();
    }

    /// Client units in the table.
    pub(crate) fn units(&self) -> usize {
        self.units
    }

    /// Everything, in order of the clients within each part.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpNet, &Measured)> {
        let rows = self.parts.iter().flat_map(|part| part.iter());
        rows.flat_map(|(client, row)| row.iter().map(|measured| (*client, measured)))
    }

    /// What each POP has measured for exactly `client`.
    pub(crate) fn exact(&self, client: IpNet, ageing: Ageing, now: Timestamp) -> Vec<Known> {
        let part = self.parts.get(part_of(client));
        let Some(row) = part.and_then(|part| part.get(&client)) else { return Vec::new() };
        let mut known: Vec<Known> = row.iter().filter_map(|m| believed(m, ageing, now)).collect();
        // Several probes of one POP: the most believed speaks, then the nearest.
        known.sort_by(|a, b| {
            let belief = b.confidence.cmp(&a.confidence);
            a.pop.cmp(&b.pop).then(belief).then(a.rtt.cmp(&b.rtt))
        });
        known.dedup_by(|next, first| next.pop == first.pop);
        known
    }

    /// The POPs that have tried to measure `client`, with or without an answer, and may still be
    /// believed by half.
    pub(crate) fn tried(&self, client: IpNet, ageing: Ageing, now: Timestamp) -> Vec<&PopId> {
        let row = self.parts.get(part_of(client)).and_then(|part| part.get(&client));
        let sure = |m: &&Measured| ageing.confidence(now.since(m.at)) >= HALF;
        row.into_iter().flatten().filter(sure).map(|measured| &measured.pop).collect()
    }

    /// What each POP has measured in the /16 or /32 around `client`: the median, and the oldest
    /// age among the values it rests on.
    pub(crate) fn siblings(&self, client: IpNet, ageing: Ageing, now: Timestamp) -> Vec<Known> {
        let Some(part) = self.parts.get(part_of(client)) else { return Vec::new() };
        let around = if client.prefix_len() < family_of(client).prefix_len() {
            client
        } else {
            family_of(client)
        };
        let mut by_pop: BTreeMap<PopId, Vec<Known>> = BTreeMap::new();
        for (unit, row) in part.range(around..).take(SIBLINGS_MAX) {
            if !around.contains(unit) {
                break;
            }
            for known in row.iter().filter_map(|m| believed(m, ageing, now)) {
                by_pop.entry(known.pop.clone()).or_default().push(known);
            }
        }
        by_pop.into_values().filter_map(median).collect()
    }
}

/// Neighbours looked at: more do not move a median much, and a query must not wait for them.
const SIBLINGS_MAX: usize = 64;

fn believed(measured: &Measured, ageing: Ageing, now: Timestamp) -> Option<Known> {
    let confidence = ageing.confidence(now.since(measured.at));
    (confidence > 0).then_some(())?;
    Some(Known {
        pop: measured.pop.clone(),
        rtt: measured.rtt?,
        loss: measured.loss,
        at: measured.at,
        confidence,
    })
}

fn median(mut of_one_pop: Vec<Known>) -> Option<Known> {
    of_one_pop.sort_by_key(|known| known.rtt);
    let oldest = of_one_pop.iter().map(|known| known.at).min()?;
    let doubted = of_one_pop.iter().map(|known| known.confidence).min()?;
    let middle = of_one_pop.len() / 2;
    let known = of_one_pop.into_iter().nth(middle)?;
    Some(Known { at: oldest, confidence: doubted, ..known })
}

/// The /16 or /32 around `client` (itself when it is wider).
fn family_of(client: IpNet) -> IpNet {
    match client {
        IpNet::V4(v4) => {
            let wide = Ipv4Net::new(v4.addr(), v4.prefix_len().min(16));
            wide.map_or(client, |net| IpNet::V4(net.trunc()))
        }
        IpNet::V6(v6) => {
            let wide = Ipv6Net::new(v6.addr(), v6.prefix_len().min(32));
            wide.map_or(client, |net| IpNet::V6(net.trunc()))
        }
    }
}

fn part_of(client: IpNet) -> usize {
    let hash = match family_of(client) {
        IpNet::V4(v4) => xxh3_64(&v4.network().octets()),
        IpNet::V6(v6) => xxh3_64(&v6.network().octets()),
    };
    usize::try_from(hash % 256).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn table(entries: &[(&str, &str, u32, u64)]) -> Table {
        let mut table = Table::default();
        for (client, pop, ms, seq) in entries {
            let measured = Measured {
                pop: PopId::new(pop),
                publisher: NodeName::of("probe1", &PopId::new(pop)),
                boot: 1,
                seq: *seq,
                at: Timestamp(0),
                rtt: Some(Micros(ms * 1_000)),
                spread: Micros(0),
                loss: 0,
                samples: 3,
                method: Method::DnsQuery,
            };
            table.record(client.parse().unwrap(), measured);
        }
        table
    }

    fn ageing() -> Ageing {
        Ageing::latency(Duration::from_hours(24))
    }

    #[test]
    fn newest_of_each_publisher_counts() {
        let table = table(&[
            ("192.0.2.0/24", "fra1", 20, 2),
            ("192.0.2.0/24", "fra1", 90, 1),
            ("192.0.2.0/24", "iad1", 80, 7),
        ]);
        let known = table.exact("192.0.2.0/24".parse().unwrap(), ageing(), Timestamp(0));
        let rtts: Vec<u32> = known.iter().map(|k| k.rtt.0 / 1_000).collect();
        assert_eq!(rtts, [20, 80]);
        assert_eq!(table.units(), 1);
    }

    #[test]
    fn neighbours_speak_for_the_unknown() {
        let table = table(&[
            ("10.1.1.0/24", "fra1", 20, 1),
            ("10.1.2.0/24", "fra1", 30, 2),
            ("10.1.200.0/24", "fra1", 40, 3),
            ("10.2.0.0/24", "fra1", 99, 4),
        ]);
        let known = table.siblings("10.1.77.0/24".parse().unwrap(), ageing(), Timestamp(0));
        assert_eq!(known.first().map(|k| k.rtt), Some(Micros(30_000)));
        let none = table.siblings("10.3.0.0/24".parse().unwrap(), ageing(), Timestamp(0));
        assert!(none.is_empty());
    }

    #[test]
    fn old_values_go() {
        let mut table = table(&[("192.0.2.0/24", "fra1", 20, 1)]);
        let late = Timestamp(0).after(Duration::from_hours(25));
        assert!(table.exact("192.0.2.0/24".parse().unwrap(), ageing(), late).is_empty());
        table.forget(ageing(), late, |_| true);
        assert_eq!(table.units(), 0);
    }
}
