//! A well-known name server on a port of its own, in the foreground, with its files in a folder
//! that goes away with it.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::lab::{SECRET, ZONES};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bind,
    Nsd,
    Knot,
}

pub(crate) struct Peer {
    kind: Kind,
    pub(crate) port: u16,
    process: Child,
    folder: tempfile::TempDir,
}

/// What the peer is for the server at a port of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    SecondaryOf(u16),
    PrimaryOf(u16),
}

impl Peer {
    /// Starts it with [`ZONES`]; a primary reads them from `files`.
    pub(crate) fn start(kind: Kind, port: u16, part: Part, files: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        // Peers change to users of their own.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        if let Part::PrimaryOf(_) = part {
            for zone in ZONES {
                let file = format!("{zone}.zone");
                std::fs::copy(files.join(&file), path.join(&file)).unwrap();
            }
        }
        let text = match kind {
            Kind::Bind => bind(path, port, part),
            Kind::Nsd => nsd(path, port, part),
            Kind::Knot => knot(path, port, part),
        };
        let conf = path.join("conf");
        std::fs::write(&conf, text).unwrap();
        let program = |name: &str| {
            let here = PathBuf::from("/usr/sbin").join(name);
            if here.exists() { here } else { name.into() }
        };
        let log = std::fs::File::create(path.join("log")).unwrap();
        let mut command = match kind {
            Kind::Bind => {
                let mut command = Command::new(program("named"));
                command.args(["-g", "-n", "1", "-c"]).arg(&conf);
                command
            }
            Kind::Nsd => {
                let mut command = Command::new(program("nsd"));
                command.args(["-d", "-c"]).arg(&conf);
                command
            }
            Kind::Knot => {
                std::fs::create_dir(path.join("db")).unwrap();
                let mut command = Command::new(program("knotd"));
                command.arg("-c").arg(&conf);
                command
            }
        };
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        Self { kind, port, process, folder }
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Changes each zone at this primary, which gets the next serial number.
    pub(crate) fn change(&self) {
        let lines = ["update delete www A 192.0.2.2", "update add new 60 A 192.0.2.77"];
        for zone in ZONES {
            if self.kind == Kind::Nsd {
                let path = self.folder.path().join(format!("{zone}.zone"));
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.replacen("SOA ns1 h 1 ", "SOA ns1 h 2 ", 1);
                let text = text.replacen("www A 192.0.2.2\n", "new A 192.0.2.77\n", 1);
                // Its clock of files counts seconds.
                std::thread::sleep(std::time::Duration::from_millis(1_100));
                std::fs::write(&path, text).unwrap();
                continue;
            }
            let lines = lines.map(|line| line.replacen(" www ", &format!(" www.{zone}. "), 1));
            let lines = lines.map(|line| line.replacen(" new ", &format!(" new.{zone}. "), 1));
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            crate::lab::nsupdate(self.port, zone, Some("ddns"), &lines).unwrap();
        }
        if self.kind == Kind::Nsd {
            let id = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap());
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGHUP).unwrap();
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

fn bind(folder: &Path, port: u16, part: Part) -> String {
    let d = folder.display();
    let mut text = format!(
        "options {{ directory \"{d}\"; listen-on port {port} {{ 127.0.0.1; }}; \
         listen-on-v6 {{ none; }}; recursion no; allow-transfer {{ any; }}; pid-file \"{d}/pid\"; \
         session-keyfile none; dnssec-validation no; minimal-responses no; min-refresh-time 1; \
         notify explicit; }};\ncontrols {{ }};\n"
    );
    for key in ["xfr", "ddns"] {
        writeln!(text, "key \"{key}\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};").unwrap();
    }
    for zone in ZONES {
        let key = if zone == "keyed.test" { " key xfr" } else { "" };
        let rest = match part {
            Part::SecondaryOf(ours) => format!(
                "type secondary; file \"{zone}.sec\"; primaries {{ 127.0.0.1 port {ours}{key}; }};"
            ),
            Part::PrimaryOf(ours) => format!(
                "type primary; check-names ignore; file \"{d}/{zone}.zone\"; \
                 allow-update {{ key ddns; }}; also-notify {{ 127.0.0.1 port {ours}{key}; }}; {}",
                if key.is_empty() { "" } else { "allow-transfer { key xfr; };" }
            ),
        };
        writeln!(text, "zone \"{zone}\" {{ {rest} }};").unwrap();
    }
    text
}

fn nsd(folder: &Path, port: u16, part: Part) -> String {
    let d = folder.display();
    let mut text = format!(
        "server:\n ip-address: 127.0.0.1@{port}\n server-count: 1\n zonesdir: \"{d}\"\n \
         pidfile: \"{d}/pid\"\n database: \"\"\n username: \"\"\n xfrdfile: \"{d}/xfrd\"\n \
         zonelistfile: \"{d}/zl\"\n xfrdir: \"{d}\"\n xfrd-reload-timeout: 0\n\
         remote-control:\n control-enable: no\n\
         key:\n name: \"xfr\"\n algorithm: hmac-sha256\n secret: \"{SECRET}\"\n"
    );
    for zone in ZONES {
        let key = if zone == "keyed.test" { "xfr" } else { "NOKEY" };
        writeln!(text, "zone:\n name: \"{zone}\"").unwrap();
        match part {
            Part::SecondaryOf(ours) => writeln!(
                text,
                " zonefile: \"{zone}.sec\"\n request-xfr: 127.0.0.1@{ours} {key}\n \
                 allow-notify: 127.0.0.1 {key}\n provide-xfr: 127.0.0.1 NOKEY"
            ),
            Part::PrimaryOf(ours) => writeln!(
                text,
                " zonefile: \"{zone}.zone\"\n create-ixfr: yes\n store-ixfr: yes\n \
                 provide-xfr: 127.0.0.1 {key}\n notify: 127.0.0.1@{ours} {key}"
            ),
        }
        .unwrap();
    }
    text
}

fn knot(folder: &Path, port: u16, part: Part) -> String {
    let d = folder.display();
    let (Part::SecondaryOf(ours) | Part::PrimaryOf(ours)) = part;
    let mut text = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{d}\"\n  tcp-io-timeout: 30000\n\
         database:\n  storage: \"{d}/db\"\nlog:\n  - target: stderr\n    any: info\nkey:\n"
    );
    for key in ["xfr", "ddns"] {
        writeln!(text, "  - id: {key}\n    algorithm: hmac-sha256\n    secret: {SECRET}").unwrap();
    }
    write!(
        text,
        "remote:\n  - id: plain\n    address: 127.0.0.1@{ours}\n  - id: keyed\n    \
         address: 127.0.0.1@{ours}\n    key: xfr\n\
         acl:\n  - id: plain\n    address: 127.0.0.1\n    action: [notify, transfer]\n  \
         - id: keyed\n    address: 127.0.0.1\n    key: xfr\n    action: [notify, transfer]\n  \
         - id: update\n    key: ddns\n    action: update\nzone:\n"
    )
    .unwrap();
    for zone in ZONES {
        let id = zone.trim_end_matches(".test");
        writeln!(text, "  - domain: {zone}\n    storage: \"{d}\"\n    semantic-checks: off")
            .unwrap();
        match part {
            // The test looks at what it got without a key.
            Part::SecondaryOf(_) => {
                writeln!(text, "    file: {zone}.sec\n    master: {id}\n    acl: [{id}, plain]")
            }
            Part::PrimaryOf(_) => writeln!(
                text,
                "    file: {zone}.zone\n    zonefile-sync: -1\n    zonemd-generate: zonemd-sha384\n    notify: {id}\n    \
                 acl: [{id}, update]"
            ),
        }
        .unwrap();
    }
    text
}

/// A BIND, Knot or NSD with a configuration of its own.
pub(crate) struct Process {
    process: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn bind(folder: &Path, conf: &str) -> Self {
        Self::start("/usr/sbin/named", &["-g", "-n", "1", "-c"], folder, conf)
    }

    pub(crate) fn knot(folder: &Path, conf: &str) -> Self {
        Self::start("/usr/sbin/knotd", &["-c"], folder, conf)
    }

    pub(crate) fn nsd(folder: &Path, conf: &str) -> Self {
        Self::start("/usr/sbin/nsd", &["-d", "-c"], folder, conf)
    }

    fn start(program: &str, arguments: &[&str], folder: &Path, conf: &str) -> Self {
        let (path, log) = (folder.join("conf"), folder.join("log"));
        std::fs::write(&path, conf).unwrap();
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let file = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).arg(&path);
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Self { process: command.spawn().unwrap(), log }
    }

    /// What it said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}
