//! Files by curl and wget: every version of HTTP that they speak, parts, and a download that
//! breaks off and goes on.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::edge::{Edge, Nginx, digest, noise, run};

const FILE_OCTETS: usize = 3_000_000;

fn curl(arguments: &[&str]) -> String {
    run(Command::new("curl").args(["-sS", "--fail", "--max-time", "30"]).args(arguments))
}

/// Status, version and `Cache-Status` of a URL whose content goes to `out`.
fn told(edge: &Edge, version: &str, scheme: &str, out: &Path, more: &[&str]) -> String {
    let port = if scheme == "https" { edge.https } else { edge.http };
    let resolve = format!("a.test:{port}:127.0.0.1");
    let url = format!("{scheme}://a.test:{port}/file.bin");
    let out = out.to_str().unwrap();
    let write = "%{http_code} %{http_version} %header{cache-status}";
    let arguments = ["-k", version, "--resolve", &resolve, "-o", out, "-w", write, &url];
    curl(&[&arguments, more].concat())
}

#[test]
fn curl_by_every_version() {
    let nginx = Nginx::start();
    let file = nginx.www().join("file.bin");
    std::fs::write(&file, noise(FILE_OCTETS)).unwrap();
    let edge = Edge::before(nginx.port);
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("got");
    let ways = [
        ("--http1.0", "http", "1.1"),
        ("--http1.1", "http", "1.1"),
        ("--http1.1", "https", "1.1"),
        ("--http2", "https", "2"),
    ];
    for (version, scheme, expected) in ways {
        for round in 1..=2 {
            let said = told(&edge, version, scheme, &out, &[]);
            assert!(said.starts_with(&format!("200 {expected} ")), "{version} {scheme}: {said}");
            assert_eq!(digest(&out), digest(&file), "{version} {scheme}");
            assert!(round == 1 || said.contains("mem.lab; hit"), "{version} {scheme}: {said}");
            std::fs::remove_file(&out).unwrap();
        }
    }
    // In clear and over TLS are two resources (RFC 9110 4.2.2); each was fetched once.
    let asked = nginx.asked_for("/file.bin");
    assert_eq!(asked.len(), 2, "{asked:?}");

    // Parts of what is kept.
    for version in ["--http1.1", "--http2"] {
        let said = told(&edge, version, "https", &out, &["-r", "1000000-1999999"]);
        assert!(said.starts_with("206 ") && said.contains("hit"), "{said}");
        let part = std::fs::read(&out).unwrap();
        assert!(part == noise(FILE_OCTETS)[1_000_000..2_000_000], "{version}: another part");
    }
    // Many at once on one connection.
    let (resolve, url) = (
        format!("a.test:{}:127.0.0.1", edge.https),
        format!("https://a.test:{}/file.bin?[1-40]", edge.https),
    );
    let all = curl(&[
        "-k",
        "--http2",
        "--parallel",
        "--parallel-max",
        "40",
        "--resolve",
        &resolve,
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{size_download}\n",
        &url,
    ]);
    let whole = format!("200 {FILE_OCTETS}");
    assert_eq!(all.lines().filter(|line| **line == *whole).count(), 40, "{all}");
    assert_eq!(nginx.asked().len(), 42);
}

#[test]
fn wget_goes_on_where_it_was_cut_off() {
    let nginx = Nginx::start();
    let file = nginx.www().join("file.bin");
    std::fs::write(&file, noise(FILE_OCTETS)).unwrap();
    let edge = Edge::before(nginx.port);
    // Between wget and the cache, a relay that breaks the first connection in the middle.
    let relay = cutting(edge.http, FILE_OCTETS / 2);
    let folder = tempfile::tempdir().unwrap();
    let log = wget(folder.path(), relay);
    assert_eq!(digest(&folder.path().join("file.bin")), digest(&file), "{log}");
    assert!(log.contains("206 Partial Content"), "{log}");
    // Whoever went away did not keep the cache from having the whole of it.
    let asked = nginx.asked_for("/file.bin");
    assert_eq!(asked.len(), 1, "{asked:?}");
}

#[test]
fn wget_goes_on_when_the_origin_broke_off() {
    let nginx = Nginx::start();
    let file = nginx.www().join("file.bin");
    std::fs::write(&file, noise(FILE_OCTETS)).unwrap();
    let edge = Edge::before(cutting(nginx.port, FILE_OCTETS / 2));
    let folder = tempfile::tempdir().unwrap();
    let log = wget(folder.path(), edge.http);
    assert_eq!(digest(&folder.path().join("file.bin")), digest(&file), "{log}");
    // The half was nobody's: it was told apart from a whole, and is not kept.
    let again = folder.path().join("again");
    let said = told(&edge, "--http1.1", "http", &again, &[]);
    assert_eq!(digest(&again), digest(&file), "{said}");
}

/// Fetches `file.bin` through `port` with as many attempts as it takes; its words.
fn wget(folder: &Path, port: u16) -> String {
    let log = folder.join("log");
    run(Command::new("wget")
        .args(["-c", "--tries=5", "--waitretry=0", "--timeout=20", "--no-proxy", "-o"])
        .arg(&log)
        .arg("--header=Host: a.test")
        .arg(format!("http://127.0.0.1:{port}/file.bin"))
        .current_dir(folder));
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("Retrying"), "nothing was cut off: {said}");
    said
}

/// A relay to `port` that resets its first connection after `octets` octets of answers.
fn cutting(port: u16, octets: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let cut = Arc::new(AtomicU32::new(0));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let cut = Arc::clone(&cut);
            std::thread::spawn(move || relay(client, port, octets, &cut));
        }
    });
    own
}

fn relay(mut client: TcpStream, port: u16, octets: usize, cut: &AtomicU32) {
    let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut asking, mut asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut asking, &mut asked));
    let mut buffer = vec![0; 16 << 10];
    let mut passed = 0;
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        if client.write_all(&buffer[..count]).is_err() {
            break;
        }
        passed += count;
        if passed >= octets && cut.fetch_max(1, Ordering::SeqCst) == 0 {
            break;
        }
    }
    let _ = client.shutdown(std::net::Shutdown::Both);
    let _ = server.shutdown(std::net::Shutdown::Both);
}
