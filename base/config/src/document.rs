//! The way in: text → tree with places → typed whole, with every mistake of form and of meaning
//! reported in one run.

use std::ops::Range;

use popnet_terms::{NodeName, Role};
use popnet_wire::rollout::Digest;

use crate::check;
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::digest::digest;
use crate::network::Network;
use crate::path::TreePath;
use crate::reading;
use crate::tree;

/// Longest text that is read: 64 MiB, far above a network of thousands of sites.
const TEXT_MAX: usize = 64 << 20;

/// A configuration without errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub network: Network,
    /// Digest of its canonical form.
    pub digest: Digest,
    /// What is probably not meant.
    pub warnings: Vec<Diagnostic>,
}

/// Reads `text`; `file_name` is what messages call it.
///
/// # Errors
/// Every mistake, errors first, in order of line; warnings among them.
pub fn load(text: &str, file_name: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let source = Source::new(text, file_name);
    let whole = |code: &str, message: String, span: Range<usize>| {
        Diagnostic::new(&source, Severity::Error, code, message, &span)
    };
    if text.len() > TEXT_MAX {
        let message = format!("the file is larger than {} MiB", TEXT_MAX >> 20);
        return Err(vec![whole("E0102", message, 0..0)]);
    }
    let tree = tree::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let mut found = whole("E0101", "this is not TOML".to_owned(), span);
        found.label = error.message().lines().collect::<Vec<_>>().join("; ");
        vec![found]
    })?;
    if let Some(newer) = check::newer_layout(&source, &tree) {
        return Err(vec![newer]);
    }
    let reading = reading::read(&source, &tree);
    let mut found = reading.found;
    let network = match serde_json::from_value::<Network>(reading.value) {
        Ok(network) => network,
        Err(error) => {
            // The schema and the types are made from one source; this is the net below.
            if found.is_empty() {
                found.push(whole("E0399", format!("the types refuse it: {error}"), 0..0));
            }
            return Err(found);
        }
    };
    found.extend(check::check(&source, &tree, &network, &reading.spoilt));
    found.sort_by_key(|one| (one.severity, one.line, one.column));
    if found.iter().any(|one| one.severity == Severity::Error) {
        return Err(found);
    }
    Ok(Loaded { digest: digest(&network), network, warnings: found })
}

/// Whether a push of `text` by `pusher` would be the last one that `pusher` can make: told at push
/// time, since a file alone does not say who pushes it.
#[must_use]
pub fn lockout(text: &str, file_name: &str, pusher: &NodeName) -> Option<Diagnostic> {
    let network = load(text, file_name).ok()?.network;
    let allow = &network.masters.allow;
    let is_master = network.node(pusher).is_some_and(|node| node.runs(Role::Master));
    if is_master && allow.contains(pusher) {
        return None;
    }
    let source = Source::new(text, file_name);
    let path = TreePath::of(["masters", "allow"]);
    let span = tree::parse(text).ok()?.place(&path).value;
    let message = "this push would lock you out".to_owned();
    let mut found = Diagnostic::new(&source, Severity::Error, "E0502", message, &span);
    found.path = path.to_string();
    found.label = format!("you push from {pusher}, which the new version no longer allows");
    let other = allow.iter().find(|name| *name != pusher);
    let other = other.map_or(String::new(), |other| format!("push from {other}, or "));
    found.help = if is_master {
        format!("{other}keep {pusher} in masters.allow")
    } else {
        format!("{other}keep \"master\" among the roles of {pusher}")
    };
    Some(found)
}

/// Reads bytes that may be anything, such as a file from a disk or a push from the network.
///
/// # Errors
/// As [`load`]; text that is not UTF-8 is one error at its place.
pub fn load_bytes(bytes: &[u8], file_name: &str) -> Result<Loaded, Vec<Diagnostic>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => load(text, file_name),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let text = String::from_utf8_lossy(good);
            let source = Source::new(&text, file_name);
            let message = format!("octet {} is not UTF-8", error.valid_up_to());
            let end = text.len();
            Err(vec![Diagnostic::new(&source, Severity::Error, "E0101", message, &(end..end))])
        }
    }
}
