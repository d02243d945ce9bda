//! Two zones, two keys, and the clients that look at them from outside.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One without a key, one with.
pub(crate) const ZONES: [&str; 2] = ["plain.test", "keyed.test"];

/// For transfers, and for updates.
pub(crate) const SECRET: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY3ODk=";

/// Several messages long, with what is easily done wrong.
pub(crate) fn zone_file(serial: u32) -> String {
    let mut text = format!(
        "$TTL 300\n@ SOA ns1 h {serial} 60 5 3600 60\n@ NS ns1\n@ NS ns2.else.test.\n\
         ns1 A 192.0.2.1\nwww A 192.0.2.2\nwww A 192.0.2.3\nwww AAAA 2001:db8::1\n\
         *.wild TXT \"hello\" \"w\\\"orld\"\n@ MX 10 Mail.Example.TEST.\n_s._tcp SRV 1 2 3 www\n\
         sub NS ns.sub\nns.sub A 192.0.2.9\nalias CNAME WWW\nd DNAME other.test.\n\
         odd TYPE65280 \\# 3 010203\ncaa CAA 0 issue \"ca.test\"\n"
    );
    for n in 0..1_500 {
        writeln!(text, "h{n}.some.long.name.of.hosts A 10.0.{}.{}", n / 250, n % 250).unwrap();
    }
    text
}

/// Writes the zone files of [`ZONES`] into `folder`.
pub(crate) fn write_zones(folder: &Path, serial: u32) {
    for zone in ZONES {
        std::fs::write(folder.join(format!("{zone}.zone")), zone_file(serial)).unwrap();
    }
}

/// Puts the keys where our server looks for them.
pub(crate) fn write_keys(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let keys = folder.join("state/keys/tsig");
    std::fs::create_dir_all(&keys).unwrap();
    for name in ["xfr", "ddns"] {
        let text =
            format!("key \"{name}\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{SECRET}\";\n}};\n");
        let path = keys.join(format!("{name}.key"));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// The start of each configuration.
pub(crate) const HEAD: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.lab.test"
[pops.fra1.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = { dns = ["DNS"], probe = ["PROBE"] }
workers = { dns = 1 }
"#;

/// The records of a whole transfer as `dig` gets them; `Err` with its words when it gets none.
pub(crate) fn axfr(port: u16, zone: &str, key: Option<&str>) -> Result<BTreeSet<String>, String> {
    let mut dig = Command::new("dig");
    dig.args(["@127.0.0.1", "-p", &port.to_string(), zone, "AXFR", "+onesoa", "+nottlunits"]);
    dig.arg("+time=5");
    if let Some(key) = key {
        dig.args(["-y", &format!("hmac-sha256:{key}:{SECRET}")]);
    }
    let output = dig.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let is_record = |line: &&str| !line.is_empty() && !line.starts_with(';');
    // The signature of the answer is no record of the zone.
    let is_zone = |line: &&str| is_record(line) && !line.contains("\tany\ttsig\t");
    let spaces = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let records: BTreeSet<String> = text.lines().filter(is_zone).map(spaces).collect();
    if records.is_empty() || text.contains("couldn't verify") { Err(text) } else { Ok(records) }
}

/// The serial number that the server at `port` answers.
pub(crate) fn serial(port: u16, zone: &str) -> Option<u32> {
    let mut dig = Command::new("dig");
    let port = port.to_string();
    dig.args(["@127.0.0.1", "-p", &port, zone, "SOA", "+short", "+time=1", "+tries=1"]);
    let output = dig.output().unwrap();
    String::from_utf8_lossy(&output.stdout).split_whitespace().nth(2)?.parse().ok()
}

/// Sends an update with `nsupdate`; gives its words when it is refused.
pub(crate) fn nsupdate(
    port: u16,
    zone: &str,
    key: Option<&str>,
    lines: &[&str],
) -> Result<(), String> {
    let mut command = Command::new("nsupdate");
    if let Some(key) = key {
        command.args(["-y", &format!("hmac-sha256:{key}:{SECRET}")]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let script = format!("server 127.0.0.1 {port}\nzone {zone}\n{}\nsend\n", lines.join("\n"));
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() && !said.contains("update failed") { Ok(()) } else { Err(said) }
}

/// Waits until `done`, at most twenty seconds; `what` is told when it does not happen.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    start.elapsed()
}
