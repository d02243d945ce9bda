//! Prints mistakes for people: the line, a mark under the place, what is known, what to write.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::diagnostic::{Diagnostic, Mark, Severity, Source};

/// Longest part of a line that is shown; longer ones are cut around the mark.
const WIDTH_MAX: usize = 110;
/// Characters kept before a mark when a line is cut on the left.
const BEFORE_MARK: usize = 40;

/// `diagnostics` as text, one block each, a blank line between two.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], text: &str, file: &str) -> String {
    let source = Source::new(text, file);
    let mut out = String::new();
    for (at, diagnostic) in diagnostics.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        block(&mut out, diagnostic, &source);
    }
    out
}

fn block(out: &mut String, diagnostic: &Diagnostic, source: &Source<'_>) {
    let word = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let marks = by_line(diagnostic);
    let digits = marks.keys().next_back().map_or(1, |line| line.to_string().len());
    let gutter = " ".repeat(digits + 1);
    line(out, format_args!("{word}[{}]: {}", diagnostic.code, diagnostic.message));
    let Diagnostic { file, line: row, column, .. } = diagnostic;
    line(out, format_args!("{gutter}┌─ {file}:{row}:{column}"));
    for (row, on_line) in &marks {
        let (shown, cut) = window(source.line(*row), on_line);
        line(out, format_args!("{row:>digits$} │ {shown}"));
        for (mark, sign) in on_line.iter().filter(|(mark, _)| mark.length > 0) {
            let before = (mark.column - 1).saturating_sub(cut);
            let room = shown.chars().count().saturating_sub(before).max(1);
            let (indent, signs) = (" ".repeat(before), sign.repeat(mark.length.min(room)));
            line(out, format_args!("{gutter}│ {indent}{signs} {}", mark.label));
        }
    }
    for note in &diagnostic.notes {
        line(out, format_args!("{gutter}= {note}"));
    }
    if !diagnostic.help.is_empty() {
        line(out, format_args!("{gutter}= help: {}", diagnostic.help));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let start = out.len();
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
    out.truncate(out.trim_end().len().max(start));
    out.push('\n');
}

type Marked = Vec<(Mark, &'static str)>;

/// The lines to show with their marks; the mistake itself has carets, others have dashes.
fn by_line(diagnostic: &Diagnostic) -> BTreeMap<usize, Marked> {
    let mut lines: BTreeMap<usize, Marked> = BTreeMap::new();
    let main = Mark {
        line: diagnostic.line,
        column: diagnostic.column,
        length: diagnostic.length,
        label: diagnostic.label.clone(),
    };
    lines.entry(main.line).or_default().push((main, "^"));
    for mark in &diagnostic.others {
        lines.entry(mark.line).or_default().push((mark.clone(), "-"));
    }
    lines
}

/// The part of `text` that is shown and how many characters are missing on its left.
fn window(text: &str, marks: &Marked) -> (String, usize) {
    // A tab is one character here as it is in columns, so marks stay below their words.
    let plain: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if plain.len() <= WIDTH_MAX {
        return (plain.into_iter().collect(), 0);
    }
    let first = marks.iter().map(|(mark, _)| mark.column - 1).min().unwrap_or(0);
    let end = marks.iter().map(|(mark, _)| mark.column - 1 + mark.length).max().unwrap_or(0);
    let cut = if end < WIDTH_MAX { 0 } else { first.saturating_sub(BEFORE_MARK) };
    let mut shown: String = plain.iter().skip(cut).take(WIDTH_MAX).collect();
    if cut > 0 {
        shown = std::iter::once('…').chain(shown.chars().skip(1)).collect();
    }
    if plain.len() > cut + WIDTH_MAX {
        shown.push('…');
    }
    (shown, cut)
}
