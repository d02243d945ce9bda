//! What decisions cost, for `cargo xtask bench steering`: a line of JSON a figure. One site, eight
//! POPs that have each measured every one of a million client units.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark: it takes the time, and says what it found"
)]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Instant;

use ipnet::{IpNet, Ipv4Net};
use popnet_config::network::Network;
use popnet_steering::{Board, Client, Family, Lineup, Question, Rules};
use popnet_terms::{Micros, NodeName, ProbeId, Timestamp};
use popnet_wire::probing::{
    Cause, Finding, Health, Latency, Method, Report, Sample, Service, Subject,
};
use popnet_wire::rollout::Epoch;

const POPS: u8 = 8;
const UNITS: u32 = 1_000_000;
/// Of these so many ask.
const ASKING: u32 = 100_000;
const NOW: Timestamp = Timestamp(1_900_000_000_000_000);
/// Of so many rounds the quickest is said: what others do on the machine only adds.
const ROUNDS: usize = 7;

fn main() {
    let network = network();
    let rules = Rules::compile(&network);
    let site = rules.site("www.example").unwrap();
    let mut board = Board::new();
    board.configure(&network, None, NOW);
    let mut seq = 0;
    for from in 0..POPS {
        let verdicts = (0..POPS).map(healthy).collect();
        say(&mut board, from, &mut seq, verdicts);
    }
    let before = held();
    for n in 0..UNITS {
        for from in 0..POPS {
            say(&mut board, from, &mut seq, vec![latency(n, from, 0)]);
        }
    }
    // Rows that came lately lie apart until they are swept together.
    for _ in 0..8 {
        board.forget(NOW);
    }
    let octets = held().saturating_sub(before) / u64::from(UNITS);
    print("octets a unit that eight POPs have measured", "octets", octets as f64);

    let view = board.view(NOW);
    let lineup = Lineup::new(&view, site);
    let asked =
        |n: u32| Question { client: Client::Unit(unit(n)), family: Family::V4, bound: None };
    let known: Vec<Question> = (0..ASKING).map(asked).collect();
    // These have neighbours in their /16, and no measurement of their own.
    let unknown: Vec<Question> = (0..128).map(|n| asked(UNITS + n)).collect();
    for (what, questions) in [("measured", &known), ("a sibling's word", &unknown)] {
        let micros = quickest(|| {
            for question in questions {
                black_box(lineup.pick(&view, site, question));
            }
            questions.len()
        });
        print(&format!("a choice among eight, {what}"), "us", micros);
        let micros = quickest(|| {
            for question in questions {
                black_box(lineup.choose(&view, site, question));
            }
            questions.len()
        });
        print(&format!("the same with all that was weighed, {what}"), "us", micros);
    }
    let micros = quickest(|| {
        for _ in 0..1_000 {
            black_box(Lineup::new(&view, site));
        }
        1_000
    });
    print("a line-up of eight, once a view and site", "us", micros);
    let micros = quickest(|| {
        for n in 0..100 {
            let news = latency(n * 997, 0, seq);
            say(&mut board, 0, &mut seq, vec![news]);
            black_box(board.view(NOW));
        }
        100
    });
    print("one latency taken in, and the view after it", "us", micros);
}

/// Microseconds for each of what `work` says it did.
fn quickest(mut work: impl FnMut() -> usize) -> f64 {
    let mut round = || {
        let begin = Instant::now();
        let done = work();
        begin.elapsed().as_secs_f64() * 1e6 / done as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn print(what: &str, unit: &str, value: f64) {
    println!("{{\"work\":\"{what}\",\"server\":\"popnet\",\"values\":{{\"{unit}\":{value:.2}}}}}");
}

/// Octets of memory that this process holds.
fn held() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

fn network() -> Network {
    let mut text = String::from(
        "[network]\nname = \"speed\"\nschema = 1\ndomain = \"cdn.example\"\n\
         [probes.edge]\nkind = \"http\"\ntarget = { role = \"webcache\" }\nrequest = { path = \"/\" }\n\
         [probes.rtt]\nkind = \"latency\"\n[customers.c]\ntitle = \"C\"\n\
         [origin_groups.o.servers]\none = { address = \"203.0.113.1:80\" }\n\
         [sites.\"www.example\"]\ncustomer = \"c\"\nkind = \"cached\"\norigins = \"o\"\npops = [\"*\"]\n",
    );
    for n in 0..POPS {
        let _ = write!(
            text,
            "[pops.p{n}]\nlocation = {{ lat = {n}.0, lon = 2.0 }}\n[pops.p{n}.nodes]\n\
             edge = {{ roles = [\"webcache\"], address = [\"192.0.2.{n}\"] }}\n\
             probe = {{ roles = [\"netprobe\"], address = [\"192.0.2.1{n}\"] }}\n"
        );
    }
    toml_edit::de::from_str(&text).unwrap()
}

fn unit(n: u32) -> IpNet {
    Ipv4Net::new(Ipv4Addr::from(0x1400_0000 + (n << 8)), 24).unwrap().into()
}

fn healthy(pop: u8) -> Finding {
    Finding::Service(Service {
        probe: ProbeId::new("edge"),
        subject: Subject::Node(NodeName::new(&format!("edge.p{pop}"))),
        health: Health::Up,
        cause: Cause::Passed,
        detail: "".into(),
        streak: 3,
        connect: Micros(900),
        total: Micros(1_000),
        load: Some(300),
        epoch: None,
    })
}

fn latency(n: u32, from: u8, more: u64) -> Finding {
    let mixed = (u64::from(n) << 8 | u64::from(from)).wrapping_add(more);
    let spread = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    Finding::Latency(Latency {
        client: unit(n),
        rtt: Some(Micros(5_000 + u32::try_from(spread % 100_000).unwrap())),
        spread: Micros(500),
        loss: 0,
        samples: 3,
        method: Method::DnsQuery,
    })
}

fn say(board: &mut Board, from: u8, seq: &mut u64, findings: Vec<Finding>) {
    *seq += 1;
    let samples = findings.into_iter().map(|finding| Sample { at: NOW, finding }).collect();
    let publisher = NodeName::new(&format!("probe.p{from}"));
    let report = Report { publisher, boot: 1, seq: *seq, epoch: Epoch(0), sent: NOW, samples };
    board.record(&report, NOW);
}
