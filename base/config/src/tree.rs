//! The file's tree with the place of every key and value: TOML's spellings of a table (header,
//! dotted, inline) are one here.

use std::collections::BTreeMap;
use std::ops::Range;

use toml_edit::{Document, Item, TomlError, Value};

use crate::path::{Step, TreePath};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Octets of the value; of the key for tables with a header.
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Table(BTreeMap<String, Entry>),
    List(Vec<Node>),
    Text(String),
    Integer(i64),
    Float(f64),
    Truth(bool),
    Time,
}

/// A key of a table with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Range<usize>,
    pub(crate) value: Node,
}

impl Kind {
    /// What the value is, in a person's words.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::List(_) => "a list",
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Truth(_) => "true or false",
            Self::Time => "a date or time",
        }
    }
}

/// Reads TOML.
pub(crate) fn parse(text: &str) -> Result<Node, TomlError> {
    let document = Document::parse(text)?;
    Ok(table(document.iter(), |key| document.get_key_value(key).and_then(|(k, _)| k.span()), 0..0))
}

fn table<'a>(
    entries: impl Iterator<Item = (&'a str, &'a Item)>,
    key_span: impl Fn(&str) -> Option<Range<usize>>,
    span: Range<usize>,
) -> Node {
    let entries = entries.map(|(name, item)| {
        let key = key_span(name).unwrap_or_else(|| span.clone());
        let value = node(item, &key);
        (name.to_owned(), Entry { key, value })
    });
    Node { kind: Kind::Table(entries.collect()), span: span.clone() }
}

/// `item` as a node; `place` is where its key stands.
fn node(item: &Item, place: &Range<usize>) -> Node {
    match item {
        Item::None => Node { span: place.clone(), kind: Kind::Table(BTreeMap::new()) },
        Item::Value(value) => value_node(value, place),
        Item::Table(of) => table(of.iter(), |key| of.key(key)?.span(), place.clone()),
        Item::ArrayOfTables(list) => {
            let rows = list.iter().map(|row| {
                let span = row.span().unwrap_or_else(|| place.clone());
                table(row.iter(), |key| row.key(key)?.span(), span)
            });
            Node { span: place.clone(), kind: Kind::List(rows.collect()) }
        }
    }
}

fn value_node(value: &Value, place: &Range<usize>) -> Node {
    let span = value.span().unwrap_or_else(|| place.clone());
    let kind = match value {
        Value::String(text) => Kind::Text(text.value().clone()),
        Value::Integer(number) => Kind::Integer(*number.value()),
        Value::Float(number) => Kind::Float(*number.value()),
        Value::Boolean(truth) => Kind::Truth(*truth.value()),
        Value::Datetime(_) => Kind::Time,
        Value::Array(list) => Kind::List(list.iter().map(|row| value_node(row, &span)).collect()),
        Value::InlineTable(of) => {
            let entries = of.iter().map(|(name, inner)| {
                let key = of.key(name).and_then(toml_edit::Key::span);
                let key = key.unwrap_or_else(|| span.clone());
                let value = value_node(inner, &key);
                (name.to_owned(), Entry { key, value })
            });
            Kind::Table(entries.collect())
        }
    };
    Node { span, kind }
}

impl Node {
    /// The places of the key and the value at `path`, or of what stands nearest above it.
    pub(crate) fn place(&self, path: &TreePath) -> Place {
        let mut place = Place { key: self.span.clone(), value: self.span.clone() };
        let mut here = self;
        for step in path.steps() {
            let next = match (step, &here.kind) {
                (Step::Key(key), Kind::Table(entries)) => entries.get(key).map(|entry| {
                    (
                        Place { key: entry.key.clone(), value: entry.value.span.clone() },
                        &entry.value,
                    )
                }),
                (Step::Index(index), Kind::List(rows)) => rows
                    .get(*index)
                    .map(|row| (Place { key: row.span.clone(), value: row.span.clone() }, row)),
                _ => None,
            };
            let Some((at, value)) = next else { break };
            place = at;
            here = value;
        }
        place
    }
}

/// Where a key and its value stand.
pub(crate) struct Place {
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
}
