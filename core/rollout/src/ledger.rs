//! What a node must have on disk before it says a word: the only state that survives a crash.
//!
//! | before this is sent            | this is durable                                   |
//! |--------------------------------|---------------------------------------------------|
//! | `Prepared`, and `Prepare` on   | the staged version and its way down               |
//! | `Switched`, and `Commit` on    | the version as committed, and who was left behind |
//! | `Aborted`, and `Abort` on      | the ledger without the staged version             |
//!
//! At the master that pushes, "durable as committed" is the decision itself.

use std::collections::BTreeMap;

use popnet_terms::{NodeName, Timestamp};
use popnet_wire::rollout::{Digest, Epoch, Version};
use serde::{Deserialize, Serialize};

use crate::tree::Tree;

/// A node's memory of configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// In force here.
    pub committed: Option<Version>,
    /// Checked, stored and not decided.
    pub staged: Option<Staged>,
    /// The highest number taken from each master: a number stands for one text for good, so what
    /// was aborted is never prepared again by a straggling message.
    pub promised: BTreeMap<NodeName, Epoch>,
    /// A commit whose way down has not been walked to the end.
    pub unfinished: Option<Unfinished>,
}

/// A version that may come into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// Which.
    pub version: Version,
    /// Its way down.
    pub tree: Tree,
    /// Since when, by this node's clock.
    pub since: Timestamp,
}

/// A commit that others below may not have heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Its way down.
    pub tree: Tree,
    /// Who was left behind.
    pub fenced: Vec<NodeName>,
}

impl Ledger {
    /// A ledger with `version` in force, as a node gets it when it joins.
    #[must_use]
    pub fn seeded(version: Version) -> Self {
        Self { committed: Some(version), ..Self::default() }
    }

    /// The number in force; 0 for none.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.committed.as_ref().map_or(Epoch(0), |version| version.epoch)
    }

    /// Whether exactly this version is in force.
    #[must_use]
    pub fn runs(&self, epoch: Epoch, digest: Digest) -> bool {
        self.committed.as_ref().is_some_and(|v| v.epoch == epoch && v.digest == digest)
    }

    /// The next number that `master` may give. Masters count in steps of their number, each from
    /// its own place, so that two of them never give one number to two texts, even when neither
    /// can reach the other.
    #[must_use]
    pub fn next_epoch(&self, master: &NodeName, masters: &[NodeName]) -> Epoch {
        let mut sorted: Vec<&NodeName> = masters.iter().collect();
        sorted.sort();
        sorted.dedup();
        let step = sorted.len().max(1) as u64;
        let place = sorted.iter().position(|name| *name == master).unwrap_or(0) as u64;
        let staged = self.staged.as_ref().map_or(Epoch(0), |staged| staged.version.epoch);
        let promised = self.promised.values().max().copied().unwrap_or_default();
        let above = self.epoch().max(staged).max(promised).0 + 1;
        // The first number from `above` on whose remainder is this master's place.
        Epoch(above + (place + step - above % step) % step)
    }

    pub(crate) fn staging(&self, version: Version, tree: Tree, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.promise(&version.master.clone(), version.epoch);
        next.staged = Some(Staged { version, tree, since: now });
        next
    }

    pub(crate) fn committing(&self, staged: &Staged, fenced: Vec<NodeName>) -> Self {
        let mut next = self.adopting(staged.version.clone());
        next.unfinished = Some(Unfinished { tree: staged.tree.clone(), fenced });
        next
    }

    /// The ledger after `version` came into force elsewhere and is caught up with.
    pub(crate) fn adopting(&self, version: Version) -> Self {
        let mut next = self.clone();
        next.promise(&version.master.clone(), version.epoch);
        // What is staged with a higher number may still be decided; a lower one never will.
        next.staged = next.staged.filter(|staged| staged.version.epoch > version.epoch);
        next.unfinished = None;
        next.committed = Some(version);
        next
    }

    pub(crate) fn aborting(&self, epoch: Epoch) -> Self {
        let mut next = self.clone();
        next.staged = next.staged.filter(|staged| staged.version.epoch != epoch);
        next
    }

    pub(crate) fn finished(&self) -> Self {
        Self { unfinished: None, ..self.clone() }
    }

    fn promise(&mut self, master: &NodeName, epoch: Epoch) {
        let promised = self.promised.entry(master.clone()).or_default();
        *promised = epoch.max(*promised);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_never_share_a_number() {
        let masters = ["b".into(), "a".into(), "c".into()];
        let mut given = std::collections::BTreeSet::new();
        for master in &masters {
            let mut ledger = Ledger::default();
            for _ in 0..20 {
                let epoch = ledger.next_epoch(master, &masters);
                assert!(given.insert(epoch), "{epoch} twice");
                ledger.promise(master, epoch);
            }
        }
        let one = Ledger::default().next_epoch(&"a".into(), &["a".into()]);
        assert_eq!(one, Epoch(1), "a single master counts one by one");
    }
}
