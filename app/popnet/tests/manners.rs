//! The manners that programs rely on: with `--json` every command prints one JSON object, on
//! standard output when it did its work and on standard error when it did not, and ends with one
//! of the frozen exit codes. People get words in the same places.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{Demo, both, popnet, text, within};

/// What a command line is to end with.
struct Case {
    args: &'static str,
    exit: i32,
}

const fn case(args: &'static str, exit: i32) -> Case {
    Case { args, exit }
}

/// `FILE` is the configuration in force, `NEW` has another TTL, `BAD` has a mistake, `EDIT` is for
/// changes in place; `NONE` does not exist.
const CALM: &[Case] = &[
    // Usage.
    case("", 2),
    case("nonsense", 2),
    case("dig", 2),
    case("dig static.acme.test --type zz", 2),
    case("dig static.acme.test --subnet zz", 2),
    case("--version", 0),
    // Probes by hand.
    case("probe run nonsense 127.0.0.1", 2),
    case("probe run tcp 127.0.0.1:1", 8),
    // The demo.
    case("demo up --net 127.300", 2),
    case("demo up --dir d", 1),
    case("demo up --dir foreign", 1),
    case("demo kill nowhere", 3),
    case("demo start nowhere", 3),
    case("demo start nrt1", 0),
    case("demo slow nrt1 99999", 2),
    case("demo slow nowhere 9", 3),
    case("demo load nrt1 1.5", 2),
    case("demo load nrt1 -1", 2),
    case("demo load nowhere 0.5", 3),
    case("demo reset", 0),
    case("demo down --dir NONE", 3),
    // Running a node.
    case("run --config FILE", 2),
    case("run --config NONE --node edge1.fra1 --state-dir s", 1),
    case("run --config FILE --node edge9.fra1 --state-dir s", 3),
    case("run --config FILE --node edge1.fra1 --state-dir s", 1),
    case("run --config BAD --node edge1.fra1 --state-dir s", 1),
    case("run --role nonsense --state-dir s", 2),
    case("run --state-dir s", 1),
    // Status.
    case("status", 0),
    case("status --context NONE", 1),
    // Configuration.
    case("config validate FILE", 0),
    case("config validate BAD", 8),
    case("config validate NONE", 1),
    case("config show", 0),
    case("config show --version 99", 3),
    case("config get pops.fra1.cost", 0),
    case("config get pops.fra1 --file FILE", 0),
    case("config get pops.fra9.cost", 3),
    case("config get pops.fra1.cots", 3),
    case("config get pops..cost", 2),
    case("config set pops.fra1.cost 1.5 --file EDIT", 0),
    case("config set pops.fra1.cost 1.5 --file EDIT", 0),
    case("config set pops.fra1.cost dear --file EDIT", 1),
    case("config set pops.fra1.cots 1 --file EDIT", 3),
    case("config unset pops.fra1.cost --file EDIT", 0),
    case("config unset pops.fra1.cost --file EDIT", 0),
    case("config plan NEW", 0),
    case("config plan BAD", 1),
    case("config push NEW", 2),
    case("config push NEW --dry-run", 0),
    case("config push NEW --yes --expect-version 7", 5),
    case("config push BAD --yes", 1),
    case("config push NEW --yes --message longer", 0),
    case("config push NEW --yes", 0),
    case("config history", 0),
    case("config rollback 99 --yes", 3),
    case("config rollback 1", 2),
    case("config rollback 1 --yes", 0),
    case("config schema", 0),
    // Purge.
    case("purge url http://static.acme.test/hello.txt", 2),
    case("purge url http://static.acme.test/hello.txt --yes", 0),
    case("purge url static.acme.test --yes", 2),
    case("purge url http://nowhere.test/ --yes", 3),
    case("purge prefix http://static.acme.test/h --yes --hard", 0),
    case("purge prefix http://static.acme.test/h --dry-run", 0),
    case("purge key some --yes", 2),
    case("purge key some --yes --customer acme", 0),
    case("purge key some --yes --customer nobody", 3),
    case("purge site static.acme.test --yes --soft", 0),
    case("purge site static.acme.test --yes --soft --hard", 2),
    case("purge site static.acme.test --yes --customer globex", 4),
    case("purge site app.globex.test --yes", 0),
    case("flush site static.acme.test --yes", 0),
    // Publish. Nothing is hosted in the demo; publish.rs does it.
    case("publish", 2),
    case("publish NONE static.acme.test --yes", 4),
    case("publish . nowhere.test --dry-run", 3),
    // Why.
    case("explain dns static.acme.test --from tokyo", 0),
    case("explain dns static.acme.test --type AAAA", 0),
    case("explain dns static.acme.test --assume nrt1=down --from tokyo", 0),
    case("explain dns static.acme.test --assume nowhere=down", 3),
    case("explain dns static.acme.test --assume nrt1", 2),
    case("explain dns static.acme.test --assume nrt1=drain --assume iad1.load=0.9", 0),
    case("explain dns static.acme.test --assume iad1.rtt=20ms --assume fra1.cost=9", 0),
    case("explain dns static.acme.test --assume iad1.load=9", 2),
    case("explain dns static.acme.test --config 1 --from tokyo", 0),
    case("explain dns static.acme.test --config 99", 3),
    case("explain dns static.acme.test --config nowhere.toml", 1),
    case("explain dns static.acme.test --at 2001-01-01T00:00:00Z", 3),
    case("explain dns static.acme.test --at yesterday", 2),
    case("explain dns static.acme.test --from atlantis", 3),
    case("explain dns static.acme.test --ns edge1.nrt1", 3),
    case("explain dns no..name", 2),
    case("explain dns nowhere.test", 0),
    case("explain url http://static.acme.test/hello.txt", 0),
    case("explain url hello.txt", 2),
    case("explain url http://nowhere.test/", 3),
    case("explain url http://app.globex.test/", 3),
    case("explain url http://static.acme.test/ --pop ctl", 3),
    case("explain url http://static.acme.test/ -H nonsense", 2),
    case("explain decision nonsense", 2),
    case("explain decision d-1", 3),
    // Clients.
    case("dig static.acme.test --from tokyo", 0),
    case("dig nowhere.test", 0),
    case("dig .", 0),
    case("dig config.lab.test --type SRV", 0),
    case("dig no..name", 2),
    case("fetch http://static.acme.test/hello.txt", 0),
    case("fetch http://static.acme.test/hello.txt --repeat 2", 0),
    case("fetch http://static.acme.test/hello.txt --repeat 0", 2),
    case("fetch http://nowhere.test/", 1),
    case("fetch hello.txt", 2),
    case("fetch https://static.acme.test/", 2),
    // People. Each gets the same line on standard input.
    case("user add carol", 0),
    case("user add carol", 5),
    case("user add dave --role nonsense", 2),
    case("user add erin --role customer-viewer --customer acme", 0),
    case("user add frank --role customer-viewer --customer nobody", 3),
    case("user add frank --role customer-viewer", 2),
    case("user reset carol", 0),
    case("user reset nobody", 3),
    case("user once carol", 0),
    case("user once nobody", 3),
    case("user once carol --state-dir NONE", 3),
    // Zones. `ZONE` is a good file, `FLAW` has a mistake; `CONF` is BIND's.
    case("zone check ZONE --name zone.test", 0),
    case("zone check FLAW --name zone.test", 8),
    case("zone check ZONE", 2),
    case("zone check ZONE --name no..name", 2),
    case("zone check NONE --name zone.test", 1),
    case("zone show zone.test --file ZONE", 0),
    case("zone show zone.test www A --file ZONE", 0),
    case("zone show zone.test none --file ZONE", 3),
    case("zone show zone.test --file FLAW", 1),
    case("zone show lab.test config SRV", 0),
    case("zone show lab.test none A", 3),
    case("zone show no..name", 2),
    case("zone show lab.test config NONSENSE", 2),
    case("zone sign ZONE --name zone.test --key-dir zone-keys --out signed", 0),
    case("zone sign FLAW --name zone.test --key-dir zone-keys", 1),
    case("zone keys zone.test --dir zone-keys", 0),
    case("zone keys no..name --dir zone-keys", 2),
    case("zone status none.test", 3),
    case("zone transfer none.test", 3),
    case("zone notify none.test", 3),
    case("zone freeze none.test", 3),
    case("zone thaw none.test", 3),
    case("zone status no..name", 2),
    case("dns stats", 0),
    case("dns stats --ns edge1.nrt1", 3),
    case("dns", 2),
    case("import bind CONF", 0),
    case("import bind CONF --out imported.toml --keys imported-keys", 0),
    case("import bind ZONE", 1),
    case("import bind NONE", 1),
    // Keys for transfers.
    case("key tsig create peer.test --state-dir key-state", 0),
    case("key tsig create peer.test --state-dir key-state", 5),
    case("key tsig create --state-dir key-state", 2),
    case("key tsig list --state-dir key-state", 0),
    // The twin. `CALM` reaches its figure, `WILD` does not, `ODD` has a mistake.
    case("simulate CALM", 0),
    case("simulate CALM --seed 7 --plot plots", 0),
    case("simulate CALM --plot FILE", 1),
    case("simulate CALM CALM --seed 7 --report reports", 0),
    case("simulate CALM WILD --report reports", 8),
    case("simulate CALM --report FILE", 1),
    case("simulate CALM --report a --plot b", 2),
    case("simulate WILD", 8),
    case("simulate ODD", 1),
    case("simulate NONE", 1),
    case("simulate", 2),
    case("simulate CALM --seed many", 2),
    // The authority.
    case("authority create authority --network lab", 0),
    case("authority create authority --network lab", 1),
    case("authority issue authority --hostname edge1.fra1.lab.test --out identity", 0),
    case("authority issue authority --hostname nonsense --out identity", 2),
    case("authority issue NONE --hostname edge1.fra1.lab.test --out identity", 3),
];

/// With nrt1 killed.
const DEGRADED: &[Case] = &[
    case("status", 8),
    case("demo kill nrt1", 0),
    case("purge site static.acme.test --yes", 6),
    case("config push NEW --yes", 6),
    case("explain url http://static.acme.test/ --pop nrt1", 1),
    case("demo start nrt1", 0),
];

/// With the control node killed: nothing to ask.
const HEADLESS: &[Case] = &[
    case("status", 1),
    case("config history", 1),
    case("purge site static.acme.test --yes", 1),
    case("explain dns static.acme.test", 1),
    case("demo slow nrt1 9", 1),
    case("demo start ctl", 0),
    case("demo down", 0),
];

fn run(demo: &Demo, args: &[&str]) -> Output {
    let mut child = popnet()
        .args(args)
        .current_dir(demo.dir().parent().unwrap())
        .env("POPNET_CONTEXT", "d")
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read it has ended before.
    let _ = child.stdin.take().unwrap().write_all(b"a long enough password\n");
    child.wait_with_output().unwrap()
}

/// The one JSON object that `octets` are.
fn object(octets: &[u8], whole: &str) -> Value {
    let value: Value = serde_json::from_slice(octets)
        .unwrap_or_else(|error| panic!("{whole}: {error}: {}", text(octets)));
    assert!(value.is_object(), "{whole}: no object: {value}");
    let schema = value["schema"].as_str().unwrap_or_default();
    assert!(schema.starts_with("popnet.") && schema.ends_with("/v1"), "{whole}: {schema:?}");
    value
}

fn check(demo: &Demo, case: &Case) {
    let mut args = vec!["--json"];
    args.extend(case.args.split_whitespace());
    let output = run(demo, &args);
    let whole = format!("popnet {}", args.join(" "));
    assert_eq!(output.status.code(), Some(case.exit), "{whole}: {}", both(&output));
    // Works, works partly, or works and found problems.
    let done = match case.exit {
        0 | 6 | 8 => true,
        // The visit itself is the answer, also when it went badly.
        1 => case.args.starts_with("fetch"),
        _ => false,
    };
    if done {
        object(&output.stdout, &whole);
        assert!(output.stderr.is_empty(), "{whole}: {}", both(&output));
        return;
    }
    assert!(output.stdout.is_empty(), "{whole}: {}", both(&output));
    let last = if case.args.starts_with("run") { last_line(&output) } else { output.stderr };
    let problem = object(&last, &whole);
    assert_eq!(problem["schema"], "popnet.problem/v1", "{whole}");
    assert_eq!(problem["exit"], case.exit, "{whole}: {problem}");
    for field in ["title", "detail", "code", "next", "type"] {
        let said = problem[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(said, "{whole}: no {field} in {problem}");
    }
}

/// A node's log goes before its last word.
fn last_line(output: &Output) -> Vec<u8> {
    let text = text(&output.stderr);
    text.lines().last().unwrap_or_default().as_bytes().to_vec()
}

/// The commands that help lists, down to the leaves.
fn leaves(path: &[String]) -> Vec<String> {
    let output = popnet().args(path).arg("--help").output().unwrap();
    let help = text(&output.stdout);
    assert!(output.status.success() && output.stderr.is_empty(), "{path:?}: {}", both(&output));
    let listed = help.split_once("\nCommands:\n").map(|(_, rest)| rest).unwrap_or_default();
    let names = listed.lines().take_while(|line| line.starts_with("  "));
    let names = names.filter_map(|line| line.strip_prefix("  ")).filter(|l| !l.starts_with(' '));
    let names: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    if names.is_empty() {
        return vec![path.join(" ")];
    }
    let below = names.iter().filter(|name| **name != "help").flat_map(|name| {
        let mut path = path.to_vec();
        path.push((*name).to_owned());
        leaves(&path)
    });
    below.collect()
}

#[test]
fn every_command_has_manners() {
    let demo = Demo::start(39);
    prepare(&demo);
    let cases = || CALM.iter().chain(DEGRADED).chain(HEADLESS);
    let tried: BTreeSet<String> =
        leaves(&[]).into_iter().filter(|leaf| cases().any(|c| c.args.starts_with(leaf))).collect();
    let all: BTreeSet<String> = leaves(&[]).into_iter().collect();
    assert_eq!(tried, all, "a command has no case here");

    CALM.iter().for_each(|case| check(&demo, case));
    asked_for_words(&demo);

    demo.ok(&["demo", "kill", "nrt1", "--dir", "d"]);
    let gone = || demo.cli(&["status"]).status.code() == Some(8);
    assert!(within(Duration::from_secs(5), gone));
    DEGRADED.iter().for_each(|case| check(&demo, case));

    let killed = demo.ok(&["demo", "kill", "ctl"]);
    assert!(killed.contains("ctl killed"), "{killed}");
    HEADLESS.iter().for_each(|case| check(&demo, case));
}

/// The files that the cases name.
fn prepare(demo: &Demo) {
    let original = demo.ok(&["config", "show"]);
    let put = |name: &str, content: &str| {
        std::fs::write(demo.dir().parent().unwrap().join(name), content).unwrap();
    };
    put("FILE", &original);
    put("EDIT", &original);
    put("NEW", &original.replace("ttl_max = \"2s\"", "ttl_max = \"9s\""));
    put("BAD", &original.replace("timeout  = \"1s\"", "timout = \"1s\""));
    let zone = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.2\n";
    put("ZONE", zone);
    put("FLAW", &zone.replace("192.0.2.2", "192.0.2"));
    let calm = "title = \"Calm\"\nlength = \"30s\"\nwarm_up = \"10s\"\n\
        [network]\npops = 3\n[crowd]\nunits = 100\n\
        [[expect]]\nfigure = \"empty-answers\"\nat_most = 0\n";
    put("CALM", calm);
    put("WILD", &calm.replace("empty-answers\"\nat_most = 0", "mean-latency\"\nat_most = 0.1"));
    put("ODD", &calm.replace("warm_up", "warmup"));
    put("CONF", "options { listen-on { 127.0.0.1; }; recursion no; };\n");
    std::fs::create_dir(demo.dir().parent().unwrap().join("foreign")).unwrap();
    put("foreign/file", "somebody else's");
}

/// Without `--json` people get words: data on standard output, problems on standard error with
/// what to type next.
fn asked_for_words(demo: &Demo) {
    let broken = run(demo, &["explain", "url", "http://nowhere.test/"]);
    assert!(broken.stdout.is_empty(), "{}", both(&broken));
    let words = text(&broken.stderr);
    assert!(words.starts_with("error[U0013]: no site is called nowhere.test"), "{words}");
    assert!(words.contains("\n  next: "), "{words}");

    let told = run(demo, &["dig", "static.acme.test", "--from", "tokyo"]);
    assert!(told.stderr.is_empty(), "{}", both(&told));
    assert!(text(&told.stdout).lines().all(|line| line == line.trim_end()), "{}", both(&told));

    let schema = run(demo, &["config", "schema"]);
    let bare: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(bare["$schema"], "https://json-schema.org/draft/2020-12/schema");
    // Targets are called in JSON what people call them.
    let targets = demo.json(&["status"])["targets"].clone();
    let names: BTreeSet<&str> =
        targets.as_array().unwrap().iter().filter_map(|t| t["target"].as_str()).collect();
    assert!(names.contains("nrt1") && names.contains("acme-www/main"), "{targets}");
    let table = run(demo, &["status"]);
    let rows = text(&table.stdout);
    let column = rows.lines().nth(1).and_then(|line| line.find("state")).unwrap();
    assert!(rows.lines().skip(2).all(|line| line[column..].starts_with("up ")), "{rows}");
}
