//! `popnet zone sign` and `popnet zone keys`, judged by BIND's and NLnet Labs' validators.

use std::path::Path;
use std::process::{Command, Output};

const ZONE: &str = "$TTL 1h\n@ SOA ns h 7 2h 15m 2w 60\n@ NS ns\nns A 192.0.2.1\n\
                    *.w TXT x\na.b MX 10 ns\nsub NS ns.sub\nns.sub A 192.0.2.2\n";

fn run(program: &str, folder: &Path, words: &[&str]) -> Output {
    let ran = Command::new(program)
        .args(words)
        .current_dir(folder)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output();
    ran.unwrap_or_else(|error| panic!("{program}: {error}; cargo xtask setup"))
}

fn popnet(folder: &Path, words: &[&str]) -> Output {
    run(env!("CARGO_BIN_EXE_popnet"), folder, words)
}

fn text(output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}{err}")
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(output)))
}

#[test]
fn signed_kept_and_signed_again() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::write(here.join("example.test.zone"), ZONE).unwrap();
    let sign = ["--json", "zone", "sign", "example.test.zone", "--key-dir", "keys", "--out", "out"];
    let first = json(&popnet(here, &sign));
    assert_eq!((&first["serial"], &first["signatures"]["kept"]), (&7.into(), &0.into()));
    for words in [&["dnssec-verify", "-o", "example.test", "out"][..], &["ldns-verify-zone", "out"]]
    {
        let judged = run(words[0], here, &words[1..]);
        assert!(judged.status.success(), "{words:?}: {}", text(&judged));
    }
    let again = json(&popnet(here, &sign));
    assert_eq!((&again["serial"], &again["signatures"]["made"]), (&7.into(), &0.into()));
    std::fs::write(here.join("example.test.zone"), format!("{ZONE}new A 192.0.2.3\n")).unwrap();
    let third = json(&popnet(here, &sign));
    // The new set, its NSEC, its neighbour's NSEC, and the SOA.
    assert_eq!((&third["serial"], &third["signatures"]["made"]), (&8.into(), &4.into()));

    // The DS record is the one that BIND makes of the same key.
    let keys = json(&popnet(here, &["--json", "zone", "keys", "example.test", "--dir", "keys"]));
    let ksk = keys["keys"].as_array().unwrap().iter().find(|key| key["role"] == "ksk").unwrap();
    let file = format!("keys/{}.key", ksk["key"].as_str().unwrap());
    let ds = text(&run("dnssec-dsfromkey", here, &["-2", &file]));
    let words: Vec<&str> = ds.split_whitespace().skip(3).collect();
    let ours = keys["ds"][0].as_str().unwrap().replace(' ', "");
    assert!(ours.eq_ignore_ascii_case(&words.concat()), "{ours} {ds}");
}

#[test]
fn keys_of_bind_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::create_dir(here.join("keys")).unwrap();
    for more in [&["-f", "KSK"][..], &[]] {
        let words = [&["-q", "-a", "ED25519", "-K", "keys"], more, &["example.test"]].concat();
        let made = run("dnssec-keygen", here, &words);
        assert!(made.status.success(), "{}", text(&made));
    }
    std::fs::write(here.join("zone"), ZONE).unwrap();
    let sign = ["zone", "sign", "zone", "--name", "example.test", "--key-dir", "keys", "--nsec3"];
    let signed = popnet(here, &sign);
    assert!(signed.status.success(), "{}", text(&signed));
    std::fs::write(here.join("out"), &signed.stdout).unwrap();
    let judged = run("dnssec-verify", here, &["-o", "example.test", "out"]);
    assert!(judged.status.success(), "{}", text(&judged));
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let none = popnet(here, &["zone", "keys", "example.test", "--dir", "none"]);
    assert_eq!(none.status.code(), Some(3), "{}", text(&none));
    assert!(text(&none).contains("none has no keys of zone example.test"), "{}", text(&none));
    std::fs::write(here.join("bad.test.zone"), "@ A 1.2.3\n").unwrap();
    let bad = popnet(here, &["zone", "sign", "bad.test.zone", "--key-dir", "keys"]);
    assert_eq!(bad.status.code(), Some(1), "{}", text(&bad));
    assert!(!here.join("keys").exists());
    let made = popnet(here, &["zone", "keys", "example.test", "--dir", "keys", "--create"]);
    assert!(made.status.success() && text(&made).contains("IN\tDS\t"), "{}", text(&made));
    let roll = ["zone", "keys", "example.test", "--dir", "keys", "--roll", "zsk"];
    assert!(popnet(here, &roll).status.success());
    let csk = popnet(here, &["zone", "keys", "example.test", "--dir", "keys", "--roll", "csk"]);
    assert!(!csk.status.success() && text(&csk).contains("no such key"), "{}", text(&csk));
}
