//! Stories of verdicts: regions, those who flap, one site's word against all, ways back, and what
//! is lost on the way.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use popnet_config::network::Network;
use popnet_steering::{Board, Ledger, Standing, View};
use popnet_terms::{Micros, NodeName, PopId, ProbeId, Removed, TargetId, Timestamp};
use popnet_wire::probing::{
    Cause, Digest, Finding, Health, Latency, Method, Report, Sample, Service, Shed, Subject,
};
use popnet_wire::rollout::Epoch;

/// Six POPs, three a region, each with a cache and a probe.
struct Lab {
    network: Network,
    board: Board,
    now: Timestamp,
    seq: u64,
}

const EUROPE: [&str; 3] = ["ams1", "fra1", "par1"];
const AMERICA: [&str; 3] = ["iad1", "ord1", "sjc1"];

fn everywhere() -> impl Iterator<Item = &'static str> {
    EUROPE.into_iter().chain(AMERICA)
}

impl Lab {
    fn new(more: &str) -> Self {
        let mut text = "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n\
            [probes.edge]\nkind = \"http\"\ntarget = { role = \"webcache\" }\n\
            request = { path = \"/\" }\n[probes.rtt]\nkind = \"latency\"\n[customers.acme]\n\
            [origin_groups.www.servers]\none = { address = \"203.0.113.1:80\" }\n\
            [sites.\"www.test\"]\ncustomer = \"acme\"\nkind = \"cached\"\norigins = \"www\"\n\
            policy = \"p\"\n[policies.p]\nanswer = { ttl_max = \"40s\" }\n"
            .to_owned();
        for (n, pop) in everywhere().enumerate() {
            let region = if EUROPE.contains(&pop) { "eu" } else { "am" };
            text.push_str(&format!(
                "[pops.{pop}]\nlocation = {{ lat = 1.0, lon = 2.0, region = \"{region}\" }}\n\
                 [pops.{pop}.nodes]\n\
                 edge1 = {{ roles = [\"webcache\"], address = [\"192.0.2.{n}\"] }}\n\
                 probe1 = {{ roles = [\"netprobe\"], address = [\"192.0.2.1{n}\"] }}\n"
            ));
        }
        text.push_str(more);
        let network: Network = toml_edit::de::from_str(&text).unwrap();
        let now = Timestamp(1_900_000_000_000_000);
        let mut board = Board::new();
        board.configure(&network, None, now);
        let mut lab = Self { network, board, now, seq: 0 };
        lab.all_up();
        lab.board.view(lab.now);
        lab
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    fn say(&mut self, from: &str, finding: Finding) {
        self.seq += 1;
        let report = Report {
            publisher: NodeName::of("probe1", &PopId::new(from)),
            boot: 1,
            seq: self.seq,
            epoch: Epoch(0),
            sent: self.now,
            samples: vec![Sample { at: self.now, finding }],
        };
        self.board.record(&report, self.now);
    }

    fn word(&mut self, from: &str, pop: &str, health: Health, cause: Cause, streak: u16) {
        self.say(from, Finding::Service(service(pop, health, cause, streak)));
    }

    fn all_up(&mut self) {
        for from in everywhere() {
            for pop in everywhere() {
                self.word(from, pop, Health::Up, Cause::Passed, 9);
            }
        }
    }

    fn down(&mut self, from: &[&str], pops: &[&str]) {
        for from in from {
            for pop in pops {
                self.word(from, pop, Health::Down, Cause::Timeout, 3);
            }
        }
    }

    fn view(&mut self) -> View {
        self.board.view(self.now)
    }

    fn standing(&mut self, pop: &str) -> Standing {
        self.view().verdict(&target(pop)).unwrap().standing
    }
}

fn target(pop: &str) -> TargetId {
    TargetId::Pop(PopId::new(pop))
}

fn service(pop: &str, health: Health, cause: Cause, streak: u16) -> Service {
    Service {
        probe: ProbeId::new("edge"),
        subject: Subject::Node(NodeName::of("edge1", &PopId::new(pop))),
        health,
        cause,
        detail: "http".into(),
        streak,
        connect: Micros(1_000),
        total: Micros(2_000),
        load: None,
        epoch: None,
    }
}

#[test]
fn a_region_speaks_for_itself() {
    let mut lab = Lab::new("");
    // Two of three in Europe cannot reach it; the world, by three against three, can.
    lab.down(&["ams1", "par1"], &["iad1"]);
    let view = lab.view();
    let verdict = view.verdict(&target("iad1")).unwrap();
    assert_eq!(verdict.standing, Standing::Up);
    assert_eq!(verdict.standing_in(Some("eu")), Standing::Down);
    assert_eq!(verdict.standing_in(Some("am")), Standing::Up);
    assert_eq!(verdict.standing_in(None), Standing::Up);
    assert_eq!(verdict.dissent, 333);
    // More than half of the world: down, but not where its own region sees it.
    lab.down(&["fra1", "sjc1"], &["iad1"]);
    let view = lab.view();
    let verdict = view.verdict(&target("iad1")).unwrap();
    assert_eq!(verdict.standing, Standing::Down);
    assert_eq!(verdict.standing_in(Some("am")), Standing::Up);
    assert_eq!(verdict.seen_by.len(), 4);
}

#[test]
fn who_flaps_is_held_back_and_says_so() {
    let mut lab = Lab::new("");
    lab.down(&["ams1", "par1", "fra1", "ord1"], &["iad1"]);
    assert_eq!(lab.standing("iad1"), Standing::Down);
    // Up again, by all that answers; its probes hold it back.
    for from in ["ams1", "par1", "fra1", "ord1"] {
        lab.word(from, "iad1", Health::Down, Cause::Passed, 2);
    }
    assert_eq!(lab.standing("iad1"), Standing::Down, "two are no three");
    for from in ["ams1", "par1", "fra1", "ord1"] {
        lab.word(from, "iad1", Health::Down, Cause::Passed, 5);
    }
    let view = lab.view();
    let verdict = view.verdict(&target("iad1")).unwrap();
    assert_eq!((verdict.standing, verdict.reason), (Standing::Damped, Some(Removed::Damped)));
    assert_eq!(&*verdict.why, "held back for flapping, 5 passed since it was last down");
}

#[test]
fn one_site_that_lies_takes_nobody_out_and_all_that_die_do() {
    // Only one POP probes: its word decides.
    let more = "[probes.edge.from]\npops = [\"ams1\"]\n";
    let mut lab = Lab::new(more);
    lab.down(&["ams1"], &["iad1"]);
    assert_eq!(lab.standing("iad1"), Standing::Down, "one is believed");
    lab.pass(40);
    let all: Vec<&str> = everywhere().filter(|pop| *pop != "iad1").collect();
    for pop in &all {
        lab.word("ams1", pop, Health::Up, Cause::Passed, 9);
    }
    lab.view();
    lab.down(&["ams1"], &all);
    let view = lab.view();
    let hold = view.guard.as_ref().unwrap();
    assert_eq!((hold.targets.len(), &hold.witness), (5, &PopId::new("ams1")));
    assert!(all.iter().all(|pop| view.verdict(&target(pop)).unwrap().standing == Standing::Up));
    lab.pass(61);
    lab.down(&["ams1"], &all);
    assert_eq!(lab.standing("fra1"), Standing::Down, "a minute at most");
    assert!(lab.view().guard.is_none());

    // With witnesses everywhere nobody holds anything up.
    let mut lab = Lab::new("");
    let all: Vec<&str> = everywhere().collect();
    lab.down(&["ams1", "par1", "fra1", "ord1"], &all);
    let view = lab.view();
    assert!(view.guard.is_none());
    assert!(all.iter().all(|pop| view.verdict(&target(pop)).unwrap().standing == Standing::Down));
}

#[test]
fn an_operators_drain_is_no_fall() {
    let mut lab = Lab::new("[probes.edge.from]\npops = [\"ams1\"]\n");
    for pop in lab.network.pops.values_mut() {
        pop.drain = true;
    }
    lab.board.configure(&lab.network, None, lab.now);
    lab.all_up();
    let view = lab.view();
    assert!(view.guard.is_none());
    assert!(
        view.verdicts()
            .filter(|(id, _)| matches!(id, TargetId::Pop(_)))
            .all(|(_, v)| { v.standing == Standing::Draining })
    );
}

#[test]
fn who_comes_back_does_so_by_and_by() {
    let mut lab = Lab::new("");
    let ramp = |lab: &mut Lab| lab.view().verdict(&target("iad1")).unwrap().ramp;
    assert_eq!(ramp(&mut lab), 1_000, "the first look is no return");
    lab.down(&["ams1", "par1", "fra1", "ord1"], &["iad1"]);
    lab.view();
    lab.all_up();
    // Twice the longest time to live: eighty seconds.
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(ramp(&mut lab));
        lab.pass(20);
        lab.all_up();
    }
    assert_eq!(seen, [100, 325, 550, 775, 1_000, 1_000]);
}

#[test]
fn what_is_shed_is_one_writers_word() {
    let mut lab = Lab::new("");
    let shed = |pop: &str, share: u16| {
        Finding::Shed(Shed { target: target(pop), shed: share, load: Some(900), period: 20 })
    };
    lab.say("iad1", shed("iad1", 250));
    lab.say("ams1", shed("iad1", 900));
    let view = lab.view();
    assert_eq!(view.verdict(&target("iad1")).unwrap().shed, 250, "only its own probes speak");
    lab.pass(59);
    assert_eq!(lab.view().verdict(&target("iad1")).unwrap().shed, 250);
    lab.pass(51);
    assert_eq!(lab.view().verdict(&target("iad1")).unwrap().shed, 125);
    lab.pass(60);
    assert_eq!(lab.view().verdict(&target("iad1")).unwrap().shed, 0);
}

#[test]
fn samples_from_the_future_are_refused() {
    let mut lab = Lab::new("");
    lab.seq += 1;
    let finding = Finding::Service(service("iad1", Health::Down, Cause::Timeout, 3));
    let report = Report {
        publisher: "probe1.ams1".into(),
        boot: 9,
        seq: lab.seq,
        epoch: Epoch(0),
        sent: lab.now,
        samples: vec![Sample { at: lab.now.after(Duration::from_hours(1)), finding }],
    };
    assert_eq!(lab.board.record(&report, lab.now).foreign, 1);
    assert_eq!(lab.view().verdict(&target("iad1")).unwrap().dissent, 0);
}

/// Whatever share of datagrams is lost, both ways, everything has come ten seconds later.
#[test]
fn what_is_lost_is_there_within_ten_seconds() {
    for (loss, seed) in [(10, 1), (20, 2), (30, 3), (30, 4), (30, 5)] {
        let mut lab = Lab::new("");
        let name = NodeName::new("probe1.ams1");
        let mut ring: Vec<Sample> = Vec::new();
        let mut ledger = Ledger::default();
        let mut dice: u64 = seed;
        let mut lost = || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            (dice >> 33) % 100 < loss
        };
        let mut said: BTreeMap<u64, Timestamp> = BTreeMap::new();
        let mut heard: BTreeMap<u64, Timestamp> = BTreeMap::new();
        // A quarter of a second a step; news during the first minute.
        for step in 0..320_u64 {
            let now = lab.now.after(Duration::from_millis(250 * step));
            let mut come: Vec<u64> = Vec::new();
            if step < 240 {
                let client = format!("10.{}.{}.0/24", step / 200, step % 200).parse().unwrap();
                let latency = Latency {
                    client,
                    rtt: Some(Micros(20_000)),
                    spread: Micros(0),
                    loss: 0,
                    samples: 3,
                    method: Method::DnsQuery,
                };
                let sample = Sample { at: now, finding: Finding::Latency(latency) };
                ring.push(sample);
                said.insert(step + 1, now);
                come.push(step + 1);
            }
            if step % 8 == 0 && !lost() {
                let (publisher, high) = (name.clone(), step.min(239) + 1);
                ledger.digest(&Digest { publisher, boot: 1, low: 1, high }, now);
            }
            for missing in ledger.missing(now) {
                if !lost() {
                    come.extend(missing.ranges.iter().flat_map(|(first, last)| *first..=*last));
                }
            }
            for seq in come {
                if lost() {
                    continue;
                }
                ledger.heard(&name, 1, seq, now);
                heard.entry(seq).or_insert(now);
                let samples = ring.get(usize::try_from(seq - 1).unwrap()).cloned().into_iter();
                let (publisher, samples) = (name.clone(), samples.collect());
                let (boot, epoch) = (1, Epoch(0));
                lab.seq = lab.seq.max(seq);
                let report = Report { publisher, boot, seq, epoch, sent: now, samples };
                lab.board.record(&report, now);
            }
        }
        for (seq, at) in &said {
            let came = heard.get(seq).copied();
            let took = came.map(|came| came.since(*at));
            assert!(took.is_some_and(|t| t <= Duration::from_secs(10)), "{loss} % {seq}: {took:?}");
        }
        assert_eq!(lab.view().units(), 240);
    }
}
