//! The shape of the configuration: JSON Schema made from the types of [`crate::network`], for
//! editors and for our own reading of a file. One source of truth: a key exists here because a
//! field exists there.

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::nearest::nearest;
use crate::network::Network;
use crate::path::{Step, TreePath};

/// The schema as text, for editors and `popnet config schema`.
#[must_use]
pub fn schema() -> String {
    let mut text = serde_json::to_string_pretty(whole()).unwrap_or_default();
    text.push('\n');
    text
}

/// The schema of the whole file.
fn whole() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let generator = SchemaSettings::draft2020_12().into_generator();
        let mut schema = generator.into_root_schema_for::<Network>().to_value();
        without_null(&mut schema);
        schema
    })
}

/// TOML has no null: an optional key is left out. Removes the alternatives that say null.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(without_null);
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".into(), only);
                }
            }
            unwrap_single_alternative(fields);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `anyOf: [X, null]` becomes X beside the description that is already there.
fn unwrap_single_alternative(fields: &mut Map<String, Value>) {
    let Some(Value::Array(mut alternatives)) = fields.remove("anyOf") else { return };
    alternatives.retain(|one| one.get("type").is_none_or(|name| name != "null"));
    match (alternatives.pop(), alternatives.is_empty()) {
        (Some(Value::Object(only)), true) => {
            for (name, value) in only {
                fields.entry(name).or_insert(value);
            }
        }
        (Some(last), _) => {
            alternatives.push(last);
            fields.insert("anyOf".into(), Value::Array(alternatives));
        }
        (None, _) => {}
    }
}

/// What may stand at one place of the tree.
#[derive(Clone, Copy)]
pub(crate) struct Shape(&'static Value);

/// The kinds of places.
pub(crate) enum Form {
    /// A table with these keys only.
    Record(Vec<&'static str>),
    /// A table whose keys the author chooses.
    Map(Shape),
    /// A list.
    List(Shape),
    /// One of these words.
    Choice(Vec<&'static str>),
    /// Text; some have a format.
    Text(Option<&'static str>),
    /// A whole number between these bounds.
    Integer(i64, i64),
    /// Any number.
    Number,
    /// True or false.
    Truth,
}

impl Shape {
    /// The shape of the whole file.
    pub(crate) fn root() -> Self {
        Self(whole())
    }

    /// The shape behind a reference.
    fn resolved(self) -> Self {
        let target = self.0.get("$ref").and_then(Value::as_str);
        let name = target.and_then(|target| target.strip_prefix("#/$defs/"));
        match name.and_then(|name| whole().get("$defs")?.get(name)) {
            Some(definition) => Self(definition),
            None => self,
        }
    }

    fn field(self, name: &str) -> Option<&'static Value> {
        self.0.get(name)
    }

    fn text(self, name: &str) -> Option<&'static str> {
        self.field(name).and_then(Value::as_str)
    }

    /// What may stand here.
    pub(crate) fn form(self) -> Form {
        let here = self.resolved();
        if let Some(words) = here.words() {
            return Form::Choice(words);
        }
        let format = here.text("format");
        if format.is_some_and(|format| format.starts_with("popnet-")) {
            return Form::Text(format);
        }
        match here.text("type") {
            Some("object") => match here.field("properties").and_then(Value::as_object) {
                Some(keys) => Form::Record(keys.keys().map(String::as_str).collect()),
                None => Form::Map(Self(here.field("additionalProperties").unwrap_or(&Value::Null))),
            },
            Some("array") => Form::List(Self(here.field("items").unwrap_or(&Value::Null))),
            Some("boolean") => Form::Truth,
            Some("number") => Form::Number,
            Some("integer") => {
                let (low, high) = bounds(format);
                Form::Integer(low, high)
            }
            Some(_) | None => Form::Text(format),
        }
    }

    /// The words of an enumeration.
    fn words(self) -> Option<Vec<&'static str>> {
        let words = |list: &'static Value| list.as_array().map(|list| list.iter());
        if let Some(list) = self.field("enum").and_then(words) {
            return Some(list.filter_map(Value::as_str).collect());
        }
        let list = self.field("oneOf").and_then(words)?;
        Some(list.filter_map(|one| one.get("const").and_then(Value::as_str)).collect())
    }

    /// The shape of the value under `key`, when there may be one.
    pub(crate) fn key(self, key: &str) -> Option<Self> {
        let here = self.resolved();
        match here.form() {
            Form::Record(_) => here.field("properties")?.get(key).map(Self),
            Form::Map(values) => Some(values),
            Form::List(_)
            | Form::Choice(_)
            | Form::Text(_)
            | Form::Integer(..)
            | Form::Number
            | Form::Truth => None,
        }
    }

    /// What the field is for, in its author's words.
    pub(crate) fn description(self) -> Option<&'static str> {
        let own = self.text("description").or_else(|| self.resolved().text("description"))?;
        Some(own.lines().next().unwrap_or_default().trim_end_matches('.'))
    }

    /// The keys that a record must have.
    pub(crate) fn required(self) -> Vec<&'static str> {
        let list = self.resolved().field("required").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The shape at `path`, or why there is none.
    pub(crate) fn at(path: &TreePath) -> Result<Self, UnknownPath> {
        let mut shape = Self::root();
        let mut above = TreePath::default();
        for step in path.steps() {
            let next = match (step, shape.form()) {
                (Step::Key(key), _) => shape.key(key),
                (Step::Index(_), Form::List(items)) => Some(items),
                (Step::Index(_), _) => None,
            };
            shape = next.ok_or_else(|| UnknownPath::new(path, &above, step, shape))?;
            above = match step {
                Step::Key(key) => above.key(key),
                Step::Index(index) => above.index(*index),
            };
        }
        Ok(shape)
    }
}

/// The whole numbers that fit; TOML's own bounds where the type has wider ones.
fn bounds(format: Option<&str>) -> (i64, i64) {
    match format {
        Some("uint8") => (0, i64::from(u8::MAX)),
        Some("uint16") => (0, i64::from(u16::MAX)),
        Some("uint32") => (0, i64::from(u32::MAX)),
        Some("uint64" | "uint") => (0, i64::MAX),
        Some(_) | None => (i64::MIN, i64::MAX),
    }
}

/// No value can stand at this path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no value has the path {path}: {why}")]
pub struct UnknownPath {
    /// What was asked for.
    pub path: String,
    /// What is there instead, and the nearest name.
    pub why: String,
}

impl UnknownPath {
    fn new(path: &TreePath, above: &TreePath, step: &Step, shape: Shape) -> Self {
        let place = if above.steps().is_empty() { "the file".into() } else { above.to_string() };
        let why = match (step, shape.form()) {
            (Step::Key(key), Form::Record(known)) => {
                let hint = nearest(key, known.iter().copied())
                    .map_or(String::new(), |name| format!("; did you mean {name:?}?"));
                format!("{place} has no key {key:?}{hint} (keys there: {})", known.join(" "))
            }
            (Step::Key(key), Form::List(_)) => {
                format!("{place} is a list; take an element by its number, {place}[0].{key}")
            }
            (Step::Index(_), _) => format!("{place} is not a list"),
            (Step::Key(_), _) => format!("{place} has no keys"),
        };
        Self { path: path.to_string(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Result<Shape, UnknownPath> {
        Shape::at(&path.parse().unwrap())
    }

    #[test]
    fn paths() {
        for path in [
            "",
            "network.name",
            "pops.fra1.cost",
            "pops.fra1.nodes.edge1.listen.dns[0]",
            "sites.\"*\".cache.max_ttl",
            "sites.\"*\".rules[3].action",
            "masters.relay.\"ctl1.iad1\"[0]",
        ] {
            assert!(at(path).is_ok(), "{path}");
        }
        for (path, why) in [
            ("probes.edge-http.timout", "did you mean \"timeout\"?"),
            ("pop.fra1", "did you mean \"pops\"?"),
            ("network.name.first", "network.name has no keys"),
            ("network[0]", "network is not a list"),
            ("sites.x.rules.path", "take an element by its number"),
        ] {
            let Err(error) = at(path) else { panic!("{path}") };
            assert!(error.why.contains(why), "{path}: {}", error.why);
        }
    }

    #[test]
    fn no_null_anywhere() {
        assert!(!schema().contains("\"null\""));
        assert!(schema().contains("https://json-schema.org/draft/2020-12/schema"));
    }
}
