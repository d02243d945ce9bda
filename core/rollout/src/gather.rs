//! One phase below one node: whom to ask, what they said, and when to stop waiting. A child that
//! cannot be reached is passed over: its own children are asked directly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use popnet_terms::{NodeName, Timestamp};
use popnet_wire::rollout::{Down, Outcome};

use crate::tree::Tree;

/// How long a node without children may take: to connect, check, store and answer.
const HOP: Duration = Duration::from_secs(6);
/// No phase waits longer for one child, whatever the tree.
const LONGEST: Duration = Duration::from_secs(55);

/// Time for a child with `height` levels below it. A parent must outwait its child, which may in
/// turn pass over a silent child and then wait for that one's children: it doubles a level.
fn patience(height: u32) -> Duration {
    HOP.saturating_mul(1u32.checked_shl(height).unwrap_or(u32::MAX)).min(LONGEST)
}

#[derive(Clone, Debug)]
pub(crate) struct Gather {
    me: NodeName,
    down: Down,
    tree: Tree,
    waiting: BTreeMap<NodeName, Timestamp>,
    outcomes: BTreeMap<NodeName, Outcome>,
}

impl Gather {
    /// Asks everyone directly below `me`; those in `skip` are known to be away, so their children
    /// are asked in their place. The second value is whom to send `down` to.
    pub(crate) fn begin(
        down: Down,
        tree: Tree,
        me: &NodeName,
        skip: &[NodeName],
        now: Timestamp,
    ) -> (Self, Vec<NodeName>) {
        let mut gather = Self {
            me: me.clone(),
            down,
            tree,
            waiting: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        };
        let mut first = Vec::new();
        let mut above = vec![me.clone()];
        while let Some(node) = above.pop() {
            for child in gather.tree.children(&node) {
                if skip.contains(child) {
                    above.push(child.clone())
                } else {
                    first.push(child.clone())
                }
            }
        }
        gather.ask(&first, now);
        (gather, first)
    }

    pub(crate) fn down(&self) -> &Down {
        &self.down
    }

    pub(crate) fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What is known so far of everybody below. Once the push is off, of those who were asked.
    pub(crate) fn outcomes(&self) -> Vec<(NodeName, Outcome)> {
        let all = self.tree.below(&self.me);
        let silent = all.into_iter().filter(|node| !self.outcomes.contains_key(node));
        let silent = silent.filter(|node| !self.is_off() || self.waiting.contains_key(node));
        let silent = silent.map(|node| (node, no_word()));
        self.outcomes.iter().map(|(n, o)| (n.clone(), o.clone())).chain(silent).collect()
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.waiting.values().min().copied()
    }

    /// Takes a child's word for itself and those below it. Returns what is new and whom to ask
    /// next.
    pub(crate) fn hear(
        &mut self,
        child: &NodeName,
        said: Result<Vec<(NodeName, Outcome)>, String>,
        now: Timestamp,
    ) -> Heard {
        if self.waiting.remove(child).is_none() {
            // Too late: it has been passed over.
            return Heard::default();
        }
        let mut known = self.tree.below(child);
        known.insert(child.clone());
        let mut news: Vec<(NodeName, Outcome)> = match said {
            // A child speaks for itself and those below it, and for nobody else.
            Ok(list) => list.into_iter().filter(|(node, _)| known.contains(node)).collect(),
            Err(reason) => vec![(child.clone(), Outcome::Unreachable(reason))],
        };
        if !news.iter().any(|(node, _)| node == child) {
            news.push((child.clone(), no_word()));
        }
        self.outcomes.extend(news.iter().cloned());
        let next = if self.is_off() { Vec::new() } else { self.orphans(child) };
        self.ask(&next, now);
        Heard { news, next }
    }

    /// Passes over children whose time is up.
    pub(crate) fn expire(&mut self, now: Timestamp) -> Heard {
        let late: Vec<NodeName> = self
            .waiting
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(n, _)| n.clone())
            .collect();
        let mut all = Heard::default();
        for child in late {
            let heard = self.hear(&child, Err("no answer in time".to_owned()), now);
            all.news.extend(heard.news);
            all.next.extend(heard.next);
        }
        all
    }

    /// Once somebody refuses a prepare, nobody else needs to be asked.
    fn is_off(&self) -> bool {
        matches!(self.down, Down::Prepare(_))
            && self.outcomes.values().any(|outcome| matches!(outcome, Outcome::Refused(_)))
    }

    /// The topmost nodes below `child` of which nothing is known.
    fn orphans(&self, child: &NodeName) -> Vec<NodeName> {
        let mut found = BTreeSet::new();
        let mut above = vec![child];
        while let Some(node) = above.pop() {
            for below in self.tree.children(node) {
                if self.outcomes.contains_key(below) {
                    above.push(below);
                } else if !self.waiting.contains_key(below) {
                    found.insert(below.clone());
                }
            }
        }
        found.into_iter().collect()
    }

    fn ask(&mut self, nodes: &[NodeName], now: Timestamp) {
        for node in nodes {
            let until = now.after(patience(self.tree.height(node)));
            self.waiting.insert(node.clone(), until);
        }
    }
}

fn no_word() -> Outcome {
    Outcome::Unreachable("gave no word".to_owned())
}

/// What came of one input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Outcomes not known before.
    pub(crate) news: Vec<(NodeName, Outcome)>,
    /// Whom to ask next.
    pub(crate) next: Vec<NodeName>,
}
