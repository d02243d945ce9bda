//! Name servers: the harness beside the project measures ours and the peers; what it cannot ask
//! (client subnets, with decisions going to a log server) is asked here with dnsperf.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::harness::{Harness, Script, seconds};
use super::page::{self, Row};
use super::{Fallible, Server, measure as repeat, pinned, wait_until};

const PORT: u16 = 15_353;

const SCRIPT: Script = Script {
    file: "dns.sh",
    option: Some("-s"),
    results: "dns.tsv",
    works: &[("www", "static"), ("nx", "missing"), ("wrr", "steered"), ("scale", page::LARGE)],
};
const PEERS: [&str; 7] = ["popnet", "gdnsd", "nsd", "knot", "bind9", "pdns", "dnsfixed"];
const LOADERS: [&str; 4] = ["popnet", "knot", "nsd", "bind9"];

/// 198.51.100.0/24 as dnsperf takes it (RFC 7871 6).
const SUBNET: &str = "8:00011800c63364";

pub(super) fn measure(root: &Path, popnet: &Path, work: &Path) -> Fallible<Vec<Row>> {
    let harness = Harness::new(SCRIPT, root, popnet, work)?;
    let mut rows = harness.run("compare", &["www", "nx", "wrr"], &PEERS, &[])?;
    rows.extend(harness.run("large", &["scale"], &LOADERS, &[])?);
    let named = |work: &str, rows: Vec<Row>| -> Vec<Row> {
        rows.into_iter().map(|row| Row { work: work.to_owned(), ..row }).collect()
    };
    let alone = [("POPNET_SITES", "0")];
    rows.extend(named(page::SMALL, harness.run("small", &["www"], &["popnet"], &alone)?));
    // Server and load share both cores, with one worker and with two: what differs between the two
    // is the second worker alone.
    for (name, work, workers) in [("one", page::ONE, "1"), ("two", page::TWO, "2")] {
        let both = [("POPNET_WORKERS", workers), ("PIN", "0,1"), ("LOAD_CPU", "0,1")];
        rows.extend(named(work, harness.run(name, &["www"], &["popnet"], &both)?));
    }
    rows.extend(with_subnet(popnet, &harness, work)?);
    Ok(rows)
}

// ── With dnsperf ─────────────────────────────────────────────────────────────────────────────────

const ZONE: &str = "$ORIGIN example.test.\n$TTL 300\n@ SOA ns1 host 1 3600 900 604800 300\n@ NS ns1\n\
ns1 A 192.0.2.53\nwww A 192.0.2.80\n";

fn with_subnet(popnet: &Path, harness: &Harness, work: &Path) -> Fallible<Vec<Row>> {
    fs::write(work.join("example.test.zone"), ZONE)?;
    fs::write(work.join("app.q"), "app.example.test A\n")?;
    fs::write(work.join("dns.toml"), config())?;
    gdnsd_files(work)?;
    let mut rows = Vec::new();
    let floor = Server::start(
        work,
        pinned(0, harness.work.join("bin/dnsfixed")).args([&PORT.to_string(), "64"]),
    )?;
    rows.extend(asked("dnsfixed", &floor, work)?);
    drop(floor);
    authority(popnet, work)?;
    let node = |name: &str| {
        vec![
            "run".to_owned(),
            "--config".to_owned(),
            "dns.toml".to_owned(),
            "--node".to_owned(),
            format!("{name}.lab"),
            "--state-dir".to_owned(),
            format!("{name}-state"),
            "--identity".to_owned(),
            format!("{name}-identity"),
        ]
    };
    let _log = Server::start(work, pinned(1, popnet).args(node("log1")).current_dir(work))?;
    let ours = Server::start(work, pinned(0, popnet).args(node("ns1")).current_dir(work))?;
    rows.extend(asked("popnet", &ours, work)?);
    drop(ours);
    let peer =
        Server::start(work, pinned(0, "gdnsd").arg("-c").arg(work.join("gdnsd")).arg("start"))?;
    rows.extend(asked("gdnsd", &peer, work)?);
    Ok(rows)
}

/// Certificates for a name server and the log server that it sends its decisions to.
fn authority(popnet: &Path, work: &Path) -> Fallible<()> {
    let run = |words: &[&str]| -> Fallible<()> {
        let output = Command::new(popnet).args(words).current_dir(work).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("popnet {words:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
    };
    run(&["authority", "create", "authority", "--network", "bench"])?;
    for node in ["ns1", "log1"] {
        let (hostname, out) = (format!("{node}.lab.bench.test"), format!("{node}-identity"));
        run(&["authority", "issue", "authority", "--hostname", &hostname, "--out", &out])?;
    }
    Ok(())
}

fn config() -> String {
    format!(
        r#"[network]
name = "bench"
schema = 1
domain = "bench.test"
[logs]
default = ["log1.lab"]
[pops.lab.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = {{ dns = ["127.0.0.1:{PORT}"], probe = ["127.0.0.1:17602"], control = ["127.0.0.1:17601"] }}
workers = {{ dns = 1 }}
[pops.lab.nodes.log1]
roles = ["logserver"]
address = ["127.0.0.1"]
listen = {{ logs = ["127.0.0.1:17603"], control = ["127.0.0.1:17604"] }}
[zones."example.test"]
file = "example.test.zone"
[customers.c]
[policies.shares]
preset = "weighted"
persist = {{ mode = "hash", by = "subnet" }}
[origin_groups.app.servers]
a = {{ address = "192.0.2.1", weight = 10 }}
b = {{ address = "192.0.2.2", weight = 20 }}
c = {{ address = "192.0.2.3", weight = 30 }}
[sites."app.example.test"]
customer = "c"
kind = "direct"
policy = "shares"
origins = "app"
"#
    )
}

fn gdnsd_files(work: &Path) -> Fallible<()> {
    let folder = work.join("gdnsd");
    for part in ["zones", "run", "state"] {
        fs::create_dir_all(folder.join(part))?;
    }
    fs::write(
        folder.join("config"),
        format!(
            "options => {{ listen => {{ 127.0.0.1:{PORT} => {{ udp_threads = 1, tcp_threads = 1 }} }}, \
             run_dir = {0}/run, state_dir = {0}/state }}\n\
             plugins => {{ weighted => {{ service_types = up, app => {{ multi = false, \
             a = [ 192.0.2.1, 10 ], b = [ 192.0.2.2, 20 ], c = [ 192.0.2.3, 30 ] }} }} }}\n",
            folder.display()
        ),
    )?;
    fs::write(folder.join("zones/example.test"), format!("{ZONE}app DYNA weighted!app\n"))?;
    Ok(())
}

/// Steered answers, without and with a client subnet.
fn asked(name: &str, server: &Server, work: &Path) -> Fallible<Vec<Row>> {
    wait_until(Duration::from_secs(20), name, answers)?;
    let plain = repeat("steered by dnsperf", name, server, || dnsperf(work, &[]))?;
    let subnet =
        repeat("steered, subnet, by dnsperf", name, server, || dnsperf(work, &["-E", SUBNET]))?;
    Ok(vec![plain, subnet])
}

/// Whether the steered name has an answer now.
fn answers() -> bool {
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for part in ["app", "example", "test"] {
        query.push(u8::try_from(part.len()).unwrap_or(0));
        query.extend_from_slice(part.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let asked = || -> std::io::Result<bool> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.send_to(&query, ("127.0.0.1", PORT))?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer)?;
        Ok(length > 12 && answer.get(7).is_some_and(|count| *count > 0))
    };
    asked().unwrap_or(false)
}

/// Answers that dnsperf got in one run; only right ones count.
fn dnsperf(work: &Path, more: &[&str]) -> Fallible<f64> {
    let port = PORT.to_string();
    let output = pinned(1, "dnsperf")
        .args(["-s", "127.0.0.1", "-p", &port, "-c", "8", "-q", "128", "-T", "1", "-e"])
        .args(more)
        .args(["-l", &seconds().to_string(), "-d"])
        .arg(work.join("app.q"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let codes = text.lines().find_map(|line| line.trim().strip_prefix("Response codes:"));
    let noerror = codes.and_then(|codes| codes.trim().strip_prefix("NOERROR "));
    let answers = noerror.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    answers.ok_or_else(|| format!("dnsperf got no answers:\n{text}").into())
}
