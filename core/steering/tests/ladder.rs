//! The rungs below a measurement: what is believed of clients that were never seen. The databases
//! beside this file were written with `mmdb-writer` (PyPI): 192.0.2.0/24 and 198.51.100.0/23 are
//! network 64500 in Germany, 203.0.113.0/24 is network 64501 in Japan, 2001:db8::/32 network 64502
//! at Ashburn.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::time::{Duration, Instant};

use popnet_config::network::Network;
use popnet_steering::{Atlas, Board, Choice, Client, Family, Question, Rules, choose};
use popnet_terms::{Micros, NodeName, PopId, RttSource, Seconds, Timestamp};
use popnet_wire::probing::{Finding, Latency, Method, Report, Sample};
use popnet_wire::rollout::Epoch;

const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "lab.test"
[pops.fra1]
location = { lat = 50.11, lon = 8.68, region = "eu" }
[pops.fra1.nodes]
edge1 = { roles = ["webcache"], address = ["192.0.2.1", "2001:db8::1"] }
probe1 = { roles = ["netprobe"], address = ["192.0.2.11"] }
[pops.nrt1]
location = { lat = 35.76, lon = 140.39, region = "as" }
[pops.nrt1.nodes]
edge1 = { roles = ["webcache"], address = ["192.0.2.2", "2001:db8::2"] }
probe1 = { roles = ["netprobe"], address = ["192.0.2.12"] }
[probes.rtt]
kind = "latency"
[customers.acme]
[origin_groups.www.servers]
alpha = { address = "203.0.113.1:80" }
[policies.plain]
answer = { max = 1 }
[sites."www.test"]
customer = "acme"
kind = "cached"
policy = "plain"
origins = "www"
"#;

struct Lab {
    rules: Rules,
    board: Board,
    now: Timestamp,
    seq: u64,
}

impl Lab {
    fn new() -> Self {
        let network: Network = toml_edit::de::from_str(NETWORK).unwrap();
        let now = Timestamp(1_700_000_000_000_000);
        let mut board = Board::new();
        board.configure(&network, None, now);
        let octets = |octets: &[u8]| Some(octets.to_vec());
        let networks = octets(include_bytes!("atlas/networks.mmdb"));
        let places = octets(include_bytes!("atlas/places.mmdb"));
        board.use_atlas(Atlas::read(networks, places).unwrap());
        Self { rules: Rules::compile(&network), board, now, seq: 0 }
    }

    fn measure(&mut self, client: &str, pop: &str, ms: u32) {
        self.seq += 1;
        let latency = Latency {
            client: client.parse().unwrap(),
            rtt: Some(Micros(ms * 1_000)),
            spread: Micros(0),
            loss: 0,
            samples: 3,
            method: Method::DnsQuery,
        };
        let report = Report {
            publisher: NodeName::of("probe1", &PopId::new(pop)),
            boot: 1,
            seq: self.seq,
            epoch: Epoch(0),
            sent: self.now,
            samples: vec![Sample { at: self.now, finding: Finding::Latency(latency) }],
        };
        assert_eq!(self.board.record(&report, self.now).accepted, 1);
    }

    /// The choice for `client`, and per POP its rung and milliseconds.
    fn ask(&mut self, client: &str) -> (Choice, Vec<(RttSource, u32)>) {
        let question = Question {
            client: Client::Unit(client.parse().unwrap()),
            family: Family::V4,
            bound: None,
        };
        let choice =
            choose(&self.board.view(self.now), self.rules.site("www.test").unwrap(), &question);
        let scores = choice.candidates.iter().map(|c| c.score.as_ref().unwrap());
        let rungs = scores.map(|score| (score.rtt_source, (score.rtt.0 + 500) / 1_000)).collect();
        (choice, rungs)
    }
}

fn first(choice: &Choice) -> String {
    choice.targets.first().unwrap().target.to_string()
}

#[test]
fn each_rung_in_its_turn() {
    let mut lab = Lab::new();
    lab.measure("192.0.2.0/24", "fra1", 12);
    lab.measure("192.0.2.0/24", "nrt1", 240);
    lab.measure("198.51.100.0/24", "fra1", 30);
    lab.measure("198.51.100.0/24", "nrt1", 20);

    let (choice, rungs) = lab.ask("192.0.2.0/24");
    assert_eq!(rungs, [(RttSource::Measured, 12), (RttSource::Measured, 240)]);
    assert!(choice.ttl > Seconds(200));

    let (choice, rungs) = lab.ask("198.51.101.0/24");
    assert_eq!(rungs, [(RttSource::SiblingPrefix, 30), (RttSource::SiblingPrefix, 20)]);
    assert_eq!(choice.ttl, Seconds(20), "a guess is asked for again soon");
    assert!(choice.needs_measurement);

    // Japan was never measured: the globe says that Narita is near.
    let (choice, rungs) = lab.ask("203.0.113.0/24");
    assert_eq!(rungs[1].0, RttSource::GeoEstimate);
    assert!(rungs[1].1 < 5 && rungs[0].1 > 100, "{rungs:?}");
    assert_eq!(first(&choice), "nrt1");
    // Ashburn is nearer to Frankfurt.
    assert_eq!(first(&lab.ask("2001:db8:77::/48").0), "fra1");
    // And of a client outside of every database nothing is known.
    assert_eq!(lab.ask("100.64.0.0/24").1[0].0, RttSource::Default);
}

#[test]
fn a_network_speaks_before_the_globe() {
    let mut lab = Lab::new();
    // The network of 192.0.2.0/24 takes a way by the other side of the world.
    lab.measure("192.0.2.0/24", "fra1", 250);
    lab.measure("192.0.2.0/24", "nrt1", 90);
    let (choice, rungs) = lab.ask("198.51.100.0/24");
    assert_eq!(rungs, [(RttSource::AsnCountryMedian, 250), (RttSource::AsnCountryMedian, 90)]);
    assert_eq!(first(&choice), "nrt1");
    // Half a day later it is believed by half, two days later blended with the globe.
    lab.now = lab.now.after(Duration::from_hours(48));
    let (_, rungs) = lab.ask("198.51.100.0/24");
    assert!(rungs[0].1 < 250 && rungs[1].1 > 90, "{rungs:?}");
}

#[test]
fn junk_is_no_atlas() {
    let error = Atlas::read(Some(b"junk".to_vec()), None).unwrap_err();
    assert!(error.to_string().starts_with("not a database in MMDB format"), "{error}");
    assert!(Atlas::read(None, None).unwrap().is_empty());
}

/// The figures of docs/benchmarks.md: ten million rows, kept and taken over.
#[test]
#[expect(clippy::disallowed_methods, reason = "it is a measurement")]
#[ignore = "takes a gigabyte and, unoptimised, minutes"]
fn ten_million_rows() {
    let mut lab = Lab::new();
    lab.board.use_atlas(Atlas::default());
    let start = Instant::now();
    for i in 0..5_000_000_u32 {
        let client = std::net::Ipv4Addr::from((i + (1 << 16)) << 8);
        for pop in ["fra1", "nrt1"] {
            lab.measure(&format!("{client}/24"), pop, 10 + i % 200);
        }
    }
    println!("recorded in {:?}", start.elapsed());
    let start = Instant::now();
    let parts = lab.board.changed_latencies(usize::from(Board::LATENCY_PARTS));
    let octets: usize = parts.iter().map(|(_, octets)| octets.len()).sum();
    println!("{octets} octets written in {:?}", start.elapsed());
    let mut second = Lab::new();
    let start = Instant::now();
    let rows: usize = parts
        .iter()
        .map(|(_, o)| second.board.restore_latencies(Board::LATENCY_VERSION, o).unwrap())
        .sum();
    println!("{rows} rows taken over in {:?}", start.elapsed());
    let start = Instant::now();
    let (_, rungs) = second.ask("1.2.3.0/24");
    println!("asked in {:?}: {rungs:?}", start.elapsed());
    assert_eq!((rows, rungs[0].0), (10_000_000, RttSource::Measured));
    let start = Instant::now();
    for _ in 0..8 {
        second.board.forget(second.now);
    }
    println!("swept in {:?}", start.elapsed());
}
