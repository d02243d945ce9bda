//! How many answers of one class a prefix gets each second. Somebody who forges senders to have
//! others flooded gets little out of this server; an asker who is caught in it gets a cut answer
//! now and then, and comes over TCP.
//!
//! A bucket is one number, the time up to which its prefix has used its answers (a generic cell
//! rate), so that workers share the table without a lock. Memory is fixed: a new prefix takes the
//! place of the one with the least debt among those beside it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use popnet_terms::{PerTime, Timestamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::access::Access;
use crate::class::Class;

/// Buckets beside each other: one line of a processor's cache holds two such sets.
const WAYS: usize = 4;
/// 65,536 buckets, half a MiB: more prefixes than ask a busy server within a second.
const SETS: usize = 1 << 14;

/// A bucket's number: 20 bits say whose it is, 4 count for slips, 40 are microseconds.
const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
const SLIP_BITS: u32 = 4;
const SLIP_MASK: u64 = (1 << SLIP_BITS) - 1;
/// Times farther ahead than this are past: the clock of a bucket goes around in twelve days.
const AHEAD_MAX: u64 = TIME_MASK / 2;
/// Another worker changed the bucket so often: then one answer more does no harm.
const TRIES: usize = 4;

/// What is allowed. `None`: without limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Equal answers.
    pub responses: Option<PerTime>,
    /// "No such records", of one zone.
    pub nodata: Option<PerTime>,
    /// "No such name", of one zone.
    pub nxdomains: Option<PerTime>,
    /// Referrals to one cut.
    pub referrals: Option<PerTime>,
    /// Errors.
    pub errors: Option<PerTime>,
    /// Answers of every class together.
    pub all: Option<PerTime>,
    /// Every so-manieth of the answers over the limit goes out cut; 0: none.
    pub slip: u8,
    /// How much of an IPv4 address is one asker.
    pub ipv4_prefix: u8,
    /// How much of an IPv6 address is one asker.
    pub ipv6_prefix: u8,
    /// Who is not limited.
    pub exempt: Access,
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes out.
    Send,
    /// In its place goes a cut one: whoever is real asks again over TCP.
    Cut,
    /// Nothing goes out.
    Drop,
}

/// The table.
#[derive(Debug)]
pub struct Rates {
    limits: Limits,
    /// So that nobody can tell whose buckets share a place.
    seed: u64,
    buckets: Vec<[AtomicU64; WAYS]>,
}

/// Where an answer is counted.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Count {
    Answer,
    NoData,
    NxDomain,
    Referral,
    Error,
    All,
}

impl Rates {
    /// Nothing counted yet. `seed` is random.
    #[must_use]
    pub fn new(limits: Limits, seed: u64) -> Self {
        let buckets = (0..SETS).map(|_| Default::default()).collect();
        Self { limits, seed, buckets }
    }

    /// What is allowed.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Counts an answer of `class` to `asker` and says whether it may go out.
    #[must_use]
    pub fn judge(&self, asker: IpAddr, class: &Class<'_>, now: Timestamp) -> Verdict {
        let limits = &self.limits;
        if limits.exempt.has(asker) {
            return Verdict::Send;
        }
        let (count, name, limit) = match class {
            Class::Answer(question) => (Count::Answer, *question, limits.responses),
            Class::NoData(zone) => (Count::NoData, *zone, limits.nodata),
            Class::NxDomain(zone) => (Count::NxDomain, *zone, limits.nxdomains),
            Class::Referral(cut) => (Count::Referral, *cut, limits.referrals),
            Class::Error => (Count::Error, &[][..], limits.errors),
        };
        let asker = self.prefix(asker);
        let own = limit
            .map_or(Verdict::Send, |limit| self.count(self.key(asker, count, name), limit, now));
        let all = limits.all.map_or(Verdict::Send, |limit| {
            self.count(self.key(asker, Count::All, &[]), limit, now)
        });
        match (own, all) {
            (Verdict::Send, other) | (other, Verdict::Send) => other,
            // Both are over: who counts them all does not slip what the class lets slip.
            (Verdict::Cut, Verdict::Cut | Verdict::Drop) | (Verdict::Drop, Verdict::Cut) => {
                Verdict::Cut
            }
            (Verdict::Drop, Verdict::Drop) => Verdict::Drop,
        }
    }

    /// The part of an address that is one asker, with its length so that families differ.
    fn prefix(&self, address: IpAddr) -> u128 {
        let (bits, length) = match address.to_canonical() {
            IpAddr::V4(four) => {
                let keep = u32::from(self.limits.ipv4_prefix.min(32));
                let mask = u32::MAX.checked_shl(32 - keep).unwrap_or(0);
                (u128::from(four.to_bits() & mask) | 0xffff_0000_0000, keep)
            }
            IpAddr::V6(six) => {
                let keep = u32::from(self.limits.ipv6_prefix.min(128));
                (six.to_bits() & u128::MAX.checked_shl(128 - keep).unwrap_or(0), keep)
            }
        };
        bits ^ u128::from(length)
    }

    fn key(&self, asker: u128, count: Count, name: &[u8]) -> u64 {
        // Names are shorter than 256 octets; a question has four more.
        let mut octets = [0; 16 + 1 + 260];
        let content = asker.to_be_bytes().into_iter().chain([count as u8]);
        let content = content.chain(name.iter().map(u8::to_ascii_lowercase));
        let mut length = 0;
        for (octet, from) in octets.iter_mut().zip(content) {
            *octet = from;
            length += 1;
        }
        xxh3_64_with_seed(octets.get(..length).unwrap_or_default(), self.seed)
    }

    fn count(&self, key: u64, limit: PerTime, now: Timestamp) -> Verdict {
        let now = u64::try_from(now.0).unwrap_or(0) & TIME_MASK;
        // A rate of none: every answer is over it.
        let step = 3_600_000_000u64.checked_div(limit.0);
        // A second's answers may come at once; of a lower rate, one.
        let burst = step.map_or(0, |step| 1_000_000u64.max(step));
        let place = usize::try_from(key % SETS as u64).unwrap_or(0);
        let Some(set) = self.buckets.get(place) else { return Verdict::Send };
        let tag = key >> (TIME_BITS + SLIP_BITS);
        for _ in 0..TRIES {
            let Some((bucket, old)) = find(set, tag, now) else { return Verdict::Send };
            let is_own = old >> (TIME_BITS + SLIP_BITS) == tag;
            let used = if is_own { ahead(old, now) } else { 0 };
            let slips = if is_own { old >> TIME_BITS & SLIP_MASK } else { 0 };
            let fits = step.filter(|step| used + step <= burst);
            let (used, slips, verdict) = match fits {
                Some(step) => (used + step, slips, Verdict::Send),
                None => self.over(used, slips),
            };
            let time = (now + used) & TIME_MASK;
            let new = tag << (TIME_BITS + SLIP_BITS) | slips << TIME_BITS | time;
            let swapped = bucket.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed);
            if swapped.is_ok() {
                return verdict;
            }
        }
        Verdict::Send
    }

    /// An answer too many.
    fn over(&self, used: u64, slips: u64) -> (u64, u64, Verdict) {
        let every = u64::from(self.limits.slip).min(SLIP_MASK);
        let slips = slips + 1;
        if every > 0 && slips >= every {
            (used, 0, Verdict::Cut)
        } else {
            (used, slips.min(SLIP_MASK), Verdict::Drop)
        }
    }
}

/// By how much a bucket is used up.
fn ahead(bucket: u64, now: u64) -> u64 {
    let ahead = (bucket & TIME_MASK).wrapping_sub(now) & TIME_MASK;
    if ahead > AHEAD_MAX { 0 } else { ahead }
}

/// The bucket of `tag`, else the one with the least debt.
fn find(set: &[AtomicU64; WAYS], tag: u64, now: u64) -> Option<(&AtomicU64, u64)> {
    let all = || set.iter().map(|bucket| (bucket, bucket.load(Ordering::Relaxed)));
    let own = all().find(|(_, value)| value >> (TIME_BITS + SLIP_BITS) == tag && *value != 0);
    own.or_else(|| all().min_by_key(|(_, value)| ahead(*value, now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_700_049_600_000_000);

    fn limits(responses: u64, slip: u8) -> Limits {
        Limits {
            responses: Some(PerTime(responses * 3_600)),
            slip,
            ipv4_prefix: 24,
            ipv6_prefix: 56,
            ..Limits::default()
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const WWW: Class<'_> = Class::Answer(b"\x03www\x04test\0\0\x01\0\x01");

    #[test]
    fn a_second_at_once_then_slips_then_the_rate() {
        let rates = Rates::new(limits(5, 2), 9);
        let ask = |after_ms: i64| {
            rates.judge(ip("192.0.2.1"), &WWW, Timestamp(NOON.0 + after_ms * 1_000))
        };
        for _ in 0..5 {
            assert_eq!(ask(0), Verdict::Send);
        }
        assert_eq!(
            [ask(0), ask(0), ask(0), ask(0)],
            [Verdict::Drop, Verdict::Cut, Verdict::Drop, Verdict::Cut]
        );
        // A fifth of a second later there is room for one, however many were refused.
        assert_eq!([ask(200), ask(200)], [Verdict::Send, Verdict::Drop]);
        let sent = (0..1_000).filter(|tenth| ask(10_000 + tenth * 100) == Verdict::Send).count();
        // Ten a second, for 100 seconds: 5 at the start and 5 each second.
        assert!((500..=506).contains(&sent), "{sent}");
        // Long after, the whole second is there again; also after the bucket's clock went around.
        for day in [1, 30] {
            let later = day * 86_400_000;
            assert!((0..5).all(|_| ask(later) == Verdict::Send), "{day}");
            assert_ne!(ask(later), Verdict::Send, "{day}");
        }
    }

    #[test]
    fn prefixes_names_and_classes_count_apart() {
        let mut some = limits(1, 0);
        some.nxdomains = some.responses;
        some.errors = some.responses;
        some.exempt = Access::of(&["203.0.113.0/24".parse().unwrap()]);
        let rates = Rates::new(some, 9);
        let judge = |asker: &str, class: &Class<'_>| rates.judge(ip(asker), class, NOON);
        assert_eq!(judge("192.0.2.1", &WWW), Verdict::Send);
        assert_eq!(judge("192.0.2.255", &WWW), Verdict::Drop);
        assert_eq!(judge("192.0.3.1", &WWW), Verdict::Send);
        assert_eq!(judge("2001:db8::1", &WWW), Verdict::Send);
        assert_eq!(judge("2001:db8:0:ff::1", &WWW), Verdict::Drop);
        assert_eq!(judge("2001:db8:0:100::1", &WWW), Verdict::Send);
        // Capitals make no other name, another type does.
        let loud = Class::Answer(b"\x03WWW\x04tesT\0\0\x01\0\x01");
        assert_eq!(judge("192.0.2.1", &loud), Verdict::Drop);
        let other = Class::Answer(b"\x03www\x04test\0\0\x1c\0\x01");
        assert_eq!(judge("192.0.2.1", &other), Verdict::Send);
        assert_eq!(judge("192.0.2.1", &Class::NxDomain(b"\x04test\0")), Verdict::Send);
        assert_eq!(judge("192.0.2.1", &Class::NxDomain(b"\x04test\0")), Verdict::Drop);
        assert_eq!(judge("192.0.2.1", &Class::Error), Verdict::Send);
        assert_eq!(judge("192.0.2.1", &Class::Error), Verdict::Drop);
        for _ in 0..50 {
            assert_eq!(judge("192.0.2.1", &Class::Referral(b"\x04test\0")), Verdict::Send);
            assert_eq!(judge("203.0.113.9", &WWW), Verdict::Send);
        }
    }

    #[test]
    fn all_of_a_prefix_together() {
        let mut some = limits(100, 0);
        some.all = Some(PerTime(3 * 3_600));
        let rates = Rates::new(some, 9);
        let names: Vec<Vec<u8>> = (0..9u8).map(|n| vec![1, b'a' + n, 0, 0, 1, 0, 1]).collect();
        let sent = names.iter().filter(|name| {
            rates.judge(ip("192.0.2.1"), &Class::Answer(name), NOON) == Verdict::Send
        });
        assert_eq!(sent.count(), 3);
    }

    #[test]
    fn a_flood_of_prefixes_does_not_free_the_heavy_one() {
        let rates = Rates::new(limits(2, 0), 9);
        let victim = ip("198.51.100.1");
        let mut sent = 0;
        for n in 0..400_000u32 {
            let other = IpAddr::V4((0x0a00_0000 | n << 8).into());
            let _ = rates.judge(other, &WWW, NOON);
            if n % 10 == 0 && rates.judge(victim, &WWW, NOON) == Verdict::Send {
                sent += 1;
            }
        }
        // Evicted now and then, yet far from answered each time.
        assert!(sent < 4_000, "{sent} of 40,000");
    }

    #[test]
    fn a_rate_of_none_and_slow_rates() {
        let mut none = limits(0, 1);
        let rates = Rates::new(none.clone(), 9);
        assert_eq!(rates.judge(ip("192.0.2.1"), &WWW, NOON), Verdict::Cut);
        none.responses = Some(PerTime(6));
        none.slip = 0;
        let rates = Rates::new(none, 9);
        let ask = |minutes: i64| {
            rates.judge(ip("192.0.2.1"), &WWW, Timestamp(NOON.0 + minutes * 60_000_000))
        };
        assert_eq!([ask(0), ask(9), ask(10)], [Verdict::Send, Verdict::Drop, Verdict::Send]);
    }
}
