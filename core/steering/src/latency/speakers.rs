//! Who measures: rows name their publisher by a small number, and choices its POP.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use popnet_terms::{NodeName, PopId};
use serde::{Deserialize, Serialize};

/// One run of one publisher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Speaker {
    pub(crate) node: NodeName,
    pub(crate) pop: PopId,
    /// Its sequence numbers begin again at each start.
    pub(crate) boot: u64,
}

/// A POP by its place among those that have measured, which is that of its name. It means
/// something in one table only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PopNo(u16);

/// Of a number that is free.
const NOBODYS: PopNo = PopNo(u16::MAX);

impl PopNo {
    /// Its place in [`Speakers::pops`].
    pub(crate) fn place(self) -> usize {
        self.0.into()
    }
}

/// Publishers by number.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Option<Speaker>>", into = "Vec<Option<Speaker>>")]
pub(crate) struct Speakers {
    all: Vec<Option<Speaker>>,
    /// The POP of each of them, and the number of the first run of the same node.
    of: Vec<(PopNo, u16)>,
    /// In order of their names.
    pops: Vec<PopId>,
}

impl From<Vec<Option<Speaker>>> for Speakers {
    fn from(all: Vec<Option<Speaker>>) -> Self {
        let mut pops: Vec<PopId> = all.iter().flatten().map(|known| known.pop.clone()).collect();
        pops.sort();
        pops.dedup();
        let mut first_runs: BTreeMap<&NodeName, u16> = BTreeMap::new();
        for (number, known) in (0..=u16::MAX).zip(&all) {
            if let Some(known) = known {
                first_runs.entry(&known.node).or_insert(number);
            }
        }
        let of = |known: &Option<Speaker>| match known {
            Some(known) => {
                let pop = pops.binary_search(&known.pop).ok().and_then(|at| u16::try_from(at).ok());
                let node = first_runs.get(&known.node).copied();
                (pop.map_or(NOBODYS, PopNo), node.unwrap_or(u16::MAX))
            }
            None => (NOBODYS, u16::MAX),
        };
        let of = all.iter().map(of).collect();
        Self { all, of, pops }
    }
}

impl From<Speakers> for Vec<Option<Speaker>> {
    fn from(speakers: Speakers) -> Self {
        speakers.all
    }
}

impl Speakers {
    pub(crate) fn get(&self, number: u16) -> Option<&Speaker> {
        self.all.get(usize::from(number))?.as_ref()
    }

    /// The POP of the speaker with this number.
    pub(crate) fn pop_of(&self, number: u16) -> Option<PopNo> {
        self.of.get(usize::from(number)).map(|(pop, _)| *pop).filter(|pop| self.pop(*pop).is_some())
    }

    /// The POPs that have measured, in order of their names.
    pub(crate) fn pops(&self) -> &[PopId] {
        &self.pops
    }

    /// What this POP is called.
    pub(crate) fn pop(&self, number: PopNo) -> Option<&PopId> {
        self.pops.get(number.place())
    }

    /// The number of `pop`, if it has measured anything.
    pub(crate) fn number(&self, pop: &PopId) -> Option<PopNo> {
        u16::try_from(self.pops.binary_search(pop).ok()?).ok().map(PopNo)
    }

    /// The number of this run of `node`, if it has one.
    pub(crate) fn find(&self, node: &NodeName, boot: u64) -> Option<u16> {
        let is = |known: &Option<Speaker>| {
            known.as_ref().is_some_and(|known| known.boot == boot && known.node == *node)
        };
        u16::try_from(self.all.iter().position(is)?).ok()
    }

    /// Gives this run of `node` a number; `None` when all 65,535 are in use.
    pub(crate) fn add(&mut self, node: &NodeName, boot: u64) -> Option<u16> {
        let free = self.all.iter().position(Option::is_none).unwrap_or(self.all.len());
        let number = u16::try_from(free).ok()?;
        let pop = self.numbered(&node.pop());
        let is_its = |known: &Option<Speaker>| known.as_ref().is_some_and(|k| k.node == *node);
        let other_run = self.all.iter().position(is_its).and_then(|at| self.of.get(at));
        // Where nobody has a number, no run of another node has it for its node either.
        let of = (pop, other_run.map_or(number, |(_, node)| *node));
        let speaker = Some(Speaker { node: node.clone(), pop: node.pop(), boot });
        match (self.all.get_mut(free), self.of.get_mut(free)) {
            (Some(place), Some(place_of)) => (*place, *place_of) = (speaker, of),
            _ => {
                self.all.push(speaker);
                self.of.push(of);
            }
        }
        Some(number)
    }

    /// The number of `pop`, which gets one if it has none: then those behind it move up.
    fn numbered(&mut self, pop: &PopId) -> PopNo {
        let at = match self.pops.binary_search(pop) {
            Ok(at) => at,
            Err(at) => {
                self.pops.insert(at, pop.clone());
                let behind = self.of.iter_mut().map(|(pop, _)| pop);
                for pop in behind.filter(|pop| pop.place() >= at && **pop != NOBODYS) {
                    *pop = PopNo(pop.0.saturating_add(1));
                }
                at
            }
        };
        PopNo(u16::try_from(at).unwrap_or(NOBODYS.0))
    }

    /// Frees the numbers that no row has any more.
    pub(crate) fn keep(&mut self, used: impl Fn(u16) -> bool) {
        let mut all = std::mem::take(&mut self.all);
        for (number, speaker) in (0..=u16::MAX).zip(&mut all) {
            if !used(number) {
                *speaker = None;
            }
        }
        *self = all.into();
    }

    /// Whether the rows of `a` and `b` are words of one node, and which boot is the later.
    pub(crate) fn same_node(&self, a: u16, b: u16) -> Option<Ordering> {
        if a == b {
            return Some(Ordering::Equal);
        }
        let node = |number: u16| self.of.get(usize::from(number)).map(|(_, node)| *node);
        if node(a)? != node(b)? {
            return None;
        }
        Some(self.get(a)?.boot.cmp(&self.get(b)?.boot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is added one by one is numbered as what is read at once.
    #[test]
    fn numbers_follow_who_comes_and_goes() {
        let mut speakers = Speakers::default();
        let node = |n: u64| NodeName::new(&format!("probe.p{:02}", n * 7 % 23));
        for n in 0..60 {
            let number = speakers.add(&node(n), n).unwrap();
            let pop = speakers.pop_of(number).unwrap();
            assert_eq!(speakers.pop(pop), Some(&node(n).pop()));
            if n % 9 == 8 {
                speakers.keep(|number| number % 3 != 0);
            }
            let anew = Speakers::from(speakers.all.clone());
            assert!(speakers.pops.is_sorted() && anew.pops == speakers.pops);
            let all = || 0..u16::try_from(speakers.all.len()).unwrap();
            for a in all() {
                assert_eq!(speakers.pop_of(a), anew.pop_of(a), "{n}: {a}");
                for b in all() {
                    let expected = match (speakers.get(a), speakers.get(b)) {
                        (Some(one), Some(two)) if one.node == two.node => {
                            Some(one.boot.cmp(&two.boot))
                        }
                        _ => None,
                    };
                    if speakers.get(a).is_some() && speakers.get(b).is_some() {
                        assert_eq!(speakers.same_node(a, b), expected, "{n}: {a} {b}");
                    }
                }
            }
        }
    }
}
