//! A demo network of the real program, and real clients from the distribution around it.
#![expect(dead_code, reason = "each test file uses its own part")]
#![expect(
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails loudly, and shows the logs of the nodes"
)]

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// A running demo; dropped, it is stopped and its folder removed.
pub(crate) struct Demo {
    parent: Child,
    folder: tempfile::TempDir,
    /// What it said when it was ready.
    pub(crate) ready: serde_json::Value,
    /// First two octets of its addresses.
    pub(crate) net: String,
}

/// A process that ends with the test.
pub(crate) struct Running(Child);

impl Running {
    /// Starts `command`, whose words go to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).expect("a log can be made");
        let out = log.try_clone().expect("a file can be opened twice");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(log).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}; cargo xtask setup")))
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// chromedriver, and its port once it has one.
pub(crate) fn chromedriver() -> (Child, u16) {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver is installed: cargo xtask setup");
    let port = BufReader::new(driver.stdout.take().expect("its words are piped"))
        .lines()
        .map_while(Result::ok)
        .filter(|line| line.contains("started successfully"))
        .find_map(|line| line.split("on port ").nth(1)?.trim_end_matches('.').parse().ok())
        .expect("chromedriver says its port");
    (driver, port)
}

/// The program under test.
pub(crate) fn popnet() -> Command {
    Command::new(env!("CARGO_BIN_EXE_popnet"))
}

impl Demo {
    /// Starts a demo on 127.`second`.0.0/16: each test has its own.
    pub(crate) fn start(second: u8) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let net = format!("127.{second}");
        let mut parent = popnet()
            .args(["--json", "demo", "--dir", "d", "--net", &net])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        BufReader::new(parent.stdout.take().expect("piped")).read_line(&mut line).expect("text");
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| {
            let logs = node_logs(&folder.path().join("d"));
            panic!("the demo did not become ready: {error}: {line:?}\n{logs}")
        });
        Self { parent, folder, ready, net }
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("d")
    }

    /// The process that holds it together.
    pub(crate) fn pid(&self) -> u32 {
        self.parent.id()
    }

    /// An address of the demo.
    pub(crate) fn at(&self, last: u8) -> String {
        format!("{}.0.{last}", self.net)
    }

    /// `popnet ARGS…` in a second window.
    pub(crate) fn cli(&self, args: &[&str]) -> Output {
        popnet()
            .args(args)
            .current_dir(self.folder.path())
            .env("POPNET_CONTEXT", "d")
            .output()
            .expect("runs")
    }

    /// The same, which has to succeed; its standard output.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.cli(args);
        assert!(output.status.success(), "popnet {args:?}: {}", both(&output));
        text(&output.stdout)
    }

    /// The same as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        let args: Vec<&str> = ["--json"].iter().chain(args).copied().collect();
        let output = self.cli(&args);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{args:?}: {e}: {}", both(&output)))
    }

    /// Process id of a POP.
    pub(crate) fn pop_pid(&self, pop: &str) -> i32 {
        let pops = self.ready["pops"].as_array().expect("POPs");
        let entry = pops.iter().find(|entry| entry["pop"] == pop).expect("the POP");
        i32::try_from(entry["pid"].as_i64().expect("a number")).expect("a pid")
    }

    /// Process ids of every node.
    pub(crate) fn node_pids(&self) -> Vec<i32> {
        let control = self.ready["control"]["pid"].as_i64().expect("a number");
        let mut pids = vec![i32::try_from(control).expect("a pid")];
        pids.extend(["iad1", "fra1", "nrt1"].map(|pop| self.pop_pid(pop)));
        pids
    }

    /// Kills a process the hard way.
    pub(crate) fn kill_9(pid: i32) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
            .expect("our own process");
    }

    /// Fetches a URL through a city's proxy with curl: status, fields and the SHA-256 of the
    /// content.
    pub(crate) fn curl(&self, port: u16, url: &str) -> Fetched {
        let out = self.folder.path().join(format!("curl-{port}-{:?}", std::thread::current().id()));
        let proxy = format!("{}:{port}", self.at(1));
        let output = Command::new("curl")
            .args(["-sS", "-D-", "--max-time", "20", "-x", &proxy, "-o"])
            .arg(&out)
            .arg(url)
            .env("no_proxy", "")
            .output()
            .expect("curl runs");
        assert!(output.status.success(), "curl {url}: {}", both(&output));
        let head = text(&output.stdout);
        let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let content = std::fs::read(&out).unwrap_or_default();
        Fetched { status, head, content }
    }

    /// Asks with dig from the distribution.
    pub(crate) fn dig(&self, server: u8, extra: &[&str]) -> String {
        let output = Command::new("dig")
            .args([&format!("@{}", self.at(server)), "-p", "5300", "+short", "+tries=1", "+time=2"])
            .args(extra)
            .output()
            .expect("dig runs");
        text(&output.stdout).trim().to_owned()
    }

    /// Ends the demo as Ctrl-C does and waits until it is gone.
    pub(crate) fn interrupt(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.parent.id()).expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("our own process");
        let parent = &mut self.parent;
        assert!(within(Duration::from_secs(10), || matches!(parent.try_wait(), Ok(Some(_)))));
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", node_logs(&self.dir()));
        }
        if matches!(self.parent.try_wait(), Ok(None)) {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(self.parent.id()).unwrap_or(0));
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            let parent = &mut self.parent;
            if !within(Duration::from_secs(10), || matches!(parent.try_wait(), Ok(Some(_)))) {
                let _ = self.parent.kill();
            }
        }
        let _ = self.parent.wait();
    }
}

/// What curl got.
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) content: Vec<u8>,
}

impl Fetched {
    /// The value of a field, or nothing.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value.trim())
    }
}

/// A port of 127.0.0.1 that is free for UDP and TCP. Not one of those that the system gives to
/// clients' connections (from 32768 on Linux): nobody else gets it while a server starts again.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 12_000).unwrap_or(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + start.wrapping_add(step) % 12_000;
        let udp = UdpSocket::bind(("127.0.0.1", port));
        if udp.is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Whether `check` comes true in time; looks every 20 ms.
pub(crate) fn within(limit: Duration, mut check: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if check() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Octets as text.
pub(crate) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Both outputs, for a message.
pub(crate) fn both(output: &Output) -> String {
    format!("exit {:?}\n{}{}", output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn node_logs(dir: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(dir.join("nodes")).into_iter().flatten().flatten() {
        let log = std::fs::read_to_string(entry.path().join("node.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(30)..].join("\n");
        all.push_str(&format!("── {}\n{tail}\n", entry.path().display()));
    }
    all
}
