//! Round trips from POPs to client units, and what others know of a unit without one.
//!
//! The table is cut into parts by the clients' /16 or /32, so that a view shares what did not
//! change, neighbours lie beside each other, and a part is kept on disk by itself.

mod groups;
mod kept;
mod packed;
mod part;
mod row;
mod settled;
mod speakers;

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use popnet_terms::{Micros, NodeName, PopId, Timestamp};
use popnet_wire::probing::Latency;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use self::groups::Groups;
use self::part::{OfUnit, Part};
use self::row::{Key, Row};
pub(crate) use self::speakers::PopNo;
use self::speakers::Speakers;
use crate::atlas::Place;
use crate::confidence::{Ageing, HALF};

/// Parts of the table, and files of a kept one.
pub(crate) const PARTS: u16 = 256;

/// The form in which a part is kept; the first is still read.
pub(crate) const VERSION: u16 = 2;

/// Rows kept: ten million units that eight POPs have measured, at 8 octets each. More are refused
/// until others expire.
const ROWS_MAX: usize = 80_000_000;

/// Neighbours looked at: more do not move a median much, and a query must not wait for them.
const SIBLINGS_MAX: usize = 32;

/// A round trip from a POP to a unit, with how it is believed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) pop: PopNo,
    pub(crate) rtt: Micros,
    pub(crate) spread: Micros,
    pub(crate) loss: u16,
    pub(crate) at: Timestamp,
    pub(crate) confidence: u16,
}

/// What each POP knows, in order of the POPs.
pub(crate) type AllKnown = SmallVec<[Known; 8]>;

/// The table as a view has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    parts: Vec<Arc<Part>>,
    speakers: Arc<Speakers>,
    groups: Groups,
    #[serde(skip)]
    rows: usize,
    #[serde(skip)]
    units: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Arc::default()).collect(),
            speakers: Arc::default(),
            groups: Groups::default(),
            rows: 0,
            units: 0,
        }
    }
}

impl Table {
    /// The POPs that have measured, in order of their numbers.
    pub(crate) fn pops(&self) -> &[PopId] {
        self.speakers.pops()
    }

    /// What a POP that has measured is called.
    pub(crate) fn pop(&self, number: PopNo) -> Option<&PopId> {
        self.speakers.pop(number)
    }

    /// The number of `pop` in this table, if it has measured anything.
    pub(crate) fn number(&self, pop: &PopId) -> Option<PopNo> {
        self.speakers.number(pop)
    }

    /// Client units in the table.
    pub(crate) fn units(&self) -> usize {
        self.units
    }

    /// At most `most` of the units, spread over all of them by a hash: the same ones wherever the
    /// same are known.
    pub(crate) fn among(&self, most: usize) -> Vec<IpNet> {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let all = u64::try_from(self.units).unwrap_or(u64::MAX).max(1);
        let share = u128::from(most) * u128::from(u64::MAX) / u128::from(all);
        let limit = u64::try_from(share).unwrap_or(u64::MAX);
        let mut last = None;
        let rows = self.parts.iter().flat_map(|part| part.rows());
        let keys = rows.map(|row| row.key).filter(|key| last.replace(*key) != Some(*key));
        let mut units: Vec<IpNet> =
            keys.filter(|key| key.hash() <= limit).map(|key| key.net()).collect();
        units.sort();
        units
    }

    /// What each POP has measured for exactly `client`.
    pub(crate) fn exact(&self, client: IpNet, ageing: Ageing, now: Timestamp) -> AllKnown {
        self.known_of(Key::of(client), ageing, now)
    }

    /// The POPs that have tried to measure `client`, with or without an answer, and may still be
    /// believed by half.
    pub(crate) fn tried(&self, client: IpNet, ageing: Ageing, now: Timestamp) -> Vec<&PopId> {
        let rows = self.unit(Key::of(client)).unwrap_or_default();
        let sure = |row: &&Row| ageing.confidence(now.since(row.at())) >= HALF;
        let pop = |row: &Row| self.speakers.get(row.speaker).map(|speaker| &speaker.pop);
        rows.iter().filter(sure).filter_map(pop).collect()
    }

    /// What each POP has measured around `client`: the median, and the oldest age among the values
    /// it rests on. Around is the announced prefix when that lies within a /16 or /32, else the
    /// /16 or /32.
    pub(crate) fn siblings(
        &self,
        client: IpNet,
        announced: Option<IpNet>,
        ageing: Ageing,
        now: Timestamp,
    ) -> AllKnown {
        let Some(part) = self.parts.get(part_of(client)) else { return AllKnown::new() };
        let family = family_of(client);
        let is_within =
            |net: &IpNet| family.contains(net) && net.prefix_len() < client.prefix_len();
        let around = announced.filter(is_within).unwrap_or(family);
        let (first, last) = Key::span(around);
        let beside =
            part.newest(first, last, &self.speakers, |row| row.key.length() >= around.prefix_len());
        self.medians(beside.take(SIBLINGS_MAX), ageing, now)
    }

    /// What each POP has measured in a network, in one country or everywhere: the median.
    pub(crate) fn network(
        &self,
        asn: u32,
        country: Option<[u8; 2]>,
        ageing: Ageing,
        now: Timestamp,
    ) -> AllKnown {
        let keys = self.groups.of(asn, country);
        self.medians(keys.iter().filter_map(|key| self.unit(*key)), ageing, now)
    }

    /// Some units with what each POP has measured for them: what a model of distances rests on.
    pub(crate) fn some(
        &self,
        count: usize,
        ageing: Ageing,
        now: Timestamp,
    ) -> impl Iterator<Item = (IpNet, AllKnown)> {
        self.groups.some(count).map(move |key| (key.net(), self.known_of(key, ageing, now)))
    }

    fn known_of(&self, key: Key, ageing: Ageing, now: Timestamp) -> AllKnown {
        let mut known = AllKnown::new();
        if let Some(part) = self.parts.get(part_of(key.net())) {
            let take = |row: &Row| known.extend(self.believed(row, ageing, now));
            part.each(key, &self.speakers, take);
        }
        // Several probes of one POP: the most believed speaks, then the nearest.
        known.sort_by(|a, b| {
            let belief = b.confidence.cmp(&a.confidence);
            a.pop.cmp(&b.pop).then(belief).then(a.rtt.cmp(&b.rtt))
        });
        known.dedup_by(|next, first| next.pop == first.pop);
        known
    }

    fn unit(&self, key: Key) -> Option<OfUnit> {
        let part = self.parts.get(part_of(key.net()))?;
        Some(part.unit(key, &self.speakers))
    }

    /// The median of each POP in `units`.
    fn medians(
        &self,
        units: impl Iterator<Item = OfUnit>,
        ageing: Ageing,
        now: Timestamp,
    ) -> AllKnown {
        // By speaker first, so that the names of POPs are looked at once a speaker and not a row.
        let mut said: Vec<(u16, Vec<(Row, u16)>)> = Vec::new();
        for unit in units {
            for row in unit {
                let confidence = ageing.confidence(now.since(row.at()));
                if confidence == 0 || row.rtt().is_none() {
                    continue;
                }
                match said.iter_mut().find(|(speaker, _)| *speaker == row.speaker) {
                    Some((_, rows)) => rows.push((row, confidence)),
                    None => said.push((row.speaker, vec![(row, confidence)])),
                }
            }
        }
        let mut by_pop: BTreeMap<PopNo, Vec<(Row, u16)>> = BTreeMap::new();
        for (speaker, rows) in said {
            let Some(pop) = self.speakers.pop_of(speaker) else { continue };
            by_pop.entry(pop).or_default().extend(rows);
        }
        by_pop.into_iter().filter_map(|(pop, rows)| median(pop, rows)).collect()
    }

    fn believed(&self, row: &Row, ageing: Ageing, now: Timestamp) -> Option<Known> {
        let confidence = ageing.confidence(now.since(row.at()));
        (confidence > 0).then_some(())?;
        Some(Known {
            pop: self.speakers.pop_of(row.speaker)?,
            rtt: row.rtt()?,
            spread: row.spread(),
            loss: row.loss(),
            at: row.at(),
            confidence,
        })
    }
}

/// The writer's side: the table, what of it is not yet on disk, and how far the sweep is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Book {
    table: Table,
    /// Parts that changed since they were given out to be kept.
    #[serde(skip)]
    changed: Vec<bool>,
    sweep: Sweep,
}

/// A round through the parts drops what has expired and learns anew who speaks for a network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Sweep {
    next: usize,
    groups: Groups,
    /// Speakers that have rows.
    heard: Vec<bool>,
}

impl Default for Book {
    fn default() -> Self {
        let changed = vec![false; usize::from(PARTS)];
        Self { table: Table::default(), changed, sweep: Sweep::default() }
    }
}

impl Sweep {
    fn hear(&mut self, speaker: u16) {
        let speaker = usize::from(speaker);
        if self.heard.len() <= speaker {
            self.heard.resize(speaker + 1, false);
        }
        if let Some(heard) = self.heard.get_mut(speaker) {
            *heard = true;
        }
    }
}

/// Who says something, and in which order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'a> {
    pub(crate) publisher: &'a NodeName,
    pub(crate) boot: u64,
    pub(crate) seq: u64,
    /// When it was measured, by this server's clock.
    pub(crate) at: Timestamp,
}

impl Book {
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The book as it is after it was read: what only follows from the rest is found anew.
    pub(crate) fn recounted(mut self) -> Self {
        let parts = &self.table.parts;
        self.table.rows = parts.iter().map(|part| part.len()).sum();
        self.table.units = parts.iter().map(|part| part.units()).sum();
        self.table.parts.resize(usize::from(PARTS), Arc::default());
        self.sweep.next = self.sweep.next.min(usize::from(PARTS));
        self.changed = vec![false; usize::from(PARTS)];
        self
    }

    /// Keeps `finding` when it is newer than what its publisher said before; `false` when it is
    /// not, or the table is full.
    pub(crate) fn record(
        &mut self,
        finding: &Latency,
        word: Word<'_>,
        place: Option<&Place>,
    ) -> bool {
        let table = &mut self.table;
        let at = part_of(finding.client);
        let Some(slot) = table.parts.get_mut(at) else { return false };
        let Some(speaker) = speaker_of(&mut table.speakers, word) else { return false };
        let mut row = Row::new(finding, word.at, word.seq, speaker);
        if let Some(place) = place {
            (row.asn, row.country) = (place.asn, place.country);
        }
        let is_new_unit = !slot.has(row.key);
        if is_new_unit && table.rows >= ROWS_MAX {
            return false;
        }
        if let Some(last) = slot.last(row.key, word.publisher, &table.speakers) {
            let boots = table.speakers.same_node(row.speaker, last.speaker);
            if boots.is_some_and(|boots| boots.then(row.seq.cmp(&last.seq)).is_le()) {
                return false;
            }
        }
        let part = Arc::make_mut(slot);
        let before = part.len();
        part.insert(row, &table.speakers);
        table.rows = (table.rows + part.len()).saturating_sub(before);
        table.units += usize::from(is_new_unit);
        table.groups.add(&row);
        self.sweep.groups.add(&row);
        self.sweep.hear(speaker);
        self.mark(at);
        true
    }

    /// Goes on with the round: drops what is older than `ageing` lets it count or what `keep`
    /// refuses. A small table is swept whole, a large one in eight calls.
    pub(crate) fn forget(&mut self, ageing: Ageing, now: Timestamp, keep: impl Fn(&PopId) -> bool) {
        let parts = usize::from(PARTS);
        let stretch = if self.table.rows < 100_000 { parts } else { parts / 8 };
        for at in self.sweep.next..(self.sweep.next + stretch).min(parts) {
            self.sweep_part(at, ageing, now, &keep);
        }
        self.sweep.next += stretch;
        if self.sweep.next < parts {
            return;
        }
        let sweep = std::mem::take(&mut self.sweep);
        self.table.groups = sweep.groups;
        let heard = |number: u16| sweep.heard.get(usize::from(number)).copied().unwrap_or(false);
        Arc::make_mut(&mut self.table.speakers).keep(heard);
    }

    fn sweep_part(
        &mut self,
        at: usize,
        ageing: Ageing,
        now: Timestamp,
        keep: &impl Fn(&PopId) -> bool,
    ) {
        let Some(slot) = self.table.parts.get_mut(at) else { return };
        let speakers = &self.table.speakers;
        let alive = |row: &Row| {
            let known = speakers.get(row.speaker).is_some_and(|speaker| keep(&speaker.pop));
            known && now.since(row.at()) <= ageing.expire
        };
        let all_live = slot.rows().all(|row| alive(&row));
        if slot.is_loose() || !all_live {
            let (rows, units) = (slot.len(), slot.units());
            let part = Arc::make_mut(slot);
            part.settle(speakers, alive);
            self.table.rows = (self.table.rows + part.len()).saturating_sub(rows);
            self.table.units = (self.table.units + part.units()).saturating_sub(units);
            if let Some(changed) = self.changed.get_mut(at).filter(|_| !all_live) {
                *changed = true;
            }
        }
        for row in slot.rows() {
            self.sweep.groups.add(&row);
            self.sweep.hear(row.speaker);
        }
    }

    fn mark(&mut self, at: usize) {
        if let Some(changed) = self.changed.get_mut(at) {
            *changed = true;
        }
    }

    /// Up to `most` parts that changed, each as octets to be kept under its number.
    pub(crate) fn changed(&mut self, most: usize) -> Vec<(u16, Vec<u8>)> {
        let Table { parts, speakers, rows, .. } = &mut self.table;
        let all = (0..PARTS).zip(parts.iter_mut().zip(&mut self.changed));
        let changed = all.filter(|(_, (_, changed))| **changed).take(most);
        changed
            .map(|(number, (part, changed))| {
                *changed = false;
                if part.is_loose() {
                    let before = part.len();
                    Arc::make_mut(part).settle(speakers, |_| true);
                    *rows = (*rows + part.len()).saturating_sub(before);
                }
                (number, kept::write(part.settled(), speakers))
            })
            .collect()
    }

    /// Takes a kept part over; what is known already is kept when it is newer. `None`: the octets
    /// are no part in the form of `version`.
    pub(crate) fn restore(
        &mut self,
        version: u16,
        octets: &[u8],
        keep: impl Fn(&PopId) -> bool,
    ) -> Option<usize> {
        if version == 1 {
            let (named, rows) = kept::read_rows(octets)?;
            let numbers = self.numbers(&named, keep);
            return Some(self.lay(renumbered(rows, &numbers)));
        }
        let (named, settled) = kept::read(octets)?;
        let numbers = self.numbers(&named, keep);
        let known: Vec<u16> = numbers.iter().copied().flatten().collect();
        if known.len() == numbers.len()
            && let Some(at) = part_of_all(settled.keys())
            && let Some(slot) = self.table.parts.get_mut(at).filter(|slot| slot.len() == 0)
            && self.table.rows + settled.len() <= ROWS_MAX
        {
            *slot = Arc::new(Part::still(settled.said_by(&known)));
            known.iter().for_each(|speaker| self.sweep.hear(*speaker));
            self.table.rows += slot.len();
            self.table.units += slot.units();
            return Some(slot.len());
        }
        let rows = settled.within(Key::FIRST, Key::LAST);
        Some(self.lay(renumbered(rows, &numbers)))
    }

    /// The table's numbers of those who are named, where they are kept.
    fn numbers(&mut self, named: &kept::Named, keep: impl Fn(&PopId) -> bool) -> Vec<Option<u16>> {
        let number = |(node, boot): &(NodeName, u64)| {
            let word = Word { publisher: node, boot: *boot, seq: 0, at: Timestamp(0) };
            keep(&node.pop()).then(|| speaker_of(&mut self.table.speakers, word)).flatten()
        };
        named.iter().map(number).collect()
    }

    /// Lays kept rows into the part of the first. Rows that belong to another part were not written
    /// by us.
    fn lay(&mut self, rows: impl Iterator<Item = Row>) -> usize {
        let mut rows = rows.peekable();
        let Some(first) = rows.peek().map(|row| row.key) else { return 0 };
        let (at, mut last) = (part_of(first.net()), first);
        let is_its = |row: &Row| {
            let is_beside = row.key.is_beside(last);
            last = row.key;
            is_beside || part_of(row.key.net()) == at
        };
        let mut rows: Vec<Row> = rows.filter(is_its).collect();
        let Some(slot) = self.table.parts.get_mut(at) else { return 0 };
        let room = ROWS_MAX.saturating_sub(self.table.rows);
        rows.truncate(room);
        for row in &rows {
            self.sweep.hear(row.speaker);
        }
        rows.sort_by_key(|row| (row.key, row.speaker));
        let taken = rows.len();
        let old = std::mem::replace(slot, Arc::new(Part::of(&rows)));
        if old.len() > 0 {
            let part = Arc::make_mut(slot);
            for row in old.rows() {
                part.insert(row, &self.table.speakers);
            }
        }
        self.table.rows = (self.table.rows + slot.len()).saturating_sub(old.len());
        self.table.units = (self.table.units + slot.units()).saturating_sub(old.units());
        taken
    }
}

/// `rows` by the table's numbers of their speakers; those of speakers without one are left out.
fn renumbered(
    rows: impl Iterator<Item = Row>,
    numbers: &[Option<u16>],
) -> impl Iterator<Item = Row> {
    rows.filter_map(|row| {
        let number = numbers.get(usize::from(row.speaker)).copied().flatten()?;
        Some(row.said_by(number))
    })
}

/// The part to which all of `keys` belong; `None`: there are none, or they belong to several.
fn part_of_all(mut keys: impl Iterator<Item = Key>) -> Option<usize> {
    let mut last = keys.next()?;
    let at = part_of(last.net());
    let is_its = |key: Key| {
        let is_beside = key.is_beside(last);
        last = key;
        is_beside || part_of(key.net()) == at
    };
    keys.all(is_its).then_some(at)
}

fn speaker_of(speakers: &mut Arc<Speakers>, word: Word<'_>) -> Option<u16> {
    let known = speakers.find(word.publisher, word.boot);
    known.or_else(|| Arc::make_mut(speakers).add(word.publisher, word.boot))
}

/// The row in the middle, as old and as doubtful as the oldest and most doubtful of all.
fn median(pop: PopNo, mut rows: Vec<(Row, u16)>) -> Option<Known> {
    rows.sort_by_key(|(row, _)| (row.rtt(), row.key));
    let oldest = rows.iter().map(|(row, _)| row.at()).min()?;
    let confidence = rows.iter().map(|(_, confidence)| *confidence).min()?;
    let (middle, _) = rows.get(rows.len() / 2)?;
    Some(Known {
        pop,
        rtt: middle.rtt()?,
        spread: middle.spread(),
        loss: middle.loss(),
        at: oldest,
        confidence,
    })
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

    use popnet_wire::probing::Method;

    use super::*;

    fn finding(client: &str, ms: u32) -> Latency {
        Latency {
            client: client.parse().unwrap(),
            rtt: Some(Micros(ms * 1_000)),
            spread: Micros(0),
            loss: 0,
            samples: 3,
            method: Method::DnsQuery,
        }
    }

    fn say(book: &mut Book, client: &str, pop: &str, ms: u32, (boot, seq): (u64, u64)) -> bool {
        let publisher = NodeName::of("probe1", &PopId::new(pop));
        let word = Word { publisher: &publisher, boot, seq, at: Timestamp(0) };
        book.record(&finding(client, ms), word, None)
    }

    fn book(entries: &[(&str, &str, u32, u64)]) -> Book {
        let mut book = Book::default();
        for (client, pop, ms, seq) in entries {
            say(&mut book, client, pop, *ms, (1, *seq));
        }
        book
    }

    fn ageing() -> Ageing {
        Ageing::latency(Duration::from_hours(24))
    }

    fn exact(book: &Book, client: &str) -> Vec<u32> {
        let known = book.table().exact(client.parse().unwrap(), ageing(), Timestamp(0));
        known.iter().map(|known| (known.rtt.0 + 500) / 1_000).collect()
    }

    #[test]
    fn newest_of_each_publisher_counts() {
        let mut book = book(&[
            ("192.0.2.0/24", "fra1", 20, 2),
            ("192.0.2.0/24", "fra1", 90, 1),
            ("192.0.2.0/24", "iad1", 80, 7),
        ]);
        assert_eq!(exact(&book, "192.0.2.0/24"), [20, 80]);
        assert_eq!(book.table().units(), 1);
        // After a restart the publisher counts from the beginning.
        assert!(say(&mut book, "192.0.2.0/24", "fra1", 30, (2, 1)));
        assert!(!say(&mut book, "192.0.2.0/24", "fra1", 70, (1, 9)));
        assert_eq!(exact(&book, "192.0.2.0/24"), [30, 80]);
    }

    #[test]
    fn neighbours_speak_for_the_unknown() {
        let book = book(&[
            ("10.1.1.0/24", "fra1", 20, 1),
            ("10.1.2.0/24", "fra1", 30, 2),
            ("10.1.200.0/24", "fra1", 40, 3),
            ("10.2.0.0/24", "fra1", 99, 4),
        ]);
        let around = |net: &str, announced: Option<&str>| {
            let announced = announced.map(|net| net.parse().unwrap());
            let client = net.parse().unwrap();
            let known = book.table().siblings(client, announced, ageing(), Timestamp(0));
            known.first().map(|known| known.rtt.0 / 1_000)
        };
        assert_eq!(around("10.1.77.0/24", None), Some(30));
        assert_eq!(around("10.1.3.0/24", Some("10.1.0.0/22")), Some(30));
        assert_eq!(around("10.1.201.0/24", Some("10.1.200.0/22")), Some(40));
        assert_eq!(around("10.1.201.0/24", Some("10.0.0.0/8")), Some(30), "as if not known");
        assert_eq!(around("10.3.0.0/24", None), None);
    }

    #[test]
    fn a_network_speaks_for_its_clients_whatever_the_order() {
        let place = |asn| Place { asn, country: *b"DE", ..Place::default() };
        let build = |order: &mut dyn Iterator<Item = u32>| {
            let mut book = Book::default();
            let publisher = NodeName::of("probe1", &PopId::new("fra1"));
            for i in order {
                let client = format!("10.{}.{}.0/24", i / 250, i % 250);
                let word = Word { publisher: &publisher, boot: 1, seq: i.into(), at: Timestamp(0) };
                let place = place(if i % 3 == 0 { 64_500 } else { 64_501 });
                book.record(&finding(&client, 10 + i % 40), word, Some(&place));
            }
            book
        };
        let (forth, back) = (build(&mut (1..2_000)), build(&mut (1..2_000).rev()));
        let speak = |book: &Book, country| {
            book.table().network(64_500, country, ageing(), Timestamp(0)).first().cloned()
        };
        let said = speak(&forth, Some(*b"DE")).unwrap();
        assert!((20_000..40_000).contains(&said.rtt.0), "{said:?}");
        assert_eq!(Some(&said), speak(&back, Some(*b"DE")).as_ref());
        assert_eq!(Some(&said), speak(&forth, None).as_ref());
        assert_eq!(speak(&forth, Some(*b"FR")), None);
    }

    #[test]
    fn old_values_go() {
        let mut book = book(&[("192.0.2.0/24", "fra1", 20, 1), ("192.0.2.0/24", "iad1", 20, 1)]);
        book.forget(ageing(), Timestamp(0), |pop| pop.as_str() == "fra1");
        assert_eq!(exact(&book, "192.0.2.0/24"), [20]);
        let late = Timestamp(0).after(Duration::from_hours(25));
        book.forget(ageing(), late, |_| true);
        assert_eq!(book.table().units(), 0);
        // The number of the speaker who has gone is free for the next.
        assert!(say(&mut book, "192.0.2.0/24", "nrt1", 5, (1, 1)));
        assert_eq!(exact(&book, "192.0.2.0/24"), [5]);
    }

    #[test]
    fn many_rows_come_back_from_their_parts() {
        let mut first = Book::default();
        for i in 0..5_000_u32 {
            let client = format!("10.{}.{}.0/24", i % 3, i / 3 % 250);
            for (pop, ms) in [("fra1", 10), ("iad1", 90), ("nrt1", 200)] {
                say(&mut first, &client, pop, ms + i % 7, (1, u64::from(i)));
            }
        }
        let parts = first.changed(usize::from(PARTS));
        assert!(!parts.is_empty() && first.changed(1).is_empty());
        let mut second = Book::default();
        say(&mut second, "10.0.0.0/24", "fra1", 77, (2, 1));
        for (_, octets) in &parts {
            assert!(second.restore(VERSION, octets, |pop| pop.as_str() != "nrt1").is_some());
        }
        assert_eq!(exact(&second, "10.1.7.0/24"), exact(&first, "10.1.7.0/24")[..2]);
        assert_eq!(exact(&second, "10.0.0.0/24")[0], 77, "what came since is newer");
        assert_eq!(second.table().units(), first.table().units());
        for cut in [0, 1, 40, 1_000] {
            let (_, octets) = &parts[0];
            assert!(
                second.restore(VERSION, &octets[..cut.min(octets.len() - 1)], |_| true).is_none()
            );
        }
    }
}
