//! A part of the table: many rows that lie still, and the few that came since.

use std::collections::BTreeMap;
use std::sync::Arc;

use popnet_terms::NodeName;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::row::{Key, Row};
use super::settled::Settled;
use super::speakers::Speakers;

/// New rows before they are laid among the others: so many are copied when a view is published
/// and the part changes after.
const FRESH_MAX: usize = 512;

/// Rows of one unit: most have been measured by eight POPs at most.
pub(crate) type OfUnit = SmallVec<[Row; 8]>;

/// Rows in order of their unit, then of their speaker.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(into = "Spread", from = "Spread")]
pub(crate) struct Part {
    settled: Arc<Settled>,
    fresh: BTreeMap<(Key, u16), Row>,
}

/// A part as a board is kept: row by row.
#[derive(Serialize, Deserialize)]
struct Spread {
    settled: Vec<Row>,
    fresh: BTreeMap<(Key, u16), Row>,
}

impl From<Part> for Spread {
    fn from(part: Part) -> Self {
        Self { settled: part.settled.within(Key::FIRST, Key::LAST).collect(), fresh: part.fresh }
    }
}

impl From<Spread> for Part {
    fn from(Spread { settled, fresh }: Spread) -> Self {
        Self { settled: Arc::new(Settled::of(&settled)), fresh }
    }
}

impl Part {
    /// A part of rows that lie still.
    pub(super) fn still(settled: Settled) -> Self {
        Self { settled: Arc::new(settled), fresh: BTreeMap::new() }
    }

    /// A part with these rows, which are in order.
    pub(crate) fn of(rows: &[Row]) -> Self {
        Self::still(Settled::of(rows))
    }

    /// The rows that lie still.
    pub(super) fn settled(&self) -> &Settled {
        &self.settled
    }

    /// Whether new rows lie apart from the others.
    pub(crate) fn is_loose(&self) -> bool {
        !self.fresh.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.settled.len() + self.fresh.len()
    }

    /// Units with rows.
    pub(crate) fn units(&self) -> usize {
        if !self.is_loose() {
            return self.settled.keys().count();
        }
        let mut last = None;
        self.rows().filter(|row| last.replace(row.key) != Some(row.key)).count()
    }

    /// The newest row of each node on `key`, in order of their speakers.
    pub(crate) fn unit(&self, key: Key, speakers: &Speakers) -> OfUnit {
        let mut unit = OfUnit::new();
        let fresh = self.fresh.range((key, 0)..=(key, u16::MAX)).map(|(_, row)| *row);
        for row in self.settled.unit(key).chain(fresh) {
            keep_newest(&mut unit, row, speakers);
        }
        unit.sort_by_key(|row| row.speaker);
        unit
    }

    /// Hands on the same rows. Among those that lie still there is one a node already.
    pub(crate) fn each(&self, key: Key, speakers: &Speakers, mut take: impl FnMut(&Row)) {
        if self.fresh.range((key, 0)..=(key, u16::MAX)).next().is_none() {
            self.settled.unit(key).for_each(|row| take(&row));
        } else {
            self.unit(key, speakers).iter().for_each(take);
        }
    }

    /// What `node` said on `key` last.
    pub(crate) fn last(&self, key: Key, node: &NodeName, speakers: &Speakers) -> Option<Row> {
        let is_its = |row: &Row| speakers.get(row.speaker).is_some_and(|s| s.node == *node);
        self.unit(key, speakers).into_iter().find(is_its)
    }

    /// Whether anything is known of `key`.
    pub(crate) fn has(&self, key: Key) -> bool {
        self.within(key, key).next().is_some()
    }

    /// Takes `row`, which is news.
    pub(crate) fn insert(&mut self, row: Row, speakers: &Speakers) {
        self.fresh.insert((row.key, row.speaker), row);
        if self.fresh.len() > FRESH_MAX {
            self.settle(speakers, |_| true);
        }
    }

    /// Lays the new rows among the others, without those that `keep` refuses or that are
    /// superseded.
    pub(crate) fn settle(&mut self, speakers: &Speakers, keep: impl Fn(&Row) -> bool) {
        let settled = Settled::gather(|| self.newest(Key::FIRST, Key::LAST, speakers, &keep));
        *self = Self::still(settled);
    }

    /// Of each unit from `first` to `last` the rows that `keep` takes, the newest of each node, in
    /// order of speakers.
    pub(crate) fn newest(
        &self,
        first: Key,
        last: Key,
        speakers: &Speakers,
        keep: impl Fn(&Row) -> bool,
    ) -> impl Iterator<Item = OfUnit> {
        let mut rows = self.within(first, last).filter(move |row| keep(row)).peekable();
        std::iter::from_fn(move || {
            let key = rows.peek()?.key;
            let mut unit = OfUnit::new();
            while let Some(row) = rows.next_if(|row| row.key == key) {
                keep_newest(&mut unit, row, speakers);
            }
            unit.sort_by_key(|row| row.speaker);
            Some(unit)
        })
    }

    /// Every row, also those that are superseded.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        self.within(Key::FIRST, Key::LAST)
    }

    /// The rows of the units from `first` to `last`, in order of the unit. Of two with one
    /// speaker the settled one comes first: it is the older.
    pub(crate) fn within(&self, first: Key, last: Key) -> impl Iterator<Item = Row> {
        let mut settled = self.settled.within(first, last).peekable();
        let mut fresh =
            self.fresh.range((first, 0)..=(last, u16::MAX)).map(|(_, row)| *row).peekable();
        std::iter::from_fn(move || match (settled.peek(), fresh.peek()) {
            (Some(old), Some(new)) if old.key <= new.key => settled.next(),
            (Some(_), None) => settled.next(),
            (_, Some(_)) => fresh.next(),
            (None, None) => None,
        })
    }
}

/// Puts `row` among those of its unit, one a node: a later boot wins, in one boot the later word.
fn keep_newest(rows: &mut OfUnit, row: Row, speakers: &Speakers) {
    for old in rows.iter_mut() {
        let Some(boots) = speakers.same_node(old.speaker, row.speaker) else { continue };
        if boots.then(old.seq.cmp(&row.seq)).is_lt() || (boots.is_eq() && old.seq == row.seq) {
            *old = row;
        }
        return;
    }
    rows.push(row);
}
