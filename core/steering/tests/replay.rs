//! The past again (steering model, section 14): answers are a pure function of the inputs, so
//! that a board that is kept, read and told the same says the same, whatever came; and the order
//! and number of datagrams does not matter.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ipnet::IpNet;
use popnet_config::network::Network;
use popnet_steering::{
    Atlas, Bindings, Board, Choice, Client, Family, Input, Question, Replay, Rules, Start, View,
    choose, in_force,
};
use popnet_terms::{Micros, NodeName, PopId, ProbeId, TargetId, Timestamp};
use popnet_wire::probing::{
    Binding, Cause, Finding, Health, Latency, Method, Report, Sample, Service, Shed, Subject,
};
use popnet_wire::rollout::Epoch;

const POPS: [&str; 3] = ["east", "mid", "west"];
const SITES: [&str; 3] = ["www.test", "app.test", "order.test"];

/// The configuration of the test; the second one drains a POP and changes a price.
fn text(second: bool) -> Arc<str> {
    let (drain, cost) = if second { ("true", "3.0") } else { ("false", "1.0") };
    let mut text = String::from(
        "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n[customers.acme]\n\
         [probes.edge]\nkind = \"http\"\ntarget = { role = \"webcache\" }\ninterval = \"2s\"\nrequest = { path = \"/\" }\n\
         [probes.rtt]\nkind = \"latency\"\nmethods = [\"dns-query\"]\n\
         [origin_groups.www.servers]\nalpha = { address = \"203.0.113.1:80\" }\n\
         [policies.near]\nscore = { cost_ms = 5 }\n\
         [policies.stay]\npersist = { mode = \"bound\", hold = \"10m\" }\n\
         [policies.order]\npreset = \"failover-order\"\n",
    );
    for (site, policy) in SITES.iter().zip(["near", "stay", "order"]) {
        text += &format!(
            "[sites.\"{site}\"]\ncustomer = \"acme\"\nkind = \"cached\"\norigins = \"www\"\n\
             policy = \"{policy}\"\nanswer_with_origins = true\n"
        );
    }
    for (n, pop) in POPS.iter().enumerate() {
        text += &format!(
            "[pops.{pop}]\ncost = {}\ndrain = {}\nlocation = {{ lat = {}.5, lon = {}.0 }}\n\
             [pops.{pop}.nodes.edge1]\nroles = [\"webcache\", \"webserver\"]\n\
             address = [\"192.0.2.{}\"]\n\
             [pops.{pop}.nodes.probe1]\nroles = [\"netprobe\"]\naddress = [\"127.0.0.{}\"]\n",
            if n == 0 { cost } else { "1.0" },
            if n == 1 { drain } else { "false" },
            10 * n,
            20 * n,
            n + 1,
            n + 2,
        );
    }
    text.into()
}

/// Numbers from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        let at = self.below(all.len() as u64);
        all[usize::try_from(at).unwrap()]
    }
}

fn client(n: u64) -> IpNet {
    format!("10.{}.{n}.0/24", n % 2).parse().unwrap()
}

fn finding(chance: &mut Chance) -> Finding {
    let n = |chance: &mut Chance, limit| u32::try_from(chance.below(limit)).unwrap();
    match chance.below(5) {
        0 | 1 => Finding::Latency(Latency {
            client: client(chance.below(6)),
            rtt: (chance.below(8) > 0).then(|| Micros(1_000 * n(chance, 200))),
            spread: Micros(100 * n(chance, 40)),
            loss: u16::try_from(chance.below(100)).unwrap(),
            samples: 3,
            method: Method::DnsQuery,
        }),
        2 => Finding::Shed(Shed {
            target: TargetId::Pop(PopId::new(chance.of(&POPS))),
            shed: u16::try_from(chance.below(1_001)).unwrap(),
            load: None,
            period: 20,
        }),
        _ => Finding::Service(Service {
            probe: ProbeId::new("edge"),
            subject: Subject::Node(NodeName::of("edge1", &PopId::new(chance.of(&POPS)))),
            health: if chance.below(4) == 0 { Health::Down } else { Health::Up },
            cause: Cause::Refused,
            detail: "http refused".into(),
            streak: u16::try_from(chance.below(9)).unwrap(),
            connect: Micros(100 * n(chance, 900)),
            total: Micros(2_000),
            load: (chance.below(3) == 0).then(|| u16::try_from(chance.below(1_001)).unwrap()),
            epoch: Some(Epoch(chance.below(3))),
        }),
    }
}

fn report(chance: &mut Chance, now: Timestamp) -> Report {
    let samples = (0..=chance.below(3)).map(|_| Sample { at: now, finding: finding(chance) });
    let samples = samples.collect();
    Report {
        publisher: NodeName::of("probe1", &PopId::new(chance.of(&POPS))),
        boot: 1 + chance.below(2),
        // Some come late, some twice.
        seq: 1 + chance.below(40),
        epoch: Epoch(1),
        sent: now,
        samples,
    }
}

/// What comes next.
fn input(chance: &mut Chance, now: Timestamp) -> Input {
    match chance.below(20) {
        0 => {
            let second = chance.below(2) == 1;
            let epoch = Epoch(1 + u64::from(second));
            Input::Configured { at: now, epoch, text: text(second) }
        }
        1 => {
            let rtt = Micros(u32::try_from(chance.below(90_000)).unwrap());
            Input::Path { pop: PopId::new(chance.of(&POPS)), rtt }
        }
        2 => Input::Forgot { at: now },
        3 => Input::Fitted { at: now },
        4 => {
            let row = Binding {
                site: SITES[1].into(),
                client: client(chance.below(6)),
                target: TargetId::Pop(PopId::new(chance.of(&POPS))),
                issued: now,
                issuer: "ns1.east".into(),
                round: u32::try_from(chance.below(3)).unwrap(),
                left: u32::try_from(chance.below(600)).unwrap(),
            };
            Input::Bound { at: now, rows: vec![row] }
        }
        5..=9 => Input::Viewed { at: now },
        _ => Input::Heard { at: now, report: report(chance, now) },
    }
}

/// A name server as it lives: its board is told everything by the calls that tell it in service.
struct Life {
    board: Board,
    bindings: Bindings,
    rules: Rules,
    epoch: Epoch,
    second: bool,
    view: View,
}

/// The configuration of the first or the second epoch, read once.
fn network(second: bool) -> &'static Network {
    static BOTH: LazyLock<[Network; 2]> = LazyLock::new(|| {
        [false, true]
            .map(|second| popnet_config::load(&text(second), "popnet.toml").unwrap().network)
    });
    &BOTH[usize::from(second)]
}

impl Life {
    fn begin(now: Timestamp) -> Self {
        let network = network(false);
        let mut board = Board::new();
        board.configure(network, in_force(Epoch(1)), now);
        let view = board.view(now);
        let rules = Rules::compile(network);
        let bindings = Bindings::default();
        Self { board, bindings, rules, epoch: Epoch(1), second: false, view }
    }

    fn take(&mut self, input: &Input) {
        match input {
            Input::Configured { at, epoch, .. } => {
                self.second = *epoch == Epoch(2);
                let network = network(self.second);
                self.board.configure(network, in_force(*epoch), *at);
                self.rules = Rules::compile(network);
                self.epoch = *epoch;
            }
            Input::Heard { at, report } => drop(self.board.record(report, *at)),
            Input::Path { pop, rtt } => self.board.record_path(pop, *rtt),
            Input::Forgot { at } => {
                self.board.forget(*at);
                self.bindings.expire(*at);
            }
            Input::Fitted { at } => self.board.fit_models(*at),
            Input::Viewed { at } => self.view = self.board.view(*at),
            Input::Bound { at, rows } => {
                for row in rows {
                    let _ = self.bindings.record(row, *at);
                }
            }
        }
    }

    fn start(&mut self, now: Timestamp) -> (Start, Input) {
        self.view = self.board.view(now);
        let text = text(self.second);
        let start = Start { at: now, epoch: self.epoch, text, board: self.board.to_octets() };
        let rows = self.bindings.shown().all(now).collect();
        (start, Input::Bound { at: now, rows })
    }
}

/// What every client of every site is told.
fn answers(
    view: &View,
    rules: &Rules,
    bound: &popnet_steering::Bound,
    now: Timestamp,
) -> Vec<Choice> {
    let mut all = Vec::new();
    for site in SITES {
        for n in 0..7 {
            let unit = client(n);
            let held = (site == SITES[1]).then(|| bound.get(&site.into(), unit, now)).flatten();
            let question = Question {
                client: Client::Unit(unit),
                family: Family::V4,
                bound: held.map(|held| held.target),
            };
            all.push(choose(view, rules.site(site).unwrap(), &question));
        }
    }
    all
}

/// One history: a server lives, is written down in the middle of it, and is lived again from
/// there. Says how many inputs it had.
fn one_history(seed: u64) -> usize {
    let mut chance = Chance(seed);
    let mut now = Timestamp(1_900_000_000_000_000);
    let mut life = Life::begin(now);
    let steps = 4 + chance.below(40);
    let cut = chance.below(steps);
    let mut written: Option<(Start, Vec<Input>)> = None;
    for step in 0..steps {
        now = now.after(Duration::from_millis(1 + chance.below(4_000)));
        if step == cut {
            let (start, rows) = life.start(now);
            written = Some((start, vec![rows]));
        }
        let next = input(&mut chance, now);
        life.take(&next);
        if let Some((_, inputs)) = &mut written {
            inputs.push(next);
        }
    }
    let (start, inputs) = written.unwrap();
    let octets = postcard::to_allocvec(&(&start, &inputs)).unwrap();
    let (start, inputs): (Start, Vec<Input>) = postcard::from_bytes(&octets).unwrap();
    let mut replay = Replay::begin(&start, Atlas::default()).unwrap();
    for input in &inputs {
        replay.take(input).unwrap();
    }
    let (network, epoch) = replay.configuration();
    let rules = Rules::compile(network);
    assert_eq!(epoch, life.epoch, "seed {seed}");
    let first = answers(&life.view, &life.rules, &life.bindings.shown(), now);
    let second = answers(replay.view(), &rules, &replay.bound(), now);
    assert_eq!(first, second, "seed {seed}");
    inputs.len()
}

#[test]
fn whatever_came_the_past_says_the_same_again() {
    // The last one has a row that ends within a second of the moment when all is written down.
    let inputs: usize = (0..150).chain([2_489]).map(one_history).sum();
    assert!(inputs > 1_000, "{inputs} inputs are no test");
}

/// The same for a million histories, on every core: `cargo test --release -p popnet-steering --test
/// replay -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes: a measurement for a release build"]
fn a_million_histories() {
    const STRETCH: u64 = 10_000;
    let next = AtomicU64::new(0);
    let inputs = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                loop {
                    let stretch = next.fetch_add(1, Ordering::Relaxed);
                    let seeds = 1_000 + stretch * STRETCH..1_000 + (stretch + 1) * STRETCH;
                    if seeds.end > 1_001_000 {
                        return;
                    }
                    inputs.fetch_add(seeds.map(one_history).sum(), Ordering::Relaxed);
                    println!("{stretch} of 100 stretches are done or under way");
                }
            });
        }
    });
    println!("1,000,000 histories with {inputs:?} inputs after the cut");
}

/// Reports in any order, some of them twice, leave the same answers (N12).
#[test]
fn the_order_and_number_of_datagrams_changes_nothing() {
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let now = Timestamp(1_900_000_000_000_000);
        let mut reports: Vec<Report> = (0..30).map(|_| report(&mut chance, now)).collect();
        // One publisher says one thing under one number.
        reports.sort_by_key(|report| (report.publisher.clone(), report.boot, report.seq));
        reports.dedup_by_key(|report| (report.publisher.clone(), report.boot, report.seq));
        let told = |order: &[&Report]| {
            let mut life = Life::begin(now);
            for report in order {
                life.take(&Input::Heard { at: now, report: (*report).clone() });
            }
            life.take(&Input::Viewed { at: now });
            answers(&life.view, &life.rules, &life.bindings.shown(), now)
        };
        let first = told(&reports.iter().collect::<Vec<_>>());
        let mut shuffled: Vec<&Report> = reports.iter().chain(&reports).collect();
        for at in (1..shuffled.len()).rev() {
            let other = usize::try_from(chance.below(at as u64 + 1)).unwrap();
            shuffled.swap(at, other);
        }
        assert_eq!(first, told(&shuffled), "seed {seed}");
    }
}

/// A board is read back from its octets, and damage is seen.
#[test]
fn a_board_that_is_damaged_is_none() {
    let mut chance = Chance(7);
    let now = Timestamp(1_900_000_000_000_000);
    let mut life = Life::begin(now);
    for _ in 0..200 {
        life.take(&input(&mut chance, now));
    }
    let network = popnet_config::load(&text(false), "popnet.toml").unwrap().network;
    let octets = life.board.to_octets();
    assert_eq!(Board::from_octets(&octets, &network).unwrap().to_octets(), octets);
    // In its first form a board had no prices behind it; here there are none to say.
    let first_form = octets.len() - 1;
    assert_eq!(Board::from_octets(&octets[..first_form], &network).unwrap().to_octets(), octets);
    for cut in 0..first_form {
        assert!(Board::from_octets(&octets[..cut], &network).is_none(), "cut at {cut}");
    }
    for at in 0..octets.len() {
        let mut bent = octets.clone();
        bent[at] ^= 1 << (at % 8);
        if let Some(mut board) = Board::from_octets(&bent, &network) {
            let view = board.view(now);
            let _ = answers(&view, &life.rules, &life.bindings.shown(), now);
            board.forget(now);
        }
    }
}
