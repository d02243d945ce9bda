//! What happens next, and the log of what has happened.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use popnet_terms::Timestamp;
use xxhash_rust::xxh3::Xxh3;

/// Events in order of their time; of the same time in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    added: u64,
}

#[derive(Debug)]
struct Entry<E> {
    key: (Timestamp, u64),
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), added: 0 }
    }

    pub(crate) fn add(&mut self, at: Timestamp, event: E) {
        self.added += 1;
        self.heap.push(Reverse(Entry { key: (at, self.added), event }));
    }

    pub(crate) fn next(&mut self) -> Option<(Timestamp, E)> {
        self.heap.pop().map(|Reverse(entry)| (entry.key.0, entry.event))
    }
}

/// Everything that happened, as a digest: equal digests are equal histories.
#[derive(Clone)]
pub(crate) struct Journal {
    hash: Xxh3,
    pub(crate) events: u64,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { hash: Xxh3::new(), events: 0 }
    }

    /// Something happened: what kind, to whom, and with what.
    pub(crate) fn note(&mut self, at: Timestamp, kind: u8, who: usize, what: u64) {
        self.events += 1;
        self.hash.update(&at.0.to_be_bytes());
        self.hash.update(&[kind]);
        self.hash.update(&crate::num::count(who).to_be_bytes());
        self.hash.update(&what.to_be_bytes());
    }

    /// Octets that were sent.
    pub(crate) fn octets(&mut self, octets: &[u8]) {
        self.hash.update(octets);
    }

    pub(crate) fn digest(&self) -> String {
        format!("{:032x}", self.hash.digest128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_of_time_then_of_arrival() {
        let mut queue = Queue::new();
        for (at, event) in [(3, 'd'), (1, 'a'), (2, 'b'), (2, 'c')] {
            queue.add(Timestamp(at), event);
        }
        let order: String = std::iter::from_fn(|| queue.next()).map(|(_, event)| event).collect();
        assert_eq!(order, "abcd");
    }
}
