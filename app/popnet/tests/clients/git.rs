//! git by both of its ways over HTTP: a folder of files, and a server that talks back.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::edge::{Edge, Nginx, noise, run};

/// git as nobody's: no configuration of this machine's.
fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .args(["-c", "user.name=nobody", "-c", "user.email=nobody@a.test"])
        .args(["-c", "init.defaultBranch=main", "-c", "gc.auto=0"])
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("no_proxy", "*");
    command
}

/// A bare repository `repo.git` below `folder`, with a file of many octets.
fn repository(folder: &Path) -> PathBuf {
    let bare = folder.join("repo.git");
    let work = tempfile::tempdir().unwrap();
    run(git(folder).args(["init", "-q", "--bare", "repo.git"]));
    run(git(work.path()).args(["init", "-q", "."]));
    commit(work.path(), "file", &noise(500_000));
    run(git(work.path()).args(["push", "-q"]).arg(&bare).arg("main"));
    bare
}

fn commit(work: &Path, name: &str, content: &[u8]) {
    std::fs::write(work.join(name), content).unwrap();
    run(git(work).args(["add", name]));
    run(git(work).args(["commit", "-q", "-m", name]));
}

fn head(of: &Path) -> String {
    run(git(of).args(["rev-parse", "main"]))
}

/// Clones `url` into a new folder, and lets git look at every object.
fn clone(url: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run(git(folder.path()).args(["clone", "-q", url, "."]));
    run(git(folder.path()).args(["fsck", "--full", "--strict", "--no-dangling"]));
    folder
}

#[test]
fn a_folder_of_files() {
    let nginx = Nginx::start();
    let bare = repository(&nginx.www());
    run(git(&bare).args(["repack", "-q", "-a", "-d"]));
    run(git(&bare).arg("update-server-info"));
    let edge = Edge::before(nginx.port);
    for _ in 0..2 {
        let cloned = clone(&edge.url("/repo.git"));
        assert_eq!(head(cloned.path()), head(&bare));
        assert!(std::fs::read(cloned.path().join("file")).unwrap() == noise(500_000));
    }
    // The second clone had its pack from the cache.
    let asked = nginx.asked();
    let packs: Vec<_> = asked.iter().filter(|asked| asked.path.ends_with(".pack")).collect();
    assert_eq!(packs.len(), 1, "{asked:?}");
}

#[test]
fn a_server_that_talks_back() {
    let folder = tempfile::tempdir().unwrap();
    let bare = repository(folder.path());
    run(git(&bare).args(["config", "http.receivepack", "true"]));
    let backend = Backend::start(folder.path());
    let edge = Edge::before(backend.port);
    let url = edge.url("/repo.git");
    let first = clone(&url);
    assert_eq!(head(first.path()), head(&bare));

    // A push goes through: small, and one whose length git does not know beforehand.
    for (name, octets) in [("small", 10), ("large", 3_000_000)] {
        let content = noise(octets);
        commit(first.path(), name, &content);
        run(git(first.path()).args([
            "-c",
            "http.postBuffer=65536",
            "push",
            "-q",
            "origin",
            "main",
        ]));
        assert_eq!(head(&bare), head(first.path()), "{name}");
        // And whoever comes next sees it.
        let next = clone(&url);
        assert_eq!(head(next.path()), head(&bare), "{name}");
        assert!(std::fs::read(next.path().join(name)).unwrap() == content, "{name}");
    }
    // Three clones, and two pushes: nothing of a conversation was answered by the cache.
    let asked = backend.asked.lock().unwrap();
    let count = |what: &str| asked.iter().filter(|line| line.contains(what)).count();
    assert!(count("POST /repo.git/git-upload-pack") >= 3, "{asked:?}");
    assert!(count("POST /repo.git/git-receive-pack") >= 2, "{asked:?}");
    assert_eq!(count("GET /repo.git/info/refs?service=git-upload-pack"), 3, "{asked:?}");
    assert_eq!(count("GET /repo.git/info/refs?service=git-receive-pack"), 2, "{asked:?}");
}

/// git's own server behind the smallest web server that can carry it.
struct Backend {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Backend {
    fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (root, seen) = (root.to_owned(), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (root, seen) = (root.clone(), Arc::clone(&seen));
                std::thread::spawn(move || answer(stream, &root, &seen));
            }
        });
        Self { port, asked }
    }
}

/// One request and its answer (RFC 3875).
fn answer(stream: TcpStream, root: &Path, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut fields = HashMap::new();
    while let Some(line) = line().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        fields.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let content = if field("transfer-encoding") == "chunked" {
        chunks(&mut reader)?
    } else {
        let mut content = vec![0; field("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut content).ok()?;
        content
    };
    let (method, target) = first.split_once(' ')?;
    let target = target.split(' ').next()?;
    seen.lock().unwrap().push(format!("{method} {target}"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut backend = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", field("content-type"))
        .env("CONTENT_LENGTH", content.len().to_string())
        .env("HTTP_CONTENT_ENCODING", field("content-encoding"))
        .env("GIT_PROTOCOL", field("git-protocol"))
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = backend.stdin.take()?;
    let writing = std::thread::spawn(move || input.write_all(&content));
    let output = backend.wait_with_output().ok()?;
    let _ = writing.join();
    let end = output.stdout.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let content = &output.stdout[end + 4..];
    let mut stream = stream;
    let length = content.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{head}");
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).ok()?;
    stream.write_all(content).ok()
}

fn chunks(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some(content);
        }
        content.extend_from_slice(&chunk[..size]);
    }
}
