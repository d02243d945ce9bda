//! Who measures: rows name their publisher by a small number, and choices its POP.

use std::cmp::Ordering;

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
    /// The POP of each of them, and one number for every run of the same node.
    of: Vec<(PopNo, u16)>,
    /// In order of their names.
    pops: Vec<PopId>,
}

impl From<Vec<Option<Speaker>>> for Speakers {
    fn from(all: Vec<Option<Speaker>>) -> Self {
        let mut pops: Vec<PopId> = all.iter().flatten().map(|known| known.pop.clone()).collect();
        pops.sort();
        pops.dedup();
        let mut nodes: Vec<&NodeName> = all.iter().flatten().map(|known| &known.node).collect();
        nodes.sort();
        nodes.dedup();
        let number = |place: Result<usize, usize>| u16::try_from(place.unwrap_or(0)).unwrap_or(0);
        let of = |known: &Option<Speaker>| match known {
            Some(known) => {
                let pop = number(pops.binary_search(&known.pop));
                (PopNo(pop), number(nodes.binary_search(&&known.node)))
            }
            None => (PopNo(u16::MAX), u16::MAX),
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
        let speaker = Some(Speaker { node: node.clone(), pop: node.pop(), boot });
        let free = self.all.iter().position(Option::is_none);
        let number = u16::try_from(free.unwrap_or(self.all.len())).ok()?;
        let mut all = std::mem::take(&mut self.all);
        match all.get_mut(usize::from(number)) {
            Some(place) => *place = speaker,
            None => all.push(speaker),
        }
        *self = all.into();
        Some(number)
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
