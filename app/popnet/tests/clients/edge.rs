//! The program in front of one origin, and nginx as that origin.
#![expect(dead_code, reason = "each test program uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::support::{Running, both, free_port, popnet, text, within};

/// A WebCache and a WebServer in one process, with a certificate for `a.test`.
pub(crate) struct Edge {
    folder: tempfile::TempDir,
    pub(crate) http: u16,
    pub(crate) https: u16,
    /// The certificate's key as browsers name it.
    pub(crate) key_sha256: String,
    pub(crate) certificate: rustls::pki_types::CertificateDer<'static>,
    node: Running,
}

impl Edge {
    /// In front of the origin at `port` of this machine.
    pub(crate) fn before(port: u16) -> Self {
        Self::with_memory(port, "256 MiB")
    }

    /// The same with so much memory to keep things in.
    pub(crate) fn with_memory(port: u16, memory: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (http, https) = (free_port(), free_port());
        let tls = folder.path().join("tls");
        std::fs::create_dir(&tls).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
        std::fs::write(tls.join("lab.pem"), made.cert.pem()).unwrap();
        std::fs::write(tls.join("lab.key"), made.signing_key.serialize_pem()).unwrap();
        let public = rcgen::PublicKeyData::subject_public_key_info(&made.signing_key);
        let key_sha256 = data_encoding::BASE64.encode(&Sha256::digest(public));
        let config = include_str!("../../../../examples/single-cache.toml")
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{http}"))
            .replace("127.0.0.1:8443", &format!("127.0.0.1:{https}"))
            .replace("127.0.0.1:8000", &format!("127.0.0.1:{port}"))
            .replace("256 MiB", memory);
        std::fs::write(folder.path().join("cache.toml"), config).unwrap();
        let node = Running::start(
            popnet()
                .args(["run", "--config", "cache.toml", "--node", "edge1.lab"])
                .args(["--state-dir", "state"])
                .current_dir(folder.path()),
            &folder.path().join("log"),
        );
        let edge =
            Self { folder, http, https, key_sha256, certificate: made.cert.der().clone(), node };
        let health = edge.url("/.popnet/health");
        let is_up = || {
            let mut curl = Command::new("curl");
            curl.args(["-sf", "-o", "/dev/null", "-H", "Host: health.popnet.invalid", &health]);
            curl.status().is_ok_and(|status| status.success())
        };
        assert!(within(Duration::from_secs(10), is_up), "{}", edge.log());
        edge
    }

    /// Octets of memory that it has for itself (`RssAnon`).
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.node.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).unwrap();
        kib.parse::<u64>().unwrap() << 10
    }

    /// A URL of it, in clear.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// A request as the origin's log tells it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    /// Octets of content that were sent.
    pub(crate) sent: u64,
    /// `Range`, or `-`.
    pub(crate) range: String,
}

/// nginx with a folder of files that may be kept for an hour.
pub(crate) struct Nginx {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    _server: Running,
}

impl Nginx {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// The same with more words of its server's configuration.
    pub(crate) fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let port = free_port();
        std::fs::create_dir(folder.path().join("www")).unwrap();
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error;\n\
             events {{}}\n\
             http {{\n\
             types {{ text/html html; video/mp4 mp4; image/png png; }}\n\
             log_format told '$request_method|$uri|$status|$body_bytes_sent|$http_range';\n\
             access_log {at}/access told;\n\
             client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;\n\
             fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
             server {{ listen 127.0.0.1:{port}; root {at}/www; expires 1h; {more} }}\n\
             }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let server =
            Running::start(Command::new("nginx").arg("-c").arg(&file), &folder.path().join("said"));
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(within(Duration::from_secs(10), is_up), "nginx does not listen");
        Self { folder, port, _server: server }
    }

    /// Where its files lie.
    pub(crate) fn www(&self) -> PathBuf {
        self.folder.path().join("www")
    }

    /// What it was asked for so far, in the order in which it was done with it.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let log = std::fs::read_to_string(self.folder.path().join("access")).unwrap_or_default();
        let told = log.lines().map(|line| {
            let mut parts = line.split('|');
            let mut next = || parts.next().unwrap_or_default().to_owned();
            let (method, path) = (next(), next());
            let (status, sent) = (next().parse().unwrap(), next().parse().unwrap());
            Asked { method, path, status, sent, range: next() }
        });
        told.collect()
    }

    /// The same, for `path` alone.
    pub(crate) fn asked_for(&self, path: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path == path).collect()
    }
}

/// Runs a client, which has to succeed; what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}; cargo xtask setup"));
    assert!(output.status.success(), "{command:?}: {}", both(&output));
    text(&output.stdout)
}

/// The SHA-256 of a file.
pub(crate) fn digest(file: &Path) -> String {
    let content = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    HEXLOWER.encode(&Sha256::digest(content))
}

/// `octets` octets that look like chance and are the same each time.
pub(crate) fn noise(octets: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut made = Vec::with_capacity(octets + 8);
    while made.len() < octets {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        made.extend_from_slice(&state.to_le_bytes());
    }
    made.truncate(octets);
    made
}
