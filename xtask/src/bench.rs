//! `cargo xtask bench`: our server and peers from the distribution under the same load in the
//! same run. The server has one worker on the first core, the load the second core; what counts is
//! CPU time an answer, since the rate of a shared machine drifts.
//!
//! Each part keeps its results as JSON under `docs/benchmarks`; the page is made from those, so
//! that a part can be measured again alone.

mod dns;
mod harness;
mod http;
mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use page::Row;

/// Runs of each row; the median is shown.
const RUNS: usize = 3;

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
        need()?;
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
            page::keep(root, "http", http::measure(root, &popnet, &work)?)?;
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

/// That everything is there, and not only when hours of measuring come to it.
fn need() -> Fallible<()> {
    match crate::setup::BENCH.iter().find(|tool| !crate::setup::has(tool.program)) {
        Some(tool) => Err(format!("{} is missing: cargo xtask setup bench", tool.program).into()),
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
