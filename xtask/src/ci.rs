//! The steps of `cargo xtask ci`, cheapest first; the first that fails ends it.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::{codes, report, setup, storeys, tidy};

/// Pages are made for those who work here, private items included: links to them lead somewhere.
const RUSTDOC: &str = "-D warnings -A rustdoc::private_intra_doc_links";

/// Every failure in one run, not only the first.
const TESTS: &str = "test --workspace --lib --bins --tests --locked --no-fail-fast";

/// A step: its heading and what it does.
type Step = (&'static str, fn(&Path) -> Result<(), String>);

// The test run is last and nothing is printed after it, so that its own closing lines stand last.
const STEPS: [Step; 10] = [
    ("setup: what tests need from the system", setup::for_tests),
    ("format", |root| cargo(root, "fmt --all --check", "")),
    ("storeys", |root| report("storeys", &storeys::check(root))),
    ("tidy", |root| report("tidy", &tidy::check(root))),
    ("codes", |root| report("codes", &codes::check(root))),
    ("dependencies", deny),
    ("lints", |root| cargo(root, "clippy --workspace --all-targets --locked -- -D warnings", "")),
    ("documents", |root| {
        cargo(root, "doc --workspace --no-deps --document-private-items --locked", RUSTDOC)
    }),
    ("examples in documents", |root| cargo(root, "test --workspace --doc --locked --quiet", "")),
    ("tests", |root| cargo(root, TESTS, "")),
];

pub(crate) fn run(root: &Path) -> Result<(), String> {
    let begun = Instant::now();
    for (at, (heading, step)) in STEPS.iter().enumerate() {
        let (number, of) = (at + 1, STEPS.len());
        println!("\n── {number}/{of}  {heading}   ({} s so far)", begun.elapsed().as_secs());
        step(root).map_err(|why| format!("\n{why}\nci: step {number}/{of} failed: {heading}"))?;
    }
    Ok(())
}

/// Runs cargo with `words`; `rustdocflags` is for documents only.
fn cargo(root: &Path, words: &str, rustdocflags: &str) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args(words.split(' '));
    if !rustdocflags.is_empty() {
        command.env("RUSTDOCFLAGS", rustdocflags);
    }
    println!("$ cargo {words}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo {words}: {status}")),
        Err(error) => Err(format!("cargo does not start: {error}")),
    }
}

/// Licences, sources and bans, where the tool is there. Its advisories need a database from
/// outside and are a step of a release.
fn deny(root: &Path) -> Result<(), String> {
    let there = Command::new(env!("CARGO")).args(["deny", "--version"]).output();
    if there.is_ok_and(|output| output.status.success()) {
        return cargo(root, "deny --workspace --locked check bans licenses sources", "");
    }
    println!("skipped: cargo-deny is not installed. Next: cargo install --locked cargo-deny");
    Ok(())
}
