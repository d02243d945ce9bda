//! `cargo xtask bench`: our server and peers from the distribution under the same load in the
//! same run. The server has one worker on the first core, the load the second core; what counts is
//! CPU time an answer, since the rate of a shared machine drifts.
//!
//! Each part keeps its results as JSON under `docs/benchmarks`; the page is made from those, so
//! that a part can be measured again alone.

mod dns;
mod page;

use std::fs;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use page::Row;

/// Runs of each row; the median is shown.
const RUNS: usize = 3;
/// Length of a run in seconds.
const SECONDS: u32 = 5;
/// Ports on which nobody else listens on a developer's machine.
const HTTP_PORT: u16 = 18_080;
const ORIGIN_PORT: u16 = 18_000;

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// Measures `part` (`dns`, `http`, `steering`, or all when there is none) and writes the page.
pub(crate) fn run(root: &Path, part: Option<&str>) -> Fallible<()> {
    let known = [None, Some("dns"), Some("http"), Some("steering"), Some("page")];
    if !known.contains(&part) {
        return Err("parts: dns, http, steering; page writes the page again".into());
    }
    if part.is_none_or(|part| part == "steering") {
        page::keep(root, "steering", steering(root)?)?;
    }
    if part.is_none_or(|part| part == "dns" || part == "http") {
        let popnet = program(root)?;
        let work = root.join("target/bench");
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        fs::create_dir_all(&work)?;
        if part != Some("http") {
            page::keep(root, "dns", dns::measure(root, &popnet, &work)?)?;
        }
        if part != Some("dns") {
            need(&[("wrk", "wrk"), ("nginx", "nginx-light"), ("taskset", "util-linux")])?;
            page::keep(root, "http", http(&popnet, &work)?)?;
        }
    }
    page::write(root)
}

/// What decisions cost, as a program of the steering core says: a row a line.
fn steering(root: &Path) -> Fallible<Vec<Row>> {
    let output = Command::new("cargo")
        .args(["run", "--release", "--locked", "-p", "popnet-steering", "--example", "speed"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the example speed of popnet-steering failed".into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn need(tools: &[(&str, &str)]) -> Fallible<()> {
    match tools.iter().find(|(tool, _)| !crate::setup::has(tool)) {
        Some((tool, package)) => {
            Err(format!("{tool} is missing: apt-get install {package}").into())
        }
        None => Ok(()),
    }
}

/// The program to measure: the release build, or what `POPNET_BIN` names.
fn program(root: &Path) -> Fallible<PathBuf> {
    if let Some(given) = std::env::var_os("POPNET_BIN") {
        return Ok(fs::canonicalize(given)?);
    }
    println!("building the release program");
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "-p", "popnet"])
        .current_dir(root)
        .status()?;
    if !built.success() {
        return Err("the program does not build".into());
    }
    Ok(root.join("target/release/popnet"))
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
    work: &str,
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
    let (rate, cost) = (median(rates), median(costs));
    println!("{work:<28} {name:<8} {rate:>9.0}/s {cost:>7.2} us");
    let row = Row::new(work, name).with("rate", rate).with("cpu_us", cost);
    Ok(row)
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
    let small = measure("hit of 1 KiB", name, server, || wrk("1k"))?;
    let larger = measure("hit of 16 KiB", name, server, || wrk("16k"))?;
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
