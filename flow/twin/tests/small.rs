//! The twin at sizes that a test can wait for: same seed, same history, and the figures of the
//! shipped scenarios where they can be asserted small.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
#![expect(clippy::print_stdout, reason = "a failing test shows the whole report")]

use popnet_twin::{Figure, Report, load, run};

fn simulate(text: &str) -> Report {
    let scenario = load(text, "test.toml").unwrap();
    let report = run(&scenario, None, None, &mut |_| {}).unwrap();
    println!("{}", report.text());
    report
}

const CALM: &str = r#"
title = "calm"
length = "60s"
warm_up = "20s"
[network]
pops = 5
name_servers = 3
[crowd]
units = 300
[wire]
loss = 0.05
duplicate = 0.02
late = 0.02
"#;

#[test]
fn the_same_seed_is_the_same_history() {
    let one = simulate(CALM);
    let again = simulate(CALM);
    assert_eq!((&one.digest, one.events), (&again.digest, again.events));
    assert_eq!(one.value(Figure::MeanLatency), again.value(Figure::MeanLatency));
    let other = simulate(&format!("seed = 2\n{CALM}"));
    assert_ne!(one.digest, other.digest);
}
