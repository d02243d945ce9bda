//! A mistake in a configuration: what, where, why, and what to write instead.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How bad a mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is taken, but probably not what was meant.
    Warning,
}

/// One mistake. The fields are those of `--json`; [`crate::render()`] prints it for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable code such as `E0104`.
    pub code: String,
    /// What is wrong, in one line.
    pub message: String,
    /// Which value, such as `probes.edge-http.timeout`; empty when it is the file as a whole.
    pub path: String,
    /// The file's name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters marked on that line.
    pub length: usize,
    /// What stands beside the mark.
    pub label: String,
    /// Other lines that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Mark>,
    /// Facts that help to understand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What to write instead; empty when nothing can be said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
}

/// Another place in the same file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters marked; 0 shows the line without a mark.
    pub length: usize,
    /// What stands beside the mark.
    pub label: String,
}

impl Diagnostic {
    /// A mistake at `span` of `source`.
    pub(crate) fn new(
        source: &Source<'_>,
        severity: Severity,
        code: &str,
        message: String,
        span: &Range<usize>,
    ) -> Self {
        let mark = source.mark(span, String::new());
        Self {
            severity,
            code: code.to_owned(),
            message,
            path: String::new(),
            file: source.name.to_owned(),
            line: mark.line,
            column: mark.column,
            length: mark.length,
            label: String::new(),
            others: Vec::new(),
            notes: Vec::new(),
            help: String::new(),
        }
    }
}

/// A text with its name and the starts of its lines.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) name: &'a str,
    starts: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str, name: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        Self { text, name, starts: starts.collect() }
    }

    /// The mark over `span`, cut at the end of its first line.
    pub(crate) fn mark(&self, span: &Range<usize>, label: String) -> Mark {
        let line = self.starts.partition_point(|start| *start <= span.start).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let content = self.line(line);
        let from = floor(content, span.start.saturating_sub(start));
        let to = floor(content, span.end.saturating_sub(start)).max(from);
        let (before, rest) = content.split_at(from);
        let marked = rest.get(..to - from).unwrap_or_default();
        let length = marked.trim_end().chars().count().max(1);
        Mark { line, column: before.chars().count() + 1, length, label }
    }

    /// The text of line `line` (from 1), without its line break.
    pub(crate) fn line(&self, line: usize) -> &'a str {
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let end = self.starts.get(line).map_or(self.text.len(), |next| next - 1);
        self.text.get(start..end).unwrap_or_default().trim_end_matches('\r')
    }
}

/// The largest character border of `text` that is not after `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
