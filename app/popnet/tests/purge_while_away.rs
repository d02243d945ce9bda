//! A POP that was away while something was purged: it has forgotten it before it serves again.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use support::{Demo, both, text, within};

const PATH: &str = "hello.txt";

#[test]
fn what_was_purged_while_a_pop_was_away_is_never_seen_again() {
    let demo = Demo::start(40);
    let file = demo.dir().join("acme-origin").join(PATH);
    let old = std::fs::read_to_string(&file).expect("text");
    assert_eq!(fetch(&demo).expect("served").content, old);

    // The disk tier outlives a kill: without a purge, this is what comes back.
    kill(&demo);
    let first = first_fetch_after_start(&demo, Duration::ZERO);
    assert!(first.status.contains("disk.nrt1; hit"), "{}", first.status);
    assert_eq!(first.content, old);

    // The master takes its time to tell: nobody is served the old content meanwhile.
    kill(&demo);
    std::fs::write(&file, "quite another text\n").expect("written");
    let url = format!("http://static.acme.test/{PATH}");
    let purge = demo.cli(&["purge", "url", &url, "--hard", "--yes"]);
    assert!(both(&purge).contains("edge1.nrt1"), "{}", both(&purge));
    let first = first_fetch_after_start(&demo, Duration::from_millis(700));
    assert_eq!(first.content, "quite another text\n", "{}", first.status);
    assert!(first.status.contains("disk.nrt1; fwd="), "{}", first.status);
    assert!(first.status.contains("detail=PURGED"), "{}", first.status);

    // A master that tells nothing at all does not keep the POP out for long.
    kill(&demo);
    let first = first_fetch_after_start(&demo, Duration::from_secs(4));
    assert!(first.status.contains("disk.nrt1; hit"), "{}", first.status);
    let waited = first.after;
    assert!(waited > Duration::from_millis(1_900), "{waited:?}: it asked what was purged");
    assert!(waited < Duration::from_millis(3_900), "{waited:?}: before the master was back");
}

fn kill(demo: &Demo) {
    demo.ok(&["demo", "kill", "nrt1", "--dir", "d"]);
    assert!(within(Duration::from_secs(5), || fetch(demo).is_none()), "nrt1 goes on serving");
}

/// Starts the POP and asks all the time: what the first answer is. The master is frozen until
/// `silent` is over.
fn first_fetch_after_start(demo: &Demo, silent: Duration) -> Fetched {
    let master = Pid::from_raw(*demo.node_pids().first().expect("the master's"));
    std::thread::scope(|scope| {
        if !silent.is_zero() {
            signal::kill(master, Signal::SIGSTOP).expect("our own process");
        }
        let begun = Instant::now();
        scope.spawn(move || {
            std::thread::sleep(silent);
            signal::kill(master, Signal::SIGCONT).expect("our own process");
        });
        scope.spawn(|| demo.ok(&["demo", "start", "nrt1", "--dir", "d"]));
        let mut first = None;
        let back = within(Duration::from_secs(10), || {
            first = fetch(demo);
            first.is_some()
        });
        assert!(back, "nrt1 does not come back");
        Fetched { after: begun.elapsed(), ..first.expect("fetched") }
    })
}

struct Fetched {
    /// `Cache-Status`.
    status: String,
    content: String,
    after: Duration,
}

/// Straight from the POP's cache; nothing while it is away.
fn fetch(demo: &Demo) -> Option<Fetched> {
    let resolve = format!("static.acme.test:8080:{}", demo.at(13));
    let output = Command::new("curl")
        .args(["-sS", "-i", "--max-time", "5", "--resolve", &resolve])
        .arg(format!("http://static.acme.test:8080/{PATH}"))
        .output()
        .expect("curl runs");
    if !output.status.success() {
        return None;
    }
    let said = text(&output.stdout);
    let (head, content) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{said}"));
    assert!(head.starts_with("HTTP/1.1 200"), "{said}");
    let status = head.lines().find_map(|line| line.strip_prefix("cache-status: "));
    Some(Fetched {
        status: status.unwrap_or_else(|| panic!("{said}")).to_owned(),
        content: content.to_owned(),
        after: Duration::ZERO,
    })
}
