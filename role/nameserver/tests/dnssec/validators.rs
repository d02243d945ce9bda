//! Validators as processes.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Server, free_port};

fn run(program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; cargo xtask setup"));
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    format!("{out}{err}")
}

fn at(address: SocketAddr) -> [String; 2] {
    [format!("@{}", address.ip()), format!("-p{}", address.port())]
}

pub(crate) fn dig(server: &Server, arguments: &[&str]) -> String {
    let [host, port] = at(server.dns);
    let words = [&[host.as_str(), port.as_str(), "+norecurse", "+time=2"], arguments].concat();
    run("dig", &words)
}

/// The zone's keys with flags 257 as trust anchors of delv and unbound.
pub(crate) fn anchors(server: &Server, zone: &str, folder: &Path) -> PathBuf {
    let keys = dig(server, &["+short", zone, "DNSKEY"]);
    let keys: Vec<&str> = keys.lines().filter(|line| line.starts_with("257 ")).collect();
    assert!(!keys.is_empty(), "{zone} has no key with flags 257");
    let anchor = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let key = words[3..].concat();
        format!("\"{zone}\" static-key 257 {} {} \"{key}\";", words[1], words[2])
    };
    let anchors: Vec<String> = keys.iter().map(anchor).collect();
    let path = folder.join(format!("{zone}.anchors"));
    std::fs::write(&path, format!("trust-anchors {{ {} }};\n", anchors.join(" "))).unwrap();
    let records: Vec<String> =
        keys.iter().map(|key| format!("{zone}. IN DNSKEY {key}\n")).collect();
    std::fs::write(path.with_extension("keys"), records.concat()).unwrap();
    path
}

/// Whether `delv` can prove what it is answered; else what it says.
pub(crate) fn delv(
    server: &Server,
    zone: &str,
    anchors: &Path,
    name: &str,
    rtype: &str,
) -> Result<(), String> {
    let [host, port] = at(server.dns);
    let root = format!("+root={zone}");
    let said = run(
        "delv",
        &["-a", anchors.to_str().unwrap(), &root, &host, &port, "+nosplit", name, rtype],
    );
    let is_good = said.contains("fully validated") && !said.contains("unsigned answer");
    if is_good { Ok(()) } else { Err(format!("delv {name} {rtype}: {said}")) }
}

/// What tools that look at a whole transferred zone find wrong in it.
pub(crate) fn whole(server: &Server, zone: &str, is_one_key: bool, folder: &Path) -> Vec<String> {
    let path = folder.join(format!("{zone}.transferred"));
    let text = dig(server, &["+onesoa", "+noall", "+answer", zone, "AXFR"]);
    std::fs::write(&path, &text).unwrap();
    let path = path.to_str().unwrap();
    // `-z`: one key for everything is no mistake.
    let form = if is_one_key { "-zo" } else { "-o" };
    let mut wrong = Vec::new();
    for words in [&["dnssec-verify", form, zone, path][..], &["ldns-verify-zone", path]] {
        let said = Command::new(words[0])
            .args(&words[1..])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}; cargo xtask setup", words[0]));
        if !said.status.success() {
            let (out, err) =
                (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
            wrong.push(format!("{words:?}: {out}{err}\n{text}"));
        }
    }
    wrong
}

/// A resolver that sends questions about one zone to the server, and validates.
pub(crate) struct Unbound {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Unbound {
    pub(crate) fn start(server: &Server, zone: &str, anchors: &Path, folder: &Path) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let keys = anchors.with_extension("keys");
        let log = folder.join("unbound.log");
        let text = format!(
            "server:\n interface: {}@{}\n username: \"\"\n chroot: \"\"\n directory: \"{}\"\n \
             pidfile: \"\"\n use-syslog: no\n logfile: \"{}\"\n verbosity: 1\n val-log-level: 2\n \
             do-not-query-localhost: no\n trust-anchor-file: \"{}\"\n do-daemonize: no\n \
             num-threads: 1\n target-fetch-policy: \"0 0 0 0 0\"\n local-zone: \"test.\" nodefault\n\
             stub-zone:\n name: \"{zone}\"\n stub-addr: {}@{}\n\
             remote-control:\n control-enable: no\n",
            address.ip(),
            address.port(),
            folder.display(),
            log.display(),
            keys.display(),
            server.dns.ip(),
            server.dns.port(),
        );
        let config = folder.join("unbound.conf");
        std::fs::write(&config, text).unwrap();
        let child = Command::new("unbound")
            .args(["-d", "-c", config.to_str().unwrap()])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("unbound: {error}; cargo xtask setup"));
        let unbound = Self { child, address, log };
        let begin = Instant::now();
        while TcpListener::bind(address).is_ok() {
            assert!(begin.elapsed() < Duration::from_secs(20), "{}", unbound.told());
            std::thread::sleep(Duration::from_millis(50));
        }
        unbound
    }

    fn told(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether the answer to a question was validated.
    pub(crate) fn ask(&self, name: &str, rtype: &str) -> Result<(), String> {
        let [host, port] = at(self.address);
        let said = run("dig", &[&host, &port, "+dnssec", "+time=3", "+tries=2", name, rtype]);
        let flags = said.lines().find(|line| line.starts_with(";; flags:")).unwrap_or_default();
        let is_proven = flags.split(';').nth(2).is_some_and(|flags| flags.contains(" ad"));
        if is_proven {
            Ok(())
        } else {
            Err(format!("unbound {name} {rtype}: {said}{}", self.told()))
        }
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes `zone`.zone into `folder`, signed by BIND's tools.
pub(crate) fn signed_by_bind(zone: &str, text: &str, how: &[&str], folder: &Path) {
    let dir = folder.to_str().unwrap();
    let mut keys = Vec::new();
    for more in [&["-f", "KSK"][..], &[]] {
        let words = [&["-q", "-a", "ECDSAP256SHA256", "-K", dir], more, &[zone]].concat();
        keys.push(run("dnssec-keygen", &words).trim().to_owned());
    }
    let file = folder.join(format!("{zone}.zone"));
    let with_keys: String = keys.iter().fold(text.to_owned(), |text, key| {
        format!("{text}$INCLUDE {}\n", folder.join(format!("{key}.key")).display())
    });
    std::fs::write(&file, with_keys).unwrap();
    let out = folder.join("signed");
    let paths = [out.to_str().unwrap(), file.to_str().unwrap()];
    let words = [&["-K", dir, "-d", dir, "-o", zone, "-f", paths[0]], how, &[paths[1]]].concat();
    let said = run("dnssec-signzone", &words);
    assert!(out.exists(), "{said}");
    std::fs::rename(out, file).unwrap();
}
