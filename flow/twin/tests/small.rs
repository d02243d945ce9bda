//! The twin at sizes that a test can wait for: same seed, same history, and the figures that the
//! shipped scenarios show at full size.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
#![expect(clippy::print_stdout, reason = "a failing test shows the whole report")]

use popnet_twin::{Figure, Report, load, run};

fn simulate(text: &str) -> Report {
    let scenario = load(text, "test.toml").unwrap();
    let report = run(&scenario, None, None, &mut |_| {}).unwrap();
    println!("{}", report.text());
    report
}

/// A small network; what a test wants else comes behind it.
fn small(length: &str, crowd: &str, rest: &str) -> String {
    format!(
        "title = \"small\"\nlength = \"{length}\"\nwarm_up = \"20s\"\n\
         [network]\npops = 6\nname_servers = 3\ninterval = \"5s\"\nfall = 2\n\
         [policy]\nanswer = {{ max = 1, ttl_min = \"5s\", ttl_max = \"20s\" }}\n\
         [crowd]\nunits = 300\nper_prefix = 16\n{crowd}\n{rest}\n"
    )
}

const ROUGH: &str = "[wire]\nloss = 0.05\nduplicate = 0.02\nlate = 0.02";

#[test]
fn the_same_seed_is_the_same_history() {
    let text = small("40s", "", ROUGH);
    let (one, again) = (simulate(&text), simulate(&text));
    assert_eq!((&one.digest, one.events), (&again.digest, again.events));
    assert_eq!(one.value(Figure::MeanLatency), again.value(Figure::MeanLatency));
    let other = simulate(&format!("seed = 2\n{text}"));
    assert_ne!(one.digest, other.digest);
}

#[test]
fn first_answers_are_near_and_measurements_come_soon() {
    let crowd = "known = 0.6\nnew_prefixes = 0.2\nnew_units = 0.2\nsilent = 0.05";
    let report = simulate(&small("80s", crowd, ""));
    assert!(report.value(Figure::FirstAnswerNear).unwrap() >= 0.90);
    assert!(report.value(Figure::MeasuredInUse).unwrap() <= 2.0);
}

#[test]
fn name_servers_agree_on_a_lossy_wire() {
    let report = simulate(&small("60s", "", ROUGH));
    assert!(report.value(Figure::Agreement).unwrap() >= 0.99);
    assert_eq!(report.value(Figure::WronglyDown), Some(0.0));
}

#[test]
fn clients_come_near_the_best_that_is_possible() {
    let expect = "[[expect]]\nfigure = \"over-best\"\nat_most = 0.06\n\
                  [[expect]]\nfigure = \"under-turns\"\nat_least = 0.3";
    let report = simulate(&small("60s", "", expect));
    assert!(report.passed());
}

#[test]
fn a_dead_pop_is_not_named_and_comes_back() {
    let faults = "[[faults]]\nkind = \"dead\"\nat = \"30s\"\nfor = \"30s\"\nbusiest = 1\n\
                  [[faults]]\nkind = \"dark\"\nat = \"50s\"\nfor = \"15s\"\nbusiest = 1";
    let report = simulate(&small("110s", "", faults));
    assert_eq!(report.value(Figure::NamedDead), Some(0.0));
    assert_eq!(report.value(Figure::Empty), Some(0.0));
    assert!(report.value(Figure::VerdictChanges).unwrap() >= 6.0);
}

#[test]
fn when_all_die_everything_is_named() {
    let faults = "[[faults]]\nkind = \"dead\"\nat = \"30s\"\npops = [\"*\"]";
    let report = simulate(&small("90s", "", faults));
    assert!(report.value(Figure::FailOpen).unwrap() <= 2.0);
    assert_eq!(report.value(Figure::Empty), Some(0.0));
}

#[test]
fn clocks_that_jump_take_nobody_down() {
    let jump = |at: u32, seconds: i32| {
        format!(
            "[[faults]]\nkind = \"clock\"\nat = \"{at}s\"\nfor = \"20s\"\npops = [\"*\"]\n\
             seconds = {seconds}\n"
        )
    };
    let restart = "[[faults]]\nkind = \"quit\"\nat = \"35s\"\nfor = \"2s\"\nwatchers = 2\n";
    let faults = [jump(30, 3_600), jump(60, -3_600), restart.to_owned()].concat();
    let report = simulate(&small("100s", "", &faults));
    assert_eq!(report.value(Figure::WronglyDown), Some(0.0));
    assert_eq!(report.value(Figure::Empty), Some(0.0));
}

#[test]
fn a_killed_name_server_goes_on_with_what_is_on_disk() {
    let faults = "[[faults]]\nkind = \"crash\"\nat = \"32s\"\nfor = \"1s\"\npops = [\"*\"]\n\
                  [[faults]]\nkind = \"quit\"\nat = \"32s\"\nfor = \"20s\"\npops = [\"*\"]";
    // Nobody measures and nobody probes after the start: all that is known was on disk.
    let report = simulate(&small("50s", "", faults));
    let expect = "[[expect]]\nfigure = \"over-best\"\nat_most = 0.06\n";
    let calm = simulate(&small("50s", "", expect));
    let (after, before) = (report.value(Figure::MeanLatency), calm.value(Figure::MeanLatency));
    assert!((after.unwrap() - before.unwrap()).abs() < 2.0, "{after:?} {before:?}");
    assert_eq!(report.value(Figure::Empty), Some(0.0));
}

#[test]
fn cheaper_pops_save_money() {
    let text = "title = \"bill\"\nlength = \"240s\"\nwarm_up = \"30s\"\n\
                [network]\npops = 8\nname_servers = 1\ndearest = 5.0\n\
                [policy]\nscore = { cost_ms = 30.0 }\n\
                answer = { max = 1, ttl_min = \"20s\", ttl_max = \"60s\" }\n\
                [baseline]\npreset = \"fastest\"\n\
                answer = { max = 1, ttl_min = \"20s\", ttl_max = \"60s\" }\n\
                [crowd]\nunits = 300\nload = 0.3\nday = \"200s\"\n";
    let report = simulate(text);
    assert!(report.value(Figure::BillSaving).unwrap() > 0.0);
    assert!(report.value(Figure::LatencyLoss).unwrap() <= 60.0);
}

/// The demand around a POP grows at once to half as much again as it carries: steering model,
/// section 14. `step-overload.toml` and `step-rough.toml` are the same at full size.
#[test]
fn a_crowded_pop_comes_down_without_a_swing() {
    for (servers, loss) in [(1, 0.0), (6, 0.10)] {
        let report = simulate(&format!(
            "title = \"step, {servers} servers\"\nlength = \"300s\"\nwarm_up = \"60s\"\n\
             [network]\npops = 8\nname_servers = {servers}\nfall = 3\n\
             [policy]\nshed = {{ target = 0.80, hard = 0.95 }}\n\
             answer = {{ max = 1, ttl_min = \"20s\", ttl_max = \"30s\" }}\n\
             [crowd]\nunits = 2000\nper_prefix = 32\nload = 0.40\n[wire]\nloss = {loss}\n\
             [[faults]]\nkind = \"demand\"\nat = \"80s\"\nbusiest = 1\nto = 1.5\n\
             [[expect]]\nfigure = \"overshoot\"\nat_most = 0.05\n\
             [[expect]]\nfigure = \"settled-periods\"\nat_most = 3\n\
             [[expect]]\nfigure = \"swing\"\nat_most = 0.02\n"
        ));
        assert!(report.passed(), "{servers} name servers, loss {loss}");
    }
}

#[test]
fn shipped_scenarios_can_be_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/scenarios");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        let scenario = load(&text, &name)
            .map_err(|found| popnet_config::render(&found, &text, &name))
            .unwrap();
        assert!(!scenario.expect.is_empty(), "{name} expects nothing");
        count += 1;
    }
    assert!(count >= 9);
}

#[test]
fn a_configuration_of_ones_own() {
    let network = include_str!("../../../examples/network.toml");
    let text = "title = \"own\"\nlength = \"40s\"\nwarm_up = \"10s\"\n\
                [network]\nfile = \"network.toml\"\n[crowd]\nunits = 100\n";
    let scenario = load(text, "own.toml").unwrap();
    let report = run(&scenario, Some(network), None, &mut |_| {}).unwrap();
    assert_eq!(report.size, (3, 2, 100));
    assert_eq!(report.value(Figure::Empty), Some(0.0));
    assert_eq!(report.plots().len(), 3);
}

#[test]
fn every_figure_and_fault_is_documented() {
    let text = include_str!("../../../docs/operate/simulate.md");
    for figure in Figure::ALL {
        let row = format!("| `{}` | {} | {} |", figure.name(), figure.unit(), figure.words());
        assert!(text.contains(&row), "docs/operate/simulate.md lacks {row}");
    }
    for kind in ["dead", "dark", "cut", "lie", "crash", "quit", "clock", "demand", "loss", "slow"] {
        assert!(text.contains(&format!("`{kind}`")), "{kind}");
    }
}

#[test]
fn transit_gets_cheaper_by_what_is_learnt() {
    let text = "title = \"small\"\nlength = \"5760s\"\nwarm_up = \"4320s\"\n\
                [network]\npops = 5\nname_servers = 1\ninterval = \"20s\"\nviews = \"1s\"\n\
                dearest = 5.0\ncommits = 0.25\n\
                [policy]\nscore = { cost_ms = 20.0 }\nanswer = { max = 1, ttl_min = \"5s\", ttl_max = \"10s\" }\n\
                [baseline]\nanswer = { max = 1, ttl_min = \"5s\", ttl_max = \"10s\" }\n\
                [crowd]\nunits = 200\nper_prefix = 2\nload = 0.15\nday = \"1440s\"";
    let report = simulate(text);
    assert!(report.value(Figure::BillSaving).unwrap() >= 0.05);
    assert!(report.value(Figure::LatencyLoss).unwrap() <= 10.0);
}
