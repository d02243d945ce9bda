//! The first minutes of somebody who has never seen popnet: names, pages, reasons, numbers, purge.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use support::{Demo, text, within};

#[test]
fn a_name_a_page_a_reason_and_a_bill() {
    let demo = Demo::start(31);
    answers_name_the_nearest_pop(&demo);
    pages_are_the_origins_and_the_second_is_a_hit(&demo);
    reasons_are_told(&demo);
    counters_are_exact(&demo);
    purge_reaches_every_pop(&demo);
}

fn answers_name_the_nearest_pop(demo: &Demo) {
    let all = [demo.at(11), demo.at(12), demo.at(13), demo.at(21)];
    let answer = demo.dig(11, &["static.acme.test"]);
    assert!(all.contains(&answer), "dig without a city: {answer:?}");
    for (city, pop) in [("1.1", 13), ("2.1", 12), ("3.1", 11)] {
        let from = format!("{}.{city}", demo.net);
        for server in [11, 12] {
            let answer = demo.dig(server, &["-b", &from, "static.acme.test"]);
            let why = || demo.ok(&["explain", "dns", "static.acme.test", "--resolver", &from]);
            assert_eq!(answer, demo.at(pop), "from {from} at name server {server}\n{}", why());
        }
    }
    let ashburn = format!("{}.3.1", demo.net);
    let direct = demo.dig(11, &["-b", &ashburn, "app.globex.test"]);
    assert_eq!(direct, demo.at(22), "globex's eastern server is nearest to Ashburn");
    let tcp = demo.dig(12, &["+tcp", "edge1.nrt1.lab.test"]);
    assert_eq!(tcp, demo.at(13), "a node's own name, over TCP");
}

fn pages_are_the_origins_and_the_second_is_a_hit(demo: &Demo) {
    for path in ["hello.txt", "index.html", "tent.svg", "large.bin"] {
        let url = format!("http://static.acme.test/{path}");
        let origin = std::fs::read(demo.dir().join("acme-origin").join(path)).unwrap();
        let first = demo.curl(7681, &url);
        assert_eq!(first.status, 200, "{path}: {}", first.head);
        assert!(first.content == origin, "{path}: other octets than the origin's");
        assert!(first.field("cache-status").contains("disk.nrt1; fwd=uri-miss"), "{}", first.head);
        assert!(first.field("cache-status").contains("mem.nrt1; fwd=uri-miss"), "{}", first.head);
        let second = demo.curl(7681, &url);
        assert!(second.content == origin, "{path}: the second fetch differs");
        assert!(second.field("cache-status").contains("; hit"), "{path}: {}", second.head);
        assert!(!second.field("age").is_empty(), "{}", second.head);
        assert!(second.field("via").contains("mem.nrt1"), "{}", second.head);
    }
}

fn reasons_are_told(demo: &Demo) {
    let dig = demo.ok(&["dig", "static.acme.test", "--from", "tokyo"]);
    assert!(dig.contains("nrt1"), "{dig}");
    assert!(dig.contains("because nrt1 scores"), "{dig}");
    let explain = demo.ok(&["explain", "dns", "static.acme.test", "--from", "tokyo"]);
    for word in ["Answer", "nrt1", "Candidates", "iad1", "fra1", "acme-www/main", "MEASURED"] {
        assert!(explain.contains(word), "{word} is missing in\n{explain}");
    }
    let what_if = demo.ok(&[
        "explain",
        "dns",
        "static.acme.test",
        "--from",
        "tokyo",
        "--assume",
        "nrt1=down",
    ]);
    assert!(what_if.contains("If nrt1 were up it would win with"), "{what_if}");
    let url = demo.ok(&["explain", "url", "http://static.acme.test/hello.txt", "--pop", "nrt1"]);
    assert!(url.contains("mem") && url.contains("HIT_MEMORY"), "{url}");
}

/// Counters of acme's site at the log server.
fn counted(demo: &Demo, session: &str) -> (u64, u64) {
    let url = format!("http://{}:7600/api/v1/stats/timeseries?customer=acme", demo.at(1));
    let output = Command::new("curl").args(["-sS", "-b", session, &url]).output().unwrap();
    let body: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)));
    let sum = |field: &str| {
        let rows = body["rows"].as_array().unwrap_or_else(|| panic!("{body}"));
        rows.iter().map(|row| row[field].as_u64().unwrap_or(0)).sum()
    };
    (sum("requests"), sum("bytes_out"))
}

/// Logs in by the one-time link; the path of curl's cookie file.
fn session(demo: &Demo) -> String {
    let jar = demo.dir().join("cookies").display().to_string();
    let link = demo.ready["netview"].as_str().unwrap();
    let status = Command::new("curl")
        .args(["-sS", "-L", "-c", &jar, "-b", &jar, "-o", "/dev/null", "-w", "%{http_code}", link])
        .output()
        .unwrap();
    assert_eq!(text(&status.stdout), "200", "{}", support::both(&status));
    jar
}

fn counters_are_exact(demo: &Demo) {
    let session = session(demo);
    assert!(within(Duration::from_secs(3), || counted(demo, &session).0 >= 8), "earlier requests");
    let settled = counted(demo, &session);
    // Straight to the cache, so that curl's own count of octets is the cache's.
    let target = "http://static.acme.test:8080/hello.txt?n=[1-1000]";
    let resolve = format!("static.acme.test:8080:{}", demo.at(12));
    let output = Command::new("curl")
        .args([
            "-sS",
            "--resolve",
            &resolve,
            "-o",
            "/dev/null",
            "-w",
            "%{size_header} %{size_download}\n",
            target,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", support::both(&output));
    let asked = Instant::now();
    let lines = text(&output.stdout);
    assert_eq!(lines.lines().count(), 1000);
    let octets: u64 = lines.split_whitespace().map(|number| number.parse::<u64>().unwrap()).sum();
    let expected = (settled.0 + 1000, settled.1 + octets);
    let seen = within(Duration::from_secs(2), || counted(demo, &session) == expected);
    let found = counted(demo, &session);
    assert!(seen, "expected {expected:?}, found {found:?} after {:?}", asked.elapsed());
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(counted(demo, &session), expected, "nothing is counted twice");
}

fn purge_reaches_every_pop(demo: &Demo) {
    for port in [7681, 7682, 7683] {
        demo.curl(port, "http://static.acme.test/style.css");
        let hit = demo.curl(port, "http://static.acme.test/style.css");
        assert!(hit.field("cache-status").contains("; hit"), "{}", hit.head);
    }
    let lines = demo.ok(&["flush", "url", "http://static.acme.test/style.css", "--hard", "--yes"]);
    for node in ["edge1.iad1", "edge1.fra1", "edge1.nrt1"] {
        let line =
            lines.lines().find(|line| line.contains(node)).unwrap_or_else(|| panic!("{lines}"));
        assert!(line.contains("applied"), "{line}");
    }
    for port in [7681, 7682, 7683] {
        let after = demo.curl(port, "http://static.acme.test/style.css");
        assert!(!after.field("cache-status").contains("mem.iad1; hit"), "{}", after.head);
        assert!(after.field("cache-status").contains("disk"), "asked anew: {}", after.head);
    }
    let soft = demo.ok(&["purge", "site", "static.acme.test", "--yes"]);
    assert!(soft.contains("soft, site static.acme.test"), "{soft}");
    assert!(soft.contains("3 of 3 nodes"), "{soft}");
}
