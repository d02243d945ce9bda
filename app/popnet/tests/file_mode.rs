//! `popnet run --config FILE`: one machine, no control plane; one process or several.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{free_port, popnet, text, within};

/// A node that is stopped when dropped.
struct Node(Child);

impl Node {
    fn start(folder: &Path, config: &str, node: &str, extra: &[&str]) -> Self {
        let child = popnet()
            .args(["run", "--config", config, "--node", node, "--state-dir", "state"])
            .args(extra)
            .current_dir(folder)
            .stderr(Stdio::from(std::fs::File::create(folder.join("log")).unwrap()))
            .spawn()
            .unwrap();
        Self(child)
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn dig(port: u16, args: &[&str]) -> String {
    let output = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port.to_string(), "+short", "+tries=1", "+time=1"])
        .args(args)
        .output()
        .unwrap();
    text(&output.stdout).trim().to_owned()
}

const ZONE: &str = "$ORIGIN example.test.\n$TTL 300\n@ SOA ns1 host 1 3600 900 604800 300\n@ NS ns1\n\
ns1 A 192.0.2.53\nwww A 192.0.2.80\n*.wild TXT \"any\"\nalias CNAME www\n";

#[test]
fn a_name_server_for_ordinary_zones() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let sample = include_str!("../../../examples/single-dns.toml");
    let config = sample.replace("127.0.0.1:5300", &format!("127.0.0.1:{port}"));
    std::fs::write(folder.path().join("dns.toml"), &config).unwrap();
    std::fs::create_dir(folder.path().join("zones")).unwrap();
    std::fs::create_dir(folder.path().join("zones.d")).unwrap();
    std::fs::write(folder.path().join("zones/example.test.zone"), ZONE).unwrap();
    std::fs::write(
        folder.path().join("zones.d/other.test.zone"),
        ZONE.replace("example.test", "other.test"),
    )
    .unwrap();
    let node = Node::start(folder.path(), "dns.toml", "ns1.lab", &[]);
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(
        within(Duration::from_secs(10), || dig(port, &["www.example.test"]) == "192.0.2.80"),
        "{}",
        log()
    );
    assert_eq!(dig(port, &["alias.example.test"]), "www.example.test.\n192.0.2.80");
    assert_eq!(dig(port, &["TXT", "x.y.wild.example.test"]), "\"any\"");
    assert_eq!(dig(port, &["+tcp", "www.other.test"]), "192.0.2.80");

    // A changed zone is read on SIGHUP; a broken one leaves the last good one in service.
    std::fs::write(
        folder.path().join("zones/example.test.zone"),
        ZONE.replace("192.0.2.80", "192.0.2.81"),
    )
    .unwrap();
    node.signal(nix::sys::signal::Signal::SIGHUP);
    assert!(
        within(Duration::from_secs(5), || dig(port, &["www.example.test"]) == "192.0.2.81"),
        "{}",
        log()
    );
    std::fs::write(
        folder.path().join("zones/example.test.zone"),
        "$ORIGIN example.test.\n@ SOA broken\n",
    )
    .unwrap();
    node.signal(nix::sys::signal::Signal::SIGHUP);
    assert!(within(Duration::from_secs(5), || log().contains("example.test.zone:2")), "{}", log());
    assert_eq!(dig(port, &["www.example.test"]), "192.0.2.81");
}

#[test]
fn a_taken_dns_port_is_named_with_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let sample = include_str!("../../../examples/single-dns.toml");
    std::fs::write(folder.path().join("dns.toml"), sample.replace("127.0.0.1:5300", &address))
        .unwrap();
    std::fs::create_dir(folder.path().join("zones")).unwrap();
    std::fs::write(folder.path().join("zones/example.test.zone"), ZONE).unwrap();
    let output = popnet()
        .args(["run", "--config", "dns.toml", "--node", "ns1.lab", "--state-dir", "state"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let words = support::both(&output);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(
        words.contains(&address) && words.contains(&format!("pid {}", std::process::id())),
        "{words}"
    );
}

/// An origin that counts its requests.
fn origin() -> (u16, std::sync::Arc<std::sync::atomic::AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counter = std::sync::Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let counter = std::sync::Arc::clone(&counter);
            std::thread::spawn(move || {
                let mut octets = [0u8; 4096];
                let mut head = Vec::new();
                while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                    match stream.read(&mut octets) {
                        Ok(0) | Err(_) => return,
                        Ok(n) => head.extend_from_slice(&octets[..n]),
                    }
                }
                let path = text(&head).split_whitespace().nth(1).unwrap_or("/").to_owned();
                counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let answer: &[u8] = match path.as_str() {
                    "/short" => b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\ncache-control: max-age=60\r\n\r\nfew",
                    "/reset" => b"",
                    "/stall" => {
                        std::thread::sleep(Duration::from_secs(60));
                        b""
                    }
                    _ => b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\ncache-control: max-age=60\r\nconnection: close\r\n\r\nhello\n",
                };
                let _ = stream.write_all(answer);
            });
        }
    });
    (port, count)
}

fn cache_config(http: u16, origin: u16) -> String {
    include_str!("../../../examples/single-cache.toml")
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{http}"))
        .replace(", https = [\"127.0.0.1:8443\"]", "")
        .replace("127.0.0.1:8000", &format!("127.0.0.1:{origin}"))
        .replace("[certificates.lab]\n", "")
        .replace("chain = \"tls/lab.pem\"                       # relative to this file\n", "")
        .replace("key   = \"tls/lab.key\"\n", "")
        .replace("tls      = { certificate = \"lab\" }\n", "")
}

fn curl(port: u16, path: &str) -> (u16, String, String) {
    let output = Command::new("curl")
        .args(["-sS", "-i", "--max-time", "50", &format!("http://127.0.0.1:{port}{path}")])
        .output()
        .unwrap();
    let all = text(&output.stdout);
    let (head, content) = all.split_once("\r\n\r\n").unwrap_or((&all, ""));
    let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase(), content.to_owned())
}

#[test]
fn a_caching_reverse_proxy_for_one_server() {
    let folder = tempfile::tempdir().unwrap();
    let (http, (origin, count)) = (free_port(), origin());
    std::fs::write(folder.path().join("cache.toml"), cache_config(http, origin)).unwrap();
    let node = Node::start(folder.path(), "cache.toml", "edge1.lab", &[]);
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(within(Duration::from_secs(10), || curl(http, "/a").0 == 200), "{}", log());
    let (status, head, content) = curl(http, "/a");
    assert_eq!((status, content.as_str()), (200, "hello\n"), "{head}");
    assert!(head.contains("; hit"), "{head}");
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);

    // Kept on disk over a restart, even the hard way.
    drop(node);
    let _node = Node::start(folder.path(), "cache.toml", "edge1.lab", &[]);
    assert!(within(Duration::from_secs(10), || curl(http, "/a").0 == 200), "{}", log());
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1, "the disk tier forgot");

    // Bad origins: clean errors with Proxy-Status, nothing stored.
    for (path, expected) in [("/reset", 502), ("/stall", 504)] {
        let (status, head, _) = curl(http, path);
        assert_eq!(status, expected, "{path}: {head}");
        assert!(head.contains("proxy-status:"), "{path}: {head}");
    }
    let before = count.load(std::sync::atomic::Ordering::SeqCst);
    curl(http, "/short");
    curl(http, "/short");
    assert!(
        count.load(std::sync::atomic::Ordering::SeqCst) >= before + 2,
        "a short body was stored"
    );
}

#[test]
fn roles_as_separate_processes() {
    let folder = tempfile::tempdir().unwrap();
    let (http, (origin, _)) = (free_port(), origin());
    std::fs::write(folder.path().join("cache.toml"), cache_config(http, origin)).unwrap();
    let disk = Node::start(folder.path(), "cache.toml", "edge1.lab", &["--role", "webserver"]);
    let memory = Node::start(folder.path(), "cache.toml", "edge1.lab", &["--role", "webcache"]);
    assert!(within(Duration::from_secs(10), || curl(http, "/a").0 == 200));
    assert_ne!(disk.0.id(), memory.0.id());
    assert!(curl(http, "/a").1.contains("mem.lab; hit"));
    drop(disk);
    assert_eq!(curl(http, "/a").0, 200, "memory goes on without the disk tier");
    assert_eq!(curl(http, "/b").0, 502, "a miss cannot be served without the disk tier");
}
