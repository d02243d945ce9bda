//! The README's transcript is played for real; times, process ids and the like may differ, and
//! nothing else. `UPDATE=1` writes what was seen into the README.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use support::{Demo, popnet, text, within};

const BEGIN: &str = "<!-- transcript: made by the test app/popnet/tests/transcript.rs; \
UPDATE=1 cargo test --test transcript rewrites it -->\n";
const END: &str = "<!-- transcript end -->\n";

#[test]
fn the_readme_shows_what_happens() {
    let played = play();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the begin mark");
    let (shown, after) = rest.split_once(END).expect("the README has the end mark");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{played}{END}{after}")).unwrap();
        return;
    }
    let (seen, expected) = (normal(&played), normal(shown));
    for (line, (a, b)) in seen.lines().zip(expected.lines()).enumerate() {
        assert_eq!(a, b, "line {} of the transcript; UPDATE=1 rewrites it\n{played}", line + 1);
    }
    assert_eq!(seen.lines().count(), expected.lines().count(), "{played}");
}

/// Numbers that differ from run to run become `#`, runs of blanks become one.
fn normal(transcript: &str) -> String {
    let mut out = String::new();
    for line in transcript.lines() {
        let mut words = Vec::new();
        for word in line.split_whitespace() {
            // Addresses and the TTL of 2 are facts; pids, times, ids, ages and scores are not.
            let is_address = word.matches('.').count() >= 3 || word.contains(':');
            // A supposition has its number behind its name: `--assume fra1.rtt=67us`.
            let (name, value) = word.rsplit_once('=').unwrap_or(("", word));
            let core = value.trim_end_matches("us");
            let core = core.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            let varies = core.chars().any(|c| c.is_ascii_digit())
                && !is_address
                && core.chars().all(|c| c.is_ascii_digit() || "./".contains(c));
            words.push(if varies { format!("{name}#") } else { word.to_owned() });
        }
        out.push_str(&words.join(" "));
        out.push('\n');
    }
    out
}

/// What `popnet demo` shows, with the login link's token shortened.
fn screen() -> String {
    let folder = tempfile::tempdir().unwrap();
    // The screen names the program as it was called.
    let mut demo = popnet()
        .arg0("popnet")
        .arg("demo")
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = String::new();
    for line in BufReader::new(demo.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        shown.push_str(&line);
        shown.push('\n');
        if line.contains("Ctrl-C stops it") {
            break;
        }
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(demo.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    demo.wait().unwrap();
    let (before, token) = shown.split_once("once=").expect("a login link");
    let after = token.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    format!("{before}once=…{after}")
}

fn play() -> String {
    let shown = screen();
    let demo = Demo::start(0);
    let mut played = format!("```console\n$ popnet demo\n{}\n\n", shown.trim_end());
    let well = || text(&demo.cli(&["status"]).stdout).contains("WELL");
    assert!(within(Duration::from_secs(5), well), "{}", support::both(&demo.cli(&["status"])));
    let mut say = |command: &str, output: &str| {
        played.push_str(&format!("$ {command}\n{}\n\n", output.trim_end()));
    };
    let run = |args: &[&str]| text(&demo.cli(args).stdout);

    say(
        "popnet dig static.acme.test --from tokyo",
        &run(&["dig", "static.acme.test", "--from", "tokyo"]),
    );
    let url = "http://static.acme.test/hello.txt";
    let first = demo.curl(7681, url);
    say(&format!("curl -x 127.0.0.1:7681 {url}"), &text(&first.content));
    say(
        "popnet fetch http://static.acme.test/hello.txt --from tokyo",
        &fields(&run(&["fetch", url, "--from", "tokyo"])),
    );
    let killed = run(&["demo", "kill", "nrt1", "--dir", "d"]);
    say("popnet demo kill nrt1", &killed);
    let moved = || run(&["dig", "static.acme.test", "--from", "tokyo"]).contains("iad1 scores");
    assert!(
        within(Duration::from_secs(8), moved),
        "{}",
        run(&["dig", "static.acme.test", "--from", "tokyo"])
    );
    let explain = run(&["explain", "dns", "static.acme.test", "--from", "tokyo"]);
    say("popnet explain dns static.acme.test --from tokyo", &explain);
    demo.ok(&["demo", "start", "nrt1", "--dir", "d"]);
    let back = || run(&["dig", "static.acme.test", "--from", "tokyo"]).contains("nrt1 scores");
    assert!(within(Duration::from_secs(10), back));
    say("popnet demo start nrt1", "nrt1 started; it gets traffic after three good probes");
    let purge = run(&["purge", "site", "static.acme.test", "--yes"]);
    // The nodes answer in any order.
    let (head, nodes) = purge.split_once('\n').expect("a line of the purge, then the nodes'");
    let mut nodes: Vec<&str> = nodes.lines().collect();
    let last = nodes.pop().expect("a sum");
    nodes.sort_unstable();
    let purge = format!("{head}\n{}\n{last}", nodes.join("\n"));
    say("popnet purge site static.acme.test --yes", &purge);
    let end = played.trim_end().len();
    played.truncate(end);
    played.push_str("\n```\n");
    played
}

/// A `fetch` line without its clock.
fn fields(line: &str) -> String {
    line.split_once("  ").map_or_else(|| line.to_owned(), |(_, rest)| rest.to_owned())
}
