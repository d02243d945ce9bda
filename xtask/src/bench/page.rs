//! Results kept as JSON, and the page made from them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::Fallible;

/// One server at one work: medians.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) work: String,
    pub(super) server: String,
    /// By name: `rate` (answers a second), `cpu_us` (an answer), `load_s`, `pss_mib`, …
    pub(super) values: BTreeMap<String, f64>,
}

impl Row {
    pub(super) fn new(work: &str, server: &str) -> Self {
        Self { work: work.to_owned(), server: server.to_owned(), values: BTreeMap::new() }
    }

    pub(super) fn with(mut self, name: &str, value: f64) -> Self {
        self.values.insert(name.to_owned(), value);
        self
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }
}

/// One part's results.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    /// Of the program that was measured.
    commit: String,
    /// As the system prints it.
    machine: String,
    date: String,
    /// Peers and their versions.
    versions: String,
    /// What is special about these results.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    note: String,
    rows: Vec<Row>,
}

/// Beside the answers of no lookup at all.
const FLOORS: [&str; 2] = ["dnsfixed", "httpfixed"];
const OURS: &str = "popnet";

fn file(root: &Path, part: &str) -> PathBuf {
    root.join(format!("docs/benchmarks/{part}.json"))
}

/// Keeps the results of a part.
pub(super) fn keep(root: &Path, part: &str, rows: Vec<Row>) -> Fallible<()> {
    let said = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).current_dir(root).output();
        let text = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&text).trim().to_owned()
    };
    let packages: &[&str] = match part {
        "dns" => &["gdnsd", "nsd", "knot", "bind9", "pdns-server"],
        "http" => &["nginx", "varnish", "trafficserver", "squid-openssl", "haproxy", "h2o"],
        _ => &[],
    };
    let mut versions = Vec::new();
    for package in packages {
        let version = said("dpkg-query", &["-W", "-f", "${Package} ${Version}", package]);
        versions.extend(Some(version).filter(|version| !version.is_empty()));
    }
    let part_of = Part {
        commit: said("git", &["rev-parse", "--short", "HEAD"]),
        machine: said(
            "sh",
            &["-c", "echo $(nproc) × $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)"],
        ),
        date: said("date", &["-u", "+%Y-%m-%d"]),
        versions: versions.join("; "),
        note: String::new(),
        rows,
    };
    let file = file(root, part);
    fs::create_dir_all(file.parent().unwrap_or(root))?;
    fs::write(&file, serde_json::to_string_pretty(&part_of)? + "\n")?;
    println!("{} written", file.display());
    Ok(())
}

fn read(root: &Path, part: &str) -> Fallible<Option<Part>> {
    match fs::read_to_string(file(root, part)) {
        Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes `docs/benchmarks.md` from what is kept.
pub(super) fn write(root: &Path) -> Fallible<()> {
    let mut text = INTRODUCTION.to_owned();
    if let Some(dns) = read(root, "dns")? {
        text.push_str("\n## Name servers\n\n");
        text.push_str(DNS);
        text.push_str(&comparison(&dns.rows));
        text.push_str(&large_zone(&dns.rows));
        text.push_str(&workers(&dns.rows));
        text.push_str(&measured(&dns));
        // What no figure says: written by hand.
        text.push_str(&fs::read_to_string(root.join("docs/benchmarks/dns.md")).unwrap_or_default());
    }
    if let Some(http) = read(root, "http")? {
        text.push_str("\n## Caches\n\n");
        text.push_str(HTTP);
        text.push_str(&comparison(&http.rows));
        text.push_str(&together(&http.rows));
        text.push_str(&working_set(&http.rows));
        text.push_str(&measured(&http));
        text.push_str(
            &fs::read_to_string(root.join("docs/benchmarks/http.md")).unwrap_or_default(),
        );
    }
    if let Some(steering) = read(root, "steering")? {
        text.push_str("\n## Decisions\n\n");
        text.push_str(STEERING);
        text.push_str(&decisions(&steering.rows));
        text.push_str(&measured(&steering));
    }
    let page = root.join("docs/benchmarks.md");
    fs::write(&page, text)?;
    println!("{} written", page.display());
    Ok(())
}

const INTRODUCTION: &str = "\
# Benchmarks

Made by `cargo xtask bench` (`bench dns`, `bench http` and `bench steering` measure one part again,
`bench page` only writes this page from `docs/benchmarks/*.json`). It builds the release program and
starts it and peers from the distribution in turn: the server has one worker on the first core, the
load the second.

CPU time an answer (user and system, from `/proc`) is the figure to judge by: rates are limited by
the load generator and by whatever else the machine does. A ratio below 1 means that popnet needs
less.
";

const DNS: &str = "\
`static` is one of a thousand A records, `missing` a name that is not there, `steered` one of a
thousand names whose address is chosen by weight (gdnsd and Knot by plugins, PowerDNS by Lua
records). `dnsfixed` reads and sends batches and looks nothing up: what the kernel alone costs. The
load is a closed loop of 128 questions over 8 sockets. popnet's steered sites keep clients where
they are (`persist` by hash). Rows `by dnsperf` are asked with dnsperf, with the client subnet
198.51.100.0/24 (RFC 7871) where it says so; popnet then also sends every decision to a log server
in a process of its own, and what that costs counts. Only rows of the same load compare.

";

const HTTP: &str = "\
wrk with 64 connections, HTTP/2 by h2load with as many and ten streams on each; hits come from the
memory tier, TLS is version 1.3 with an ECDSA key on P-256. Nobody writes a log here. `httpfixed`
reads, writes a ready response and looks nothing up: what the kernel alone costs. h2o serves files
and caches nothing. [Hit ratios](benchmarks/eviction.md) by trace have a page of their own.

";

const STEERING: &str = "\
One site and eight POPs that have each measured every one of a million client units; the quickest of
seven rounds. A choice is made at a client unit's first question under a new view and then kept by
the worker that made it (ADR 8): what a kept one costs is the difference between the rows `static`
and `steered` above. Nothing is compiled ahead, so an input that changes costs the view after it,
and the choices that somebody asks for.

A measurement lies in 8 octets, and 8 more name its unit and count its measurements (ADR 19); the
octets below are resident memory after all were taken in one by one, gaps and keys included.
Steering model figure: 64 octets beyond the key for a unit with eight POPs.

";

fn decisions(rows: &[Row]) -> String {
    let mut text = String::from("| what | |\n| --- | ---: |\n");
    for row in rows {
        for (unit, value) in &row.values {
            let unit = if unit == "us" { "µs" } else { unit };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {} | {value:.2} {unit} |", row.work);
        }
    }
    text
}

fn measured(part: &Part) -> String {
    let note = if part.note.is_empty() { String::new() } else { format!(" {}", part.note) };
    let peers = Some(&part.versions).filter(|versions| !versions.is_empty());
    let peers = peers.map_or(String::new(), |versions| format!(" Peers: {versions}."));
    format!("\n{}, {}, program at {}.{peers}{note}\n", part.date, part.machine, part.commit)
}

/// The best of `rows` that is neither ours nor the floor.
fn best<'r>(rows: &'r [Row], work: &str) -> Option<&'r Row> {
    let peers = rows.iter().filter(|row| {
        row.work == work && row.server != OURS && !FLOORS.contains(&row.server.as_str())
    });
    peers.filter(|row| row.value("cpu_us").is_some()).min_by(|a, b| {
        let cpu = |row: &Row| row.value("cpu_us").unwrap_or(f64::MAX);
        cpu(a).total_cmp(&cpu(b))
    })
}

/// The floor of a work: its own, else that of the static answers of the same load.
fn floor(rows: &[Row], work: &str) -> Option<f64> {
    let of = |work: &str| {
        let found =
            rows.iter().find(|row| row.work == work && FLOORS.contains(&row.server.as_str()));
        found.and_then(|row| row.value("cpu_us"))
    };
    let own = of(work);
    if work.ends_with("by dnsperf") { own } else { own.or_else(|| of("static")) }
}

fn works(rows: &[Row]) -> Vec<&str> {
    let mut works: Vec<&str> = Vec::new();
    for row in rows {
        if !works.contains(&row.work.as_str()) {
            works.push(&row.work);
        }
    }
    works
}

pub(super) const LARGE: &str = "1,000,000 names";
/// Clients that ask at once for an object that the cache does not have.
pub(super) const TEN: &str = "10 clients";
pub(super) const THOUSAND: &str = "1,000 clients";
/// Objects asked for as often as Zipf says, more than memory holds.
pub(super) const ZIPF: &str = "Zipf";
/// A small zone and nothing else.
pub(super) const SMALL: &str = "static, no sites";
pub(super) const ONE: &str = "static, one worker, both cores";
pub(super) const TWO: &str = "static, two workers, both cores";

/// CPU time an answer of each work and server.
fn comparison(rows: &[Row]) -> String {
    let mut text = String::from(
        "| work | server | answers/s | CPU µs/answer | ÷ floor | popnet's ÷ this | MiB |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let apart = [LARGE, SMALL, ONE, TWO, TEN, THOUSAND, ZIPF];
    for work in works(rows).into_iter().filter(|work| !apart.contains(work)) {
        let mut of_work: Vec<&Row> = rows.iter().filter(|row| row.work == work).collect();
        of_work.sort_by(|a, b| {
            let cpu = |row: &Row| row.value("cpu_us").unwrap_or(f64::MAX);
            cpu(a).total_cmp(&cpu(b))
        });
        let ours =
            of_work.iter().find(|row| row.server == OURS).and_then(|row| row.value("cpu_us"));
        let winner = best(rows, work).map(|row| row.server.clone());
        for row in of_work {
            let Some(cpu) = row.value("cpu_us") else { continue };
            let rate = row.value("rate").unwrap_or(0.0);
            let over =
                floor(rows, work).map_or(String::new(), |floor| format!("{:.2}", cpu / floor));
            let ratio =
                ours.filter(|_| row.server != OURS).map(|ours| format!("{:.2}", ours / cpu));
            let ratio = ratio.unwrap_or_default();
            let mark = if winner.as_ref() == Some(&row.server) { "**" } else { "" };
            let held = row.value("pss_mib").map_or(String::new(), |held| format!("{held:.0}"));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {work} | {mark}{}{mark} | {rate:.0} | {cpu:.2} | {over} | {ratio} | {held} |",
                row.server
            );
        }
    }
    text
}

/// Clients that ask at once for a cold object.
fn together(rows: &[Row]) -> String {
    let mut text = String::from(
        "\nClients that ask at once for one object of 10 MiB that the cache does not have and that the \
         origin sends over 1.6 s: fetches, answers in full, the time to the first octet and to the \
         last, each of the last client to get it.\n\n\
         | clients | server | fetches | in full | first octet ms | done ms | CPU ms | MiB |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for work in [TEN, THOUSAND] {
        for row in rows.iter().filter(|row| row.work == work) {
            let value = |name: &str| row.value(name).unwrap_or(f64::NAN);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {work} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
                row.server,
                value("origin_fetches"),
                value("ok"),
                value("ttfb_ms_max"),
                value("done_ms_max"),
                value("cpu_ms"),
                value("pss_mib")
            );
        }
    }
    text
}

/// More than memory holds.
fn working_set(rows: &[Row]) -> String {
    let mut text = String::from(
        "\n200,000 objects of 4 to 64 KiB, 6.8 GB together, asked for as often as Zipf says (0.9), with \
         256 MiB for the whole server: what memory does not hold comes from the disk or the \
         origin.\n\n\
         | server | answers/s | hits % | CPU µs/answer | p99 ms | MiB |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows.iter().filter(|row| row.work == ZIPF) {
        if row.values.is_empty() {
            let _ = writeln!(text, "| {} | no answer | | | | |", row.server);
            continue;
        }
        let value = |name: &str| row.value(name).unwrap_or(f64::NAN);
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.1} | {:.2} | {:.1} | {:.0} |",
            row.server,
            value("rate"),
            value("hit_pct"),
            value("cpu_us"),
            value("p99_ms"),
            value("pss_mib")
        );
    }
    text
}

/// How long a zone of a million names takes to load and what it weighs.
fn large_zone(rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.work == LARGE).collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\nA zone of {LARGE} with one address each: from the start of the program to its first answer, \
         and what its processes hold then.\n\n\
         | server | load s | MiB | octets a record | answers/s | CPU µs/answer |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for row in rows {
        let value = |name: &str| row.value(name).unwrap_or(f64::NAN);
        let _ = writeln!(
            text,
            "| {} | {:.1} | {:.0} | {:.0} | {:.0} | {:.2} |",
            row.server,
            value("load_s"),
            value("pss_mib"),
            value("bytes_per_record"),
            value("rate"),
            value("cpu_us")
        );
    }
    text
}

/// What a second worker brings: both runs share both cores with the load.
fn workers(rows: &[Row]) -> String {
    let value = |work: &str, what: &str| {
        let found = rows.iter().find(|row| row.work == work && row.server == OURS);
        found.and_then(|row| row.value(what))
    };
    let mut text = String::new();
    if let Some(memory) = value(SMALL, "pss_mib") {
        text.push_str(&format!(
            "\nWith the zone of 1,000 names and no steered ones popnet holds {memory:.0} MiB after the load.\n"
        ));
    }
    let cpu = |work| value(work, "cpu_us").zip(value(work, "rate"));
    if let (Some((one, slow)), Some((two, fast))) = (cpu(ONE), cpu(TWO)) {
        text.push_str(&format!(
            "\nServer and load on both cores: one worker needs {one:.2} µs an answer and gives {slow:.0} \
             answers/s, two workers need {two:.2} µs and give {fast:.0}/s. The load generator, which takes \
             its share of the same two cores, is the limit of that second rate. With cores of their own \
             two workers answer {:.2} times as many as one, as far as the CPU time of an answer tells.\n",
            2.0 * one / two
        ));
    }
    text
}
