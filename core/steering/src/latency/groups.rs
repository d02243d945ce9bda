//! Which units speak for a network: of each network and country a sample of those measured, the
//! ones with the least hash. Who was measured first does not matter, so that name servers that
//! know the same choose alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::row::{Key, Row};

const PARTS: usize = 64;

/// Units that speak for a network and country: a median of these is within a few percent.
pub(crate) const SAMPLE: usize = 24;

type Sample = SmallVec<[Key; 2]>;
/// By network and country.
type Part = BTreeMap<(u32, [u8; 2]), Sample>;

/// The samples.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "Vec<Group>", from = "Vec<Group>")]
pub(crate) struct Groups {
    parts: Vec<Arc<Part>>,
}

/// A network, a country, and who speaks for it: as it is kept.
type Group = (u32, [u8; 2], Vec<Key>);

impl From<Groups> for Vec<Group> {
    fn from(groups: Groups) -> Self {
        let all = groups.parts.iter().flat_map(|part| part.iter());
        all.map(|((asn, country), sample)| (*asn, *country, sample.to_vec())).collect()
    }
}

impl From<Vec<Group>> for Groups {
    fn from(all: Vec<Group>) -> Self {
        let mut groups = Self::default();
        for (asn, country, mut sample) in all {
            let Some(slot) = groups.parts.get_mut(part_of(asn)) else { continue };
            sample.sort_by_key(|key| key.hash());
            sample.truncate(SAMPLE);
            Arc::make_mut(slot).insert((asn, country), Sample::from_vec(sample));
        }
        groups
    }
}

impl Default for Groups {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| Arc::default()).collect() }
    }
}

impl Groups {
    /// Lets the unit of `row` speak for its network, if it is among the few.
    pub(crate) fn add(&mut self, row: &Row) {
        if row.asn == 0 {
            return;
        }
        let group = (row.asn, row.country);
        let Some(slot) = self.parts.get_mut(part_of(row.asn)) else { return };
        let place = match slot.get(&group) {
            Some(sample) => match sample.binary_search_by_key(&row.key.hash(), |key| key.hash()) {
                Ok(_) => return,
                Err(place) if place >= SAMPLE => return,
                Err(place) => place,
            },
            None => 0,
        };
        let sample = Arc::make_mut(slot).entry(group).or_default();
        sample.insert(place.min(sample.len()), row.key);
        sample.truncate(SAMPLE);
    }

    /// The units that speak for a network in a country; without one, for the network everywhere.
    pub(crate) fn of(&self, asn: u32, country: Option<[u8; 2]>) -> Vec<Key> {
        let Some(part) = self.parts.get(part_of(asn)) else { return Vec::new() };
        let (from, to) = country.map_or(([0; 2], [u8::MAX; 2]), |country| (country, country));
        let samples = part.range((asn, from)..=(asn, to));
        let mut keys: Vec<Key> = samples.flat_map(|(_, sample)| sample.iter().copied()).collect();
        keys.sort_by_key(|key| key.hash());
        keys.truncate(SAMPLE);
        keys
    }

    /// Some of the units that speak for anybody, those with the least hash in their network.
    pub(crate) fn some(&self, count: usize) -> impl Iterator<Item = Key> {
        let samples = self.parts.iter().flat_map(|part| part.values());
        samples.filter_map(|sample| sample.first().copied()).take(count)
    }
}

fn part_of(asn: u32) -> usize {
    usize::try_from(asn).unwrap_or(0) % PARTS
}
