//! Request ids: `01JDA6Q2M8XW-fra1`. Ten characters of time in microseconds, so that ids sort by
//! time; two that tell nodes of a POP apart; the POP. Never twice on a node while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use popnet_terms::{NodeName, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

/// Crockford's base 32: no letters that look like digits.
const ALPHABET: [char; 32] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J',
    'K', 'M', 'N', 'P', 'Q', 'R', 'S', 'T', 'V', 'W', 'X', 'Y', 'Z',
];

/// 2020-01-01 in microseconds: fifty bits from there reach the year 2055.
const SINCE: i64 = 1_577_836_800_000_000;

/// Makes ids.
#[derive(Debug)]
pub(crate) struct Names {
    last: AtomicU64,
    node: u64,
    pop: String,
}

impl Names {
    pub(crate) fn new(node: &NodeName) -> Self {
        let node_bits = xxh3_64(node.as_str().as_bytes()) & 0x3ff;
        Self { last: AtomicU64::new(0), node: node_bits, pop: node.pop().as_str().to_owned() }
    }

    pub(crate) fn next(&self, now: Timestamp) -> Arc<str> {
        let now = u64::try_from(now.0.saturating_sub(SINCE)).unwrap_or(0);
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
        let time = last.map_or(now, |last| now.max(last + 1)) & ((1 << 50) - 1);
        let mut bits = time << 10 | self.node;
        let mut text = ['0'; 12];
        for place in text.iter_mut().rev() {
            let digit = usize::try_from(bits & 31).unwrap_or(0);
            *place = ALPHABET.get(digit).copied().unwrap_or('0');
            bits >>= 5;
        }
        text.iter().chain(&['-']).copied().chain(self.pop.chars()).collect::<String>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_single() {
        let names = Names::new(&NodeName::new("edge1.fra1"));
        let now = Timestamp(1_700_000_000_000_000);
        let ids: Vec<_> = (0..1_000).map(|_| names.next(now)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", &ids[..3]);
        assert!(names.next(Timestamp(now.0 + 10_000)) > ids[999]);
        assert!(ids[0].ends_with("-fra1") && ids[0].len() == 17);
    }
}
