//! Rows that lie still, in 8 octets each beside 8 for their unit: ten million units that eight
//! POPs have measured are 700 MB.
//!
//! Of a row's number only this is kept: the speaker has said nothing here with a higher one. So a
//! word that comes with a lower one is not news, and one with a higher one is.

use std::collections::BTreeSet;

use super::packed::Packed;
use super::row::{Key, Row};

/// The first row is remembered of each so many units; from there rows are counted.
const STRIDE: usize = 64;

/// Of a unit's octets so many bits count its rows: the rest are its key.
const COUNT_BITS: u32 = 9;
/// Rows of one entry; a unit with more has several.
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

/// Speakers of the rows: as many as [`Packed`] can name.
const SPEAKERS_MAX: usize = 1 << Packed::SPEAKER_BITS;

/// A network and a country.
pub(super) type Place = (u32, [u8; 2]);

/// Rows in order of their unit, then of their speaker.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled {
    /// Keys, each with the count of its rows.
    units: Vec<u64>,
    /// Where the rows of each [`STRIDE`]th unit begin.
    starts: Vec<u32>,
    rows: Vec<Packed>,
    /// When the newest row was measured, in seconds since 1970: the others count back from there.
    newest: u32,
    /// The table's number of each speaker, and the highest number of its words.
    speakers: Vec<(u16, u32)>,
    /// Networks and countries, the first one unknown.
    places: Vec<Place>,
    /// The place of each unit; empty when none is known.
    place_of: Vec<u16>,
}

impl Settled {
    /// Rows that are in order. Those of more speakers than can be named are left out.
    pub(super) fn of(rows: &[Row]) -> Self {
        Self::gather(|| rows.chunk_by(|a, b| a.key == b.key))
    }

    /// The rows of each unit in order, which are asked for twice: to be counted, and to be laid
    /// down where there is just room for them.
    pub(super) fn gather<U: AsRef<[Row]>, I: Iterator<Item = U>>(units: impl Fn() -> I) -> Self {
        let mut plan = Plan::default();
        units().for_each(|unit| plan.count(unit.as_ref()));
        let mut settled = Self {
            units: Vec::with_capacity(plan.entries),
            starts: Vec::with_capacity(plan.entries.div_ceil(STRIDE)),
            rows: Vec::with_capacity(plan.rows),
            newest: plan.newest,
            speakers: plan.speakers,
            place_of: Vec::with_capacity(if plan.places.is_empty() { 0 } else { plan.entries }),
            // In order; the unknown one is the least.
            places: std::iter::once(Default::default()).chain(plan.places).collect(),
        };
        units().for_each(|unit| settled.push(unit.as_ref()));
        settled
    }

    /// What was written down: `None` when it is not in order, or does not fit together.
    pub(super) fn from_parts(
        units: Vec<u64>,
        place_of: Vec<u16>,
        rows: Vec<Packed>,
        newest: u32,
        speakers: Vec<(u16, u32)>,
        places: Vec<Place>,
    ) -> Option<Self> {
        let mut starts = Vec::with_capacity(units.len().div_ceil(STRIDE));
        let (mut sum, mut last) = (0_usize, 0);
        for (at, unit) in units.iter().enumerate() {
            let key = *unit >> COUNT_BITS;
            (key >= last && Key::try_from(key).is_ok()).then_some(())?;
            last = key;
            if at.is_multiple_of(STRIDE) {
                starts.push(u32::try_from(sum).ok()?);
            }
            sum += count(*unit);
        }
        (sum == rows.len()).then_some(())?;
        Some(Self { units, starts, rows, newest: newest & !1, speakers, places, place_of })
    }

    /// The same rows by speakers of other numbers: `numbers` of the places.
    pub(super) fn said_by(mut self, numbers: &[u16]) -> Self {
        for ((speaker, _), number) in self.speakers.iter_mut().zip(numbers) {
            *speaker = *number;
        }
        self
    }

    pub(super) fn units(&self) -> &[u64] {
        &self.units
    }

    pub(super) fn rows(&self) -> &[Packed] {
        &self.rows
    }

    pub(super) fn place_of(&self) -> &[u16] {
        &self.place_of
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    pub(super) fn newest(&self) -> u32 {
        self.newest
    }

    /// The table's number of each speaker, and the highest number of its words.
    pub(super) fn speakers(&self) -> &[(u16, u32)] {
        &self.speakers
    }

    /// The keys of its units, each once, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        let units = self.units.chunk_by(|a, b| a >> COUNT_BITS == b >> COUNT_BITS);
        units.filter_map(|unit| Key::try_from(unit.first()? >> COUNT_BITS).ok())
    }

    fn push(&mut self, unit: &[Row]) {
        let Some(key) = unit.first().map(|row| u64::from(row.key)) else { return };
        let place = self.places.binary_search(&place_in(unit)).ok();
        let place = place.and_then(|place| u16::try_from(place).ok()).unwrap_or(0);
        for some in unit.chunks(usize::try_from(COUNT_MAX).unwrap_or(1)) {
            let start = self.rows.len();
            for row in some {
                let speaker =
                    self.speakers.binary_search_by_key(&row.speaker, |(number, _)| *number);
                let packed = speaker.ok().and_then(|at| row.packed(self.newest, at));
                self.rows.extend(packed);
            }
            if self.units.len().is_multiple_of(STRIDE) {
                self.starts.push(u32::try_from(start).unwrap_or(u32::MAX));
            }
            let count = u64::try_from(self.rows.len() - start).unwrap_or(0);
            self.units.push(key << COUNT_BITS | count);
            if self.places.len() > 1 {
                self.place_of.push(place);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows of the units from `first` to `last`.
    pub(super) fn within(&self, first: Key, last: Key) -> impl Iterator<Item = Row> {
        let begin = self.units.partition_point(|unit| unit >> COUNT_BITS < first.into());
        let last = u64::from(last);
        let units = self.units.get(begin..).unwrap_or_default().iter().copied().zip(begin..);
        let units = units.take_while(move |(unit, _)| unit >> COUNT_BITS <= last);
        let mut start = self.start(begin);
        units.flat_map(move |(unit, at)| {
            let end = start.saturating_add(count(unit));
            let rows = self.rows.get(start..end).unwrap_or_default();
            start = end;
            let place = self.place(at);
            let key = Key::try_from(unit >> COUNT_BITS).unwrap_or(Key::FIRST);
            rows.iter().map(move |row| self.unpacked(*row, key, place))
        })
    }

    /// The rows of one unit.
    pub(super) fn unit(&self, key: Key) -> impl Iterator<Item = Row> {
        let begin = self.units.partition_point(|unit| unit >> COUNT_BITS < key.into());
        let entries = self.units.get(begin..).unwrap_or_default();
        let entries = entries.iter().take_while(|unit| **unit >> COUNT_BITS == u64::from(key));
        let rows = entries.map(|unit| count(*unit)).sum();
        let start = if rows == 0 { 0 } else { self.start(begin) };
        let place = self.place(begin);
        let rows = self.rows.get(start..start.saturating_add(rows)).unwrap_or_default();
        rows.iter().map(move |row| self.unpacked(*row, key, place))
    }

    /// Where the rows of the unit at `at` begin.
    fn start(&self, at: usize) -> usize {
        let from = at / STRIDE;
        let first = self.starts.get(from).copied().unwrap_or(0);
        let before = self.units.get(from * STRIDE..at).unwrap_or_default();
        let rows: usize = before.iter().map(|unit| count(*unit)).sum();
        usize::try_from(first).unwrap_or(0).saturating_add(rows)
    }

    fn place(&self, at: usize) -> Place {
        let place = self.place_of.get(at).copied().unwrap_or(0);
        self.places.get(usize::from(place)).copied().unwrap_or_default()
    }

    fn unpacked(&self, row: Packed, key: Key, place: Place) -> Row {
        let speaker = self.speakers.get(row.speaker()).copied();
        let (speaker, seq) = speaker.unwrap_or((u16::MAX, u32::MAX));
        row.row(self.newest, speaker, seq).on(key, place)
    }
}

fn count(unit: u64) -> usize {
    usize::try_from(unit & COUNT_MAX).unwrap_or(0)
}

/// What is to be laid down.
#[derive(Default)]
struct Plan {
    entries: usize,
    rows: usize,
    newest: u32,
    speakers: Vec<(u16, u32)>,
    places: BTreeSet<Place>,
}

impl Plan {
    fn count(&mut self, unit: &[Row]) {
        self.entries += unit.len().div_ceil(usize::try_from(COUNT_MAX).unwrap_or(1));
        self.rows += unit.len();
        let place = place_in(unit);
        if place != Default::default() && self.places.len() < usize::from(u16::MAX) {
            self.places.insert(place);
        }
        for row in unit {
            self.newest = self.newest.max(row.at);
            match self.speakers.binary_search_by_key(&row.speaker, |(number, _)| *number) {
                Ok(at) => {
                    if let Some((_, high)) = self.speakers.get_mut(at) {
                        *high = row.seq.max(*high);
                    }
                }
                Err(_) if self.speakers.len() == SPEAKERS_MAX => {}
                Err(at) => self.speakers.insert(at, (row.speaker, row.seq)),
            }
        }
    }
}

/// Where the unit is, by its newest word.
fn place_in(unit: &[Row]) -> Place {
    let newest = unit.iter().max_by_key(|row| row.at);
    newest.map(|row| (row.asn, row.country)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use popnet_terms::{Micros, Timestamp};
    use popnet_wire::probing::{Latency, Method};

    use super::*;

    fn row(client: &str, speaker: u16, seq: u64) -> Row {
        let finding = Latency {
            client: client.parse().unwrap(),
            rtt: Some(Micros(u32::from(speaker) * 100)),
            spread: Micros(0),
            loss: 0,
            samples: 3,
            method: Method::Tcp53,
        };
        Row::new(&finding, Timestamp(1_900_000_000_000_000), seq, speaker)
    }

    fn all(settled: &Settled) -> Vec<Row> {
        settled.within(Key::FIRST, Key::LAST).collect()
    }

    #[test]
    fn every_unit_is_found_with_its_rows() {
        let mut rows = Vec::new();
        for n in 0..1_000_u32 {
            let client = format!("10.{}.{}.0/24", n / 250, n % 250);
            for speaker in 0..u16::try_from(n % 5).unwrap() {
                let place = (64_500 + n % 3, if n % 3 == 0 { [0; 2] } else { *b"DE" });
                let row = row(&client, speaker * 7, 9);
                rows.push(row.on(row.key, place));
            }
        }
        rows.sort_by_key(|row| (row.key, row.speaker));
        let settled = Settled::of(&rows);
        assert_eq!(all(&settled), rows);
        for unit in rows.chunk_by(|a, b| a.key == b.key) {
            let found: Vec<Row> = settled.within(unit[0].key, unit[0].key).collect();
            assert_eq!(found, unit);
            assert!(settled.unit(unit[0].key).eq(found));
        }
        let (first, last) = Key::span("10.1.0.0/16".parse().unwrap());
        let inside = rows.iter().filter(|row| (first..=last).contains(&row.key));
        assert!(settled.within(first, last).eq(inside.copied()));
        assert!(all(&Settled::of(&[])).is_empty());
    }

    #[test]
    fn a_unit_may_have_more_rows_than_one_entry_and_a_part_not_every_speaker() {
        let many: Vec<Row> = (0..1_500).map(|speaker| row("10.0.0.0/24", speaker, 1)).collect();
        assert_eq!(all(&Settled::of(&many)), many);
        assert!(Settled::of(&many).unit(many[0].key).eq(many));
        let most: Vec<Row> = (0..3_000).map(|speaker| row("10.0.0.0/24", speaker, 1)).collect();
        assert_eq!(all(&Settled::of(&most)), most[..SPEAKERS_MAX]);
    }

    #[test]
    fn a_word_is_numbered_as_the_last_of_its_speaker() {
        let rows = [row("10.0.0.0/24", 1, 5), row("10.0.1.0/24", 1, 3), row("10.0.1.0/24", 2, 9)];
        let numbers: Vec<u32> = all(&Settled::of(&rows)).iter().map(|row| row.seq).collect();
        assert_eq!(numbers, [5, 5, 9]);
    }
}
