//! Caches: all by the harness beside the project.

use std::path::Path;

use super::Fallible;
use super::harness::{Harness, Script};
use super::page::{self, Row};

const SCRIPT: Script = Script {
    file: "http.sh",
    option: None,
    results: "http.tsv",
    works: &[
        ("1k", "hit of 1 KiB"),
        ("16k", "hit of 16 KiB"),
        ("1m", "hit of 1 MiB"),
        ("close", "1 KiB, a connection each"),
        ("tls", "1 KiB with TLS"),
        ("tls16k", "16 KiB with TLS"),
        ("tlsclose", "1 KiB, a TLS handshake each"),
        ("h2", "1 KiB by HTTP/2"),
        ("join", page::TEN),
        ("storm", page::THOUSAND),
        ("zipf", page::ZIPF),
    ],
};
const HITS: [&str; 10] =
    ["1k", "16k", "1m", "close", "tls", "tls16k", "tlsclose", "h2", "join", "storm"];
const SERVERS: [&str; 8] =
    ["httpfixed", "popnet", "nginx", "varnish", "trafficserver", "squid", "haproxy", "h2o"];
/// Those that keep on disk what memory does not hold.
const DISKS: [&str; 3] = ["popnet", "trafficserver", "nginx"];

pub(super) fn measure(root: &Path, popnet: &Path, work: &Path) -> Fallible<Vec<Row>> {
    let harness = Harness::new(SCRIPT, root, popnet, work)?;
    let mut rows = harness.run("hits", &HITS, &SERVERS, &[])?;
    for name in DISKS {
        match harness.run(&format!("zipf-{name}"), &["zipf"], &[name], &[]) {
            Ok(measured) => rows.extend(measured),
            // Who does not live through it is in the table all the same.
            Err(error) => {
                println!("{error}");
                rows.push(Row::new(page::ZIPF, name));
            }
        }
    }
    Ok(rows)
}
