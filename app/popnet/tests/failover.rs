//! A POP dies the hard way: visitors are served again within five seconds, and popnet says why.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::{Demo, within};

const URL: &str = "http://static.acme.test/hello.txt";

#[test]
fn a_killed_pop_is_left_and_comes_back() {
    let demo = Demo::start(32);
    let status = demo.ok(&["status"]);
    assert!(status.contains("WELL") && status.contains("3 of 3 POPs up"), "{status}");
    let first = demo.curl(7681, URL);
    assert!(first.field("proxy-status").contains(&demo.at(13)), "not by nrt1: {}", first.head);

    let stop = AtomicBool::new(false);
    let (killed, visits) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&demo, &stop));
        std::thread::sleep(Duration::from_millis(500));
        Demo::kill_9(demo.pop_pid("nrt1"));
        let killed = Instant::now();
        std::thread::sleep(Duration::from_secs(8));
        stop.store(true, Ordering::Relaxed);
        (killed, watcher.join().unwrap())
    });
    let last_bad = visits.iter().filter(|(_, good)| !good).map(|(at, _)| *at).max();
    let outage = last_bad.map_or(Duration::ZERO, |at| at.saturating_duration_since(killed));
    println!("visitors saw errors for {outage:?} after kill -9");
    assert!(outage < Duration::from_secs(5), "visitors waited {outage:?}");
    assert!(visits.iter().any(|(at, good)| *good && *at > killed), "nobody was served afterwards");

    let explain = demo.ok(&["explain", "dns", "static.acme.test", "--from", "tokyo"]);
    assert!(explain.contains("DOWN_PROBE"), "{explain}");
    assert!(explain.contains("connection refused"), "{explain}");
    assert!(explain.contains("If nrt1 were up it would win with"), "{explain}");
    let status = demo.cli(&["status"]);
    assert_eq!(status.status.code(), Some(8), "{}", support::both(&status));
    assert!(support::text(&status.stdout).contains("2 of 3 POPs up"), "{}", support::both(&status));

    demo.ok(&["demo", "start", "nrt1", "--dir", "d"]);
    let back = within(Duration::from_secs(10), || {
        demo.curl(7681, URL).field("proxy-status").contains(&demo.at(13))
    });
    assert!(
        back,
        "traffic did not return: {}",
        demo.ok(&["dig", "static.acme.test", "--from", "tokyo"])
    );
}

/// Fetches every 100 ms until told to stop: when, and whether it went well.
fn watch(demo: &Demo, stop: &AtomicBool) -> Vec<(Instant, bool)> {
    let mut visits = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let status = demo.curl(7681, URL).status;
        visits.push((begun, status == 200));
        std::thread::sleep(Duration::from_millis(100).saturating_sub(begun.elapsed()));
    }
    visits
}

#[test]
fn distance_and_load_move_visitors() {
    let demo = Demo::start(33);
    demo.ok(&["demo", "slow", "fra1", "400", "--dir", "d"]);
    let moved = within(Duration::from_secs(6), || {
        demo.dig(11, &["-b", &format!("{}.2.1", demo.net), "static.acme.test"]) != demo.at(12)
    });
    assert!(moved, "a far POP keeps its visitors");
    demo.ok(&["demo", "reset", "--dir", "d"]);
    let returned = within(Duration::from_secs(6), || {
        demo.dig(11, &["-b", &format!("{}.2.1", demo.net), "static.acme.test"]) == demo.at(12)
    });
    assert!(returned, "after reset visitors come back");
    demo.ok(&["demo", "load", "fra1", "0.99", "--dir", "d"]);
    // More is shed with every load that is told while it does not fall.
    let asked = ["explain", "dns", "static.acme.test", "--from", "frankfurt"];
    let shed = within(Duration::from_secs(6), || {
        let answer = demo.dig(11, &["-b", &format!("{}.2.1", demo.net), "static.acme.test"]);
        answer != demo.at(12) && demo.ok(&asked).contains("SHED")
    });
    assert!(shed, "an overloaded POP keeps its visitors: {}", demo.ok(&asked));
}
