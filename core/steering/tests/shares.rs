//! Who moves, and who does not, when targets shed, come, go, and are seen otherwise elsewhere
//! (steering model, sections 6, 7, 9 and 14).

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::sync::Arc;

use popnet_config::network::Network;
use popnet_steering::{Board, Choice, Client, Family, Question, Rules, View, choose};
use popnet_terms::{
    Because, Micros, NodeName, PopId, ProbeId, Removed, Seconds, TargetId, Timestamp,
};
use popnet_wire::probing::{
    Cause, Finding, Health, Latency, Method, Report, Sample, Service, Shed, Subject,
};
use popnet_wire::rollout::Epoch;

const NOW: Timestamp = Timestamp(1_900_000_000_000_000);
const CLIENTS: u32 = 4_000;

#[test]
fn a_growing_share_only_adds() {
    let mut lab = Lab::new(&[("a", 1, "eu"), ("b", 1, "eu")]);
    lab.everything_up(500);
    let mut before = Vec::new();
    for shed in [0, 100, 300, 600, 1_000] {
        lab.shed("a", shed);
        let view = lab.view();
        // Nothing is measured and prices are equal: the name decides, for everybody.
        let moved: Vec<u32> =
            (0..CLIENTS).filter(|n| lab.home(&view, "fast.test", *n) == "b").collect();
        assert!(before.iter().all(|n| moved.contains(n)), "somebody came back at {shed}");
        let wanted = CLIENTS * u32::from(shed) / 1_000;
        let off = wanted.abs_diff(u32::try_from(moved.len()).unwrap());
        assert!(off <= CLIENTS / 33, "{} of {CLIENTS} moved at {shed}", moved.len());
        before = moved;
    }
}

#[test]
fn who_moves_is_told_why() {
    let mut lab = Lab::new(&[("a", 1, "eu"), ("b", 1, "eu")]);
    lab.everything_up(500);
    lab.shed("a", 300);
    let view = lab.view();
    let choices: Vec<Choice> = (0..100).map(|n| lab.ask(&view, "fast.test", n, None)).collect();
    let moved = choices.iter().find(|choice| named(choice) == "b").unwrap();
    let stayed = choices.iter().find(|choice| named(choice) == "a").unwrap();
    assert_eq!(moved.because, Because::ShedTo);
    assert_ne!(stayed.because, Because::ShedTo);
    let removal = moved.candidates[0].removed.as_ref().unwrap();
    assert_eq!(removal.reason, Removed::Shed);
    assert!(removal.detail.starts_with("sheds 0.300, the client's hash is 0."), "{removal:?}");
    for choice in [moved, stayed] {
        assert_eq!((choice.ttl, choice.scope), (Seconds(20), 24));
    }
}

#[test]
fn who_is_bound_moves_above_the_hard_limit_only() {
    let mut lab = Lab::new(&[("a", 1, "eu"), ("b", 1, "eu")]);
    let bound = Some(target("a"));
    lab.everything_up(850);
    lab.shed("a", 1_000);
    let view = lab.view();
    assert_eq!(named(&lab.ask(&view, "fast.test", 1, None)), "b");
    let choice = lab.ask(&view, "fast.test", 1, bound.clone());
    assert_eq!((named(&choice).as_str(), choice.because), ("a", Because::Persisted));
    lab.up("a", 970);
    let view = lab.view();
    let choice = lab.ask(&view, "fast.test", 1, bound);
    assert_eq!(named(&choice), "b");
    assert_eq!(choice.candidates[0].removed.as_ref().unwrap().reason, Removed::Shed);
}

/// One that says what it sheds keeps the others above the limit too: the share is what is obeyed.
#[test]
fn the_share_is_obeyed_above_the_hard_limit() {
    let mut lab = Lab::new(&[("a", 1, "eu"), ("b", 1, "eu")]);
    lab.everything_up(500);
    lab.up("a", 990);
    let view = lab.view();
    assert!((0..200).all(|n| lab.home(&view, "order.test", n) == "b"));
    lab.shed("a", 100);
    let view = lab.view();
    let left = (0..CLIENTS).filter(|n| lab.home(&view, "order.test", *n) == "a").count();
    assert!(left.abs_diff(3_600) < 120, "{left}");
}

/// One that says that it sheds nothing is left to shed by itself, and its load moves nobody: not
/// above the limit, and not by the score.
#[test]
fn who_keeps_its_own_load_is_not_emptied_for_it() {
    let mut lab = Lab::new(&[("a", 1, "eu"), ("b", 1, "eu")]);
    lab.everything_up(600);
    lab.shed("a", 0);
    lab.shed("b", 0);
    let before = lab.view();
    lab.up("a", 990);
    let after = lab.view();
    for site in ["order.test", "fast.test"] {
        let home = |view: &_, n| lab.home(view, site, n);
        assert!((0..CLIENTS).all(|n| home(&before, n) == home(&after, n)), "{site}");
    }
}

#[test]
fn more_demand_than_room_is_shared_by_capacity() {
    let mut lab = Lab::new(&[("a", 100, "eu"), ("b", 300, "eu")]);
    lab.everything_up(900);
    lab.shed("a", 1_000);
    lab.shed("b", 1_000);
    let view = lab.view();
    let choice = lab.ask(&view, "fast.test", 1, None);
    assert_eq!((choice.because, choice.ttl), (Because::BrownOut, Seconds(10)));
    let of_a = (0..CLIENTS).filter(|n| lab.home(&view, "fast.test", *n) == "a").count();
    assert!(of_a.abs_diff(1_000) < 120, "{of_a} of {CLIENTS} at a quarter of the capacity");
}

#[test]
fn a_region_believes_its_own_probes() {
    let all = [("a", 1, "eu"), ("b", 1, "eu"), ("c", 1, "us"), ("d", 1, "us"), ("e", 1, "us")];
    let mut lab = Lab::new(&all);
    lab.everything_up(500);
    for from in ["c", "d", "e"] {
        lab.word(from, "a", Health::Down, 500);
    }
    for (client, near) in [(1, "b"), (2, "e")] {
        lab.latency(client, near, 5);
        lab.latency(client, "a", 20);
        if near != "b" {
            lab.latency(client, "b", 90);
        }
    }
    let view = lab.view();
    let verdict = view.verdict(&target("a")).unwrap();
    assert_ne!(verdict.standing_in(Some("eu")), verdict.standing_in(Some("us")), "{verdict:?}");
    let standing = |n| lab.ask(&view, "two.test", n, None).candidates[0].removed.clone();
    let by_world = verdict.standing == verdict.standing_in(Some("us"));
    let (eu, us) = (standing(1), standing(2));
    assert!(eu.is_none(), "{eu:?}");
    let us = us.unwrap();
    assert_eq!(us.reason, Removed::DownProbe);
    assert!(by_world || &*us.detail == "as the probes in us see it", "{us:?}");
}

/// Down for the client's region, up for the world: better than what is not known or a backup.
#[test]
fn what_the_world_sees_comes_before_what_is_not_known() {
    let all = [("a", 1, "eu"), ("b", 1, "eu"), ("c", 1, "us"), ("d", 1, "us"), ("e", 1, "us")];
    let mut lab = Lab::new(&all);
    lab.everything_up(500);
    for from in ["a", "b"] {
        for about in ["a", "b"] {
            lab.word(from, about, Health::Down, 500);
        }
    }
    lab.latency(1, "b", 5);
    lab.latency(2, "e", 5);
    let view = lab.view();
    let choice = lab.ask(&view, "two.test", 1, None);
    assert_eq!((choice.because, choice.ttl), (Because::FallbackGlobal, Seconds(10)));
    let removal = choice.candidates[0].removed.as_ref().unwrap();
    assert_eq!(
        (removal.reason, &*removal.detail),
        (Removed::DownProbe, "as the probes in eu see it")
    );
    assert_ne!(lab.ask(&view, "two.test", 2, None).because, Because::FallbackGlobal);
    // Elsewhere there is one that is well for everybody.
    assert_eq!(lab.ask(&view, "fast.test", 1, None).candidates[2].removed, None);
    assert_ne!(lab.ask(&view, "fast.test", 1, None).because, Because::FallbackGlobal);
}

#[test]
fn one_more_takes_its_share_and_moves_nobody_else() {
    let three = Lab::new(&[("a", 1, "eu"), ("b", 1, "eu"), ("c", 1, "eu")]);
    let four = Lab::new(&[("a", 1, "eu"), ("b", 1, "eu"), ("c", 1, "eu"), ("d", 1, "eu")]);
    let (before, after) = (three.homes("spread.test"), four.homes("spread.test"));
    let moved = before.iter().zip(&after).filter(|(old, new)| old != new);
    let moved: Vec<&String> = moved.map(|(_, new)| new).collect();
    assert!(moved.iter().all(|new| *new == "d"), "somebody moved between those that stayed");
    assert!(moved.len() <= before.len() * 26 / 100, "{} moved", moved.len());
    assert!(moved.len() >= before.len() * 22 / 100, "{} moved", moved.len());
}

/// Two servers whose weights differ by a total variation of δ disagree on 2δ/(1+δ) at most.
#[test]
fn small_differences_make_few_different_answers() {
    let even = [("a", 100, "eu"), ("b", 100, "eu"), ("c", 100, "eu")];
    for (more, disagree_max) in [(105, 22), (120, 84), (200, 291)] {
        // Weights 1/3 each, and more/(200+more): δ is the gain of the one; in thousandths.
        let (one, other) = (Lab::new(&even), Lab::new(&[even[0], even[1], ("c", more, "eu")]));
        let delta = 1_000 * more / (200 + more) - 333;
        assert!(disagree_max >= 2_000 * delta / (1_000 + delta) && disagree_max <= 300);
        let pairs = one.homes("spread.test").into_iter().zip(other.homes("spread.test"));
        let differ = u64::try_from(pairs.filter(|(one, other)| one != other).count()).unwrap();
        let limit = u64::from(CLIENTS) * disagree_max / 1_000 + u64::from(CLIENTS) / 100;
        assert!(differ <= limit, "{differ} of {CLIENTS} with a weight of {more}");
    }
}

/// One loop a target: who sheds what is too much is not left for its load as well, be it nothing
/// that is shed, and be the load above the hard limit.
#[test]
fn load_of_a_target_that_keeps_it_moves_nobody_else() {
    let mut lab = Lab::new(&[("a", 1, "eu"), ("b", 1, "eu")]);
    lab.everything_up(100);
    lab.latency(7, "a", 10);
    lab.latency(7, "b", 30);
    lab.up("a", 990);
    let view = lab.view();
    assert_eq!(lab.home(&view, "two.test", 7), "b", "nobody keeps the load of a");
    lab.shed("a", 0);
    let view = lab.view();
    assert_eq!(lab.home(&view, "two.test", 7), "a");
}

/// A board with the POPs of a test.
struct Lab {
    rules: Rules,
    board: Board,
    pops: Vec<String>,
    seq: u64,
}

impl Lab {
    fn new(pops: &[(&str, u64, &str)]) -> Self {
        let mut text = String::from(
            "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n[customers.acme]\n\
             [origin_groups.www.servers]\nalpha = { address = \"203.0.113.1:80\" }\n\
             [probes.edge]\nkind = \"http\"\ntarget = { role = \"webcache\" }\n\
             request = { path = \"/health\" }\ninterval = \"5s\"\nfall = 2\n\
             [probes.rtt]\nkind = \"latency\"\n",
        );
        for (preset, site, listed) in [
            ("fastest", "fast", "\"*\""),
            ("fastest", "two", "\"a\", \"b\""),
            ("failover-order", "order", "\"*\""),
            ("spread", "spread", "\"*\""),
        ] {
            text += &format!(
                "[policies.{site}]\npreset = \"{preset}\"\nanswer = {{ max = 1 }}\n\
                 [sites.\"{site}.test\"]\ncustomer = \"acme\"\nkind = \"cached\"\n\
                 policy = \"{site}\"\npops = [{listed}]\norigins = \"www\"\n"
            );
        }
        for (at, (pop, capacity, region)) in pops.iter().enumerate() {
            text += &format!(
                "[pops.{pop}]\nlocation = {{ lat = 40.0, lon = {at}.0, region = \"{region}\" }}\n\
                 capacity = {{ requests = {capacity} }}\n[pops.{pop}.nodes]\n\
                 edge1 = {{ roles = [\"webcache\"], address = [\"192.0.2.{}\"] }}\n\
                 probe1 = {{ roles = [\"netprobe\"], address = [\"192.0.2.{}\"] }}\n",
                at + 1,
                at + 101
            );
        }
        let network: Network = toml_edit::de::from_str(&text).unwrap();
        let mut board = Board::new();
        board.configure(&network, None, NOW);
        let pops = pops.iter().map(|(pop, _, _)| (*pop).to_owned()).collect();
        Self { rules: Rules::compile(&network), board, pops, seq: 0 }
    }

    fn say(&mut self, from: &str, finding: Finding) {
        self.seq += 1;
        let report = Report {
            publisher: NodeName::of("probe1", &PopId::new(from)),
            boot: 1,
            seq: self.seq,
            epoch: Epoch(0),
            sent: NOW,
            samples: vec![Sample { at: NOW, finding }],
        };
        let taken = self.board.record(&report, NOW);
        assert_eq!(taken.accepted, 1, "{taken:?}");
    }

    fn word(&mut self, from: &str, about: &str, health: Health, load: u16) {
        let up = health == Health::Up;
        let service = Service {
            probe: ProbeId::new("edge"),
            subject: Subject::Node(NodeName::of("edge1", &PopId::new(about))),
            health,
            cause: if up { Cause::Passed } else { Cause::Refused },
            detail: Arc::from("refused"),
            streak: 3,
            connect: Micros(0),
            total: Micros(2_000),
            load: up.then_some(load),
            epoch: None,
        };
        self.say(from, Finding::Service(service));
    }

    fn up(&mut self, about: &str, load: u16) {
        for from in self.pops.clone() {
            self.word(&from, about, Health::Up, load);
        }
    }

    fn everything_up(&mut self, load: u16) {
        for about in self.pops.clone() {
            self.up(&about, load);
        }
    }

    fn shed(&mut self, pop: &str, shed: u16) {
        let shed = Shed { target: target(pop), shed, load: None, period: 20 };
        self.say(pop, Finding::Shed(shed));
    }

    fn latency(&mut self, client: u32, from: &str, ms: u32) {
        let latency = Latency {
            client: unit(client),
            rtt: Some(Micros(ms * 1_000)),
            spread: Micros(0),
            loss: 0,
            samples: 3,
            method: Method::DnsQuery,
        };
        self.say(from, Finding::Latency(latency));
    }

    fn view(&mut self) -> View {
        self.board.view(NOW)
    }

    fn ask(&self, view: &View, site: &str, client: u32, bound: Option<TargetId>) -> Choice {
        let client = Client::Unit(unit(client));
        let question = Question { client, family: Family::V4, bound };
        choose(view, self.rules.site(site).unwrap(), &question)
    }

    fn home(&self, view: &View, site: &str, client: u32) -> String {
        named(&self.ask(view, site, client, None))
    }

    fn homes(mut self, site: &str) -> Vec<String> {
        self.everything_up(500);
        let view = self.view();
        (0..CLIENTS).map(|n| self.home(&view, site, n)).collect()
    }
}

fn unit(n: u32) -> ipnet::IpNet {
    format!("10.{}.{}.0/24", n / 256, n % 256).parse().unwrap()
}

fn target(text: &str) -> TargetId {
    text.parse().unwrap()
}

fn named(choice: &Choice) -> String {
    choice.targets.first().unwrap().target.to_string()
}
