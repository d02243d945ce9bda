//! `popnet zone check|show` and `popnet import bind`, as a person types them.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use support::{both, popnet, text, within};

const ZONE: &str = "$TTL 300\n@ SOA ns1 host 7 3600 900 604800 300\n@ NS ns1\n\
ns1 A 192.0.2.53\nwww A 192.0.2.80\nwww TXT \"a b\"\nalias CNAME www\n";

fn run(folder: &Path, args: &[&str]) -> Output {
    popnet().args(args).current_dir(folder).output().unwrap()
}

fn check(output: &Output, exit: i32, out: &str) {
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(exit), out),
        "{}",
        both(output)
    );
}

#[test]
fn zone_files_are_checked_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("example.test.zone"), ZONE).unwrap();
    check(
        &run(folder, &["zone", "check", "example.test.zone"]),
        0,
        "zone example.test: 6 records, serial 7\n",
    );
    std::fs::write(folder.join("bad"), format!("{ZONE}bad A 1.2.3\n@ MXX 1 a\n")).unwrap();
    let bad = run(folder, &["zone", "check", "bad", "--name", "example.test"]);
    assert_eq!(bad.status.code(), Some(8), "{}", both(&bad));
    let said = text(&bad.stdout);
    assert!(said.contains("bad:8:7: A:") && said.contains("bad:9:3: \"MXX\""), "{said}");
    let json = run(folder, &["--json", "zone", "check", "bad", "--name", "example.test"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["mistakes"][0]["line"], 8, "{json}");
    assert_eq!(json["valid"], false, "{json}");
    let nameless = run(folder, &["zone", "check", "bad"]);
    assert_eq!(nameless.status.code(), Some(2), "{}", both(&nameless));
    let gone = run(folder, &["zone", "check", "gone.zone"]);
    assert_eq!(gone.status.code(), Some(1), "{}", both(&gone));

    let show = |args: &[&str]| {
        run(
            folder,
            &[&["zone", "show", "example.test", "--file", "example.test.zone"], args].concat(),
        )
    };
    check(&show(&["www", "A"]), 0, "www.example.test.\t300\tIN\tA\t192.0.2.80\n");
    assert_eq!(text(&show(&[]).stdout).lines().count(), 6);
    assert_eq!(text(&show(&["www"]).stdout).lines().count(), 2);
    assert_eq!(show(&["none"]).status.code(), Some(3));
}

/// A node that is stopped when dropped.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn zones_are_shown_as_they_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("zones")).unwrap();
    std::fs::write(folder.join("zones/example.test.zone"), ZONE).unwrap();
    // Free for both protocols at this moment.
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = format!("127.0.0.1:{port}");
    let sample =
        include_str!("../../../examples/single-dns.toml").replace("127.0.0.1:5300", &server);
    let sample = sample.replace(
        "[zones_from]",
        "[zones.\"open.test\"]\nfile = \"zones/example.test.zone\"\nallow_transfer = [\"any\"]\n[zones_from]",
    );
    std::fs::write(folder.join("dns.toml"), sample).unwrap();
    let child = popnet()
        .args(["run", "--config", "dns.toml", "--node", "ns1.lab", "--state-dir", "state"])
        .current_dir(folder)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _node = Node(child);
    let show = |args: &[&str]| {
        run(folder, &[&["zone", "show", "example.test", "--server", &server], args].concat())
    };
    assert!(within(Duration::from_secs(10), || show(&["@", "SOA"]).status.success()));
    check(&show(&["www", "A"]), 0, "www.example.test.\t300\tIN\tA\t192.0.2.80\n");
    check(
        &show(&["www"]),
        0,
        "www.example.test.\t300\tIN\tA\t192.0.2.80\nwww.example.test.\t300\tIN\tTXT\t\"a b\"\n",
    );
    let alias = show(&["alias"]);
    check(&alias, 0, "alias.example.test.\t300\tIN\tCNAME\twww.example.test.\n");
    assert_eq!(show(&["none"]).status.code(), Some(3));
    let open = run(folder, &["zone", "show", "open.test", "--server", &server]);
    assert_eq!(text(&open.stdout).lines().count(), 6, "{}", both(&open));
    // Nobody may transfer it: said, with what to do instead.
    let whole = show(&[]);
    assert_eq!(whole.status.code(), Some(4), "{}", both(&whole));
    assert!(text(&whole.stderr).contains("popnet zone show example.test NAME"), "{}", both(&whole));
}

#[test]
fn a_named_conf_becomes_a_configuration_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(
        folder.join("named.conf"),
        "key k { algorithm hmac-sha256; secret \"c2VjcmV0LW9mLXRoaXMtdGVzdA==\"; };\n\
         options { listen-on { 127.0.0.1; }; recursion no; };\n\
         zone example.test { type primary; file \"example.db\"; allow-transfer { key k; }; };\n",
    )
    .unwrap();
    std::fs::write(folder.join("example.db"), ZONE).unwrap();
    let args = ["import", "bind", "named.conf", "--out", "popnet.toml", "--keys", "keys/tsig"];
    let done = run(folder, &args);
    assert_eq!(done.status.code(), Some(0), "{}", both(&done));
    assert!(text(&done.stdout).contains("named.conf:3  taken"), "{}", both(&done));
    let key = folder.join("keys/tsig/k.key");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&key).unwrap().contains("c2VjcmV0LW9mLXRoaXMtdGVzdA=="));
    let toml = std::fs::read_to_string(folder.join("popnet.toml")).unwrap();
    assert!(!toml.contains("c2Vjcm") && !text(&done.stdout).contains("c2Vjcm"), "{toml}");
    let valid = run(folder, &["config", "validate", "popnet.toml"]);
    assert!(valid.status.success(), "{}", both(&valid));
    // The same again changes nothing; another key of this name is not written over.
    assert!(run(folder, &args).status.success());
    std::fs::write(&key, "mine").unwrap();
    assert_eq!(run(folder, &args).status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&key).unwrap(), "mine");

    std::fs::write(folder.join("named.conf"), "options { recursion yes; };").unwrap();
    let open = run(folder, &["import", "bind", "named.conf"]);
    assert_eq!(open.status.code(), Some(8), "{}", both(&open));
    assert!(text(&open.stdout).starts_with("# Made by") && text(&open.stderr).contains("left"));
    std::fs::write(folder.join("named.conf"), "options { recursion yes }").unwrap();
    let broken = run(folder, &["import", "bind", "named.conf"]);
    assert_eq!(broken.status.code(), Some(1), "{}", both(&broken));
    assert!(text(&broken.stderr).contains("named.conf:1:25: ; is missing"), "{}", both(&broken));
}
