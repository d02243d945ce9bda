//! A configuration reaches every node that holds it, or none; a node that was away catches up.

mod support;

use std::time::Duration;

use support::{Demo, both, text, within};

#[test]
fn all_or_none_and_nobody_stays_behind() {
    let demo = Demo::start(34);
    let file = demo.dir().join("next.toml").display().to_string();
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let original = demo.ok(&["config", "show"]);

    // A changed time to live is answered by every name server.
    write(
        &original
            .replace("ttl_min = \"2s\", ttl_max = \"2s\"", "ttl_min = \"7s\", ttl_max = \"7s\""),
    );
    let plan = demo.ok(&["config", "plan", &file]);
    assert!(plan.contains("ttl_max") && plan.contains("2s → 7s"), "{plan}");
    let pushed = demo.ok(&["config", "push", &file, "--yes", "--message", "longer"]);
    for node in ["ctl1.ctl", "edge1.iad1", "edge1.fra1", "edge1.nrt1"] {
        for word in ["prepared", "switched"] {
            let told = pushed.lines().any(|line| line.contains(node) && line.contains(word));
            assert!(told, "{node} {word} is missing in\n{pushed}");
        }
    }
    for server in [11, 12] {
        let ttl = || demo.dig(server, &["+noshort", "+noall", "+answer", "static.acme.test"]);
        let fresh = within(Duration::from_secs(2), || ttl().split_whitespace().nth(1) == Some("7"));
        assert!(fresh, "name server {server} answers {}", ttl());
    }
    assert_eq!(demo.ok(&["config", "get", "policies.nearest.answer.ttl_max"]).trim(), "\"7s\"");
    assert!(demo.ok(&["config", "history"]).contains("longer"));

    // Pushing the same again is a success that does nothing.
    assert!(demo.ok(&["config", "push", &file, "--yes"]).contains("nothing to do"));

    // Mistakes are refused with place and remedy; what runs is untouched.
    write(&original.replace("timeout  = \"1s\"", "timout = \"1s\""));
    let refused = demo.cli(&["config", "push", &file, "--yes"]);
    assert_eq!(refused.status.code(), Some(1), "{}", both(&refused));
    let words = text(&refused.stderr);
    for word in ["E0104", "timout", "did you mean", "timeout", "next.toml:"] {
        assert!(words.contains(word), "{word} is missing in\n{words}");
    }
    let status = demo.json(&["status"]);
    assert_eq!(status["epoch"], 2);

    // What a push cannot do is said before it is ordered.
    write(&original.replacen("\"netprobe\", ", "", 1));
    let plan = demo.json(&["config", "plan", &file]);
    assert_eq!(plan["restarts"][0]["ends"], serde_json::json!(["netprobe"]), "{plan}");

    // One node down: the others switch, the push says so, and the node catches up.
    demo.ok(&["demo", "kill", "nrt1", "--dir", "d"]);
    write(
        &original
            .replace("ttl_min = \"2s\", ttl_max = \"2s\"", "ttl_min = \"3s\", ttl_max = \"3s\""),
    );
    let partly = demo.cli(&["config", "push", &file, "--yes"]);
    assert_eq!(partly.status.code(), Some(6), "{}", both(&partly));
    let words = text(&partly.stdout);
    assert!(
        words.lines().any(|line| line.contains("edge1.nrt1") && line.contains("unreachable")),
        "{words}"
    );
    assert!(words.contains("v3 is in force"), "{words}");
    demo.ok(&["demo", "start", "nrt1", "--dir", "d"]);
    let current = within(Duration::from_secs(10), || {
        let status = demo.json(&["status"]);
        let nodes = status["nodes"].as_array().unwrap();
        nodes.iter().all(|node| node[2]["Ok"]["epoch"] == 3)
    });
    assert!(current, "nrt1 did not catch up: {}", demo.json(&["status"]));

    // Back to the first content, as a new version.
    demo.ok(&["config", "rollback", "1", "--yes"]);
    assert_eq!(demo.ok(&["config", "show"]), original);
    let conflict = demo.cli(&["config", "push", &file, "--yes", "--expect-version", "1"]);
    assert_eq!(conflict.status.code(), Some(5), "{}", both(&conflict));
}
