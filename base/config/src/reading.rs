//! Holds a file's tree against the schema: every unknown key, missing key and value of the wrong
//! form is reported at its place. What comes out always fits the types, so that the checks of
//! meaning can look at the rest of the file in the same run: a wrong optional value is left out,
//! a wrong necessary one replaced, and its path noted as spoilt.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use ipnet::IpNet;
use popnet_terms::{BitRate, Octets, PerTime, Span};
use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::nearest::nearest;
use crate::network::{Peer, Pin, Who};
use crate::path::TreePath;
use crate::schema::{Form, Shape};
use crate::tree::{Entry, Kind, Node};

/// What a reading gives.
pub(crate) struct Reading {
    /// The tree as it fits the types.
    pub(crate) value: Value,
    /// Mistakes of form.
    pub(crate) found: Vec<Diagnostic>,
    /// Paths about whose meaning nothing can be said.
    pub(crate) spoilt: Vec<TreePath>,
}

/// Reads `tree` against the schema.
pub(crate) fn read(source: &Source<'_>, tree: &Node) -> Reading {
    let mut reader = Reader { source, found: Vec::new(), spoilt: Vec::new() };
    let root = TreePath::default();
    let value = reader.value(tree, Shape::root(), &root);
    let value = value.unwrap_or_else(|| placeholder(Shape::root()));
    Reading { value, found: reader.found, spoilt: reader.spoilt }
}

struct Reader<'a> {
    source: &'a Source<'a>,
    found: Vec<Diagnostic>,
    spoilt: Vec<TreePath>,
}

impl Reader<'_> {
    /// The value as it fits `shape`; `None` when it does not and has been reported.
    fn value(&mut self, node: &Node, shape: Shape, path: &TreePath) -> Option<Value> {
        match (shape.form(), &node.kind) {
            (Form::Record(keys), Kind::Table(entries)) => {
                Some(self.record(node, entries, &keys, shape, path))
            }
            (Form::Map(values), Kind::Table(entries)) => Some(self.map(entries, values, path)),
            (Form::List(items), Kind::List(rows)) => Some(self.list(rows, items, path)),
            (Form::Choice(words), Kind::Text(word)) => self.choice(node, word, &words, path),
            (Form::Text(format), Kind::Text(text)) => self.text(node, text, format, path),
            (Form::Text(Some(format)), Kind::Integer(number)) if is_unit(format) => {
                self.text(node, &number.to_string(), Some(format), path)
            }
            (Form::Text(Some(format)), Kind::Float(number)) if is_unit(format) => {
                self.text(node, &number.to_string(), Some(format), path)
            }
            (Form::Integer(low, high), Kind::Integer(number)) => {
                self.integer(node, *number, (low, high), path)
            }
            (Form::Number, Kind::Integer(number)) => Some(Value::from(*number)),
            (Form::Number, Kind::Float(number)) => self.number(node, *number, path),
            (Form::Truth, Kind::Truth(truth)) => Some(Value::from(*truth)),
            (form, kind) => {
                let message = format!("expected {}, found {}", form_name(&form), kind.name());
                let help = self.form_help(node, &form);
                self.report("E0301", message, &node.span, path, help);
                None
            }
        }
    }

    fn record(
        &mut self,
        node: &Node,
        entries: &BTreeMap<String, Entry>,
        keys: &[&'static str],
        shape: Shape,
        path: &TreePath,
    ) -> Value {
        let required = shape.required();
        let mut fields = Map::new();
        let mut misspelt = Vec::new();
        for (key, entry) in entries {
            let below = path.key(key);
            match shape.key(key) {
                None => misspelt.extend(self.unknown_key(key, entry, keys, path)),
                Some(inner) => match self.value(&entry.value, inner, &below) {
                    Some(value) => drop(fields.insert(key.clone(), value)),
                    None if required.contains(&key.as_str()) => {
                        fields.insert(key.clone(), placeholder(inner));
                    }
                    None => {}
                },
            }
        }
        for key in required {
            if !fields.contains_key(key)
                && let Some(inner) = shape.key(key)
            {
                fields.insert(key.to_owned(), placeholder(inner));
                if !misspelt.contains(&key) {
                    self.missing_key(node, key, inner, path);
                }
            }
        }
        Value::Object(fields)
    }

    /// Reports a key that does not exist; the one that was probably meant.
    fn unknown_key(
        &mut self,
        key: &str,
        entry: &Entry,
        keys: &[&'static str],
        path: &TreePath,
    ) -> Option<&'static str> {
        let known = format!("keys here: {}", keys.join(" "));
        let meant = nearest(key, keys.iter().copied());
        let help = match meant {
            Some(name) => format!("did you mean {name:?}?   {known}"),
            None => known,
        };
        let message = format!("unknown key {key:?}");
        self.report("E0104", message, &entry.key, &path.key(key), help);
        self.label(path);
        self.spoilt.extend(meant.map(|name| path.key(name)));
        meant
    }

    fn missing_key(&mut self, node: &Node, key: &str, shape: Shape, path: &TreePath) {
        let example = match shape.form() {
            Form::Record(_) | Form::Map(_) => "{ … }".to_owned(),
            Form::List(_) => "[…]".to_owned(),
            Form::Choice(words) => {
                words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" | ")
            }
            Form::Text(_) => "\"…\"".to_owned(),
            Form::Integer(..) | Form::Number => "1".to_owned(),
            Form::Truth => "true".to_owned(),
        };
        let about = shape.description().map_or(String::new(), |text| format!("   ({text})"));
        let help = format!("add {key} = {example}{about}");
        let message = format!("missing key {key:?}");
        self.report("E0105", message, &node.span, &path.key(key), help);
        self.label(path);
    }

    fn map(&mut self, entries: &BTreeMap<String, Entry>, values: Shape, path: &TreePath) -> Value {
        let read = |(key, entry): (&String, &Entry)| {
            let value = self.value(&entry.value, values, &path.key(key));
            (key.clone(), value.unwrap_or_else(|| placeholder(values)))
        };
        Value::Object(entries.iter().map(read).collect())
    }

    fn list(&mut self, rows: &[Node], items: Shape, path: &TreePath) -> Value {
        let read = |(at, row): (usize, &Node)| {
            let value = self.value(row, items, &path.index(at));
            value.unwrap_or_else(|| placeholder(items))
        };
        Value::Array(rows.iter().enumerate().map(read).collect())
    }

    fn choice(
        &mut self,
        node: &Node,
        word: &str,
        words: &[&str],
        path: &TreePath,
    ) -> Option<Value> {
        if words.contains(&word) {
            return Some(Value::from(word));
        }
        let all = words.join(" | ");
        let help = match nearest(word, words.iter().copied()) {
            Some(name) => format!("did you mean {name:?}?   values here: {all}"),
            None => format!("values here: {all}"),
        };
        self.report("E0302", format!("{word:?} is not a value here"), &node.span, path, help);
        None
    }

    fn text(
        &mut self,
        node: &Node,
        text: &str,
        format: Option<&str>,
        path: &TreePath,
    ) -> Option<Value> {
        match wrong_text(text, format) {
            None => Some(Value::from(text)),
            Some((code, message, help)) => {
                self.report(code, message, &node.span, path, help);
                None
            }
        }
    }

    fn integer(
        &mut self,
        node: &Node,
        number: i64,
        (low, high): (i64, i64),
        path: &TreePath,
    ) -> Option<Value> {
        if (low..=high).contains(&number) {
            return Some(Value::from(number));
        }
        let message = format!("{number} is out of range");
        self.report("E0303", message, &node.span, path, format!("{low} to {high}"));
        None
    }

    fn number(&mut self, node: &Node, number: f64, path: &TreePath) -> Option<Value> {
        if number.is_finite() {
            return Some(Value::from(number));
        }
        let message = format!("{number} is out of range");
        self.report("E0303", message, &node.span, path, "a finite number".to_owned());
        None
    }

    fn form_help(&self, node: &Node, form: &Form) -> String {
        let text = self.source.text.get(node.span.clone()).unwrap_or_default();
        match (form, &node.kind) {
            (Form::List(_), Kind::Text(_) | Kind::Integer(_)) => format!("write [{text}]"),
            (
                Form::Text(_) | Form::Choice(_),
                Kind::Integer(_) | Kind::Float(_) | Kind::Truth(_) | Kind::Time,
            ) => {
                format!("write \"{text}\"")
            }
            (Form::Record(keys), _) => {
                format!("write {{ {} = … }}", keys.join(" = …, "))
            }
            (Form::Integer(..) | Form::Number | Form::Truth, Kind::Text(inner)) => {
                match inner.parse::<f64>() {
                    Ok(_) => format!("write {inner}"),
                    Err(_) if inner == "true" || inner == "false" => format!("write {inner}"),
                    Err(_) => String::new(),
                }
            }
            _ => String::new(),
        }
    }

    fn report(
        &mut self,
        code: &str,
        message: String,
        span: &Range<usize>,
        path: &TreePath,
        help: String,
    ) {
        let mut diagnostic = Diagnostic::new(self.source, Severity::Error, code, message, span);
        diagnostic.path = path.to_string();
        diagnostic.help = help;
        self.found.push(diagnostic);
        self.label(&path.without_indices());
        self.spoilt.push(path.clone());
    }

    /// Says beside the newest mark where it is.
    fn label(&mut self, path: &TreePath) {
        if let Some(newest) = self.found.last_mut() {
            newest.label =
                if path.steps().is_empty() { "in the file".into() } else { format!("in {path}") };
        }
    }
}

fn form_name(form: &Form) -> &'static str {
    match form {
        Form::Record(_) | Form::Map(_) => "a table",
        Form::List(_) => "a list",
        Form::Choice(_) | Form::Text(_) => "a text",
        Form::Integer(..) => "a whole number",
        Form::Number => "a number",
        Form::Truth => "true or false",
    }
}

fn is_unit(format: &str) -> bool {
    format.starts_with("popnet-")
}

/// Code, message and help when `text` does not have its format.
fn wrong_text(text: &str, format: Option<&str>) -> Option<(&'static str, String, String)> {
    let unit = |wrong: bool, what: &str, units: &str, examples: String| {
        let bare = text.trim().parse::<f64>().is_ok_and(|number| number >= 0.0);
        let code = if bare { "E0312" } else { "E0313" };
        let message =
            if bare { format!("{what} needs a unit") } else { format!("{text:?} is not {what}") };
        let help = if bare { format!("write {examples}") } else { format!("units: {units}") };
        wrong.then_some((code, message, help))
    };
    let plain = |wrong: bool, what: &str, example: &str| {
        wrong.then(|| ("E0304", format!("{text:?} is not {what}"), format!("such as {example}")))
    };
    match format? {
        "popnet-time" => unit(
            text.parse::<Span>().is_err(),
            "a time",
            "us ms s m h d, such as \"250ms\" or \"6h\"",
            format!("\"{text}s\" ({} seconds) or \"{text}m\" ({0} minutes)", in_words(text)),
        ),
        "popnet-size" => unit(
            text.parse::<Octets>().is_err(),
            "a size",
            "B KiB MiB GiB TiB kB MB GB TB, such as \"256 MiB\"",
            format!("\"{text} MiB\" or \"{text} GiB\""),
        ),
        "popnet-bandwidth" => unit(
            text.parse::<BitRate>().is_err(),
            "a bandwidth",
            "bps kbps Mbps Gbps Tbps, such as \"400 Mbps\"",
            format!("\"{text} Mbps\" or \"{text} Gbps\""),
        ),
        "popnet-rate" => unit(
            text.parse::<PerTime>().is_err(),
            "a rate",
            "/s /m /h, such as \"50/s\"",
            format!("\"{text}/s\" or \"{text}/h\""),
        ),
        "ip" => plain(
            text.parse::<IpAddr>().is_err(),
            "an IP address",
            "\"192.0.2.1\" or \"2001:db8::1\"",
        ),
        "popnet-socket" => plain(
            text.parse::<SocketAddr>().is_err(),
            "an address with a port",
            "\"127.0.0.1:8080\" or \"[::1]:8080\"",
        ),
        "popnet-peer" => plain(
            text.parse::<Peer>().is_err(),
            "an address, with or without a port",
            "\"192.0.2.1\" or \"192.0.2.1:5301\" or \"[2001:db8::1]:5301\"",
        ),
        "popnet-who" => plain(
            text.parse::<Who>().is_err(),
            "an address, a network, a key or \"any\"",
            "\"192.0.2.1\", \"192.0.2.0/24\", \"key:NAME\", \"tls:NAME\", \"pin:BASE64\" or \"any\"",
        ),
        "popnet-pin" => plain(
            text.parse::<Pin>().is_err(),
            "a pin, the SHA-256 of a public key in base64",
            "\"d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=\"",
        ),
        "popnet-network" => plain(
            text.parse::<IpNet>().is_err(),
            "an IP network",
            "\"198.51.100.0/24\" or \"2001:db8::/32\"",
        ),
        _ => None,
    }
}

/// Twenty is the number in nearly every guide; others stay figures.
fn in_words(number: &str) -> &str {
    if number == "20" { "twenty" } else { number }
}

/// A value that fits `shape`, in place of one that is missing or wrong.
fn placeholder(shape: Shape) -> Value {
    match shape.form() {
        Form::Record(_) => {
            let fields = shape
                .required()
                .into_iter()
                .filter_map(|key| Some((key.to_owned(), placeholder(shape.key(key)?))));
            Value::Object(fields.collect())
        }
        Form::Map(_) => Value::Object(Map::new()),
        Form::List(_) => Value::Array(Vec::new()),
        Form::Choice(words) => Value::from(words.first().copied().unwrap_or_default()),
        Form::Text(format) => Value::from(match format {
            Some("popnet-time") => "0s",
            Some("popnet-size") => "0 B",
            Some("popnet-bandwidth") => "0 bps",
            Some("popnet-rate") => "0/h",
            Some("ip" | "popnet-peer" | "popnet-who") => "0.0.0.0",
            Some("popnet-pin") => "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            Some("popnet-socket") => "0.0.0.0:0",
            Some("popnet-network") => "0.0.0.0/0",
            Some(_) | None => "",
        }),
        Form::Integer(low, high) => Value::from(1.clamp(low, high)),
        Form::Number => Value::from(0.0),
        Form::Truth => Value::from(false),
    }
}
