//! Who measures: rows name their publisher by a small number.

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

/// Publishers by number.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Speakers {
    all: Vec<Option<Speaker>>,
}

impl Speakers {
    pub(crate) fn get(&self, number: u16) -> Option<&Speaker> {
        self.all.get(usize::from(number))?.as_ref()
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
        if let Some(free) = self.all.iter().position(Option::is_none) {
            *self.all.get_mut(free)? = speaker;
            return u16::try_from(free).ok();
        }
        let number = u16::try_from(self.all.len()).ok()?;
        self.all.push(speaker);
        Some(number)
    }

    /// Frees the numbers that no row has any more.
    pub(crate) fn keep(&mut self, used: impl Fn(u16) -> bool) {
        for (number, speaker) in (0..=u16::MAX).zip(&mut self.all) {
            if !used(number) {
                *speaker = None;
            }
        }
    }

    /// Whether the rows of `a` and `b` are words of one node, and which boot is the later.
    pub(crate) fn same_node(&self, a: u16, b: u16) -> Option<std::cmp::Ordering> {
        let (a, b) = (self.get(a)?, self.get(b)?);
        (a.node == b.node).then(|| a.boot.cmp(&b.boot))
    }
}
