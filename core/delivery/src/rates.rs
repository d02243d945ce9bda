//! How often each client asks. A bucket is one number, the time up to which its client has used
//! its requests (a generic cell rate), so that threads share the table without a lock. Memory is
//! fixed: a new client takes the place of the one with the least debt among those beside it.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use popnet_terms::{PerTime, Seconds, Timestamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Buckets beside each other.
const WAYS: usize = 4;
/// 65,536 buckets, half a MiB: more clients than ask a node within the seconds that count.
const SETS: usize = 1 << 14;

/// A bucket's number: 24 bits say whose it is, 40 are microseconds.
const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// Times farther ahead than this are past: the clock of a bucket goes around in twelve days.
const AHEAD_MAX: u64 = TIME_MASK / 2;
/// Another thread changed the bucket so often: then one request more does no harm.
const TRIES: usize = 4;

/// The requests of so much time may come at once: a page asks for its parts together.
const BURST_US: u64 = 10_000_000;

/// Whether a client may ask now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// It may.
    Allowed,
    /// Not before so long.
    After(Seconds),
}

/// The table.
#[derive(Debug)]
pub struct Rates {
    /// So that nobody can tell whose buckets share a place.
    seed: u64,
    /// None until somebody's requests are counted.
    buckets: OnceLock<Vec<[AtomicU64; WAYS]>>,
}

impl Rates {
    /// Nothing counted yet. `seed` is random.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, buckets: OnceLock::new() }
    }

    /// Counts a request of `client` for `site` and says whether it may be served. A client is an
    /// IPv4 address, or an IPv6 /64: whoever has one address there has them all. What has another
    /// rate is counted apart, so that many pictures do not use up the few calls of an API.
    #[must_use]
    pub fn count(&self, site: &str, client: IpAddr, rate: PerTime, now: Timestamp) -> Allowance {
        let step = 3_600_000_000_u64.checked_div(rate.0).unwrap_or(AHEAD_MAX / 2);
        let step = step.clamp(1, AHEAD_MAX / 2);
        let most = BURST_US.max(step);
        let who = self.key(site, rate, client);
        let now = u64::try_from(now.0).unwrap_or(0) & TIME_MASK;
        let place = usize::try_from(who % (SETS as u64)).unwrap_or(0);
        let buckets = self.buckets.get_or_init(|| (0..SETS).map(|_| Default::default()).collect());
        let Some(set) = buckets.get(place) else { return Allowance::Allowed };
        let tag = who >> TIME_BITS;
        for _ in 0..TRIES {
            let Some((bucket, held)) = find(set, tag, now) else { break };
            let ahead = if held >> TIME_BITS == tag { ahead(held, now) } else { 0 };
            let used = ahead + step;
            if used > most {
                let seconds = (used - most).div_ceil(1_000_000);
                return Allowance::After(Seconds(u32::try_from(seconds).unwrap_or(u32::MAX)));
            }
            let next = tag << TIME_BITS | (now + used) & TIME_MASK;
            if bucket.compare_exchange(held, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                break;
            }
        }
        Allowance::Allowed
    }

    fn key(&self, site: &str, rate: PerTime, client: IpAddr) -> u64 {
        let bits = match client.to_canonical() {
            IpAddr::V4(four) => u128::from(four.to_bits()) | 0xffff_0000_0000,
            IpAddr::V6(six) => six.to_bits() >> 64 << 64,
        };
        let site = xxh3_64_with_seed(site.as_bytes(), self.seed ^ rate.0);
        xxh3_64_with_seed(&bits.to_be_bytes(), site)
    }
}

/// The bucket with this tag, else the one with the least debt; and what it holds.
fn find(set: &[AtomicU64; WAYS], tag: u64, now: u64) -> Option<(&AtomicU64, u64)> {
    let all = || set.iter().map(|bucket| (bucket, bucket.load(Ordering::Relaxed)));
    let own = all().find(|(_, held)| *held != 0 && held >> TIME_BITS == tag);
    own.or_else(|| all().min_by_key(|(_, held)| ahead(*held, now)))
}

/// How far ahead of now a bucket's time is.
fn ahead(held: u64, now: u64) -> u64 {
    let ahead = (held & TIME_MASK).wrapping_sub(now) & TIME_MASK;
    if held == 0 || ahead > AHEAD_MAX { 0 } else { ahead }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_900_000_000_000_000 + ms * 1_000)
    }

    #[test]
    fn the_requests_of_ten_seconds_and_then_the_rate() {
        let rates = Rates::new(7);
        let ask = |client: &str, ms| {
            rates.count("a.test", client.parse().unwrap(), "5/s".parse().unwrap(), at(ms))
        };
        assert!((0..50).all(|_| ask("192.0.2.1", 0) == Allowance::Allowed));
        assert_eq!(ask("192.0.2.1", 0), Allowance::After(Seconds(1)));
        assert_eq!(ask("::ffff:192.0.2.1", 0), Allowance::After(Seconds(1)));
        assert_eq!(ask("192.0.2.2", 0), Allowance::Allowed);
        assert_eq!(ask("192.0.2.1", 200), Allowance::Allowed);
        assert_eq!(ask("192.0.2.1", 200), Allowance::After(Seconds(1)));
        // The addresses of one /64 are one client.
        assert!((0..50).all(|n| ask(&format!("2001:db8::{n}"), 0) == Allowance::Allowed));
        assert_eq!(ask("2001:db8::ffff", 0), Allowance::After(Seconds(1)));
        // Another rate of the same site has its own account.
        let apart = rates.count("a.test", "192.0.2.1".parse().unwrap(), PerTime(3_600), at(200));
        assert_eq!(apart, Allowance::Allowed);
        let slow = rates.count("b.test", "192.0.2.1".parse().unwrap(), PerTime(60), at(0));
        assert_eq!(slow, Allowance::Allowed);
        let slow = rates.count("b.test", "192.0.2.1".parse().unwrap(), PerTime(60), at(0));
        assert_eq!(slow, Allowance::After(Seconds(60)));
    }

    proptest! {
        /// Over any time nobody gets more than the rate and the burst allow, and whoever keeps to
        /// the rate is never refused.
        #[test]
        fn never_more_than_the_rate(
            per_second in 1_u64..200,
            gaps in prop::collection::vec(0_i64..2_000, 1..400),
        ) {
            let rates = Rates::new(1);
            let client = "192.0.2.1".parse().unwrap();
            let rate = PerTime(per_second * 3_600);
            let (mut now, mut allowed) = (0, 0_u64);
            for gap in gaps {
                now += gap;
                allowed += u64::from(rates.count("a", client, rate, at(now)) == Allowance::Allowed);
                let passed = u64::try_from(now).unwrap();
                prop_assert!(allowed <= per_second * 10 + per_second * passed / 1_000 + 1);
            }
            let calm = "192.0.2.9".parse().unwrap();
            let step = i64::try_from(1_000_u64.div_ceil(per_second)).unwrap();
            for n in 0..500 {
                prop_assert_eq!(rates.count("a", calm, rate, at(n * step)), Allowance::Allowed);
            }
        }
    }
}
