//! Transcripts: what the prober is told, and what it then wants done. Each file in `transcripts/`
//! is a network, a line `====`, and steps: a line with `>` and the lines that come out.
//! `UPDATE=1 cargo test -p popnet-probe` writes them anew; the difference is for review.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::fmt::Write as _;
use std::path::Path;

use popnet_config::network::Network;
use popnet_probe::{Action, Answer, Burst, Failure, JobId, Outcome, Prober, Told};
use popnet_terms::{Micros, NodeName, PopId, Timestamp};
use popnet_wire::probing::{Cause, Finding, Hits, Method, Need, Needs, Sample, Subject};
use popnet_wire::trips::UnitTrips;

#[test]
fn transcripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let written = std::fs::read_to_string(&path).unwrap();
        let played = play(&written);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &played).unwrap();
        }
        assert_eq!(played, std::fs::read_to_string(&path).unwrap(), "{}", path.display());
        count += 1;
    }
    assert!(count >= 3);
}

/// The transcript with what comes out today.
fn play(text: &str) -> String {
    let (network, steps) = text.split_once("====\n").unwrap();
    let mut network: Network = toml_edit::de::from_str(network).unwrap();
    let mut now = Timestamp(0);
    let mut prober = Prober::new(PopId::new("east"), 7);
    prober.configure(&network, now);
    let mut played = text.split_once("====\n").unwrap().0.to_owned();
    played.push_str("====\n");
    for line in steps.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(played, "> {command}").unwrap();
            step(&mut prober, &mut network, &mut now, command);
            while let Some(action) = prober.poll_action() {
                writeln!(played, "{}", shown(&action)).unwrap();
            }
        } else if line.is_empty() || line.starts_with('#') {
            writeln!(played, "{line}").unwrap();
        }
    }
    played
}

#[expect(clippy::too_many_lines, reason = "one arm a command")]
fn step(prober: &mut Prober, network: &mut Network, now: &mut Timestamp, command: &str) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let job = || JobId(words[1].parse().unwrap());
    let micros = |ms: &str| Micros(ms.parse::<u32>().unwrap() * 1_000);
    match words[0] {
        "at" => {
            *now = Timestamp(words[1].parse::<i64>().unwrap() * 1_000);
            prober.handle_timeout(*now);
        }
        "next" => {
            *now = prober.poll_timeout();
            prober.handle_timeout(*now);
        }
        "answer" => {
            let told = |name: &str| {
                let word = words.iter().find_map(|word| word.strip_prefix(name));
                word.map(str::to_owned)
            };
            let answer = Answer {
                status: words[2].parse().unwrap(),
                connect: Micros(1_000),
                total: Micros(4_000),
                content: words[3].replace('~', " ").into(),
                digest: None,
                load: told("load="),
                epoch: told("epoch="),
            };
            prober.handle_outcome(job(), &Outcome::Answered(answer), *now);
        }
        "told" => {
            let told = Told {
                connect: Some(Micros(1_000)),
                total: Micros(4_000),
                code: words[2].parse().unwrap(),
                content: words[3..].join(" ").into(),
                ..Told::default()
            };
            prober.handle_outcome(job(), &Outcome::Told(told), *now);
        }
        "connected" => {
            let connect = micros(words[2]);
            prober.handle_outcome(job(), &Outcome::Connected { connect }, *now);
        }
        "fail" => {
            let cause = match words[2] {
                "refused" => Cause::Refused,
                _ => Cause::Timeout,
            };
            let total = Micros(2_000_000);
            let failure =
                Failure { cause, words: words[3..].join(" ").into(), connect: None, total };
            prober.handle_outcome(job(), &Outcome::Failed(failure), *now);
        }
        "burst" => {
            let rtts = words[2..].iter().map(|ms| (*ms != "lost").then(|| micros(ms)));
            let rtts: Vec<Option<Micros>> = rtts.collect();
            let method = rtts.iter().any(Option::is_some).then_some(Method::DnsQuery);
            prober.handle_outcome(job(), &Outcome::Burst(Burst { method, rtts }), *now);
        }
        "need" => {
            let need = |pair: &[&str]| Need {
                resolver: pair[0].parse().unwrap(),
                client: pair[1].parse().unwrap(),
            };
            let needs = words[1..].chunks(2).map(need).collect();
            let asker = NodeName::new("ns1.east");
            prober.handle_needs(&Needs { asker, sent: *now, needs }, *now);
        }
        "seen" => {
            let seen = |triple: &[&str]| UnitTrips {
                client: triple[0].parse().unwrap(),
                rtt: micros(triple[1]),
                spread: Micros(1_000),
                loss: 0,
                connections: triple[2].parse().unwrap(),
                age_ms: 1_000,
            };
            let units: Vec<UnitTrips> = words[1..].chunks(3).map(seen).collect();
            prober.handle_trips(&units, *now);
        }
        "hits" => {
            let sites = vec![(words[1].into(), words[2].parse().unwrap())];
            prober.handle_hits(&Hits { asker: NodeName::new("ns1.east"), sites });
        }
        "joined" => prober.handle_joined(*now),
        "slow" => {
            let table = network.simulate.as_mut().unwrap();
            table.slow.insert(PopId::new(words[1]), words[2].parse().unwrap());
            prober.configure(network, *now);
        }
        "load" => {
            let table = network.simulate.as_mut().unwrap();
            table.load.insert(PopId::new(words[1]), words[2].parse().unwrap());
            prober.configure(network, *now);
        }
        other => panic!("no command {other:?}"),
    }
}

fn shown(action: &Action) -> String {
    match action {
        Action::Http(job) => {
            let scheme = if job.tls { "https" } else { "http" };
            let (id, at) = (job.id.0, &job.address);
            format!("  {id}: {} {scheme}://{at}{} host {}", job.method, job.path, job.host)
        }
        Action::Try(job) => format!("  {}: try {} {:?}", job.id.0, job.address, job.task),
        Action::Tcp(job) => format!("  {}: open {}", job.id.0, job.address),
        Action::Measure(job) => {
            let (id, samples) = (job.id.0, job.samples);
            format!("  {id}: burst {} x {samples} {:?}", job.resolver, job.methods)
        }
        Action::Report(samples) => {
            let lines: Vec<String> = samples.iter().map(reported).collect();
            lines.join("\n")
        }
        Action::Announce(change) => format!(
            "  announce {} {}: {:?} -> {:?} {}",
            change.customer,
            named(&change.subject),
            change.from,
            change.to,
            change.detail
        ),
    }
}

fn reported(sample: &Sample) -> String {
    let at = sample.at.0 / 1_000;
    match &sample.finding {
        Finding::Service(service) => {
            let told = |name: &str, value: Option<String>| {
                value.map_or_else(String::new, |value| format!(" {name} {value}"))
            };
            format!(
                "  report {} {} {:?} {:?} streak {} connect {} total {} at {at}{}{}{}",
                service.probe,
                named(&service.subject),
                service.health,
                service.cause,
                service.streak,
                service.connect.0,
                service.total.0,
                told("load", service.load.map(|load| load.to_string())),
                told("epoch", service.epoch.map(|epoch| epoch.to_string())),
                told("-", Some(service.detail.to_string()).filter(|detail| !detail.is_empty())),
            )
        }
        Finding::Latency(latency) => format!(
            "  report {} rtt {:?} loss {} samples {} {:?} at {at}",
            latency.client,
            latency.rtt.map(|rtt| rtt.0),
            latency.loss,
            latency.samples,
            latency.method
        ),
        Finding::Shed(shed) => format!(
            "  report {} sheds {} at load {:?} every {} s at {at}",
            shed.target, shed.shed, shed.load, shed.period
        ),
        Finding::Traffic(traffic) => format!(
            "  report {} sends {} of {} paid, price {} at {at}",
            traffic.pop, traffic.rate, traffic.paid, traffic.price
        ),
    }
}

fn named(subject: &Subject) -> String {
    match subject {
        Subject::Node(node) => node.to_string(),
        Subject::Origin(origin) => origin.to_string(),
    }
}
