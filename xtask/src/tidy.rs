//! Style that a machine can check, over every file that git knows or would add.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Widest line of Rust without a text in it: those rustfmt does not break, nor should we.
const WIDTH_MAX: usize = 100;
/// Longest Rust file: past this there is always a second noun.
const LINES_MAX: usize = 800;
/// First lines among which a Rust file says why it exists; attributes may stand above.
const HEAD: usize = 12;
/// Largest file in octets; measurements and pictures belong elsewhere.
const FILE_MAX: usize = 256 << 10;
/// Files that may be larger.
const LARGE: [&str; 1] = ["Cargo.lock"];

/// Notes to ourselves: open ends belong into an issue. In two parts, so that this file passes.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
/// Places on somebody's machine.
const PLACES: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/")];

/// Endings of files that are text.
const TEXTS: [&str; 14] = [
    "rs", "toml", "md", "txt", "html", "css", "js", "sh", "zone", "service", "json", "yml", "svg",
    "run",
];

/// What is untidy in the work tree at `root`.
pub(crate) fn check(root: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    for name in files(root) {
        let path = root.join(&name);
        let Ok(bytes) = fs::read(&path) else { continue };
        if bytes.len() > FILE_MAX && !LARGE.contains(&name.as_str()) {
            findings.push(format!(
                "{name}: {} KiB, more than {}",
                bytes.len() >> 10,
                FILE_MAX >> 10
            ));
        }
        let is_text = TEXTS.iter().any(|ending| name.rsplit(['.', '/']).next() == Some(ending));
        match String::from_utf8(bytes) {
            Ok(text) if is_text => findings.extend(look(root, &name, &text)),
            Ok(_) => {}
            Err(_) if is_text => findings.push(format!("{name}: not UTF-8")),
            Err(_) => {}
        }
    }
    findings
}

/// The files that git knows or would add, in order.
pub(crate) fn files(root: &Path) -> Vec<String> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").current_dir(root).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let mut files: Vec<String> =
        text.unwrap_or_default().lines().map(|line| line.trim_matches('"').to_owned()).collect();
    files.sort();
    files.dedup();
    files
}

/// Everything said about one text file.
fn look(root: &Path, name: &str, text: &str) -> Vec<String> {
    let mut findings = lines(name, text);
    let mut say = |what: String| findings.push(format!("{name}: {what}"));
    if !text.is_empty() && !text.ends_with('\n') {
        say("no line break at the end".to_owned());
    }
    if name.ends_with(".rs") {
        let count = text.lines().count();
        if count > LINES_MAX {
            say(format!("{count} lines, more than {LINES_MAX}"));
        }
        if !text.lines().take(HEAD).any(|line| line.starts_with("//!")) {
            say("no words at the top that say what it decides or carries".to_owned());
        }
    }
    if name.ends_with(".md") {
        dead_links(root, name, text).into_iter().for_each(&mut say);
        if name.starts_with("docs/adr/") && !text.lines().any(|line| line.starts_with("Status: ")) {
            say("a decision without \"Status: …\"".to_owned());
        }
    }
    let is_scenario = name.starts_with("examples/scenarios/");
    if name.starts_with("examples/") && name.ends_with(".toml") && !is_scenario {
        refused(name, text).into_iter().for_each(&mut say);
    }
    findings
}

/// What is said about single lines.
fn lines(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    // Recorded texts hold what a program said, and others' formats their own spaces.
    let is_ours = !name.contains("/tests/") || name.ends_with(".rs");
    let is_source = name.ends_with(".rs") && !name.contains("/tests/");
    for (at, line) in text.lines().enumerate() {
        let mut say = |what: String| findings.push(format!("{name}:{}: {what}", at + 1));
        if is_ours && line.ends_with([' ', '\t']) {
            say("space at the end of the line".to_owned());
        }
        let width = line.chars().count();
        if is_source && width > WIDTH_MAX && !is_in_text(line) {
            say(format!("{width} wide, more than {WIDTH_MAX}"));
        }
        if let Some(note) = NOTES.iter().find(|note| line.contains(**note)) {
            say(format!("{note}: an open end belongs into an issue"));
        }
        if let Some(place) = PLACES.iter().find(|place| line.contains(**place)) {
            say(format!("{place} is a place on one machine"));
        }
    }
    findings
}

/// Whether the line holds a text or is inside one.
fn is_in_text(line: &str) -> bool {
    line.contains('"') || line.ends_with('\\')
}

/// Relative links of a Markdown file to files that do not exist.
fn dead_links(root: &Path, name: &str, text: &str) -> Vec<String> {
    let folder = root.join(name).parent().map_or(root.to_owned(), Path::to_owned);
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let relative = links.filter(|link| !link.contains("://") && !link.starts_with(['#', '<', ' ']));
    relative
        .filter_map(|link| link.split('#').next())
        .filter(|link| !link.is_empty() && !folder.join(link).exists())
        .map(|link| format!("dead link {link}"))
        .collect()
}

/// What the program says against an example that it ships with.
fn refused(name: &str, text: &str) -> Vec<String> {
    let found = match popnet_config::load(text, name) {
        Ok(loaded) => loaded.warnings,
        Err(found) => found,
    };
    if found.is_empty() { Vec::new() } else { vec![popnet_config::render(&found, text, name)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(name: &str, text: &str, expected: &[&str]) {
        assert_eq!(look(&crate::root(), name, text), expected, "{name}");
    }

    #[test]
    fn untidy_texts() {
        check_text("a.rs", "//! Decides.\nfn a() {}\n", &[]);
        check_text(
            "a.rs",
            "fn a() {} \n",
            &[
                "a.rs:1: space at the end of the line",
                "a.rs: no words at the top that say what it decides or carries",
            ],
        );
        let wide = format!("//! {}\n", "x".repeat(97));
        check_text("a.rs", &wide, &["a.rs:1: 101 wide, more than 100"]);
        let long = "//!\n".repeat(801);
        check_text("a.rs", &long, &["a.rs: 801 lines, more than 800"]);
        check_text("a.toml", "a = 1", &["a.toml: no line break at the end"]);
        let note = format!("//! {} later\n", NOTES[0]);
        check_text(
            "a.rs",
            &note,
            &[&format!("a.rs:1: {}: an open end belongs into an issue", NOTES[0])],
        );
        let place = format!("//! {}main\n", PLACES[0]);
        assert_eq!(look(&crate::root(), "a.rs", &place).len(), 1);
    }

    #[test]
    fn documents() {
        check_text("a.md", "[good](Cargo.toml#x) [far](https://example.net/) [here](#a)\n", &[]);
        check_text("a.md", "[gone](docs/none.md)\n", &["a.md: dead link docs/none.md"]);
        check_text(
            "docs/adr/0099-x.md",
            "# X\n",
            &["docs/adr/0099-x.md: a decision without \"Status: …\""],
        );
        let [said] =
            look(&crate::root(), "examples/x.toml", "[network]\nnme = \"a\"\n").try_into().unwrap();
        let said: String = said;
        assert!(said.contains("error[E0104]: unknown key \"nme\""), "{said}");
    }
}
