//! The difference of two configurations by meaning: values by path, not lines of text.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::network::Network;
use crate::path::TreePath;

/// One value that differs. A table that is new or gone is one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which value.
    pub path: String,
    /// What it was, for people; nothing: it is new.
    pub old: Option<String>,
    /// What it is to be; nothing: it is gone.
    pub new: Option<String>,
}

impl fmt::Display for Change {
    /// `~ sites."x".cache.default_ttl   10m → 1h`, `+ pops.sin1   …`, `- pops.sin1   …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, old, new } = self;
        match (old, new) {
            (Some(old), Some(new)) => write!(f, "~ {path}   {old} → {new}"),
            (None, Some(new)) => write!(f, "+ {path}   {new}"),
            (Some(old), None) => write!(f, "- {path}   {old}"),
            (None, None) => write!(f, "  {path}"),
        }
    }
}

/// What changes from `old` to `new`, in order of path.
#[must_use]
pub fn diff(old: &Network, new: &Network) -> Vec<Change> {
    let mut changes = Vec::new();
    let tree = |network| serde_json::to_value(network).unwrap_or_default();
    compare(&tree(old), &tree(new), &TreePath::default(), &mut changes);
    changes
}

fn compare(old: &Value, new: &Value, path: &TreePath, changes: &mut Vec<Change>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => tables(old, new, path, changes),
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() && !is_plain(old) => {
            for (at, (old, new)) in old.iter().zip(new).enumerate() {
                compare(old, new, &path.index(at), changes);
            }
        }
        (old, new) if old == new => {}
        (old, new) => changes.push(Change {
            path: path.to_string(),
            old: Some(print(old)),
            new: Some(print(new)),
        }),
    }
}

fn tables(
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    path: &TreePath,
    changes: &mut Vec<Change>,
) {
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let below = path.key(key);
        match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) => compare(old, new, &below, changes),
            (old, new) => changes.push(Change {
                path: below.to_string(),
                old: old.map(print),
                new: new.map(print),
            }),
        }
    }
}

/// Whether a list holds single values only; such lists are compared as one value.
fn is_plain(list: &[Value]) -> bool {
    !list.iter().any(Value::is_object)
}

/// A value in one line, texts without quotes.
fn print(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let inside: Vec<_> =
                fields.iter().map(|(key, value)| format!("{key} = {}", print(value))).collect();
            format!("{{ {} }}", inside.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
