//! The order of the candidates that are left: by score, and among equals by a hash of the client
//! weighted with what each can carry (weighted rendezvous). The weight fades with the distance
//! from the best, so that a small change of one input moves a small share of the clients; and a
//! target that goes away moves only its own clients. Whole numbers only.

use popnet_config::network::Preset;
use popnet_terms::RttSource;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::choice::Client;
use crate::rules::{SiteRules, Target};
use crate::score::Points;

/// A candidate that may be named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runner<'a> {
    /// Its place among the site's targets, which is that of its name.
    pub(crate) index: usize,
    pub(crate) target: &'a Target,
    pub(crate) points: &'a Points,
    /// How its distance is known.
    pub(crate) source: RttSource,
    /// The share of its weight that it has after it came back, in thousandths.
    pub(crate) ramp: u16,
}

/// Several of them: eight without asking for memory.
pub(crate) type Runners<'a> = SmallVec<[Runner<'a>; 8]>;

/// The candidates in order.
#[derive(Clone, Debug)]
pub(crate) struct Ranked<'a> {
    pub(crate) order: Runners<'a>,
    /// How many at the front share the clients among them.
    pub(crate) tie: usize,
}

/// The hash of who asks: the same client is always in the same place of the hash's circle.
pub(crate) fn client_hash(rules: &SiteRules, client: &Client) -> u64 {
    let who = match client {
        Client::Unit(unit) => {
            let (address, length) = match unit.network() {
                std::net::IpAddr::V4(v4) => (v4.to_ipv6_mapped().octets(), unit.prefix_len()),
                std::net::IpAddr::V6(v6) => (v6.octets(), unit.prefix_len()),
            };
            xxh3_64(&address) ^ u64::from(length)
        }
        Client::Pop(pop) => xxh3_64(pop.as_str().as_bytes()),
    };
    mix(who, rules.hash)
}

/// `runners`, best first.
pub(crate) fn rank<'a>(rules: &SiteRules, client: u64, runners: &[Runner<'a>]) -> Ranked<'a> {
    match rules.preset {
        Preset::FailoverOrder => in_order(runners),
        Preset::Weighted => shared(client, runners, |target| target.weight),
        Preset::Spread => shared(client, runners, |target| target.capacity),
        Preset::CheapestWithin => cheapest(rules, client, runners),
        Preset::Fastest | Preset::GeoOnly | Preset::SumNs => fastest(rules, client, runners),
    }
}

/// `runners` where none has room: each gets a share by what it can carry.
pub(crate) fn level<'a>(client: u64, runners: &[Runner<'a>]) -> Ranked<'a> {
    shared(client, runners, |target| target.capacity)
}

/// Where a client stands among those that `target` may send elsewhere, in thousandths: it moves
/// while more than that is shed. A share that grows only adds to those that moved before.
pub(crate) fn shed_draw(client: u64, target: &Target) -> u16 {
    let hash = mix(mix(client, target.hash), SHED_SALT);
    let draw = (u128::from(hash) * 1_000) >> 64;
    u16::try_from(draw).unwrap_or(999)
}

/// Sets this draw apart from the one that shares clients out: "shed" in ASCII.
const SHED_SALT: u64 = 0x7368_6564;

/// The configured order.
fn in_order<'a>(runners: &[Runner<'a>]) -> Ranked<'a> {
    let mut order = Runners::from_slice(runners);
    order.sort_unstable_by_key(|runner| (runner.target.order, runner.index));
    Ranked { order, tie: 1 }
}

/// Everybody shares, by configured weight.
fn shared<'a>(client: u64, runners: &[Runner<'a>], weight: impl Fn(&Target) -> u64) -> Ranked<'a> {
    let weight = |r: &Runner<'a>| u128::from(weight(r.target)) * back(r);
    let order = drawn(client, runners.iter().map(|r| (weight(r), *r)).collect());
    Ranked { tie: order.len(), order }
}

/// The lowest score; who is within the band shares.
fn fastest<'a>(rules: &SiteRules, client: u64, runners: &[Runner<'a>]) -> Ranked<'a> {
    if runners.iter().all(|r| r.source == RttSource::Default) {
        return unmeasured(runners);
    }
    banded(rules, client, runners, |runner| u64::from(runner.points.sum.0))
}

/// Nothing is known of this client: score without distance, then price, then name.
fn unmeasured<'a>(runners: &[Runner<'a>]) -> Ranked<'a> {
    let mut order = Runners::from_slice(runners);
    order.sort_unstable_by_key(|r| (whole_ms(r.points.sum.0.into()), r.target.cost, r.index));
    Ranked { order, tie: 1 }
}

/// Among those within the band of the fastest, price aside, the cheapest; equal prices share.
fn cheapest<'a>(rules: &SiteRules, client: u64, runners: &[Runner<'a>]) -> Ranked<'a> {
    let free = |r: &Runner<'a>| u64::from(r.points.sum.0.saturating_sub(r.points.cost.0));
    let best = runners.iter().map(free).min().unwrap_or(0);
    let near = |r: &&Runner<'a>| free(r) <= best.saturating_add(band(rules, best));
    let lowest = runners.iter().filter(near).map(|r| r.target.cost).min();
    let (cheap, mut rest): (Runners<'a>, Runners<'a>) =
        runners.iter().copied().partition(|r| near(&r) && Some(r.target.cost) == lowest);
    let mut ranked = banded(rules, client, &cheap, free);
    rest.sort_unstable_by_key(|r| (!near(&r), r.target.cost, whole_ms(free(r)), r.index));
    ranked.order.extend(rest);
    ranked
}

fn banded<'a>(
    rules: &SiteRules,
    client: u64,
    runners: &[Runner<'a>],
    key: impl Fn(&Runner<'a>) -> u64,
) -> Ranked<'a> {
    let score = |runner: &Runner<'a>| whole_ms(key(runner)) * 1_000;
    let best = runners.iter().map(score).min().unwrap_or(0);
    let band = band(rules, best);
    let mut shares = Shares::new();
    let mut rest: SmallVec<[(u64, Runner<'a>); 8]> = SmallVec::new();
    for runner in runners {
        let behind = score(runner) - best;
        if behind == 0 || behind < band {
            // One more than the rest of the band: with a band of 0 equals still share.
            let weight = u128::from(runner.target.capacity) * u128::from(band - behind + 1);
            let weight = weight * back(runner);
            shares.push((weight, *runner));
        } else {
            rest.push((behind, *runner));
        }
    }
    rest.sort_unstable_by_key(|(behind, runner)| (*behind, runner.index));
    let mut order = drawn(client, shares);
    let tie = order.len();
    order.extend(rest.into_iter().map(|(_, runner)| runner));
    Ranked { order, tie }
}

/// How far from the best still counts as equal.
fn band(rules: &SiteRules, best: u64) -> u64 {
    u64::from(rules.tie_within.0).max(best * u64::from(rules.tie_share) / 1_000)
}

/// Scores are compared in whole milliseconds: smaller differences are noise.
fn whole_ms(micros: u64) -> u64 {
    (micros + 500) / 1_000
}

/// Weights and those who have them.
type Shares<'a> = SmallVec<[(u128, Runner<'a>); 4]>;

/// A target's draw for one client: the least `-log2(hash) / weight` wins.
#[derive(Clone, Copy, Debug)]
struct Draw {
    /// `-log2(hash / 2^64)`, 32 bits after the point; never 0.
    length: u64,
    weight: u128,
}

impl Draw {
    fn new(client: u64, target: &Target, weight: u128) -> Self {
        Self { length: negative_log2(mix(client, target.hash)), weight }
    }

    /// Compares `length / weight` without dividing. Weights stay below 2^64, so that the
    /// products fit.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let mine = u128::from(self.length).saturating_mul(other.weight);
        let theirs = u128::from(other.length).saturating_mul(self.weight);
        mine.cmp(&theirs)
    }
}

/// The factor of a target's weight while it comes back; a thousand is all of it. Capacities are a
/// million and bands 2^32 at most: the product stays below 2^64.
fn back(runner: &Runner<'_>) -> u128 {
    runner.ramp.clamp(1, 1_000).into()
}

/// Those who share, by their draws. One alone need not draw.
fn drawn<'a>(client: u64, shares: Shares<'a>) -> Runners<'a> {
    if let [(_, only)] = shares.as_slice() {
        return Runners::from_slice(&[*only]);
    }
    let draw =
        |(weight, runner): (u128, Runner<'a>)| (Draw::new(client, runner.target, weight), runner);
    let mut draws: SmallVec<[(Draw, Runner<'a>); 4]> = shares.into_iter().map(draw).collect();
    draws.sort_unstable_by(|(a, one), (b, other)| {
        a.cmp(b).then_with(|| one.index.cmp(&other.index))
    });
    draws.into_iter().map(|(_, runner)| runner).collect()
}

fn mix(a: u64, b: u64) -> u64 {
    let mut both = [0; 16];
    let (first, second) = both.split_at_mut(8);
    first.copy_from_slice(&a.to_be_bytes());
    second.copy_from_slice(&b.to_be_bytes());
    xxh3_64(&both)
}

/// `-log2(hash / 2^64)` with 32 bits after the point, by repeated squaring.
fn negative_log2(hash: u64) -> u64 {
    let hash = hash.max(1);
    let zeros = hash.leading_zeros();
    let mut mantissa = hash << zeros;
    let mut fraction = 0_u64;
    for _ in 0..32 {
        // Both factors are in [1, 2) with 63 bits after the point, the square in [1, 4).
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let over = square >> 64 != 0;
        let next = if over { square >> 1 } else { square };
        mantissa = u64::try_from(next).unwrap_or(u64::MAX);
        fraction = (fraction << 1) | u64::from(over);
    }
    let log = (u64::from(63 - zeros) << 32) | fraction;
    (64 << 32) - log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm() {
        assert_eq!(negative_log2(1 << 63), 1 << 32);
        assert_eq!(negative_log2(1 << 62), 2 << 32);
        assert_eq!(negative_log2(0), 64 << 32);
        assert_eq!(negative_log2(u64::MAX), 1);
        // log2(3/4) = -0.41503749927…
        let quarter = 3 << 62;
        assert_eq!(negative_log2(quarter), 1_782_572_487);
    }
}
