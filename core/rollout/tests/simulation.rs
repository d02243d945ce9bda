//! A network of masters, relays and leaves in which everything goes wrong: messages are lost,
//! late and reordered, nodes die between any two steps and come back with what was on disk.
//! Same seed, same run.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the simulation's own tables; a wrong one fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use popnet_rollout::{Action, Coordinator, Ledger, Needs, Relay, Step, Tree};
use popnet_terms::{NodeName, Timestamp};
use popnet_wire::rollout::{Digest, Down, Epoch, Outcome, Up, Version};

const MASTERS: [&str; 2] = ["m1", "m2"];
const RELAY: &[(&str, &[&str])] = &[
    ("m1", &["m2", "r1", "r2"]),
    ("r1", &["a1", "a2"]),
    ("r2", &["b1", "b2", "b3"]),
    ("m2", &["c1"]),
];
/// The asker that is the master's own coordinator.
const OWN: u64 = 0;

#[test]
fn everything_goes_wrong() {
    let mut total = Tally::default();
    for seed in 0..400 {
        let mut world = World::new(seed, Faults::hard());
        for _ in 0..250 {
            world.step();
        }
        world.heal();
        world.check_healed();
        total.commits += world.decided.len();
        total.aborts += world.aborted;
        total.crashes += world.crashes;
        total.refused += world.refused;
    }
    // The run is worth something only if it shows each case often.
    assert!(total.commits > 200, "{total:?}");
    assert!(total.aborts > 200, "{total:?}");
    assert!(total.crashes > 2000, "{total:?}");
    assert!(total.refused > 50, "{total:?}");
}

#[test]
fn nothing_goes_wrong() {
    for seed in 0..50 {
        let mut world = World::new(seed, Faults::none());
        for _ in 0..5 {
            world.push("m1");
            world.run_to_rest();
            assert_eq!(world.outcomes.last(), Some(&(true, 0)), "seed {seed}");
            world.check_healed();
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    commits: usize,
    aborts: usize,
    crashes: usize,
    refused: usize,
}

#[derive(Clone, Copy)]
struct Faults {
    lose: u64,
    crash: u64,
    refuse: u64,
}

impl Faults {
    fn hard() -> Self {
        Self { lose: 8, crash: 4, refuse: 1 }
    }
    fn none() -> Self {
        Self { lose: 0, crash: 0, refuse: 0 }
    }
}

struct Node {
    relay: Relay,
    coordinator: Option<Coordinator>,
    /// Ask → who asked, in which life, in which round.
    asked: BTreeMap<u64, (NodeName, u64, u64)>,
    life: u64,
}

#[derive(Debug)]
enum Message {
    Ask { from: NodeName, life: u64, round: u64, to: NodeName, down: Down },
    Reply { to: NodeName, life: u64, round: u64, from: NodeName, up: Result<Up, String> },
}

/// The round of questions that belong to no push.
const CATCH_UP: u64 = u64::MAX;

struct World {
    seed: u64,
    random: u64,
    faults: Faults,
    now: Timestamp,
    disks: BTreeMap<NodeName, Ledger>,
    alive: BTreeMap<NodeName, Node>,
    messages: Vec<Message>,
    next_ask: u64,
    next_life: u64,
    pushes: u64,
    committed: BTreeMap<Epoch, (Digest, String)>,
    decided: BTreeMap<Epoch, Digest>,
    refusals: BTreeSet<(NodeName, Epoch)>,
    outcomes: Vec<(bool, usize)>,
    aborted: usize,
    crashes: usize,
    refused: usize,
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let nodes = all_nodes();
        let mut world = Self {
            seed,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            faults,
            now: Timestamp(1_000_000),
            disks: nodes.iter().map(|n| (n.clone(), Ledger::default())).collect(),
            alive: BTreeMap::new(),
            messages: Vec::new(),
            next_ask: 1,
            next_life: 1,
            pushes: 0,
            committed: BTreeMap::new(),
            decided: BTreeMap::new(),
            refusals: BTreeSet::new(),
            outcomes: Vec::new(),
            aborted: 0,
            crashes: 0,
            refused: 0,
        };
        for node in nodes {
            world.start(&node);
        }
        world
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }

    fn step(&mut self) {
        let advance = self.roll(1_500_000);
        self.now = self.now.after(Duration::from_micros(advance));
        match self.roll(10) {
            0 => {
                let master = MASTERS[usize::try_from(self.roll(2)).unwrap()];
                self.push(master);
            }
            1 => self.revive_one(),
            2 => self.catch_up_one(),
            _ => self.deliver(),
        }
        self.timers();
    }

    /// No more faults: everyone is started, and everyone asks whom it receives from.
    fn heal(&mut self) {
        self.faults = Faults::none();
        self.run_to_rest();
        for node in all_nodes() {
            self.start(&node);
        }
        self.run_to_rest();
        for _ in 0..4 {
            for node in all_nodes() {
                for from in sources(&node) {
                    self.question(&node, &from);
                    self.run_to_rest();
                }
            }
        }
    }

    fn run_to_rest(&mut self) {
        for _ in 0..20_000 {
            if self.messages.is_empty() {
                let next = self.alive.values().filter_map(|n| n.relay.poll_timeout()).min();
                let Some(next) = next else { return };
                self.now = self.now.max(next);
            }
            self.deliver();
            self.timers();
        }
        panic!("seed {}: does not come to rest", self.seed);
    }

    fn check_healed(&self) {
        let epochs: BTreeSet<Epoch> = self.disks.values().map(Ledger::epoch).collect();
        assert_eq!(epochs.len(), 1, "seed {}: {epochs:?}", self.seed);
        let last = self.committed.keys().max().copied().unwrap_or_default();
        assert_eq!(epochs.first(), Some(&last), "seed {}: the newest decision wins", self.seed);
    }

    fn push(&mut self, master: &str) {
        let master = NodeName::new(master);
        self.pushes += 1;
        let masters = MASTERS.map(NodeName::new);
        let Some(node) = self.alive.get_mut(&master) else { return };
        if node.coordinator.is_some() {
            return;
        }
        let epoch = node.relay.ledger().next_epoch(&master, &masters);
        let mut digest = Digest::default();
        digest.0[..8].copy_from_slice(&self.pushes.to_be_bytes());
        let version = Version {
            epoch,
            digest,
            text: format!("push {}", self.pushes),
            author: "ada".to_owned(),
            message: String::new(),
            at: self.now,
            master: master.clone(),
        };
        let (coordinator, step) = Coordinator::start(version, Needs::default());
        node.coordinator = Some(coordinator);
        self.take_step(&master, step);
    }

    fn take_step(&mut self, master: &NodeName, step: Step) {
        match step {
            Step::Tell(down) => {
                if let Down::Commit { epoch, digest, fenced } = &down {
                    let before = self.decided.insert(*epoch, *digest);
                    assert!(before.is_none(), "seed {}: {epoch} decided twice", self.seed);
                    for (node, disk) in &self.disks {
                        let stored = disk.staged.as_ref().is_some_and(|s| {
                            (s.version.epoch, s.version.digest) == (*epoch, *digest)
                        });
                        let overtaken = self.refusals.contains(&(node.clone(), *epoch));
                        assert!(
                            fenced.contains(node) || !overtaken,
                            "seed {}: {node} refused {epoch}, and it is decided",
                            self.seed
                        );
                        // A node that was reached has it on disk, unless it has meanwhile moved on.
                        let moved = disk.epoch() > *epoch
                            || disk.promised.values().any(|promised| promised > epoch);
                        assert!(
                            fenced.contains(node) || stored || moved,
                            "seed {}: {node} is not prepared for {epoch}: {disk:?}",
                            self.seed
                        );
                    }
                }
                let now = self.now;
                let Some(node) = self.alive.get_mut(master) else { return };
                node.relay.handle_down(OWN, down, now);
                self.work(master);
            }
            Step::Over(verdict) => {
                self.aborted += usize::from(!verdict.committed);
                self.outcomes.push((verdict.committed, verdict.fenced.len()));
                if let Some(node) = self.alive.get_mut(master) {
                    node.coordinator = None;
                }
            }
        }
    }

    /// Carries out what a relay wants, and may die between any two steps.
    fn work(&mut self, name: &NodeName) {
        loop {
            if self.chance(self.faults.crash) {
                self.crash(name);
                return;
            }
            let Some(node) = self.alive.get_mut(name) else { return };
            let Some(action) = node.relay.poll_action() else { return };
            self.act(name, action);
        }
    }

    fn act(&mut self, name: &NodeName, action: Action) {
        match action {
            Action::Check(version) => {
                let refuses = self.chance(self.faults.refuse);
                let found =
                    if refuses { Err("cannot".to_owned()) } else { Ok(tree(&version.master)) };
                // Asked again after its answer was lost, a node may come to another result.
                let about = (name.clone(), version.epoch);
                if refuses {
                    self.refused += 1;
                    self.refusals.insert(about);
                } else {
                    self.refusals.remove(&about);
                }
                let now = self.now;
                self.with(name, |node| node.relay.handle_checked(version.epoch, found, now));
            }
            Action::Persist(ledger) => {
                self.write(name, *ledger);
                if self.chance(self.faults.crash) {
                    self.crash(name);
                    return;
                }
                let now = self.now;
                self.with(name, |node| node.relay.handle_persisted(Ok(()), now));
            }
            Action::Switch(version) => {
                assert_eq!(
                    self.disks[name].epoch(),
                    version.epoch,
                    "switched before it was durable"
                );
            }
            Action::Send { round, to, down } => {
                if let Down::Prepare(version) = &down {
                    let staged = self.disks[name].staged.as_ref().map(|s| s.version.epoch);
                    assert_eq!(staged, Some(version.epoch), "handed on before it was durable");
                }
                let life = self.alive[name].life;
                self.messages.push(Message::Ask { from: name.clone(), life, round, to, down });
            }
            Action::Progress(_) | Action::CatchUp => {}
            Action::Answer { asker: OWN, up } => {
                let Up::Outcomes(outcomes) = up else { panic!("outcomes for a coordinator") };
                let node = self.alive.get_mut(name).unwrap();
                let step = node.coordinator.as_mut().and_then(|c| c.handle_outcomes(outcomes));
                if let Some(step) = step {
                    self.take_step(&name.clone(), step);
                }
            }
            Action::Answer { asker, up } => self.answer(name, asker, up),
        }
    }

    fn answer(&mut self, name: &NodeName, asker: u64, up: Up) {
        if let Up::Outcomes(outcomes) = &up {
            let own = outcomes.iter().find(|(node, _)| node == name).map(|(_, o)| o.clone());
            if own == Some(Outcome::Prepared) {
                assert!(self.disks[name].staged.is_some(), "said prepared before it was durable");
            }
        }
        let Some((to, life, round)) = self.alive.get_mut(name).unwrap().asked.remove(&asker) else {
            return;
        };
        let from = name.clone();
        self.messages.push(Message::Reply { to, life, round, from, up: Ok(up) });
    }

    fn write(&mut self, name: &NodeName, ledger: Ledger) {
        let old = &self.disks[name];
        assert!(ledger.epoch() >= old.epoch(), "seed {}: {name} went back", self.seed);
        if let Some(version) = &ledger.committed {
            let text = (version.digest, version.text.clone());
            let known = self.committed.entry(version.epoch).or_insert_with(|| text.clone());
            assert_eq!(*known, text, "seed {}: two texts for {}", self.seed, version.epoch);
            assert!(
                self.decided.get(&version.epoch) == Some(&version.digest),
                "seed {}: {name} runs {} and nobody decided it",
                self.seed,
                version.epoch
            );
        }
        self.disks.insert(name.clone(), ledger);
    }

    fn with(&mut self, name: &NodeName, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.alive.get_mut(name) {
            change(node);
        }
    }

    fn deliver(&mut self) {
        if self.messages.is_empty() {
            return;
        }
        let count = u64::try_from(self.messages.len()).unwrap();
        let at = usize::try_from(self.roll(count)).unwrap();
        let message = self.messages.swap_remove(at);
        let lost = self.chance(self.faults.lose);
        // A broken connection is noticed at once or not at all.
        let noticed = self.chance(50);
        match message {
            Message::Ask { from, life, round, to, down } => {
                if lost || !self.alive.contains_key(&to) {
                    if noticed || !lost {
                        let up = Err("connection refused".to_owned());
                        self.messages.push(Message::Reply { to: from, life, round, from: to, up });
                    }
                    return;
                }
                let (now, asker) = (self.now, self.next_ask);
                self.next_ask += 1;
                self.with(&to, |node| {
                    node.asked.insert(asker, (from, life, round));
                    node.relay.handle_down(asker, down, now);
                });
                self.work(&to);
            }
            Message::Reply { to, life, round, from, up } => {
                let up = if lost { Err("connection reset".to_owned()) } else { up };
                if (lost && !noticed) || self.alive.get(&to).is_none_or(|n| n.life != life) {
                    return;
                }
                let now = self.now;
                self.with(&to, |node| match (round, up) {
                    (CATCH_UP, Ok(Up::Current(Some(version)))) => node.relay.handle_newer(version),
                    (CATCH_UP, _) => {}
                    (round, up) => node.relay.handle_up(round, &from, up, now),
                });
                self.work(&to);
            }
        }
    }

    fn timers(&mut self) {
        let now = self.now;
        let due: Vec<NodeName> = self
            .alive
            .iter()
            .filter(|(_, node)| node.relay.poll_timeout().is_some_and(|at| at <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.with(&name, |node| node.relay.handle_timeout(now));
            self.work(&name);
        }
    }

    fn crash(&mut self, name: &NodeName) {
        if self.alive.remove(name).is_some() {
            self.crashes += 1;
        }
    }

    fn start(&mut self, name: &NodeName) {
        if self.alive.contains_key(name) {
            return;
        }
        let relay = Relay::new(name.clone(), self.disks[name].clone());
        let life = self.next_life;
        self.next_life += 1;
        let node = Node { relay, coordinator: None, asked: BTreeMap::new(), life };
        self.alive.insert(name.clone(), node);
        let now = self.now;
        self.with(name, |node| node.relay.handle_start(now));
        self.work(name);
    }

    fn revive_one(&mut self) {
        let dead = all_nodes().into_iter().find(|node| !self.alive.contains_key(node));
        if let Some(name) = dead {
            self.start(&name);
        }
    }

    fn catch_up_one(&mut self) {
        let nodes = all_nodes();
        let count = u64::try_from(nodes.len()).unwrap();
        let node = nodes[usize::try_from(self.roll(count)).unwrap()].clone();
        let from = sources(&node);
        let count = u64::try_from(from.len()).unwrap();
        let from = from[usize::try_from(self.roll(count)).unwrap()].clone();
        self.question(&node, &from);
    }

    fn question(&mut self, node: &NodeName, to: &NodeName) {
        let Some(asking) = self.alive.get(node) else { return };
        let (life, down) = (asking.life, Down::Newer(asking.relay.ledger().epoch()));
        let (from, to) = (node.clone(), to.clone());
        self.messages.push(Message::Ask { from, life, round: CATCH_UP, to, down });
    }
}

fn relay() -> BTreeMap<NodeName, Vec<NodeName>> {
    let names = |list: &[&str]| list.iter().map(|name| NodeName::new(name)).collect();
    RELAY.iter().map(|(up, downs)| (NodeName::new(up), names(downs))).collect()
}

fn all_nodes() -> Vec<NodeName> {
    let relay = relay();
    let all: BTreeSet<NodeName> = relay.keys().chain(relay.values().flatten()).cloned().collect();
    all.into_iter().collect()
}

fn tree(master: &NodeName) -> Tree {
    Tree::of(master, &all_nodes().into_iter().collect(), &relay())
}

/// Whom a node catches up from: its parent, and masters.
fn sources(node: &NodeName) -> Vec<NodeName> {
    let parent = relay().into_iter().find(|(_, downs)| downs.contains(node)).map(|(up, _)| up);
    let masters = MASTERS.iter().map(|name| NodeName::new(name)).filter(|m| m != node);
    parent.into_iter().chain(masters).collect()
}
