//! The way of one push: the relay tree of the new version, seen from the master that pushes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use popnet_terms::NodeName;
use serde::{Deserialize, Serialize};

/// Who hands on to whom, without loops.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    children: BTreeMap<NodeName, Vec<NodeName>>,
}

impl Tree {
    /// The tree over `nodes` with `root` on top. Neighbours in `relay` (parent → children) stay
    /// neighbours whichever master pushes; nodes that `relay` does not connect with `root` hang
    /// below `root` itself, each with what it relays to.
    #[must_use]
    pub fn of(
        root: &NodeName,
        nodes: &BTreeSet<NodeName>,
        relay: &BTreeMap<NodeName, Vec<NodeName>>,
    ) -> Self {
        let mut near: BTreeMap<&NodeName, BTreeSet<&NodeName>> = BTreeMap::new();
        let pairs = relay.iter().flat_map(|(up, downs)| downs.iter().map(move |down| (up, down)));
        for (up, down) in pairs.filter(|(up, down)| nodes.contains(*up) && nodes.contains(*down)) {
            near.entry(up).or_default().insert(down);
            near.entry(down).or_default().insert(up);
        }
        let mut tree = Self::default();
        let mut seen = BTreeSet::from([root.clone()]);
        tree.grow(root, &near, &mut seen);
        let received: BTreeSet<&NodeName> = relay.values().flatten().collect();
        let (inner, tops): (Vec<_>, Vec<_>) =
            nodes.iter().partition(|node| received.contains(*node));
        for node in tops.into_iter().chain(inner) {
            if seen.insert(node.clone()) {
                tree.children.entry(root.clone()).or_default().push(node.clone());
                tree.grow(node, &near, &mut seen);
            }
        }
        tree
    }

    fn grow(
        &mut self,
        from: &NodeName,
        near: &BTreeMap<&NodeName, BTreeSet<&NodeName>>,
        seen: &mut BTreeSet<NodeName>,
    ) {
        let mut waiting = VecDeque::from([from.clone()]);
        while let Some(node) = waiting.pop_front() {
            for next in near.get(&node).into_iter().flatten() {
                if seen.insert((*next).clone()) {
                    self.children.entry(node.clone()).or_default().push((*next).clone());
                    waiting.push_back((*next).clone());
                }
            }
        }
    }

    /// The nodes directly below `node`.
    #[must_use]
    pub fn children(&self, node: &NodeName) -> &[NodeName] {
        self.children.get(node).map_or(&[], Vec::as_slice)
    }

    /// Every node below `node`, without itself.
    #[must_use]
    pub fn below(&self, node: &NodeName) -> BTreeSet<NodeName> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![node];
        while let Some(at) = waiting.pop() {
            waiting.extend(self.children(at).iter().filter(|child| found.insert((*child).clone())));
        }
        found
    }

    /// How many steps down the deepest node below `node` is.
    #[must_use]
    pub fn height(&self, node: &NodeName) -> u32 {
        let mut height = 0;
        let mut level: Vec<&NodeName> = self.children(node).iter().collect();
        while !level.is_empty() {
            height += 1;
            level = level.into_iter().flat_map(|at| self.children(at)).collect();
        }
        height
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<NodeName> {
        text.split_whitespace().map(NodeName::new).collect()
    }

    /// `relay` as `a>b,c d>e`; the tree printed the same way.
    fn check(root: &str, nodes: &str, relay: &str, tree: &str) {
        let relay: BTreeMap<NodeName, Vec<NodeName>> = relay
            .split_whitespace()
            .map(|entry| entry.split_once('>').unwrap())
            .map(|(up, downs)| (up.into(), names(&downs.replace(',', " "))))
            .collect();
        let made = Tree::of(&root.into(), &names(nodes).into_iter().collect(), &relay);
        let printed: Vec<String> = made
            .children
            .iter()
            .map(|(up, downs)| {
                let downs: Vec<&str> = downs.iter().map(NodeName::as_str).collect();
                format!("{up}>{}", downs.join(","))
            })
            .collect();
        assert_eq!(printed.join(" "), tree, "{root} over {nodes}");
    }

    #[test]
    fn rooted_at_the_master_that_pushes() {
        check("m", "m a b c", "m>a a>b,c", "a>b,c m>a");
        check("a", "m a b c", "m>a a>b,c", "a>b,c,m");
        check("b", "m a b c", "m>a a>b,c", "a>c,m b>a");
        check("m", "m a x y", "m>a x>y", "m>a,x x>y");
        check("m", "m a b", "", "m>a,b");
        check("m", "m a", "m>a,gone gone>a", "m>a");
        check("m", "m a b", "a>b b>a", "a>b m>a");
    }
}
