//! What has to be on the system beside Rust and a C compiler, from Debian's or Ubuntu's packages,
//! and what tests need from npm.

use std::path::Path;
use std::process::Command;

/// A program from a package.
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    package: &'static str,
    reason: &'static str,
}

/// What tests need.
const TESTS: &[Tool] = &[
    Tool { program: "cc", package: "build-essential", reason: "builds SQLite, zstd and AWS-LC" },
    Tool { program: "git", package: "git", reason: "lists the files that tidy looks at" },
    Tool { program: "curl", package: "curl", reason: "a client of the caches that is not ours" },
    Tool { program: "dig", package: "bind9-dnsutils", reason: "a resolver that is not ours" },
    Tool { program: "nsupdate", package: "bind9-dnsutils", reason: "changes zones from afar" },
    Tool { program: "named", package: "bind9", reason: "a primary and secondary that is not ours" },
    Tool { program: "nsd", package: "nsd", reason: "a primary and secondary that is not ours" },
    Tool { program: "knotd", package: "knot", reason: "a primary and secondary that is not ours" },
    Tool { program: "kdig", package: "knot-dnsutils", reason: "asks over TLS, HTTPS and QUIC" },
    Tool { program: "dnstap-read", package: "bind9-dnsutils", reason: "reads dnstap" },
    Tool { program: "fstrm_capture", package: "fstrm-bin", reason: "takes dnstap from a socket" },
    Tool { program: "delv", package: "bind9-dnsutils", reason: "validates answers" },
    Tool { program: "dnssec-verify", package: "bind9-utils", reason: "validates signed zones" },
    Tool {
        program: "named-compilezone",
        package: "bind9-utils",
        reason: "reads and writes zone files",
    },
    Tool { program: "ldns-verify-zone", package: "ldnsutils", reason: "validates them, too" },
    Tool { program: "unbound", package: "unbound", reason: "a resolver that validates" },
    Tool { program: "vsftpd", package: "vsftpd", reason: "a server for FTP probes" },
    Tool { program: "nginx", package: "nginx-light", reason: "a server for streaming probes" },
    Tool { program: "icecast2", package: "icecast2", reason: "a stream that does not end" },
    Tool { program: "snmpd", package: "snmpd", reason: "tells a load by SNMP" },
    Tool {
        program: "prometheus-node-exporter",
        package: "prometheus-node-exporter",
        reason: "tells a load by HTTP",
    },
    Tool { program: "chromium", package: "chromium", reason: "looks at NetView and at pages" },
    Tool { program: "chromedriver", package: "chromium-driver", reason: "steers the browser" },
    Tool { program: "wget", package: "wget", reason: "goes on with what was cut off" },
    Tool { program: "ffmpeg", package: "ffmpeg", reason: "makes a film, and seeks in it" },
    Tool { program: "node", package: "nodejs", reason: "runs the suite of HTTP caching cases" },
    Tool { program: "npm", package: "npm", reason: "brings that suite" },
];

/// The suite of HTTP caching cases: one package of npm, without what it depends on.
const SUITE: &str = "http-cache-tests-0.4.5";
const SUITE_OF_NPM: &str = "http-cache-tests@0.4.5";
const SUITE_SHA512: &str = "0e3bb037d9d46572d35bec1abf52d1112099355c65f12b21c0ecb8cf5a71b966\
                            d6b79fdacbab0cf5043595e6c16833ba3f520c0682ba99d7fe3ee54ffd034bf0";

/// What benchmarks need.
pub(crate) const BENCH: &[Tool] = &[
    Tool { program: "nginx", package: "nginx-light", reason: "the cache to compare with" },
    Tool { program: "varnishd", package: "varnish", reason: "another" },
    Tool { program: "traffic_server", package: "trafficserver", reason: "another" },
    Tool { program: "squid", package: "squid-openssl", reason: "another" },
    Tool { program: "haproxy", package: "haproxy", reason: "another" },
    Tool { program: "h2o", package: "h2o", reason: "serves files to compare with" },
    Tool { program: "gdnsd", package: "gdnsd", reason: "the name server to compare with" },
    Tool { program: "nsd", package: "nsd", reason: "another" },
    Tool { program: "knotd", package: "knot knot-module-geoip", reason: "another" },
    Tool { program: "named", package: "bind9", reason: "another" },
    Tool { program: "pdns_server", package: "pdns-server pdns-backend-bind", reason: "another" },
    Tool { program: "gcc", package: "gcc", reason: "builds the load generator and the floor" },
    Tool { program: "python3", package: "python3", reason: "prints the harness's own tables" },
    Tool { program: "taskset", package: "util-linux", reason: "gives each side its own core" },
    Tool { program: "dnsperf", package: "dnsperf", reason: "asks many DNS questions" },
    Tool { program: "wrk", package: "wrk", reason: "asks for many pages" },
    Tool { program: "h2load", package: "nghttp2-client", reason: "asks for many by HTTP/2" },
];

/// Folders of programs that a person's `PATH` may lack.
const MORE_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Installs what is missing of `tools` when run as root; else the error is the command.
pub(crate) fn run(tools: &[Tool]) -> Result<(), String> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !has(tool.program)).collect();
    if missing.is_empty() {
        println!("setup: nothing is missing");
        return Ok(());
    }
    for Tool { program, package, reason } in &missing {
        println!("missing: {program} (package {package}): {reason}");
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let install = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
    if !is_root() {
        return Err(format!("next: sudo apt-get update && sudo {install}"));
    }
    // Lists of packages may be missing or stale; an update that fails shows in the next command.
    let _ = apt("apt-get update");
    apt(&install)
}

/// Everything that tests need.
pub(crate) fn for_tests(root: &Path) -> Result<(), String> {
    run(TESTS)?;
    suite(root)
}

/// Unpacks the suite into `target/tools`, where its test looks for it.
fn suite(root: &Path) -> Result<(), String> {
    let tools = root.join("target/tools");
    let folder = tools.join(SUITE);
    if folder.is_dir() {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("{}: {error}", tools.display());
    std::fs::create_dir_all(&tools).map_err(failed)?;
    let (archive, fresh) = (format!("{SUITE}.tgz"), format!("{SUITE}.new"));
    let _ = std::fs::remove_dir_all(tools.join(&fresh));
    std::fs::create_dir(tools.join(&fresh)).map_err(failed)?;
    std::fs::write(tools.join("sums"), format!("{SUITE_SHA512}  {archive}\n")).map_err(failed)?;
    for command in [
        format!("npm pack --silent {SUITE_OF_NPM}"),
        "sha512sum --check --quiet sums".to_owned(),
        format!("tar -xzf {archive} -C {fresh}"),
        format!("mv {fresh} {SUITE}"),
    ] {
        let mut words = command.split(' ');
        let mut program = Command::new(words.next().unwrap_or_default());
        let status = program.args(words).current_dir(&tools).status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("{command}: {status} (in {})", tools.display())),
            Err(error) => return Err(format!("{command}: {error}; next: cargo xtask setup")),
        }
    }
    println!("setup: {SUITE} is in {}", tools.display());
    Ok(())
}

fn apt(command: &str) -> Result<(), String> {
    println!("$ {command}");
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap_or_default())
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Packages with a server must not start it: its ports belong to whoever runs this machine.
        .env("RUNLEVEL", "1")
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command}: {status}")),
        Err(error) => Err(format!("{command}: {error}; is this Debian or Ubuntu?")),
    }
}

/// Whether `program` is on this system.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE_FOLDERS.iter().map(Into::into));
    folders.into_iter().any(|folder| folder.join(program).is_file())
}

/// Whether we may install: the owner of `/proc/self` is the user we run as.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    Path::new("/proc/self").metadata().is_ok_and(|own| own.uid() == 0)
}
