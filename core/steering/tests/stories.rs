//! The seed's own examples and the promises of the steering model, told through the public verbs.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use popnet_config::network::Network;
use popnet_steering::{Board, Choice, Client, Family, Question, Rules, choose};
use popnet_terms::{
    Because, Micros, NodeName, OriginId, PopId, ProbeId, Removed, RttSource, Seconds, SiteName,
    TargetId, Timestamp,
};
use popnet_wire::inquiring::{Assumed, Assumption};
use popnet_wire::probing::{
    Cause, Finding, Health, Latency, Method, Report, Sample, Service, Subject,
};
use popnet_wire::rollout::Epoch;
use proptest::prelude::*;

const CLIENT: &str = "198.51.100.0/24";

/// Three POPs with a cache and a probe each, two servers of one customer.
const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "lab.test"
[pops.east]
location = { lat = 40.0, lon = -75.0 }
[pops.east.nodes]
edge1 = { roles = ["webcache"], address = ["192.0.2.1", "2001:db8::1"] }
probe1 = { roles = ["netprobe"], address = ["192.0.2.11"] }
[pops.mid]
location = { lat = 41.0, lon = -88.0 }
cost = 2.0
[pops.mid.nodes]
edge1 = { roles = ["webcache"], address = ["192.0.2.2"] }
probe1 = { roles = ["netprobe"], address = ["192.0.2.12"] }
[pops.west]
location = { lat = 37.0, lon = -122.0 }
[pops.west.nodes]
edge1 = { roles = ["webcache"], address = ["192.0.2.3"] }
probe1 = { roles = ["netprobe"], address = ["192.0.2.13"] }
[probes.edge]
kind = "http"
target = { role = "webcache" }
request = { path = "/health" }
interval = "5s"
fall = 2
from = { pops = ["*"], agree = 2 }
[probes.www]
kind = "http"
target = { origin_group = "www" }
request = { path = "/health" }
[probes.rtt]
kind = "latency"
[customers.acme]
[origin_groups.www.servers]
alpha = { address = "203.0.113.1:80", location = { lat = 40.0, lon = -75.0 }, weight = 1 }
beta = { address = "203.0.113.2", location = { lat = 37.0, lon = -122.0 }, weight = 3 }
[policies.plain]
answer = { max = 1 }
[policies.cheap]
preset = "cheapest-within"
tie = { within = "20ms" }
[policies.order]
preset = "failover-order"
[policies.shares]
preset = "weighted"
answer = { max = 1 }
[policies.globe]
preset = "geo-only"
[policies.literal]
preset = "sum-ns"
[policies.wide]
preset = "spread"
answer = { max = 1 }
[sites."www.test"]
customer = "acme"
kind = "cached"
policy = "plain"
origins = "www"
[sites."both.test"]
customer = "acme"
kind = "cached"
policy = "plain"
origins = "www"
answer_with_origins = true
[sites."app.test"]
customer = "acme"
kind = "direct"
policy = "plain"
origins = "www"
[sites."cheap.test"]
customer = "acme"
kind = "cached"
policy = "cheap"
origins = "www"
[sites."order.test"]
customer = "acme"
kind = "cached"
policy = "order"
pops = ["west", "east"]
origins = "www"
[sites."shares.test"]
customer = "acme"
kind = "direct"
policy = "shares"
origins = "www"
[sites."globe.test"]
customer = "acme"
kind = "direct"
policy = "globe"
origins = "www"
[sites."literal.test"]
customer = "acme"
kind = "direct"
policy = "literal"
origins = "www"
[sites."wide.test"]
customer = "acme"
kind = "cached"
policy = "wide"
origins = "www"
"#;

#[test]
fn near_and_idle_wins() {
    let mut lab = Lab::new();
    lab.everything_up();
    lab.distances(&[("east", 10), ("mid", 30), ("west", 80)]);
    let choice = lab.ask("www.test");
    assert_eq!(named(&choice), ["east"]);
    assert_eq!(choice.because, Because::BestScore);
    assert_eq!(choice.margin, Some(Micros(20_000)));
    assert_eq!(choice.addresses().collect::<Vec<_>>(), [ip("192.0.2.1")]);
    assert!(!choice.needs_measurement);
    assert!(choice.ttl >= Seconds(270) && choice.ttl <= Seconds(300), "{:?}", choice.ttl);
    assert_eq!(choice.scope, 24);
}

/// N27: "the west is very heavily loaded, the east has light traffic".
#[test]
fn loaded_west_light_east() {
    let mut lab = Lab::new();
    lab.everything_up();
    lab.distances(&[("east", 80), ("mid", 120), ("west", 10)]);
    assert_eq!(named(&lab.ask("www.test")), ["west"]);
    lab.load("west", 900);
    let choice = lab.ask("www.test");
    assert_eq!(named(&choice), ["east"]);
    let west = candidate(&choice, "west");
    assert!(west.removed.is_none());
    assert_eq!(west.score.as_ref().unwrap().load, Micros(180_000));
    lab.load("west", 960);
    let choice = lab.ask("www.test");
    let removal = candidate(&choice, "west").removed.clone().unwrap();
    assert_eq!(removal.reason, Removed::LoadOverLimit);
    assert_eq!(&*removal.detail, "load 0.96, limit 0.95");
}

/// N22: equal first terms (probe to server) are broken by the second (probe to asker).
#[test]
fn the_second_term_breaks_the_tie() {
    let mut lab = Lab::new();
    lab.everything_up();
    lab.connect("east", "www/alpha", 20);
    lab.connect("west", "www/beta", 20);
    lab.distances(&[("east", 60), ("west", 15)]);
    let choice = lab.ask("app.test");
    assert_eq!(named(&choice), ["www/beta"]);
    assert_eq!(candidate(&choice, "www/beta").score.as_ref().unwrap().rtt, Micros(35_000));
    assert_eq!(candidate(&choice, "www/alpha").score.as_ref().unwrap().rtt, Micros(80_000));
}

/// N22 read literally: the second term is the name server's own way to the probe.
#[test]
fn literal_sum_of_latencies() {
    let mut lab = Lab::new();
    lab.everything_up();
    lab.connect("east", "www/alpha", 20);
    lab.connect("west", "www/beta", 20);
    lab.board.record_path(&PopId::new("east"), Micros(5_000));
    lab.board.record_path(&PopId::new("west"), Micros(50_000));
    assert_eq!(named(&lab.ask("literal.test"))[0], "www/alpha");
}

/// S14: the customer's own server is weighed beside the POPs for static content.
#[test]
fn a_light_origin_beats_loaded_pops() {
    let mut lab = Lab::new();
    lab.everything_up();
    lab.distances(&[("east", 10), ("mid", 30), ("west", 80)]);
    lab.connect("east", "www/alpha", 5);
    lab.connect("west", "www/beta", 5);
    assert_eq!(named(&lab.ask("both.test")), ["east"]);
    for pop in ["east", "mid", "west"] {
        lab.load(pop, 900);
    }
    assert_eq!(named(&lab.ask("both.test")), ["www/alpha"]);
    assert_eq!(lab.ask("both.test").addresses().collect::<Vec<_>>(), [ip("203.0.113.1")]);
}

#[test]
fn as_many_pops_as_asked_for_must_agree() {
    let mut lab = Lab::new();
    lab.everything_up();
    lab.distances(&[("east", 10), ("mid", 30), ("west", 80)]);
    lab.word("mid", "east", Health::Down, Cause::Refused);
    let choice = lab.ask("www.test");
    assert_eq!(named(&choice), ["mid"], "one POP's word costs points, and is no removal");
    assert!(candidate(&choice, "east").removed.is_none());
    lab.word("west", "east", Health::Down, Cause::Refused);
    let choice = lab.ask("www.test");
    let removal = candidate(&choice, "east").removed.clone().unwrap();
    assert_eq!(removal.reason, Removed::DownProbe);
    assert_eq!(removal.seen_by, [PopId::new("mid"), PopId::new("west")]);
    assert_eq!(&*removal.detail, "http 192.0.2.1:80 connection refused, 2/2 failed");
    let would_have_had = candidate(&choice, "east").score.as_ref().unwrap().points;
    assert_eq!(would_have_had, Micros(10_000), "if it were up it would win with this");
    assert_eq!(named(&lab.ask_assuming("www.test", &[("east", true)])), ["east"]);
    assert_eq!(named(&lab.ask_assuming("www.test", &[("mid", false)])), ["west"]);
}

#[test]
fn causes_have_their_own_reasons() {
    for (cause, reason) in [
        (Cause::Content, Removed::ContentCheckFailed),
        (Cause::Certificate, Removed::CertInvalid),
        (Cause::Timeout, Removed::DownProbe),
    ] {
        let mut lab = Lab::new();
        lab.everything_up();
        lab.word("mid", "east", Health::Down, cause);
        lab.word("west", "east", Health::Down, cause);
        let choice = lab.ask("www.test");
        assert_eq!(candidate(&choice, "east").removed.as_ref().unwrap().reason, reason);
    }
}

#[test]
fn silence_is_unknown_and_served_with_a_penalty() {
    let mut lab = Lab::new();
    lab.everything_up();
    lab.distances(&[("east", 10), ("mid", 90), ("west", 95)]);
    lab.now = lab.now.after(Duration::from_secs(60));
    let choice = lab.ask("www.test");
    assert_eq!(named(&choice), ["east"]);
    assert_eq!(choice.because, Because::FallbackAnyUp);
    assert_eq!(choice.ttl, Seconds(10));
    // Others have spoken since: the silent one stays in, a hundred milliseconds back.
    for pop in ["mid", "west"] {
        lab.word("mid", pop, Health::Up, Cause::Passed);
    }
    let choice = lab.ask("www.test");
    assert_eq!(named(&choice), ["mid"]);
    let east = candidate(&choice, "east");
    assert_eq!(east.score.as_ref().unwrap().penalty, Micros(100_000));
    let verdict = lab.board.view(lab.now);
    let verdict = verdict.verdict(&target("east")).unwrap();
    assert_eq!(verdict.reason, Some(Removed::MetricsStale));
    assert_eq!(&*verdict.why, "last report 60 s, limit 25 s");
}

#[test]
fn when_all_is_down_everything_is_named() {
    let mut lab = Lab::new();
    for subject in ["east", "mid", "west"] {
        for from in ["east", "mid", "west"] {
            lab.word(from, subject, Health::Down, Cause::Timeout);
        }
    }
    let choice = lab.ask("www.test");
    assert_eq!(choice.because, Because::FallbackAll);
    assert_eq!(choice.targets.len(), 1);
    assert_eq!(choice.ttl, Seconds(10));
}

#[test]
fn older_configurations_are_fenced_after_five_seconds() {
    let mut lab = Lab::new();
    lab.everything_up();
    lab.distances(&[("east", 10), ("mid", 30), ("west", 80)]);
    lab.serves_by("east", Epoch(7));
    let network = network();
    lab.board.configure(&network, Some(Epoch(7)), lab.now);
    assert_eq!(named(&lab.ask("www.test")), ["east"]);
    lab.now = lab.now.after(Duration::from_secs(1));
    lab.board.configure(&network, Some(Epoch(8)), lab.now);
    lab.now = lab.now.after(Duration::from_secs(6));
    assert_eq!(named(&lab.ask("www.test")), ["east"], "its last word is from before");
    lab.everything_up();
    lab.serves_by("east", Epoch(7));
    let choice = lab.ask("www.test");
    assert_eq!(named(&choice), ["mid"]);
    let removal = candidate(&choice, "east").removed.clone().unwrap();
    assert_eq!(removal.reason, Removed::ConfigBehind);
    assert_eq!(&*removal.detail, "serves by v7, v8 is in force");
    lab.serves_by("east", Epoch(8));
    assert_eq!(named(&lab.ask("www.test")), ["east"]);
}

#[test]
fn drained_pops_keep_only_the_bound() {
    let mut lab = Lab::new();
    let text = NETWORK.replace("[pops.east]", "[pops.east]\ndrain = true");
    lab.network = toml_edit::de::from_str(&text).unwrap();
    lab.board.configure(&lab.network, None, lab.now);
    lab.everything_up();
    lab.distances(&[("east", 10), ("mid", 30), ("west", 80)]);
    let choice = lab.ask("www.test");
    assert_eq!(named(&choice), ["mid"]);
    assert_eq!(candidate(&choice, "east").removed.as_ref().unwrap().reason, Removed::Drained);
    let mut question = question(CLIENT);
    question.bound = Some(target("east"));
    let choice = lab.put("www.test", &question);
    assert_eq!((named(&choice), choice.because), (vec!["east".to_owned()], Because::Persisted));
}

#[test]
fn families() {
    let mut lab = Lab::new();
    lab.everything_up();
    let mut asked = question(CLIENT);
    asked.family = Family::V6;
    let choice = lab.put("www.test", &asked);
    assert_eq!(choice.addresses().collect::<Vec<_>>(), [ip("2001:db8::1")]);
    assert_eq!(choice.because, Because::OnlyCandidate);
    let removal = candidate(&choice, "mid").removed.clone().unwrap();
    assert_eq!(removal.reason, Removed::NoAddressOfFamily);
    let choice = lab.put("app.test", &asked);
    assert_eq!((choice.targets.len(), choice.because), (0, Because::NoAddressOfFamily));
}

#[test]
fn the_ladder_of_the_unmeasured() {
    let mut lab = Lab::new();
    lab.everything_up();
    // Nothing at all: price, then name.
    let choice = lab.ask("www.test");
    assert_eq!(named(&choice), ["east"]);
    assert_eq!(source(&choice, "east"), RttSource::Default);
    assert!(choice.needs_measurement);
    assert_eq!(choice.ttl, Seconds(20));
    // A neighbour in the /16.
    lab.distance("198.51.7.0/24", "west", 20);
    let choice = lab.ask("www.test");
    assert_eq!(named(&choice), ["west"]);
    assert_eq!(source(&choice, "west"), RttSource::SiblingPrefix);
    assert_eq!(source(&choice, "mid"), RttSource::GeoEstimate);
    // One POP knows the client, the others only their way to that one. As near as west is to
    // east it may be the nearest: asked for again.
    lab.connect("east", "mid", 60);
    lab.connect("east", "west", 15);
    lab.distance(CLIENT, "east", 10);
    let choice = lab.ask("www.test");
    let via = |target| candidate(&choice, target).score.as_ref().unwrap().rtt_via.clone();
    assert_eq!((via("east"), via("west")), (None, Some(PopId::new("east"))));
    assert!(choice.needs_measurement);
    assert_eq!(choice.ttl, Seconds(20));
    // A far one could not be nearer, whatever it measured.
    lab.connect("east", "west", 25);
    let choice = lab.ask("www.test");
    assert!(!choice.needs_measurement);
    assert!(choice.ttl > Seconds(20));
    // The client itself.
    lab.distances(&[("east", 10), ("mid", 30), ("west", 80)]);
    let choice = lab.ask("www.test");
    assert_eq!(source(&choice, "west"), RttSource::Measured);
    assert_eq!(named(&choice), ["east"]);
    // Hours later the same numbers are believed less, and asked for again.
    lab.now = lab.now.after(Duration::from_hours(3));
    lab.everything_up();
    let choice = lab.ask("www.test");
    assert_eq!(named(&choice), ["east"]);
    assert!(choice.needs_measurement);
    assert_eq!(choice.ttl, Seconds(20));
}

#[test]
fn presets() {
    let mut lab = Lab::new();
    lab.everything_up();
    lab.distances(&[("east", 45), ("mid", 30), ("west", 80)]);
    assert_eq!(named(&lab.ask("cheap.test"))[0], "east", "mid is nearer, east half as dear");
    assert_eq!(named(&lab.ask("order.test")), ["west"]);
    assert_eq!(lab.ask("order.test").scope, 0);
    assert_eq!(named(&lab.ask("globe.test"))[0], "www/alpha", "mid is nearest, then alpha");
    let shares = lab.shares("shares.test", 4_000);
    assert!((2_900..3_100).contains(&shares["www/beta"]), "{shares:?}");
    let shares = lab.shares("wide.test", 3_000);
    assert!(shares.values().all(|share| (900..1_100).contains(share)), "{shares:?}");
}

#[test]
fn a_pop_lists_every_origin_nearest_first() {
    let mut lab = Lab::new();
    lab.everything_up();
    lab.connect("mid", "www/alpha", 40);
    lab.connect("mid", "www/beta", 9);
    let rules = Rules::compile(&lab.network);
    let question =
        Question { client: Client::Pop(PopId::new("mid")), family: Family::Any, bound: None };
    let choice = choose(&lab.board.view(lab.now), rules.origins("www.test").unwrap(), &question);
    assert_eq!(named(&choice), ["www/beta", "www/alpha"]);
    assert_eq!(choice.scope, 0);
}

#[test]
fn a_target_that_goes_moves_only_its_own_clients() {
    let mut lab = Lab::new();
    lab.everything_up();
    let before = lab.homes("wide.test", 3_000);
    for from in ["mid", "west"] {
        lab.word(from, "east", Health::Down, Cause::Refused);
    }
    let after = lab.homes("wide.test", 3_000);
    for (client, home) in &before {
        if home != "east" {
            assert_eq!(home, &after[client], "{client} had no reason to move");
        }
        assert_ne!(after[client], "east");
    }
}

#[test]
fn a_restart_forgets_nothing() {
    let mut lab = Lab::new();
    lab.everything_up();
    lab.distances(&[("east", 10), ("mid", 30), ("west", 80)]);
    lab.word("mid", "east", Health::Down, Cause::Refused);
    lab.word("west", "east", Health::Down, Cause::Refused);
    let before = lab.ask("www.test");
    let kept = lab.board.export();
    let parts = lab.board.changed_latencies(usize::from(Board::LATENCY_PARTS));
    lab.board = Board::new();
    lab.board.configure(&lab.network, None, lab.now);
    let recorded = lab.board.import(&kept);
    assert_eq!((recorded.old, recorded.foreign), (0, 0));
    let rows: usize = parts
        .iter()
        .filter_map(|(_, o)| lab.board.restore_latencies(Board::LATENCY_VERSION, o))
        .sum();
    assert_eq!(rows, 3);
    assert_eq!(lab.ask("www.test"), before);
}

#[test]
fn strangers_and_their_subjects_are_not_heard() {
    let mut lab = Lab::new();
    let mut report = lab.report("nowhere");
    report.samples.push(service("east", Health::Up, Cause::Passed, lab.now));
    assert_eq!(lab.board.record(&report, lab.now).foreign, 1);
    let mut report = lab.report("mid");
    report.samples.push(service("atlantis", Health::Up, Cause::Passed, lab.now));
    assert_eq!(lab.board.record(&report, lab.now).foreign, 1);
}

#[test]
fn a_jumping_clock_changes_no_verdict() {
    for jump in [-3_600_i64, 3_600] {
        let mut lab = Lab::new();
        lab.everything_up();
        lab.distances(&[("east", 10), ("mid", 30), ("west", 80)]);
        let mut report = lab.report("mid");
        report.sent = Timestamp(report.sent.0 + jump * 1_000_000);
        report.samples.push(service("east", Health::Up, Cause::Passed, lab.now));
        lab.board.record(&report, lab.now);
        assert_eq!(named(&lab.ask("www.test")), ["east"], "{jump}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Order of arrival and repetition change nothing.
    #[test]
    fn arrival_order_is_nothing(
        words in prop::collection::vec((0_usize..3, 0_usize..3, 0_u8..3, 0_u32..200), 1..40),
        order in any::<prop::sample::Index>(),
        seed in any::<u64>(),
    ) {
        let pops = ["east", "mid", "west"];
        let mut lab = Lab::new();
        let mut reports = Vec::new();
        for (from, about, health, ms) in words {
            let mut report = lab.report(pops[from]);
            let (health, cause) = match health {
                0 => (Health::Up, Cause::Passed),
                1 => (Health::Down, Cause::Refused),
                _ => (Health::Unknown, Cause::Timeout),
            };
            report.samples.push(service(pops[about], health, cause, lab.now));
            report.samples.push(latency(CLIENT, ms, lab.now));
            reports.push(report);
        }
        let mut other = Lab::new();
        for report in &reports {
            lab.board.record(report, lab.now);
        }
        let mut shuffled = reports.clone();
        shuffled.extend(reports.iter().cloned());
        let length = shuffled.len();
        shuffled.rotate_left(order.index(length));
        for at in 0..length {
            let jump = usize::try_from(seed.rotate_left(u32::try_from(at).unwrap()) % 97).unwrap();
            shuffled.swap(at, (at + jump) % length);
        }
        for report in &shuffled {
            other.board.record(report, lab.now);
        }
        for site in ["www.test", "cheap.test", "wide.test", "both.test"] {
            prop_assert_eq!(lab.ask(site), other.ask(site));
        }
    }

    /// A target that is down is never named while one that is up is left.
    #[test]
    fn never_the_dead_while_one_lives(
        states in prop::collection::vec(0_u8..3, 5),
        loads in prop::collection::vec(0_u16..1_000, 5),
        rtts in prop::collection::vec(1_u32..300, 3),
        site in prop::sample::select(vec![
            "www.test", "both.test", "app.test", "cheap.test", "order.test", "shares.test",
            "globe.test", "literal.test", "wide.test",
        ]),
    ) {
        let mut lab = Lab::new();
        let subjects = ["east", "mid", "west", "www/alpha", "www/beta"];
        for (subject, (state, load)) in subjects.iter().zip(states.iter().zip(&loads)) {
            let (health, cause) = match state {
                0 => (Health::Up, Cause::Passed),
                1 => (Health::Down, Cause::Timeout),
                _ => continue,
            };
            for from in ["east", "mid", "west"] {
                let mut report = lab.report(from);
                let mut sample = service(subject, health, cause, lab.now);
                if let Finding::Service(service) = &mut sample.finding {
                    service.load = Some(*load);
                }
                report.samples.push(sample);
                lab.board.record(&report, lab.now);
            }
        }
        lab.distances(&[("east", rtts[0]), ("mid", rtts[1]), ("west", rtts[2])]);
        let choice = lab.ask(site);
        let down = |id: &TargetId| {
            let removal = candidate(&choice, &id.to_string()).removed.as_ref();
            removal.is_some_and(|removal| removal.reason == Removed::DownProbe)
        };
        let up = choice.candidates.iter().any(|candidate| {
            let at = subjects.iter().position(|s| *s == candidate.target.to_string());
            at.is_some_and(|at| states[at] == 0)
        });
        if up {
            prop_assert!(!choice.targets.is_empty());
            prop_assert!(!choice.targets.iter().any(|chosen| down(&chosen.target)), "{choice:?}");
        }
        prop_assert!(choice.ttl.0 > 0);
    }
}

/// A board with a network, and a clock that tests turn.
struct Lab {
    network: Network,
    board: Board,
    now: Timestamp,
    seq: u64,
}

impl Lab {
    fn new() -> Self {
        let network = network();
        let now = Timestamp(1_900_000_000_000_000);
        let mut board = Board::new();
        board.configure(&network, None, now);
        Self { network, board, now, seq: 0 }
    }

    fn report(&mut self, pop: &str) -> Report {
        self.seq += 1;
        Report {
            publisher: NodeName::of("probe1", &PopId::new(pop)),
            boot: 1,
            seq: self.seq,
            epoch: Epoch(0),
            sent: self.now,
            samples: Vec::new(),
        }
    }

    fn say(&mut self, pop: &str, sample: Sample) {
        let mut report = self.report(pop);
        report.samples.push(sample);
        self.board.record(&report, self.now);
    }

    fn word(&mut self, from: &str, subject: &str, health: Health, cause: Cause) {
        self.say(from, service(subject, health, cause, self.now));
    }

    fn everything_up(&mut self) {
        for from in ["east", "mid", "west"] {
            for subject in ["east", "mid", "west", "www/alpha", "www/beta"] {
                self.word(from, subject, Health::Up, Cause::Passed);
            }
        }
    }

    fn changed(&mut self, from: &str, subject: &str, change: impl Fn(&mut Service)) {
        let mut sample = service(subject, Health::Up, Cause::Passed, self.now);
        if let Finding::Service(service) = &mut sample.finding {
            change(service);
        }
        self.say(from, sample);
    }

    fn load(&mut self, pop: &str, load: u16) {
        for from in ["east", "mid", "west"] {
            self.changed(from, pop, |service| service.load = Some(load));
        }
    }

    fn serves_by(&mut self, pop: &str, epoch: Epoch) {
        for from in ["east", "mid", "west"] {
            self.changed(from, pop, |service| service.epoch = Some(epoch));
        }
    }

    fn connect(&mut self, from: &str, subject: &str, ms: u32) {
        self.changed(from, subject, |service| service.connect = Micros(ms * 1_000));
    }

    fn distance(&mut self, client: &str, from: &str, ms: u32) {
        self.say(from, latency(client, ms, self.now));
    }

    fn distances(&mut self, distances: &[(&str, u32)]) {
        for (from, ms) in distances {
            self.distance(CLIENT, from, *ms);
        }
    }

    fn ask(&mut self, site: &str) -> Choice {
        self.put(site, &question(CLIENT))
    }

    fn put(&mut self, site: &str, question: &Question) -> Choice {
        let rules = Rules::compile(&self.network);
        choose(&self.board.view(self.now), rules.site(site).unwrap(), question)
    }

    fn ask_assuming(&mut self, site: &str, assumptions: &[(&str, bool)]) -> Choice {
        let rules = Rules::compile(&self.network);
        let what = |up: bool| if up { Assumed::Up } else { Assumed::Down };
        let assumptions = assumptions.iter();
        let assumptions: Vec<Assumption> = assumptions
            .map(|(id, up)| Assumption { target: target(id), what: what(*up) })
            .collect();
        let view = self.board.view(self.now).assuming(&assumptions);
        choose(&view, rules.site(site).unwrap(), &question(CLIENT))
    }

    /// Which target each of `count` clients gets.
    fn homes(&mut self, site: &str, count: u32) -> BTreeMap<IpNet, String> {
        let rules = Rules::compile(&self.network);
        let view = self.board.view(self.now);
        let clients = (0..count).map(|n| {
            let unit: IpNet = format!("10.{}.{}.0/24", n / 256, n % 256).parse().unwrap();
            let question = Question { client: Client::Unit(unit), family: Family::V4, bound: None };
            (unit, named(&choose(&view, rules.site(site).unwrap(), &question)).remove(0))
        });
        clients.collect()
    }

    fn shares(&mut self, site: &str, count: u32) -> BTreeMap<String, u32> {
        let mut shares = BTreeMap::new();
        for home in self.homes(site, count).into_values() {
            *shares.entry(home).or_default() += 1;
        }
        shares
    }
}

fn network() -> Network {
    toml_edit::de::from_str(NETWORK).unwrap()
}

fn service(subject: &str, health: Health, cause: Cause, at: Timestamp) -> Sample {
    let (probe, subject) = match target(subject) {
        TargetId::Pop(pop) => ("edge", Subject::Node(NodeName::of("edge1", &pop))),
        TargetId::Origin(origin) => ("www", Subject::Origin(origin)),
    };
    let service = Service {
        probe: ProbeId::new(probe),
        subject,
        health,
        cause,
        detail: Arc::from("http 192.0.2.1:80 connection refused"),
        streak: 2,
        connect: Micros(0),
        total: Micros(2_000),
        load: None,
        epoch: None,
    };
    Sample { at, finding: Finding::Service(service) }
}

fn latency(client: &str, ms: u32, at: Timestamp) -> Sample {
    let latency = Latency {
        client: client.parse().unwrap(),
        rtt: Some(Micros(ms * 1_000)),
        spread: Micros(0),
        loss: 0,
        samples: 3,
        method: Method::DnsQuery,
    };
    Sample { at, finding: Finding::Latency(latency) }
}

fn question(client: &str) -> Question {
    let client = Client::Unit(client.parse().unwrap());
    Question { client, family: Family::V4, bound: None }
}

fn target(text: &str) -> TargetId {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn named(choice: &Choice) -> Vec<String> {
    choice.targets.iter().map(|chosen| chosen.target.to_string()).collect()
}

fn candidate<'a>(choice: &'a Choice, id: &str) -> &'a popnet_wire::logging::Candidate {
    choice.candidates.iter().find(|candidate| candidate.target.to_string() == id).unwrap()
}

fn source(choice: &Choice, id: &str) -> RttSource {
    candidate(choice, id).score.as_ref().unwrap().rtt_source
}

#[test]
fn sites_fall_back_to_the_star() {
    let rules = Rules::compile(&network());
    assert!(rules.site("unknown.test").is_none());
    assert_eq!(rules.site("www.test").map(|r| r.site.clone()), Some(SiteName::new("www.test")));
    let origin = OriginId { group: "www".into(), server: "beta".into() };
    let app = rules.site("app.test").unwrap();
    assert!(app.targets.iter().any(|t| t.id == TargetId::Origin(origin.clone())));
}
