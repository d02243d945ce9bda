//! `cargo xtask bench`: our server and a peer from the distribution under the same load in the
//! same run. The server has one worker on the first core, the load the second core; what counts is
//! CPU time an answer, since the rate of a shared machine drifts.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs of each row; the median is shown.
const RUNS: usize = 3;
/// Length of a run in seconds.
const SECONDS: u32 = 5;
/// Ports below which nobody else listens on a developer's machine.
const DNS_PORT: u16 = 15_353;
const HTTP_PORT: u16 = 18_080;
const ORIGIN_PORT: u16 = 18_000;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// One server in one scenario.
struct Row {
    scenario: &'static str,
    server: String,
    rate: f64,
    cpu_us: f64,
}

/// Measures and writes `docs/benchmarks.md`.
pub(crate) fn run(root: &Path) -> Fallible<()> {
    for (tool, package) in [
        ("dnsperf", "dnsperf"),
        ("wrk", "wrk"),
        ("gdnsd", "gdnsd"),
        ("nginx", "nginx-light"),
        ("taskset", "util-linux"),
    ] {
        if !crate::setup::has(tool) {
            return Err(format!("{tool} is missing: apt-get install {package}").into());
        }
    }
    println!("building the release program");
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "-p", "popnet"])
        .current_dir(root)
        .status()?;
    if !built.success() {
        return Err("the program does not build".into());
    }
    let popnet = root.join("target/release/popnet");
    let work = root.join("target/bench");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work)?;
    let mut rows = dns(&popnet, &work)?;
    rows.extend(http(&popnet, &work)?);
    let page = root.join("docs/benchmarks.md");
    fs::write(&page, document(&rows))?;
    println!("{}\n{} written", table(&rows), page.display());
    Ok(())
}

/// A server that is killed when dropped.
struct Server(Child);

impl Server {
    fn start(work: &Path, command: &mut Command) -> Fallible<Self> {
        let log = fs::File::create(work.join("server.log"))?;
        Ok(Self(command.stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log)).spawn()?))
    }

    /// User and system time of the process and its children, in seconds.
    fn cpu(&self) -> f64 {
        tree(self.0.id()).iter().map(|pid| ticks(*pid)).sum::<f64>() / 100.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for pid in tree(self.0.id()).iter().skip(1) {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process and its direct children.
fn tree(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    let mut all = vec![pid];
    all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    all
}

/// Clock ticks (a hundredth of a second on Linux) that a process has used.
fn ticks(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, fields)) = stat.rsplit_once(") ") else { return 0.0 };
    let used = fields.split_whitespace().skip(11).take(2);
    used.filter_map(|field| field.parse::<f64>().ok()).sum()
}

fn pinned(core: u8, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

fn wait_until(limit: Duration, what: &str, mut ready: impl FnMut() -> bool) -> Fallible<()> {
    let end = Instant::now() + limit;
    while !ready() {
        if Instant::now() > end {
            return Err(format!("{what} did not become ready; see target/bench").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Repeats `load` (which gives the number of answers) and takes medians.
fn measure(
    scenario: &'static str,
    name: &str,
    server: &Server,
    mut load: impl FnMut() -> Fallible<f64>,
) -> Fallible<Row> {
    load()?;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (cpu, begun) = (server.cpu(), Instant::now());
        let answers = load()?;
        rates.push(answers / begun.elapsed().as_secs_f64());
        costs.push((server.cpu() - cpu) * 1e6 / answers.max(1.0));
    }
    let row = Row { scenario, server: name.to_owned(), rate: median(rates), cpu_us: median(costs) };
    println!("{scenario:<16} {name:<8} {:>9.0}/s {:>7.2} us", row.rate, row.cpu_us);
    Ok(row)
}

// ── DNS ──────────────────────────────────────────────────────────────────────────────────────────

const ZONE: &str = "$ORIGIN example.test.\n$TTL 300\n@ SOA ns1 host 1 3600 900 604800 300\n@ NS ns1\n\
ns1 A 192.0.2.53\nwww A 192.0.2.80\n";

fn dns(popnet: &Path, work: &Path) -> Fallible<Vec<Row>> {
    fs::write(work.join("example.test.zone"), ZONE)?;
    fs::write(work.join("static.q"), "www.example.test A\n")?;
    fs::write(work.join("steered.q"), "app.example.test A\n")?;
    fs::write(work.join("dns.toml"), dns_config())?;
    gdnsd_files(work)?;
    let mut rows = Vec::new();
    let ours = Server::start(
        work,
        pinned(0, popnet)
            .args(["run", "--config", "dns.toml", "--node", "ns1.lab", "--state-dir", "ns-state"])
            .current_dir(work),
    )?;
    rows.extend(dns_rows("popnet", &ours, work)?);
    drop(ours);
    let peer =
        Server::start(work, pinned(0, "gdnsd").arg("-c").arg(work.join("gdnsd")).arg("start"))?;
    rows.extend(dns_rows("gdnsd", &peer, work)?);
    Ok(rows)
}

fn dns_config() -> String {
    format!(
        r#"[network]
name = "bench"
schema = 1
domain = "bench.test"
[pops.lab.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = {{ dns = ["127.0.0.1:{DNS_PORT}"], probe = ["127.0.0.1:17602"], control = ["127.0.0.1:17601"] }}
workers = {{ dns = 1 }}
[zones."example.test"]
file = "example.test.zone"
[customers.c]
[policies.shares]
preset = "weighted"
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
            "options => {{ listen => {{ 127.0.0.1:{DNS_PORT} => {{ udp_threads = 1, tcp_threads = 1 }} }}, \
             run_dir = {0}/run, state_dir = {0}/state }}\n\
             plugins => {{ weighted => {{ service_types = up, app => {{ multi = false, \
             a = [ 192.0.2.1, 10 ], b = [ 192.0.2.2, 20 ], c = [ 192.0.2.3, 30 ] }} }} }}\n",
            folder.display()
        ),
    )?;
    fs::write(folder.join("zones/example.test"), format!("{ZONE}app DYNA weighted!app\n"))?;
    Ok(())
}

fn dns_rows(name: &str, server: &Server, work: &Path) -> Fallible<Vec<Row>> {
    wait_until(Duration::from_secs(20), name, || dns_answers("www") && dns_answers("app"))?;
    let static_row = measure("DNS static A", name, server, || dnsperf(work, "static.q"))?;
    let steered = measure("DNS steered A", name, server, || dnsperf(work, "steered.q"))?;
    Ok(vec![static_row, steered])
}

/// Whether LABEL.example.test has an A record now.
fn dns_answers(label: &str) -> bool {
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for part in [label, "example", "test"] {
        query.push(u8::try_from(part.len()).unwrap_or(0));
        query.extend_from_slice(part.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let asked = || -> std::io::Result<bool> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.send_to(&query, ("127.0.0.1", DNS_PORT))?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer)?;
        Ok(length > 12 && answer.get(7).is_some_and(|count| *count > 0))
    };
    asked().unwrap_or(false)
}

/// Answers that dnsperf got in one run; only right ones count.
fn dnsperf(work: &Path, queries: &str) -> Fallible<f64> {
    let output = pinned(1, "dnsperf")
        .args([
            "-s",
            "127.0.0.1",
            "-p",
            &DNS_PORT.to_string(),
            "-c",
            "8",
            "-q",
            "128",
            "-T",
            "1",
            "-e",
        ])
        .args(["-l", &SECONDS.to_string(), "-d"])
        .arg(work.join(queries))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let codes = text.lines().find_map(|line| line.trim().strip_prefix("Response codes:"));
    let noerror = codes.and_then(|codes| codes.trim().strip_prefix("NOERROR "));
    let answers = noerror.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    answers.ok_or_else(|| format!("dnsperf got no answers:\n{text}").into())
}

// ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────

fn http(popnet: &Path, work: &Path) -> Fallible<Vec<Row>> {
    let origin = work.join("origin");
    fs::create_dir_all(&origin)?;
    fs::write(origin.join("1k"), vec![b'x'; 1024])?;
    fs::write(origin.join("16k"), vec![b'x'; 16 * 1024])?;
    let files = format!(
        "server {{ listen 127.0.0.1:{ORIGIN_PORT}; root {}; add_header Cache-Control max-age=3600; }}",
        origin.display()
    );
    let _origin = nginx(work, "origin", 1, &files)?;
    wait_until(Duration::from_secs(10), "the origin", || http_answers(ORIGIN_PORT))?;
    fs::write(work.join("cache.toml"), cache_config())?;
    let mut rows = Vec::new();
    let ours = Server::start(
        work,
        pinned(0, popnet)
            .args([
                "run",
                "--config",
                "cache.toml",
                "--node",
                "edge1.lab",
                "--state-dir",
                "edge-state",
            ])
            .current_dir(work),
    )?;
    rows.extend(http_rows("popnet", &ours)?);
    drop(ours);
    let cache = format!(
        "proxy_cache_path {0}/nginx-store keys_zone=c:16m; open_file_cache max=1000 inactive=300s; \
         upstream o {{ server 127.0.0.1:{ORIGIN_PORT}; keepalive 16; }} \
         server {{ listen 127.0.0.1:{HTTP_PORT}; keepalive_requests 1000000000; location / {{ \
         proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_cache c; }} }}",
        work.display()
    );
    let peer = nginx(work, "cache", 0, &cache)?;
    rows.extend(http_rows("nginx", &peer)?);
    Ok(rows)
}

fn cache_config() -> String {
    format!(
        r#"[network]
name = "bench"
schema = 1
domain = "bench.test"
[pops.lab.nodes.edge1]
roles = ["webcache", "webserver"]
address = ["127.0.0.1"]
listen = {{ http = ["127.0.0.1:{HTTP_PORT}"], store = ["127.0.0.1:17604"], control = ["127.0.0.1:17601"] }}
workers = {{ http = 1 }}
memory = "256 MiB"
disk = "1 GiB"
[customers.c]
[origin_groups.app.servers]
local = {{ address = "127.0.0.1:{ORIGIN_PORT}" }}
[sites."*"]
customer = "c"
kind = "cached"
origins = "app"
"#
    )
}

fn nginx(work: &Path, name: &str, core: u8, servers: &str) -> Fallible<Server> {
    let folder: PathBuf = work.join(format!("nginx-{name}"));
    fs::create_dir_all(&folder)?;
    let file = folder.join("nginx.conf");
    fs::write(
        &file,
        format!(
            "daemon off; user root; worker_processes 1; pid {0}/pid; error_log {0}/error.log; \
             events {{ worker_connections 4096; }} \
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_timeout 300; \
             client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0}; \
             uwsgi_temp_path {0}; scgi_temp_path {0}; {servers} }}",
            folder.display()
        ),
    )?;
    Server::start(&folder, pinned(core, "nginx").arg("-c").arg(&file).arg("-p").arg(&folder))
}

fn http_rows(name: &str, server: &Server) -> Fallible<Vec<Row>> {
    wait_until(Duration::from_secs(20), name, || http_answers(HTTP_PORT))?;
    let small = measure("HTTP hit 1 KiB", name, server, || wrk("1k"))?;
    let larger = measure("HTTP hit 16 KiB", name, server, || wrk("16k"))?;
    Ok(vec![small, larger])
}

fn http_answers(port: u16) -> bool {
    let asked = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /1k HTTP/1.1\r\nhost: bench.test\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    asked().unwrap_or(false)
}

/// Right answers that wrk got in one run.
fn wrk(path: &str) -> Fallible<f64> {
    let output = pinned(1, "wrk")
        .args(["-t", "1", "-c", "64", "-d", &format!("{SECONDS}s")])
        .arg(format!("http://127.0.0.1:{HTTP_PORT}/{path}"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("Non-2xx") {
        return Err(format!("wrk got wrong answers:\n{text}").into());
    }
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "));
    requests.and_then(|(count, _)| count.parse().ok()).ok_or_else(|| format!("wrk: {text}").into())
}

// ── The page ─────────────────────────────────────────────────────────────────────────────────────

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| work | server | answers/s | CPU µs/answer | popnet's CPU ÷ the peer's |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let ours = rows.iter().find(|r| r.scenario == row.scenario && r.server == "popnet");
        let ratio = ours
            .filter(|_| row.server != "popnet")
            .map_or_else(String::new, |ours| format!("{:.2}", ours.cpu_us / row.cpu_us));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.2} | {ratio} |",
            row.scenario, row.server, row.rate, row.cpu_us
        );
    }
    text
}

/// The package's name and version, as the distribution has it.
fn version(package: &str) -> String {
    let output =
        Command::new("dpkg-query").args(["-W", "-f", "${Package} ${Version}", package]).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}

fn document(rows: &[Row]) -> String {
    format!(
        "# Benchmarks\n\nMade by `cargo xtask bench`, which builds the release program, starts it and a peer from the\n\
         distribution in turn, and writes this page. One worker on the first core; the load\n\
         (dnsperf with 128 outstanding queries; wrk with 64 connections) on the second. Medians of {RUNS} runs of {SECONDS} s.\n\n\
         CPU time an answer (user and system, from `/proc`) is the figure to judge by: rates are limited by\n\
         the load generator and by whatever else the machine does. A ratio below 1 means that popnet needs less.\n\n\
         {}\nPeers: {}; {}. Every DNS answer is NOERROR, every HTTP answer 200; hits come from the\n\
         memory tier. Nobody writes a log here: gdnsd has none, nginx's is off, and popnet has no log server to\n\
         send records to.\n",
        table(rows),
        version("gdnsd"),
        version("nginx"),
    )
}
