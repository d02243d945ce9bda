//! The layout of the file, and what only labs may have.

use super::{At, Checker, SCHEMA};
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::path::TreePath;
use crate::tree::{Kind, Node};

/// A file of a newer layout: then nothing else is said about it, since its keys may be new too.
pub(crate) fn newer_layout(source: &Source<'_>, tree: &Node) -> Option<Diagnostic> {
    let Kind::Table(root) = &tree.kind else { return None };
    let Kind::Table(network) = &root.get("network")?.value.kind else { return None };
    let schema = &network.get("schema")?.value;
    let Kind::Integer(number) = schema.kind else { return None };
    if number == SCHEMA {
        return None;
    }
    let message = format!("this file has layout {number}; this popnet knows layout {SCHEMA}");
    let mut found = Diagnostic::new(source, Severity::Error, "E0106", message, &schema.span);
    found.path = "network.schema".to_owned();
    found.label = "in network.schema".to_owned();
    found.help = if number > SCHEMA {
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "it needs a popnet newer than {version}, one whose release notes name layout {number}"
        )
    } else {
        format!("write schema = {SCHEMA}")
    };
    Some(found)
}

pub(super) fn check(checker: &mut Checker<'_>) {
    let network = checker.network;
    if network.simulate.is_some() && network.network.name != "lab" {
        let name = &network.network.name;
        let path = TreePath::of(["simulate"]);
        let found = checker.error("E0440", "only labs may simulate", &path, At::Key);
        found.label = format!("the network is called {name:?}");
        found.notes.push("simulated distances and loads would steer real clients".into());
        found.help = "remove [simulate], or write name = \"lab\" in [network]".into();
    }
}
