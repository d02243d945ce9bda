//! Which entry goes when room is needed: S3-FIFO. New entries pass through a small queue, which
//! those that are asked for only once leave again; the others live in the main queue. A list of
//! lately evicted keys lets a returning one straight into the main queue.

use std::collections::{HashMap, VecDeque};

/// A tenth of the octets belongs to the small queue.
const SMALL_SHARE: u64 = 10;

/// Interest above this is not told apart.
const INTEREST_MAX: u8 = 3;

/// Fewest evicted keys that are remembered.
const GHOSTS_MIN: usize = 256;

/// The queues over entries named by number (Yang and others, "FIFO queues are all you need for
/// cache eviction", SOSP 2023), counted by octets.
#[derive(Debug, Default)]
pub struct Queues {
    small: VecDeque<u64>,
    main: VecDeque<u64>,
    known: HashMap<u64, Known>,
    small_octets: u64,
    octets: u64,
    ghosts: VecDeque<u64>,
    ghost_counts: HashMap<u64, u32>,
}

#[derive(Debug)]
struct Known {
    key_hash: u64,
    octets: u64,
    interest: u8,
    small: bool,
}

impl Queues {
    /// Takes in an entry `name` of `octets` under a key of that hash.
    pub fn insert(&mut self, name: u64, key_hash: u64, octets: u64) {
        let small = !self.is_ghost(key_hash);
        self.known.insert(name, Known { key_hash, octets, interest: 0, small });
        self.octets += octets;
        if small {
            self.small_octets += octets;
            self.small.push_back(name);
        } else {
            self.main.push_back(name);
        }
    }

    /// Somebody asked for it.
    pub fn touch(&mut self, name: u64) {
        if let Some(known) = self.known.get_mut(&name) {
            known.interest = (known.interest + 1).min(INTEREST_MAX);
        }
    }

    /// It takes so many octets more.
    pub fn grow(&mut self, name: u64, octets: u64) {
        if let Some(known) = self.known.get_mut(&name) {
            known.octets += octets;
            self.octets += octets;
            if known.small {
                self.small_octets += octets;
            }
        }
    }

    /// Forgets an entry that was removed for another reason than room; the queues' own mention of
    /// it is skipped when its turn comes.
    pub fn remove(&mut self, name: u64) {
        if let Some(known) = self.known.remove(&name) {
            self.octets -= known.octets;
            if known.small {
                self.small_octets -= known.octets;
            }
        }
        // Skipped mentions must not pile up in a shard that is purged more than it evicts.
        if self.small.len() + self.main.len() > 2 * self.known.len() + 64 {
            let known = &self.known;
            self.small.retain(|name| known.contains_key(name));
            self.main.retain(|name| known.contains_key(name));
        }
    }

    /// The next to go among those that `free` says are in nobody's use; it is forgotten here.
    pub fn evict(&mut self, free: impl Fn(u64) -> bool) -> Option<u64> {
        // Each entry's interest is used up after so many rounds, so this always ends.
        let rounds = (self.small.len() + self.main.len()) * (usize::from(INTEREST_MAX) + 2);
        let mut busy = 0;
        for _ in 0..rounds {
            let small_first = self.small_octets * SMALL_SHARE > self.octets || self.main.is_empty();
            let queue = if small_first { &mut self.small } else { &mut self.main };
            let Some(name) = queue.pop_front() else { continue };
            let Some(known) = self.known.get_mut(&name) else { continue };
            if !free(name) {
                // Evicting it would free nothing before its readers are done.
                if known.small {
                    self.small.push_back(name);
                } else {
                    self.main.push_back(name);
                }
                busy += 1;
                if busy > self.known.len() {
                    return None;
                }
                continue;
            }
            if known.small && known.interest > 0 {
                known.small = false;
                known.interest = 0;
                self.small_octets -= known.octets;
                self.main.push_back(name);
                continue;
            }
            if !known.small && known.interest > 0 {
                known.interest -= 1;
                self.main.push_back(name);
                continue;
            }
            let (hash, small) = (known.key_hash, known.small);
            self.remove(name);
            if small {
                self.remember(hash);
            }
            return Some(name);
        }
        None
    }

    /// Whether what lay under the key was lately evicted.
    pub fn is_ghost(&self, key_hash: u64) -> bool {
        self.ghost_counts.contains_key(&key_hash)
    }

    fn remember(&mut self, key_hash: u64) {
        self.ghosts.push_back(key_hash);
        *self.ghost_counts.entry(key_hash).or_default() += 1;
        while self.ghosts.len() > self.known.len().max(GHOSTS_MIN) {
            let Some(oldest) = self.ghosts.pop_front() else { return };
            if let Some(count) = self.ghost_counts.get_mut(&oldest) {
                *count -= 1;
                if *count == 0 {
                    self.ghost_counts.remove(&oldest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_ones_stay() {
        let mut queues = Queues::default();
        for name in 0..100 {
            queues.insert(name, name, 10);
        }
        for name in 0..10 {
            queues.touch(name);
        }
        let gone: Vec<u64> = std::iter::from_fn(|| queues.evict(|_| true)).take(89).collect();
        assert!(gone.iter().all(|name| *name >= 10), "{gone:?}");
        assert!(queues.is_ghost(50) && !queues.is_ghost(5));
        // One that comes back goes to the main queue, past a crowd of new ones.
        queues.insert(1_000, 50, 10);
        for name in 2_000..2_050 {
            queues.insert(name, name, 10);
        }
        let gone: Vec<u64> = std::iter::from_fn(|| queues.evict(|_| true)).take(49).collect();
        assert!(!gone.contains(&1_000), "{gone:?}");
    }

    #[test]
    fn ends_when_nothing_is_free() {
        let mut queues = Queues::default();
        assert_eq!(queues.evict(|_| true), None);
        for name in 0..10 {
            queues.insert(name, name, 10);
        }
        assert_eq!(queues.evict(|_| false), None);
        assert_eq!(queues.evict(|name| name == 7), Some(7));
        queues.grow(3, 5);
        queues.grow(7, 5);
        assert_eq!((queues.octets, queues.small_octets), (95, 95), "7 has gone");
        for name in 0..10 {
            queues.remove(name);
        }
        assert_eq!(queues.evict(|_| true), None);
        assert_eq!((queues.octets, queues.small_octets), (0, 0));
    }
}
