//! Who may be named at all, and whom the last resort names (steering model, sections 2, 8, 11).

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use popnet_config::network::Network;
use popnet_steering::{Atlas, Board, Choice, Client, Family, Question, Rules, View, choose};
use popnet_terms::{
    Because, Micros, NodeName, PopId, ProbeId, Removed, Seconds, TargetId, Timestamp,
};
use popnet_wire::probing::{
    Cause, Finding, Health, Latency, Method, Report, Sample, Service, Subject,
};
use popnet_wire::rollout::Epoch;

/// Monday 2024-01-01 05:59:30 UTC.
const NOW: Timestamp = Timestamp(1_704_088_770_000_000);

/// Two POPs in Europe and one in America; a customer's server beside them, two more behind.
struct Lab {
    text: String,
    rules: Rules,
    board: Board,
    seq: u64,
    now: Timestamp,
}

impl Lab {
    /// `serve` is that of POP `a`, `site` more keys of the site, `policy` those of its policy.
    fn new(serve: &str, site: &str, policy: &str) -> Self {
        let mut text = String::from(
            "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n[customers.acme]\n\
             [probes.edge]\nkind = \"http\"\ntarget = { role = \"webcache\" }\n\
             request = { path = \"/health\" }\ninterval = \"5s\"\nfall = 2\n\
             [probes.www]\nkind = \"http\"\ntarget = { origin_group = \"www\" }\n\
             request = { path = \"/health\" }\n\
             [probes.rtt]\nkind = \"latency\"\n",
        );
        for (at, (pop, region)) in [("a", "eu"), ("b", "eu"), ("c", "us")].into_iter().enumerate() {
            let serve = if pop == "a" { serve } else { "" };
            text += &format!(
                "[pops.{pop}]\nserve = {{ {serve} }}\n\
                 location = {{ lat = 50.0, lon = {at}.0, region = \"{region}\" }}\n\
                 [pops.{pop}.nodes]\n\
                 edge1 = {{ roles = [\"webcache\"], address = [\"192.0.2.{at}\"] }}\n\
                 probe1 = {{ roles = [\"netprobe\"], address = [\"192.0.2.10{at}\"] }}\n"
            );
        }
        text += &format!(
            "[origin_groups.www.servers]\n\
             main = {{ address = \"203.0.113.1:80\", reserve = 0.5 }}\n\
             [origin_groups.spare.servers]\n\
             one = {{ address = \"203.0.113.8\" }}\ntwo = {{ address = \"spare.example\" }}\n\
             [policies.p]\n{policy}\n\
             [sites.\"www.test\"]\ncustomer = \"acme\"\nkind = \"cached\"\npolicy = \"p\"\n\
             origins = \"www\"\n{site}\n"
        );
        let network: Network = toml_edit::de::from_str(&text).unwrap();
        let mut board = Board::new();
        board.configure(&network, None, NOW);
        let places = include_bytes!("atlas/places.mmdb").to_vec();
        board.use_atlas(Atlas::read(None, Some(places)).unwrap());
        Self { rules: Rules::compile(&network), text, board, seq: 0, now: NOW }
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
        assert_eq!(self.board.record(&report, self.now).accepted, 1);
    }

    fn word(&mut self, from: &str, about: &str, health: Health, load: u16) {
        let up = health == Health::Up;
        let (probe, subject) = match target(about) {
            TargetId::Pop(pop) => ("edge", Subject::Node(NodeName::of("edge1", &pop))),
            TargetId::Origin(origin) => ("www", Subject::Origin(origin)),
        };
        let service = Service {
            probe: ProbeId::new(probe),
            subject,
            health,
            cause: if up { Cause::Passed } else { Cause::Refused },
            detail: "refused".into(),
            streak: 3,
            connect: Micros(0),
            total: Micros(2_000),
            load: up.then_some(load),
            epoch: None,
        };
        self.say(from, Finding::Service(service));
    }

    fn all(&mut self, health: Health, load: u16) {
        for from in ["a", "b", "c"] {
            for about in ["a", "b", "c", "www/main"] {
                self.word(from, about, health, load);
            }
        }
    }

    fn latency(&mut self, client: &str, from: &str, ms: u32, spread: u32) {
        let latency = Latency {
            client: client.parse().unwrap(),
            rtt: Some(Micros(ms * 1_000)),
            spread: Micros(spread * 1_000),
            loss: 0,
            samples: 3,
            method: Method::DnsQuery,
        };
        self.say(from, Finding::Latency(latency));
    }

    fn view(&mut self) -> View {
        self.board.view(self.now)
    }

    /// Another configuration for the decision; what was said before still holds.
    fn change(&mut self, from: &str, to: &str) {
        assert!(self.text.contains(from), "{}", self.text);
        self.text = self.text.replace(from, to);
        let network: Network = toml_edit::de::from_str(&self.text).unwrap();
        self.rules = Rules::compile(&network);
    }

    fn ask(&mut self, client: &str) -> Choice {
        let view = self.view();
        self.ask_in(&view, client, Family::V4)
    }

    fn ask_in(&self, view: &View, client: &str, family: Family) -> Choice {
        let client = Client::Unit(client.parse().unwrap());
        let question = Question { client, family, bound: None };
        choose(view, self.rules.site("www.test").unwrap(), &question)
    }
}

fn target(text: &str) -> TargetId {
    text.parse().unwrap()
}

fn named(choice: &Choice) -> Vec<String> {
    choice.targets.iter().map(|chosen| chosen.target.to_string()).collect()
}

fn reason(choice: &Choice, id: &str) -> Option<Removed> {
    let candidate = choice.candidates.iter().find(|c| c.target == target(id)).unwrap();
    candidate.removed.as_ref().map(|removal| removal.reason)
}

const GERMAN: &str = "192.0.2.0/24";
const JAPANESE: &str = "203.0.113.0/24";
const NOWHERE: &str = "100.64.0.0/24";

#[test]
fn who_is_kept_from_whom() {
    for (serve, site, german, japanese, nowhere) in [
        ("disabled = true", "", Some(Removed::Disabled), Some(Removed::Disabled), true),
        ("only_to = [\"DE\"]", "", None, Some(Removed::RegionNotAllowed), true),
        ("never_to = [\"DE\"]", "", Some(Removed::RegionNotAllowed), None, false),
        ("", "needs = [\"h3\"]", Some(Removed::CapabilityMissing), None, true),
        ("tags = [\"h3\"]", "needs = [\"h3\"]", None, None, false),
        ("hours = [\"mon 06:00-07:00\"]", "", Some(Removed::ScheduleClosed), None, true),
        ("hours = [\"mon 05:00-06:00\"]", "", None, None, false),
    ] {
        let mut lab = Lab::new(serve, site, "");
        lab.all(Health::Up, 100);
        assert_eq!(reason(&lab.ask(GERMAN), "a"), german, "{serve} {site}");
        let by_place = serve.contains("_to");
        let elsewhere = reason(&lab.ask(JAPANESE), "a");
        assert_eq!(elsewhere, if by_place { japanese } else { german }, "{serve} {site}");
        assert_eq!(reason(&lab.ask(NOWHERE), "a").is_some(), nowhere, "{serve} {site}");
        let choice = lab.ask(GERMAN);
        assert_eq!(named(&choice).contains(&"a".to_owned()), german.is_none(), "{choice:?}");
        if by_place {
            assert_eq!(choice.scope, 24, "another client gets another answer");
        }
    }
}

#[test]
fn a_region_is_that_of_the_nearest_pop() {
    let mut lab = Lab::new("only_to = [\"us\"]", "", "");
    lab.all(Health::Up, 100);
    lab.latency(NOWHERE, "c", 10, 0);
    lab.latency(NOWHERE, "b", 80, 0);
    assert_eq!(reason(&lab.ask(NOWHERE), "a"), None);
    lab.latency(JAPANESE, "b", 10, 0);
    assert_eq!(reason(&lab.ask(JAPANESE), "a"), Some(Removed::RegionNotAllowed));
}

/// What the law forbids is not done for want of something better, and the hours hold then too.
#[test]
fn no_last_resort_names_who_is_barred() {
    for serve in ["disabled = true", "never_to = [\"DE\"]", "hours = [\"tue 00:00-01:00\"]"] {
        let mut lab = Lab::new(serve, "", "answer = { max = 8 }");
        lab.all(Health::Down, 0);
        let choice = lab.ask(GERMAN);
        assert_eq!(choice.because, Because::FallbackAll, "{serve}");
        let mut names = named(&choice);
        names.sort();
        assert_eq!(
            (names.as_slice(), choice.ttl),
            (&["b".to_owned(), "c".to_owned()][..], Seconds(10))
        );
    }
}

/// An answer holds no longer than until the hours change, but for the shortest time at least.
#[test]
fn hours_bound_the_time_to_live() {
    let mut lab = Lab::new("hours = [\"mon 06:00-07:00\"]", "pops = [\"a\"]", "");
    lab.all(Health::Up, 100);
    assert!(lab.ask(NOWHERE).targets.is_empty());
    let ttl_of = |lab: &mut Lab, second: i64| {
        lab.now = Timestamp(NOW.0 + second * 1_000_000);
        lab.all(Health::Up, 100);
        let choice = lab.ask(NOWHERE);
        assert_eq!(named(&choice), ["a"], "{second}");
        choice.ttl.0
    };
    assert!(ttl_of(&mut lab, 30) >= 270, "an hour is left");
    let left = ttl_of(&mut lab, 3_530);
    assert!((90..=100).contains(&left), "{left}: a hundred seconds are left");
    assert_eq!(ttl_of(&mut lab, 3_628), 20);
}

#[test]
fn a_second_answer_names_another_provider() {
    for (mine, second) in [("x", "c"), ("y", "b")] {
        let serve = format!("provider = \"{mine}\"");
        let mut lab = Lab::new(&serve, "bias_ms = { a = 14 }", "");
        lab.change("[pops.b]\nserve = {  }", "[pops.b]\nserve = { provider = \"x\" }");
        lab.change("[pops.c]\nserve = {  }", "[pops.c]\nserve = { provider = \"y\" }");
        lab.all(Health::Up, 100);
        for (pop, ms) in [("a", 100), ("b", 102), ("c", 103)] {
            lab.latency(NOWHERE, pop, ms, 0);
        }
        let choice = lab.ask(NOWHERE);
        assert_eq!(named(&choice), ["a", second]);
    }
}

#[test]
fn spread_and_the_thumb_move_the_score() {
    let clients = |policy: &str, site: &str| {
        let mut lab = Lab::new("", site, policy);
        lab.all(Health::Up, 0);
        // In the table, spreads have four binary digits.
        lab.latency(NOWHERE, "a", 20, 32);
        lab.latency(NOWHERE, "b", 40, 0);
        lab.latency(NOWHERE, "c", 90, 0);
        lab.ask(NOWHERE)
    };
    assert_eq!(named(&clients("", ""))[0], "a");
    let steady = clients("score = { spread = 1.0 }", "");
    assert_eq!(named(&steady)[0], "b");
    assert_eq!(steady.candidates[0].score.as_ref().unwrap().latency, Micros(52_000));
    let thumb = clients("", "bias_ms = { c = 80, a = -5 }");
    assert_eq!(named(&thumb)[0], "c");
    let bias = |at: usize| thumb.candidates[at].score.as_ref().unwrap().bias();
    assert_eq!((bias(0), bias(1), bias(2)), (-5_000, 0, 80_000));
}

/// A customer's server gets nobody above its reserve, and fewer already near to it.
#[test]
fn a_reserve_is_never_exceeded() {
    let mut lab = Lab::new(
        "disabled = true",
        "answer_with_origins = true\nbias_ms = { \"www/main\" = 500 }",
        "",
    );
    let mut before = 0;
    for (load, share) in
        [(300, 0..=0), (400, 0..=0), (450, 440..=560), (499, 960..=1_000), (500, 1_000..=1_000)]
    {
        lab.all(Health::Up, load);
        let view = lab.view();
        let away = (0..1_000_u32).filter(|n| {
            let client = format!("10.{}.{}.0/24", n / 256, n % 256);
            let choice = lab.ask_in(&view, &client, Family::V4);
            let is_away = named(&choice)[0] != "www/main";
            assert_eq!(is_away, reason(&choice, "www/main") == Some(Removed::ReserveSpent));
            is_away
        });
        let away = away.count();
        assert!(share.contains(&away) && away >= before, "{away} at a load of {load}");
        before = away;
    }
}

#[test]
fn each_step_of_the_last_resort() {
    let backup = "backup = \"spare\"";
    // Nobody speaks: not known comes before the backup.
    let mut lab = Lab::new("", backup, "");
    assert_eq!(lab.ask(NOWHERE).because, Because::FallbackAnyUp);
    lab.all(Health::Up, 100);
    let well = lab.ask(NOWHERE);
    assert_eq!(reason(&well, "spare/one"), Some(Removed::Standby));
    assert!(named(&well).iter().all(|name| !name.contains('/')), "{well:?}");
    lab.all(Health::Down, 0);
    let down = lab.ask(NOWHERE);
    assert_eq!((down.because, named(&down)), (Because::FallbackBackup, vec!["spare/one".into()]));
    assert_eq!(down.ttl, Seconds(10));
    // Only a name: the caller answers it as an alias.
    let view = lab.view();
    lab.change("one = { address = \"203.0.113.8\" }\n", "");
    let alias = lab.ask_in(&view, NOWHERE, Family::Any);
    assert_eq!(named(&alias), ["spare/two"]);
    assert!(alias.targets[0].addresses.is_empty());
    // No backup for a family that the POPs do not have: the other family has better.
    assert_eq!(lab.ask_in(&view, NOWHERE, Family::V6).because, Because::NoAddressOfFamily);
    for (policy, because) in [
        ("", Because::FallbackAll),
        ("last_resort = [\"static\"]", Because::StaticRecord),
        ("last_resort = [\"unknown\", \"empty\"]", Because::LeftEmpty),
        ("last_resort = [\"damped\", \"refuse\", \"all\"]", Because::LeftRefused),
    ] {
        let mut lab = Lab::new("", "", policy);
        lab.all(Health::Down, 0);
        assert_eq!(lab.ask(NOWHERE).because, because, "{policy}");
    }
}

/// Everybody is spread over everything by capacity: one target does not get them all.
#[test]
fn all_of_them_share_when_nothing_is_well() {
    let mut lab = Lab::new("", "", "answer = { max = 1 }");
    lab.all(Health::Down, 0);
    let view = lab.view();
    for pop in ["a", "b", "c"] {
        let of = (0..600_u32).filter(|n| {
            let client = format!("10.{}.{}.0/24", n / 256, n % 256);
            named(&lab.ask_in(&view, &client, Family::V4)) == [pop]
        });
        let of = of.count();
        assert!((150..=250).contains(&of), "{of} of 600 at {pop}");
    }
}
