//! How often other people's resolvers may be bothered (steering model, section 5): so many bursts
//! a second in total, and a long pause for each of them that doubles while it is silent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use popnet_config::network::Budget;
use popnet_terms::{PerTime, Timestamp};

/// Resolvers remembered. More are refused until the oldest may be forgotten.
const RESOLVERS_MAX: usize = 100_000;

/// Unset: bursts a second from one POP.
const PER_POP: u32 = 200;

/// Unset: one burst to a resolver in ten minutes.
const PER_RESOLVER: PerTime = PerTime(6);

/// A silent resolver's pause doubles this often at most.
const DOUBLINGS_MAX: u32 = 6;

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_hours(24);

/// The budget and what was spent of it.
#[derive(Debug)]
pub(crate) struct Politeness {
    /// Between two bursts of ours.
    gap: Duration,
    /// Between two bursts to one resolver.
    pause: Duration,
    next: Timestamp,
    resolvers: BTreeMap<IpAddr, Visited>,
    /// Networks whose operators want none of our packets.
    never: Vec<IpNet>,
}

#[derive(Clone, Copy, Debug)]
struct Visited {
    next: Timestamp,
    silent: u32,
}

impl Politeness {
    pub(crate) fn new(budget: Option<&Budget>) -> Self {
        let mut politeness = Self {
            gap: Duration::ZERO,
            pause: Duration::ZERO,
            next: Timestamp(0),
            resolvers: BTreeMap::new(),
            never: Vec::new(),
        };
        politeness.configure(budget);
        politeness
    }

    /// A new budget; what was spent stays spent.
    pub(crate) fn configure(&mut self, budget: Option<&Budget>) {
        let per_pop = budget.and_then(|budget| budget.per_pop).unwrap_or(PER_POP).max(1);
        self.never = budget.map(|budget| budget.never.clone()).unwrap_or_default();
        self.gap = Duration::from_secs(1) / per_pop;
        self.pause = pause(budget);
    }

    /// Whether `resolver` may be bothered at all now, as far as it is concerned.
    pub(crate) fn admits(&self, resolver: IpAddr, now: Timestamp) -> bool {
        // Nobody's unicast address: an error of the asker, or worse.
        let nobody = resolver.is_unspecified()
            || resolver.is_multicast()
            || resolver == IpAddr::from([255, 255, 255, 255]);
        let rested = self.resolvers.get(&resolver).is_none_or(|visited| visited.next <= now);
        let room = self.resolvers.len() < RESOLVERS_MAX || self.resolvers.contains_key(&resolver);
        !nobody && rested && room && !self.is_opted_out(resolver)
    }

    /// Whether `resolver` is in a network that wants no probes. An IPv4 address in IPv6 clothes is
    /// the same machine.
    fn is_opted_out(&self, resolver: IpAddr) -> bool {
        let resolver = resolver.to_canonical();
        self.never.iter().any(|network| network.contains(&resolver))
    }

    /// When the next burst may leave.
    pub(crate) fn next(&self) -> Timestamp {
        self.next
    }

    /// A burst to `resolver` leaves.
    pub(crate) fn spend(&mut self, resolver: IpAddr, now: Timestamp) {
        self.next = now.after(self.gap);
        let visited = self.resolvers.entry(resolver).or_insert(Visited { next: now, silent: 0 });
        visited.next = now.after(self.pause);
    }

    /// Whether `resolver` answered. One that does not is left alone for longer and longer.
    pub(crate) fn learn(&mut self, resolver: IpAddr, answered: bool, now: Timestamp) {
        let Some(visited) = self.resolvers.get_mut(&resolver) else { return };
        visited.silent = if answered { 0 } else { (visited.silent + 1).min(DOUBLINGS_MAX) };
        let pause = self.pause.saturating_mul(1 << visited.silent).min(PAUSE_MAX);
        visited.next = now.after(pause.max(self.pause));
    }

    /// Forgets resolvers that may be bothered again anyway.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        self.resolvers.retain(|_, visited| visited.next > now);
    }
}

/// Between two bursts to one resolver.
pub(crate) fn pause(budget: Option<&Budget>) -> Duration {
    let rate = budget.and_then(|budget| budget.per_resolver).unwrap_or(PER_RESOLVER);
    Duration::from_hours(1).div_f64(f64_of(rate.0.max(1)))
}

/// Exact for every rate that means anything.
fn f64_of(rate: u64) -> f64 {
    f64::from(u32::try_from(rate).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_no_packets_gets_none() {
        let never = ["198.51.100.0/24", "2001:db8:5::/48"].map(|text| text.parse().unwrap());
        let budget = Budget { per_pop: None, per_resolver: None, never: never.to_vec() };
        let mut politeness = Politeness::new(Some(&budget));
        let admits = |politeness: &Politeness, text: &str| {
            politeness.admits(text.parse().unwrap(), Timestamp(0))
        };
        for out in ["198.51.100.53", "::ffff:198.51.100.53", "2001:db8:5::53"] {
            assert!(!admits(&politeness, out), "{out}");
        }
        for other in ["198.51.101.53", "2001:db8:6::53"] {
            assert!(admits(&politeness, other), "{other}");
        }
        politeness.configure(None);
        assert!(admits(&politeness, "198.51.100.53"));
    }

    #[test]
    fn pauses() {
        let budget =
            Budget { per_pop: Some(10), per_resolver: Some(PerTime(3)), never: Vec::new() };
        let mut politeness = Politeness::new(Some(&budget));
        let resolver: IpAddr = "198.51.100.53".parse().unwrap();
        let at = |minutes: u64| Timestamp(0).after(Duration::from_mins(minutes));
        assert!(politeness.admits(resolver, at(0)));
        politeness.spend(resolver, at(0));
        assert_eq!(politeness.next(), Timestamp(100_000));
        assert!(!politeness.admits(resolver, at(19)));
        assert!(politeness.admits(resolver, at(20)));
        politeness.learn(resolver, false, at(20));
        assert!(!politeness.admits(resolver, at(59)));
        assert!(politeness.admits(resolver, at(60)));
        politeness.learn(resolver, true, at(60));
        assert!(politeness.admits(resolver, at(80)));
        politeness.forget(at(80));
        assert!(politeness.resolvers.is_empty());
        for nobody in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "ff02::1", "::"] {
            assert!(!politeness.admits(nobody.parse().unwrap(), at(0)), "{nobody}");
        }
    }
}
