//! What a new version leaves undone until a node starts again: its processes start a role only when
//! they start themselves, and none ends because the configuration took it away.

use std::fmt;

use popnet_terms::{NodeName, Role};
use serde::{Deserialize, Serialize};

use crate::network::{Network, Node};

/// A node that does not run what the new version says before somebody starts it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Which node.
    pub node: NodeName,
    /// Roles that go on running.
    pub ends: Vec<Role>,
    /// Roles that do not run yet.
    pub begins: Vec<Role>,
    /// What to type, on that node.
    pub next: String,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |roles: &[Role]| roles.iter().map(|r| r.name()).collect::<Vec<_>>().join(", ");
        write!(f, "! {}", self.node)?;
        if !self.ends.is_empty() {
            write!(f, "   goes on running {}", words(&self.ends))?;
        }
        if !self.begins.is_empty() {
            write!(f, "   does not run {} yet", words(&self.begins))?;
        }
        write!(f, "; next, there: {}", self.next)
    }
}

/// The nodes of `old` to which `new` gives other roles.
#[must_use]
pub fn restarts(old: &Network, new: &Network) -> Vec<Restart> {
    let of = |(name, _, was): (NodeName, _, &Node)| {
        let is = new.node(&name);
        let roles = |node: Option<&Node>| node.map(|node| node.roles.clone()).unwrap_or_default();
        let without = |some: &[Role], others: &[Role]| -> Vec<Role> {
            some.iter().copied().filter(|role| !others.contains(role)).collect()
        };
        let (was, now) = (roles(Some(was)), roles(is));
        let (ends, begins) = (without(&was, &now), without(&now, &was));
        let next = match is {
            None => "end `popnet run`",
            Some(node) if node.holds_configuration() => "end `popnet run` and start it again",
            // Nobody tells such a node: what it runs stands in its own file (G6).
            Some(_) => "change `roles` in node.toml, end `popnet run` and start it again",
        };
        let changes = !ends.is_empty() || !begins.is_empty();
        changes.then(|| Restart { node: name, ends, begins, next: next.to_owned() })
    };
    old.nodes().filter_map(of).collect()
}
