//! What else a cache could do when room is needed: the policies to compare with, as their papers
//! describe them. Plain rather than quick.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use popnet_cache::eviction::Queues;

use super::traces::Ask;

/// Takes an object that is asked for, and says whether it was there.
pub(crate) trait Policy {
    fn ask(&mut self, ask: Ask) -> bool;
}

/// Ours.
pub(crate) struct Ours {
    capacity: u64,
    used: u64,
    queues: Queues,
    sizes: HashMap<u64, u64>,
}

impl Policy for Ours {
    fn ask(&mut self, ask: Ask) -> bool {
        if self.sizes.contains_key(&ask.object) {
            self.queues.touch(ask.object);
            return true;
        }
        while self.used + ask.octets > self.capacity {
            let Some(gone) = self.queues.evict(|_| true) else { return false };
            self.used -= self.sizes.remove(&gone).unwrap();
        }
        self.queues.insert(ask.object, ask.object, ask.octets);
        self.sizes.insert(ask.object, ask.octets);
        self.used += ask.octets;
        false
    }
}

/// Objects in the order in which they were last put to the end.
#[derive(Default)]
struct Order {
    next: u64,
    at: BTreeMap<u64, Ask>,
    places: HashMap<u64, u64>,
    used: u64,
}

impl Order {
    fn has(&self, object: u64) -> bool {
        self.places.contains_key(&object)
    }

    fn push(&mut self, ask: Ask) {
        self.remove(ask.object);
        self.next += 1;
        self.at.insert(self.next, ask);
        self.places.insert(ask.object, self.next);
        self.used += ask.octets;
    }

    fn remove(&mut self, object: u64) -> Option<Ask> {
        let place = self.places.remove(&object)?;
        let ask = self.at.remove(&place)?;
        self.used -= ask.octets;
        Some(ask)
    }

    fn first(&self) -> Option<Ask> {
        self.at.first_key_value().map(|(_, ask)| *ask)
    }

    fn pop(&mut self) -> Option<Ask> {
        self.first().and_then(|ask| self.remove(ask.object))
    }
}

/// The one that nobody asked for longest goes.
pub(crate) struct Lru {
    capacity: u64,
    order: Order,
}

impl Policy for Lru {
    fn ask(&mut self, ask: Ask) -> bool {
        let hit = self.order.has(ask.object);
        if !hit {
            while self.order.used + ask.octets > self.capacity && self.order.pop().is_some() {}
        }
        self.order.push(ask);
        hit
    }
}

/// SIEVE (Zhang and others, NSDI 2024): a hand goes from the oldest to the newest, and takes the
/// first that was not asked for since it came by.
pub(crate) struct Sieve {
    capacity: u64,
    order: Order,
    wanted: HashSet<u64>,
    hand: u64,
}

impl Policy for Sieve {
    fn ask(&mut self, ask: Ask) -> bool {
        if self.order.has(ask.object) {
            self.wanted.insert(ask.object);
            return true;
        }
        while self.order.used + ask.octets > self.capacity {
            let next = self.order.at.range(self.hand..).next().or(self.order.at.first_key_value());
            let Some((place, found)) = next.map(|(place, found)| (*place, *found)) else { break };
            self.hand = place + 1;
            if !self.wanted.remove(&found.object) {
                self.order.remove(found.object);
            }
        }
        self.order.push(ask);
        false
    }
}

/// S3-FIFO (Yang and others, SOSP 2023): a small queue of a tenth, from which what was asked for
/// more than once gets into the main one, and a list of as many that fell out of it.
pub(crate) struct S3Fifo {
    capacity: u64,
    small: Order,
    main: Order,
    ghosts: VecDeque<u64>,
    counts: HashMap<u64, u8>,
}

impl S3Fifo {
    fn evict(&mut self) {
        if self.small.used * 10 >= self.capacity || self.main.at.is_empty() {
            let Some(first) = self.small.pop() else { return };
            if self.counts.remove(&first.object).unwrap_or(0) > 1 {
                self.main.push(first);
            } else {
                self.ghosts.push_back(first.object);
                while self.ghosts.len() > self.main.at.len().max(1) {
                    self.ghosts.pop_front();
                }
            }
        } else if let Some(first) = self.main.pop()
            && let Some(count) = self.counts.remove(&first.object).filter(|count| *count > 0)
        {
            self.counts.insert(first.object, count - 1);
            self.main.push(first);
        }
    }
}

impl Policy for S3Fifo {
    fn ask(&mut self, ask: Ask) -> bool {
        if self.small.has(ask.object) || self.main.has(ask.object) {
            let count = self.counts.entry(ask.object).or_default();
            *count = (*count + 1).min(3);
            return true;
        }
        while self.small.used + self.main.used + ask.octets > self.capacity {
            self.evict();
        }
        if self.ghosts.contains(&ask.object) {
            self.main.push(ask);
        } else {
            self.small.push(ask);
        }
        false
    }
}

/// W-TinyLFU (Einziger and others, 2017): a window of a hundredth, a main part of which four fifths
/// are protected, and a newcomer only gets in when it is wanted more often than what has to leave.
/// How often is counted exactly here, not by a sketch, and halved after ten times as many requests
/// as objects fit.
pub(crate) struct TinyLfu {
    capacity: u64,
    window: Order,
    trial: Order,
    protected: Order,
    counts: HashMap<u64, u32>,
    counted: usize,
}

impl TinyLfu {
    fn count(&mut self, object: u64) {
        *self.counts.entry(object).or_default() += 1;
        self.counted += 1;
        let held = self.window.at.len() + self.trial.at.len() + self.protected.at.len();
        if self.counted > 10 * held.max(100) {
            self.counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
            self.counted /= 2;
        }
    }

    fn frequency(&self, object: u64) -> u32 {
        self.counts.get(&object).copied().unwrap_or(0)
    }

    /// What left the window gets in, or not.
    fn admit(&mut self, newcomer: Ask) {
        let main = self.capacity - self.capacity / 100;
        while self.trial.used + self.protected.used + newcomer.octets > main {
            let Some(victim) = self.trial.first().or(self.protected.first()) else { return };
            if self.frequency(newcomer.object) <= self.frequency(victim.object) {
                return;
            }
            self.trial.remove(victim.object).or_else(|| self.protected.remove(victim.object));
        }
        self.trial.push(newcomer);
    }
}

impl Policy for TinyLfu {
    fn ask(&mut self, ask: Ask) -> bool {
        self.count(ask.object);
        if self.window.has(ask.object) {
            self.window.push(ask);
            return true;
        }
        if self.protected.has(ask.object) || self.trial.remove(ask.object).is_some() {
            self.protected.push(ask);
            while self.protected.used > self.capacity / 100 * 79 {
                let Some(demoted) = self.protected.pop() else { break };
                self.trial.push(demoted);
            }
            return true;
        }
        self.window.push(ask);
        while self.window.used > self.capacity / 100 {
            let Some(candidate) = self.window.pop() else { break };
            self.admit(candidate);
        }
        false
    }
}

/// Ours first.
pub(crate) const NAMES: [&str; 5] = ["popnet", "LRU", "SIEVE", "S3-FIFO", "W-TinyLFU"];

pub(crate) fn all(capacity: u64) -> [Box<dyn Policy>; 5] {
    let (used, hand, counted) = (0, 0, 0);
    [
        Box::new(Ours { capacity, used, queues: Queues::default(), sizes: HashMap::new() }),
        Box::new(Lru { capacity, order: Order::default() }),
        Box::new(Sieve { capacity, order: Order::default(), wanted: HashSet::new(), hand }),
        Box::new(S3Fifo {
            capacity,
            small: Order::default(),
            main: Order::default(),
            ghosts: VecDeque::new(),
            counts: HashMap::new(),
        }),
        Box::new(TinyLfu {
            capacity,
            window: Order::default(),
            trial: Order::default(),
            protected: Order::default(),
            counts: HashMap::new(),
            counted,
        }),
    ]
}
