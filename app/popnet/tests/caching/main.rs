//! The public suite of HTTP caching cases against the program as a reverse proxy: every result is
//! the one in `docs/caching/results.json`. `UPDATE=1` writes them anew.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::{Running, free_port, popnet, text, within};

/// Where `cargo xtask setup` puts the suite.
const SUITE: &str = "target/tools/http-cache-tests-0.4.5/package";
const RESULTS: &str = "docs/caching/results.json";

/// How often a case that came out otherwise is asked again, alone: the cases wait for seconds to
/// pass, and a machine that is busy may be late once.
const AGAIN: usize = 3;

/// What became of each case, by kind and name.
type Results = BTreeMap<String, BTreeMap<String, String>>;

fn config(port: u16, origin: u16) -> String {
    let sample = include_str!("../../../../examples/single-cache.toml");
    let plain = sample
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{port}"))
        .replace("127.0.0.1:8000", &format!("127.0.0.1:{origin}"))
        .replace(", https = [\"127.0.0.1:8443\"]", "");
    // Without TLS there is nothing to certify.
    let lines = plain.lines().filter(|line| {
        !["[certificates.lab]", "chain ", "key ", "tls "]
            .iter()
            .any(|start| line.starts_with(start))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Runs the cases `ids`, or all.
fn run(suite: &Path, base: &str, ids: &[&str]) -> Results {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/caching/suite.mjs");
    let output =
        Command::new("node").args([script, suite.to_str().unwrap(), base]).args(ids).output();
    let output = output.unwrap_or_else(|error| panic!("node: {error}; cargo xtask setup"));
    let printed = text(&output.stdout);
    let last = printed.lines().last().unwrap_or("");
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {}", support::both(&output)))
}

/// The cases of `found` that came out otherwise than expected: kind, name, expected, found.
fn differences(expected: &Results, found: &Results) -> Vec<[String; 4]> {
    let all = found.iter().flat_map(|(kind, cases)| cases.iter().map(move |case| (kind, case)));
    let differs = all.filter_map(|(kind, (id, found))| {
        let expected = expected.get(kind).and_then(|cases| cases.get(id));
        let expected = expected.map_or("no such case", String::as_str);
        (expected != found).then(|| [kind, id, expected, found].map(ToString::to_string))
    });
    differs.collect()
}

#[test]
fn the_public_suite_comes_out_as_written_down() {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let suite = root.join(SUITE);
    assert!(suite.join("server").is_dir(), "no {SUITE}; next: cargo xtask setup");
    let folder = tempfile::tempdir().unwrap();
    let (port, origin) = (free_port(), free_port());
    std::fs::write(folder.path().join("cache.toml"), config(port, origin)).unwrap();
    let mut server = Command::new("node");
    server.arg(suite.join("server/server.mjs")).current_dir(folder.path());
    server.env("npm_config_protocol", "http").env("npm_config_port", origin.to_string());
    server.env("npm_config_pidfile", "pid");
    let _server = Running::start(&mut server, &folder.path().join("server.log"));
    let mut cache = popnet();
    cache.args(["run", "--config", "cache.toml", "--node", "edge1.lab", "--state-dir", "state"]);
    let log = folder.path().join("cache.log");
    let _cache = Running::start(cache.current_dir(folder.path()), &log);
    let is_up = |port: u16| TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(
        within(Duration::from_secs(20), || is_up(origin) && is_up(port)),
        "{}",
        std::fs::read_to_string(&log).unwrap()
    );

    let base = format!("http://127.0.0.1:{port}");
    let mut found = run(&suite, &base, &[]);
    let path = root.join(RESULTS);
    let kept = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
    let expected: Results = serde_json::from_str(&kept).unwrap();
    for _ in 0..AGAIN {
        let differing = differences(&expected, &found);
        let ids: Vec<&str> = differing.iter().map(|[_, id, ..]| id.as_str()).collect();
        if ids.is_empty() {
            break;
        }
        for (kind, cases) in run(&suite, &base, &ids) {
            found.entry(kind).or_default().extend(cases);
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        let written = serde_json::to_string_pretty(&found).unwrap() + "\n";
        return std::fs::write(path, written).unwrap();
    }
    let differing = differences(&expected, &found);
    let lines: Vec<String> = differing
        .iter()
        .map(|[kind, id, expected, found]| format!("{kind} {id}: {found}, not {expected}"))
        .collect();
    assert!(
        lines.is_empty(),
        "{}\nIf that is as it should be: UPDATE=1 cargo test -p popnet --test caching, and mend \
         docs/caching.md",
        lines.join("\n")
    );
    let count = |cases: &Results| cases.values().map(BTreeMap::len).sum::<usize>();
    assert_eq!(count(&expected), count(&found), "a case that is written down was not run");
}
