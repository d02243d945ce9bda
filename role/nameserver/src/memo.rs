//! Choices made lately. A choice depends on nothing but the configuration, the view, the site, the
//! client's unit and the type (steering model, section 1): until one of them changes, it is made
//! once. Each worker has its own memo, so that none waits for another.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use popnet_answer::SiteIndex;
use popnet_dns::Rtype;
use popnet_steering::Lineup;

use crate::steer::Steered;

/// Everything that a choice depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The table's number.
    pub(crate) table: u64,
    /// The view's generation.
    pub(crate) view: u64,
    pub(crate) site: SiteIndex,
    pub(crate) unit: IpNet,
    pub(crate) qtype: Rtype,
}

impl Key {
    /// One of `places`. Whoever makes many keys fall together makes them only be forgotten sooner.
    fn place(&self, places: usize) -> usize {
        let [high, low] = match self.unit.addr() {
            IpAddr::V4(address) => [0, u64::from(address.to_bits())],
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h] = address.segments().map(u64::from);
                [a << 48 | b << 32 | c << 16 | d, e << 48 | f << 32 | g << 16 | h]
            }
        };
        let what = u64::from(self.site) << 16 | u64::from(self.qtype.to_int());
        let mixed = (low ^ high.rotate_left(32) ^ what.rotate_left(48)).wrapping_mul(GOLDEN);
        // The upper bits of a product are the well mixed ones.
        usize::try_from(mixed >> 32).unwrap_or(0).checked_rem(places).unwrap_or(0)
    }
}

/// 2^64 by the golden ratio: multiples of it lie far apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A table of fixed size, in which a newer choice takes the place of an older one.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    places: Vec<Option<(Key, Arc<Steered>)>>,
    pub(crate) lineups: Lineups,
}

/// The line-ups of the sites that were asked for under one view.
#[derive(Debug, Default)]
pub(crate) struct Lineups {
    /// The numbers of their table and their view.
    of: (u64, u64),
    sites: HashMap<SiteIndex, Lineup>,
}

impl Lineups {
    /// That of `site` under the table and the view with the numbers `of`: the one kept, else what
    /// `make` makes.
    pub(crate) fn get(
        &mut self,
        of: (u64, u64),
        site: SiteIndex,
        make: impl FnOnce() -> Lineup,
    ) -> &Lineup {
        if self.of != of {
            self.sites.clear();
            self.of = of;
        }
        self.sites.entry(site).or_insert_with(make)
    }
}

impl Memo {
    /// A memo of at most `places` choices.
    pub(crate) fn new(places: usize) -> Self {
        Self { places: vec![None; places], lineups: Lineups::default() }
    }

    /// The choice for `key`: the one kept, else what `choose` says.
    pub(crate) fn get(
        &mut self,
        key: Key,
        choose: impl FnOnce(&mut Lineups) -> Steered,
    ) -> Arc<Steered> {
        let at = key.place(self.places.len());
        let lineups = &mut self.lineups;
        let Some(place) = self.places.get_mut(at) else { return Arc::new(choose(lineups)) };
        match place {
            Some((kept, steered)) if *kept == key => Arc::clone(steered),
            _ => {
                let steered = Arc::new(choose(lineups));
                *place = Some((key, Arc::clone(&steered)));
                steered
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_steering::{Choice, Pick};
    use popnet_terms::{Because, ScopeBecause, Seconds, TtlBecause};

    fn steered(ttl: u32) -> Steered {
        let pick = Pick {
            targets: [].into_iter().collect(),
            ttl: Seconds(ttl),
            ttl_because: TtlBecause::Settled,
            scope: 0,
            scope_because: ScopeBecause::SameForAll,
            because: Because::BestScore,
            margin: None,
            needs_measurement: false,
        };
        let choice = Choice { pick, candidates: [].into() };
        Steered { choice, addresses: [].into(), chosen: [].into(), alias: None, wish: None }
    }

    #[test]
    fn a_choice_holds_until_what_it_rests_on_changes() {
        let mut memo = Memo::new(64);
        let unit = "192.0.2.0/24".parse().unwrap();
        let key = Key { table: 1, view: 1, site: 0, unit, qtype: Rtype::A };
        assert_eq!(memo.get(key, |_| steered(1)).choice.ttl, Seconds(1));
        assert_eq!(memo.get(key, |_| unreachable!("it is kept")).choice.ttl, Seconds(1));
        let others = [
            Key { table: 2, ..key },
            Key { view: 2, ..key },
            Key { site: 1, ..key },
            Key { unit: "192.0.3.0/24".parse().unwrap(), ..key },
            Key { qtype: Rtype::AAAA, ..key },
        ];
        for other in others {
            assert_eq!(memo.get(other, |_| steered(2)).choice.ttl, Seconds(2), "{other:?}");
        }
    }

    #[test]
    fn neighbours_have_places_of_their_own() {
        let key = |n: u32| {
            let unit = ipnet::Ipv4Net::new((0x0a00_0000 + (n << 8)).into(), 24).unwrap().into();
            Key { table: 1, view: 1, site: 3, unit, qtype: Rtype::A }
        };
        let places: std::collections::BTreeSet<usize> =
            (0..1_000).map(|n| key(n).place(4_096)).collect();
        assert!(places.len() > 850, "{}", places.len());
    }

    #[test]
    fn without_places_nothing_is_kept() {
        let unit = "2001:db8::/48".parse().unwrap();
        let key = Key { table: 1, view: 1, site: 0, unit, qtype: Rtype::A };
        let mut memo = Memo::default();
        assert_eq!(memo.get(key, |_| steered(1)).choice.ttl, Seconds(1));
        assert_eq!(memo.get(key, |_| steered(2)).choice.ttl, Seconds(2));
    }
}
