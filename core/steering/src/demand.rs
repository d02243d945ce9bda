//! How much each client unit asks for each site: what a move of clients is weighed by (steering
//! model, section 6). Counts are of questions that were sampled alike, and halve with time.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use popnet_terms::{SiteName, Timestamp};

/// Units remembered, of all sites together.
const UNITS_MAX: usize = 65_536;

/// Counts halve in each such time.
const HALF_LIFE: Duration = Duration::from_mins(30);

/// What one question counts, so that halving keeps something of it.
const ONE: u32 = 64;

/// Who asks for what.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    sites: BTreeMap<SiteName, BTreeMap<IpNet, u32>>,
    units: usize,
    halved: Option<Timestamp>,
}

impl Demand {
    /// A question of the clients of `unit` for `site`.
    pub fn note(&mut self, site: &SiteName, unit: IpNet, now: Timestamp) {
        let halved = *self.halved.get_or_insert(now);
        if now.since(halved) >= HALF_LIFE {
            self.halve(1);
            self.halved = Some(now);
        }
        // Whoever asks seldom makes room.
        while self.units >= UNITS_MAX {
            self.halve(ONE);
        }
        if !self.sites.contains_key(site) {
            self.sites.insert(site.clone(), BTreeMap::new());
        }
        let Some(units) = self.sites.get_mut(site) else { return };
        let count = units.entry(unit).or_insert_with(|| {
            self.units += 1;
            0
        });
        *count = count.saturating_add(ONE);
    }

    /// What `unit` asks of `site`; 0: nothing, or too little.
    #[must_use]
    pub fn of(&self, site: &SiteName, unit: IpNet) -> u32 {
        self.sites.get(site).and_then(|units| units.get(&unit)).copied().unwrap_or(0)
    }

    /// At most `most` units, those that ask `site` for most.
    #[must_use]
    pub fn top(&self, site: &SiteName, most: usize) -> Vec<IpNet> {
        let units = self.sites.get(site).into_iter().flatten();
        let mut units: Vec<(u32, IpNet)> = units.map(|(unit, count)| (*count, *unit)).collect();
        units.sort_unstable_by(|a, b| b.cmp(a));
        units.truncate(most);
        units.into_iter().map(|(_, unit)| unit).collect()
    }

    /// Halves all counts, and forgets those that are less than `least` then.
    fn halve(&mut self, least: u32) {
        for units in self.sites.values_mut() {
            units.retain(|_, count| {
                *count /= 2;
                *count >= least
            });
        }
        self.sites.retain(|_, units| !units.is_empty());
        self.units = self.sites.values().map(BTreeMap::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(n: u32) -> IpNet {
        ipnet::Ipv4Net::new((0x0a00_0000 + (n << 8)).into(), 24).unwrap().into()
    }

    #[test]
    fn who_asks_most_is_first_and_the_past_fades() {
        let (mut demand, site) = (Demand::default(), SiteName::new("www.test"));
        let start = Timestamp(0);
        for (n, times) in [(1, 3), (2, 9), (3, 1)] {
            (0..times).for_each(|_| demand.note(&site, unit(n), start));
        }
        assert_eq!(demand.top(&site, 2), [unit(2), unit(1)]);
        assert_eq!((demand.of(&site, unit(2)), demand.of(&site, unit(9))), (9 * ONE, 0));
        demand.note(&site, unit(3), start.after(HALF_LIFE));
        assert_eq!(demand.of(&site, unit(2)), 9 * ONE / 2);
        assert!(demand.top(&SiteName::new("other.test"), 9).is_empty());
    }

    #[test]
    fn those_who_ask_seldom_make_room() {
        let (mut demand, site) = (Demand::default(), SiteName::new("www.test"));
        for _ in 0..1_000 {
            demand.note(&site, unit(0), Timestamp(0));
        }
        for n in 1..200_000 {
            demand.note(&site, unit(n), Timestamp(0));
        }
        assert!(demand.units <= UNITS_MAX);
        assert_eq!(demand.top(&site, 1), [unit(0)]);
    }
}
