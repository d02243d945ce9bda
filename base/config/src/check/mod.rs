//! Checks of meaning over the typed whole: what no schema can say. Each file holds the rules about
//! one noun; every rule reports at the place it speaks of and says what to write instead.

mod delivery;
mod dns;
mod dnssec;
mod layout;
mod masters;
mod probes;
mod ranges;
mod references;
mod serve;
mod sites;
mod sockets;
mod spelling;
mod taps;
mod transfers;
mod views;

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Mark, Severity, Source};
use crate::network::Network;
use crate::path::TreePath;
use crate::tree::Node;

/// The layout of the file that this program knows.
pub(crate) const SCHEMA: i64 = 1;

pub(crate) use layout::newer_layout;

/// Everything wrong with the meaning of `network`, leaving out what hangs on `spoilt` values.
pub(crate) fn check(
    source: &Source<'_>,
    tree: &Node,
    network: &Network,
    spoilt: &[TreePath],
) -> Vec<Diagnostic> {
    let mut checker = Checker { source, tree, network, spoilt, found: Vec::new() };
    layout::check(&mut checker);
    spelling::check(&mut checker);
    ranges::check(&mut checker);
    references::check(&mut checker);
    probes::check(&mut checker);
    sites::check(&mut checker);
    transfers::check(&mut checker);
    views::check(&mut checker);
    dns::check(&mut checker);
    taps::check(&mut checker);
    dnssec::check(&mut checker);
    // Both look at all machines together: one spoilt machine would be blamed on others.
    if checker.is_whole(&TreePath::of(["pops"])) {
        sockets::check(&mut checker);
        if checker.is_whole(&TreePath::of(["masters"])) {
            masters::check(&mut checker);
        }
    }
    let mut found = std::mem::take(&mut checker.found);
    found.retain(|(path, _)| checker.is_whole(path));
    found.into_iter().map(|(_, diagnostic)| diagnostic).collect()
}

/// What the rules look at and write into.
pub(crate) struct Checker<'a> {
    source: &'a Source<'a>,
    tree: &'a Node,
    pub(crate) network: &'a Network,
    spoilt: &'a [TreePath],
    found: Vec<(TreePath, Diagnostic)>,
}

/// Which part of an entry is marked.
#[derive(Clone, Copy)]
pub(crate) enum At {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

impl Checker<'_> {
    fn span(&self, path: &TreePath, at: At) -> Range<usize> {
        let place = self.tree.place(path);
        match at {
            At::Key => place.key,
            At::Value => place.value,
        }
    }

    /// Whether all that the author wrote at `path`, above and below it is understood.
    pub(crate) fn is_whole(&self, path: &TreePath) -> bool {
        !self.spoilt.iter().any(|spoilt| path.holds(spoilt) || spoilt.holds(path))
    }

    /// Whether the keys of the table at `path` are known, whatever is below them.
    pub(crate) fn has_keys(&self, path: &TreePath) -> bool {
        !self.spoilt.iter().any(|spoilt| spoilt.holds(path))
    }

    /// Reports an error at `path`; the caller may add to it.
    pub(crate) fn error(
        &mut self,
        code: &str,
        message: impl Into<String>,
        path: &TreePath,
        at: At,
    ) -> &mut Diagnostic {
        self.report(Severity::Error, code, message.into(), path, at)
    }

    /// Reports a warning at `path`; the caller may add to it.
    pub(crate) fn warning(
        &mut self,
        code: &str,
        message: impl Into<String>,
        path: &TreePath,
        at: At,
    ) -> &mut Diagnostic {
        self.report(Severity::Warning, code, message.into(), path, at)
    }

    fn report(
        &mut self,
        severity: Severity,
        code: &str,
        message: String,
        path: &TreePath,
        at: At,
    ) -> &mut Diagnostic {
        let span = self.span(path, at);
        let mut diagnostic = Diagnostic::new(self.source, severity, code, message, &span);
        diagnostic.path = path.to_string();
        diagnostic.label = format!("in {}", path.without_indices());
        &mut self.found.push_mut((path.clone(), diagnostic)).1
    }

    /// The mark of another place that belongs to a mistake.
    pub(crate) fn mark(&self, path: &TreePath, at: At, label: impl Into<String>) -> Mark {
        self.source.mark(&self.span(path, at), label.into())
    }
}

/// Names for a note: the first dozen and how many more there are.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<&str> = names.into_iter().collect();
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 if names.is_empty() => "none".to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
