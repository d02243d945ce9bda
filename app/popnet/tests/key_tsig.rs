//! `popnet key tsig`: a key that the DNS tools of others sign with, and that nobody else reads.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

fn popnet(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_popnet"));
    command.args(words).args(["--state-dir", "state"]).current_dir(folder).output().unwrap()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn made_once_and_listed_without_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let made = popnet(here, &["key", "tsig", "create", "Xfr"]);
    assert!(made.status.success(), "{}", text(&made));
    let path = here.join("state/keys/tsig/xfr.key");
    let file = std::fs::read_to_string(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = file.split('"').nth(3).unwrap();
    assert_eq!(secret.len(), 44, "{file}");
    let said = text(&made);
    assert!(said.contains("tsig_key = \"xfr\"") && !said.contains(secret), "{said}");

    // BIND's tools take the file as it is.
    let conf = here.join("named.conf");
    std::fs::write(&conf, format!("include \"{}\";\n", path.display())).unwrap();
    let checked = Command::new("named-checkconf").arg(&conf).output().unwrap();
    assert!(checked.status.success(), "{}", text(&checked));

    let again = popnet(here, &["key", "tsig", "create", "xfr"]);
    assert_eq!(again.status.code(), Some(5), "{}", text(&again));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), file, "it stays as it is");
    let other = ["key", "tsig", "create", "ddns", "--algorithm", "hmac-sha512", "--json"];
    let other: serde_json::Value = serde_json::from_slice(&popnet(here, &other).stdout).unwrap();
    assert_eq!(other.get("algorithm").unwrap(), "hmac-sha512");
    let bad = popnet(here, &["key", "tsig", "create", "a/b"]);
    assert_eq!(bad.status.code(), Some(2), "{}", text(&bad));

    let listed = popnet(here, &["key", "tsig", "list"]);
    let said = text(&listed);
    assert!(listed.status.success() && said.contains("hmac-sha512"), "{said}");
    assert!(said.contains("xfr") && !said.contains(secret), "{said}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let listed = popnet(here, &["key", "tsig", "list"]);
    assert_eq!(listed.status.code(), Some(8), "{}", text(&listed));
    assert!(text(&listed).contains("chmod 600"), "{}", text(&listed));
}
