//! Updates survive `kill -9`: each that was answered is there afterwards, however often the name
//! server is killed in the middle.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{free_port, popnet, text, within};

const CONFIG: &str = r#"
[network]
name = "lab"
schema = 1
domain = "lab.test"
[pops.lab.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = { dns = ["127.0.0.1:PORT"], probe = ["127.0.0.1:PROBE"] }
workers = { dns = 1 }
[zones."example.test"]
file = "example.test.zone"
allow_transfer = ["127.0.0.1"]
allow_update = [{ key = "ddns" }]
"#;

const ZONE: &str = "$TTL 300\n@ SOA ns1 h 1 3600 900 604800 300\n@ NS ns1\nns1 A 192.0.2.53\n";

/// A node that is killed when dropped.
struct Node(Child);

impl Node {
    fn start(folder: &Path) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log"));
        let child = popnet()
            .args(["run", "--config", "dns.toml", "--node", "ns1.lab", "--state-dir", "state"])
            .current_dir(folder)
            .stderr(Stdio::from(log.unwrap()))
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn dig(port: u16, name: &str, rtype: &str) -> String {
    let port = port.to_string();
    let mut dig = Command::new("dig");
    dig.args(["@127.0.0.1", "-p", &port, "+short", "+tries=1", "+time=1", name, rtype]);
    text(&dig.output().unwrap().stdout).trim().to_owned()
}

/// Whether the name server took it.
fn add(folder: &Path, port: u16, name: &str) -> bool {
    let mut command = Command::new("nsupdate");
    command
        .args(["-t", "2", "-u", "1", "-r", "0", "-k"])
        .arg(folder.join("state/keys/tsig/ddns.key"));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let script = format!(
        "server 127.0.0.1 {port}\nzone example.test\nupdate add {name}. 60 A 192.0.2.1\nsend\n"
    );
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn what_was_answered_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let port = free_port();
    let config = CONFIG.replace("PORT", &port.to_string());
    let config = config.replace("PROBE", &free_port().to_string());
    std::fs::write(path.join("dns.toml"), config).unwrap();
    std::fs::write(path.join("example.test.zone"), ZONE).unwrap();
    std::fs::create_dir_all(path.join("state/keys/tsig")).unwrap();
    let key = "key \"ddns\" { algorithm hmac-sha256; secret \"QUJDREVGR0hJSktMTU5PUA==\"; };\n";
    std::fs::write(path.join("state/keys/tsig/ddns.key"), key).unwrap();
    let serves =
        || within(Duration::from_secs(10), || !dig(port, "ns1.example.test", "A").is_empty());
    let log = || std::fs::read_to_string(path.join("log")).unwrap();

    let taken = Mutex::new(Vec::new());
    let ended = Arc::new(AtomicBool::new(false));
    let mut node = Some(Node::start(path));
    assert!(serves(), "{}", log());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let name = format!("n{n}.example.test");
                if add(path, port, &name) {
                    taken.lock().unwrap().push(name);
                }
            }
        });
        for round in 1..=3 {
            let enough = || taken.lock().unwrap().len() >= round * 8;
            assert!(within(Duration::from_secs(20), enough), "{}", log());
            drop(node.take());
            node = Some(Node::start(path));
            assert!(serves(), "{}", log());
        }
        ended.store(true, Ordering::Relaxed);
    });
    drop(node.take());
    let node = Node::start(path);
    assert!(serves(), "{}", log());
    let taken = taken.into_inner().unwrap();
    for name in &taken {
        assert_eq!(dig(port, name, "A"), "192.0.2.1", "{name} of {}\n{}", taken.len(), log());
    }

    // What came last is still told as a difference: its SOA records, one record, the SOA record.
    assert!(add(path, port, "last.example.test"));
    let soa = dig(port, "example.test", "SOA");
    let last: u32 = soa.split_whitespace().nth(2).unwrap().parse().unwrap();
    let is_kept = || {
        let history = std::fs::read(path.join("state/nameserver/zones/example.test.history"));
        let history = history.unwrap_or_default();
        // The last entry says which state it leads to: a kind, a serial number, a hash.
        history
            .len()
            .checked_sub(20)
            .is_some_and(|at| history[at..].starts_with(&last.to_be_bytes()))
    };
    assert!(within(Duration::from_secs(10), is_kept), "{}", log());
    drop(node);
    let _node = Node::start(path);
    assert!(serves(), "{}", log());
    let told = dig(port, "example.test", &format!("IXFR={}", last - 1));
    assert_eq!(told.lines().count(), 5, "{told}\n{}", log());
}
