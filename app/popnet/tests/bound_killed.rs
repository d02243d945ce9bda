//! What a name server knows of the past outlives `kill -9`: whom it has bound (N7, N8), and why it
//! answered as it did.

mod support;

use std::time::Duration;

use support::{Demo, within};

const SITE: &str = "static.acme.test";

/// The addresses at the ends of the demo's network: name servers, and the POP of Tokyo.
const NAMESERVERS: [(&str, u8); 2] = [("iad1", 11), ("fra1", 12)];
const TOKYO_POP: u8 = 13;

fn answer(demo: &Demo, server: u8) -> String {
    demo.dig(server, &["-b", &format!("{}.1.1", demo.net), SITE])
}

#[test]
fn bindings_and_the_past_outlive_a_kill() {
    let demo = Demo::start(57);
    let at_home = || answer(&demo, 12) == demo.at(TOKYO_POP);
    assert!(within(Duration::from_secs(8), at_home), "Tokyo is served from afar");
    let bound = "persist = { mode = \"bound\", hold = \"10m\" }\nanswer = { max = 1, ttl_min";
    let text = demo.ok(&["config", "show"]).replace("answer = { max = 1, ttl_min", bound);
    std::fs::write(demo.dir().join("bound.toml"), &text).expect("a file");
    demo.ok(&["config", "push", "d/bound.toml", "--yes"]);
    let because = |more: &[&str]| {
        let asked = [&["explain", "dns", SITE, "--from", "tokyo", "--ns", "edge1.fra1"], more];
        demo.ok(&asked.concat())
    };
    let kept = within(Duration::from_secs(8), || at_home() && because(&[]).contains("PERSISTED"));
    assert!(kept, "{}", because(&[]));

    // Another POP is better now; the bound client stays, at both name servers.
    demo.ok(&["demo", "slow", "nrt1", "600", "--dir", "d"]);
    let unbound = || because(&["--assume", "nrt1=unbound"]);
    let moved = within(Duration::from_secs(10), || !unbound().contains(&demo.at(TOKYO_POP)));
    assert!(moved, "{}", unbound());
    for (_, server) in NAMESERVERS {
        assert_eq!(answer(&demo, server), demo.at(TOKYO_POP), "at {server}: {}", because(&[]));
    }
    let told = because(&[]);
    assert!(told.contains("if the client were not bound to nrt1"), "{told}");
    // Long enough ago that the whole second is of this time.
    std::thread::sleep(Duration::from_millis(1_500));
    let then = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    std::thread::sleep(Duration::from_millis(1_500));

    for (pop, _) in NAMESERVERS {
        Demo::kill_9(demo.pop_pid(pop));
    }
    for (pop, _) in NAMESERVERS {
        demo.ok(&["demo", "start", pop, "--dir", "d"]);
    }
    // The very first answer is the right one already.
    let answers = within(Duration::from_secs(10), || !answer(&demo, 12).is_empty());
    assert!(answers, "no name server came back");
    // It answers queries before it answers people.
    let asked = ["explain", "dns", SITE, "--from", "tokyo", "--ns", "edge1.fra1"];
    let tells = || demo.cli(&asked).status.success();
    assert!(within(Duration::from_secs(10), tells), "{}", support::both(&demo.cli(&asked)));
    for _ in 0..10 {
        assert_eq!(answer(&demo, 12), demo.at(TOKYO_POP), "after the kill: {}", because(&[]));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(because(&[]).contains("PERSISTED"), "{}", because(&[]));

    // And what was before the kill can be asked: it was bound then, too; before that it was near.
    let past = because(&["--at", &then]);
    assert!(past.contains("PERSISTED") && past.contains(&demo.at(TOKYO_POP)), "{past}");
    let draft = text.replace("[pops.nrt1]", "[pops.nrt1]\ndrain = true");
    std::fs::write(demo.dir().join("drain.toml"), draft).expect("a file");
    let plan = demo.ok(&["config", "plan", "d/drain.toml"]);
    assert!(plan.contains("known client networks"), "{plan}");
}
