//! A part of the table: many rows that lie still, and the few that came since.

use std::collections::BTreeMap;
use std::sync::Arc;

use popnet_terms::NodeName;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::row::{Key, Row};
use super::speakers::Speakers;

/// New rows before they are laid among the others: so many are copied when a view is published
/// and the part changes after.
const FRESH_MAX: usize = 512;

/// Rows of one unit: most networks have few POPs near a client.
pub(crate) type OfUnit = SmallVec<[Row; 4]>;

/// Rows in order of their unit, then of their speaker.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Part {
    settled: Arc<Vec<Row>>,
    fresh: BTreeMap<(Key, u16), Row>,
}

impl Part {
    /// A part with these rows, which are in order.
    pub(crate) fn of(rows: Vec<Row>) -> Self {
        Self { settled: Arc::new(rows), fresh: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.settled.len() + self.fresh.len()
    }

    /// Units with rows.
    pub(crate) fn units(&self) -> usize {
        let mut last = None;
        self.rows().filter(|row| last.replace(row.key) != Some(row.key)).count()
    }

    /// The newest row of each node on `key`, in order of their speakers.
    pub(crate) fn unit(&self, key: Key, speakers: &Speakers) -> OfUnit {
        let mut rows = OfUnit::new();
        for row in self.within(key, key) {
            keep_newest(&mut rows, row, speakers);
        }
        rows
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
        let mut settled: Vec<Row> = Vec::with_capacity(self.len());
        let mut unit = OfUnit::new();
        let all = self.within(Key::FIRST, Key::LAST);
        for row in all.filter(|row| keep(row)) {
            if unit.first().is_some_and(|first| first.key != row.key) {
                settled.extend(unit.drain(..));
            }
            keep_newest(&mut unit, row, speakers);
        }
        settled.extend(unit);
        settled.sort_by_key(|row| (row.key, row.speaker));
        *self = Self::of(settled);
    }

    /// Every row, also those that are superseded.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.within(Key::FIRST, Key::LAST)
    }

    /// The rows of the units from `first` to `last`, in order of the unit. Of two with one
    /// speaker the settled one comes first: it is the older.
    pub(crate) fn within(&self, first: Key, last: Key) -> impl Iterator<Item = &Row> {
        let start = self.settled.partition_point(|row| row.key < first);
        let settled = self.settled.get(start..).unwrap_or_default().iter();
        let mut settled = settled.take_while(move |row| row.key <= last).peekable();
        let mut fresh =
            self.fresh.range((first, 0)..=(last, u16::MAX)).map(|(_, row)| row).peekable();
        std::iter::from_fn(move || match (settled.peek(), fresh.peek()) {
            (Some(old), Some(new)) if old.key <= new.key => settled.next(),
            (Some(_), None) => settled.next(),
            (_, Some(_)) => fresh.next(),
            (None, None) => None,
        })
    }
}

/// Puts `row` among those of its unit, one a node: a later boot wins, in one boot the later word.
fn keep_newest(rows: &mut OfUnit, row: &Row, speakers: &Speakers) {
    for old in rows.iter_mut() {
        let Some(boots) = speakers.same_node(old.speaker, row.speaker) else { continue };
        if boots.then(old.seq.cmp(&row.seq)).is_lt() || (boots.is_eq() && old.seq == row.seq) {
            *old = *row;
        }
        return;
    }
    rows.push(*row);
}
