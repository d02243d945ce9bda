//! How commands print: data on standard output, everything else on standard error.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;

use popnet_terms::Timestamp;
use popnet_wire::control::Problem;
use serde::Serialize;

/// Why standard output takes no more.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Prints to standard output, until it takes no more.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    if LOST.get().is_none()
        && let Err(error) = io::stdout().write_fmt(text)
    {
        // Somebody else may have noticed at the same moment.
        let _ = LOST.set(error);
    }
}

/// Prints to standard error; there is nobody to tell when that fails.
pub(crate) fn mutter(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_fmt(text);
}

/// Whether nobody reads standard output any more.
pub(crate) fn unheard() -> bool {
    LOST.get().is_some()
}

/// The end of a command that went well: what it printed has to have arrived, unless its reader has
/// seen enough.
pub(crate) fn finish(done: Done) -> Outcome {
    if let Err(error) = io::stdout().flush() {
        let _ = LOST.set(error);
    }
    match LOST.get() {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let what = format!("standard output: {error}");
            Err(Problem::new("U0034", what, "df   (what was ordered is done all the same)"))
        }
        _ => Ok(done),
    }
}

/// How this call prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// One JSON object instead of text.
    pub(crate) json: bool,
}

/// A finished command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// Exit code: 0, or one of the frozen ones for "works, but".
    pub(crate) exit: u8,
}

impl Done {
    /// Nothing to complain about.
    pub(crate) const WELL: Self = Self { exit: 0 };
    /// It works, and it found problems.
    pub(crate) const FOUND_PROBLEMS: Self = Self { exit: 8 };
    /// Partly done; the rest is listed and retried.
    pub(crate) const PARTLY: Self = Self { exit: 6 };
}

/// What every command returns.
pub(crate) type Outcome = Result<Done, Problem>;

/// Prints an error: what, then what to type next; as one JSON object with `--json`.
pub(crate) fn complain(problem: &Problem, style: Style) {
    if problem.what.is_empty() {
        // Its command has said it already, with more than fits here.
    } else if style.json {
        let body = serde_json::json!({
            "schema": "popnet.problem/v1",
            "type": format!("urn:popnet:problem:{}", problem.code),
            "title": problem.what.lines().next().unwrap_or_default(),
            "detail": problem.what,
            "code": &*problem.code,
            "next": problem.next,
            "exit": problem.exit,
        });
        eprintln!("{body}");
    } else if problem.code.is_empty() || problem.what.starts_with("error[") {
        // Shown at its place already, with its code and what helps.
        eprintln!("{}", problem.what);
    } else {
        eprintln!("error[{}]: {}", problem.code, problem.what);
        if !problem.next.is_empty() {
            eprintln!("  next: {}", problem.next);
        }
    }
}

/// Prints `value` as one JSON object with its schema named first.
pub(crate) fn print_json<T: Serialize>(schema: &str, value: &T) {
    let mut body = serde_json::Map::new();
    body.insert("schema".into(), format!("popnet.{schema}").into());
    match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(fields)) => body.extend(fields),
        Ok(other) => {
            body.insert("data".into(), other);
        }
        Err(error) => {
            body.insert("error".into(), error.to_string().into());
        }
    }
    println!("{}", serde_json::Value::Object(body));
}

/// Aligned columns without box lines. The first row is the heading.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |c: usize| rows.iter().filter_map(|row| row.get(c)).map(|t| t.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!(" {cell:<width$} "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Time passed since `then`, in one unit: `14 s`, `2 m`, `3 h`.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.since(then).as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} m", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A yes/no question on the terminal; without one (or with `--json`, which programs read) and
/// without `--yes`, refuses.
pub(crate) fn consent(yes: bool, style: Style, question: &str) -> Result<bool, Problem> {
    use std::io::{IsTerminal, stderr, stdin};
    if yes {
        return Ok(true);
    }
    if style.json || !stdin().is_terminal() || !stderr().is_terminal() {
        let what = "this changes the network and there is no terminal to ask on";
        return Err(Problem::new("U0002", what, "the same with --yes").with_exit(2));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let agreed =
        stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes");
    if !agreed {
        eprintln!("nothing is changed");
    }
    Ok(agreed)
}
