//! The project's own commands: `cargo xtask ci` is what CI runs and what a person runs.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are commands for people at a terminal"
)]

mod bench;
mod ci;
mod codes;
mod setup;
mod storeys;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci            everything that has to pass, cheapest first
  storeys       which crate may use which
  tidy          style that a machine can check
  codes         every error code means one thing
  bench [PART]  ours beside peers under the same load; writes docs/benchmarks.md. Parts: dns
                (about 10 minutes), http; page only writes the page again
  setup         what tests need from the system: installs it as root, else prints the command
  setup bench   what benchmarks compare with and measure by
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["ci"] => ci::run(&root()),
        ["storeys"] => report("storeys", &storeys::check(&root())),
        ["codes"] => report("codes", &codes::check(&root())),
        ["tidy"] => report("tidy", &tidy::check(&root())),
        ["bench"] => bench::run(&root(), None).map_err(|error| error.to_string()),
        ["bench", part] => bench::run(&root(), Some(part)).map_err(|error| error.to_string()),
        ["setup"] => setup::for_tests(&root()),
        ["setup", "bench"] => setup::run(setup::BENCH),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map_or(own.clone(), PathBuf::from)
}

/// Prints findings; there should be none.
fn report(what: &str, findings: &[String]) -> Result<(), String> {
    for finding in findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("{what}: nothing to say");
        Ok(())
    } else {
        Err(format!("{what}: {} to mend", findings.len()))
    }
}
