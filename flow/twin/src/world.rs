//! The world: who lives where, how far everything is, who has how much to ask. Nothing here is
//! known to those who decide; they see what probes measure.

use ipnet::IpNet;
use popnet_terms::client_unit;

use crate::chance::{exponential, noise, unit};
use crate::fabric::{Fabric, resolver};
use crate::num::{count, float, place, whole};
use crate::places::{Atlas, fibre_us};
use crate::scenario::{CapacityPlan, Crowd};

/// One client unit, as it always is.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) prefix: u32,
    /// Where it is.
    region: usize,
    /// Its last mile.
    access_us: f64,
    /// Its demand on a mean day.
    pub(crate) weight: f64,
    /// Far from its prefix.
    pub(crate) is_stray: bool,
    /// Its resolver answers no probe.
    pub(crate) is_silent: bool,
    /// Its resolver keeps answers too long.
    pub(crate) over_holds: bool,
    /// It comes only after the warm-up.
    pub(crate) is_new: bool,
    /// Measured by every measuring POP before the start.
    pub(crate) is_known: bool,
    /// Which site it asks for.
    pub(crate) site: usize,
    /// The nearest POP.
    pub(crate) best: usize,
    /// The round trip to it.
    pub(crate) best_us: u32,
}

/// Who lives where.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) units: Vec<Unit>,
    /// The region that each prefix is in.
    pub(crate) homes: Vec<usize>,
    per_prefix: u32,
    seed: u64,
    /// Round trips from regions to POPs, row by row, without what is the client's own.
    base: Vec<f64>,
    /// Round trips between POPs, row by row.
    between: Vec<f64>,
    pops: usize,
    /// What each POP can carry.
    pub(crate) capacity: Vec<f64>,
    /// Demand that each POP is nearest to.
    pub(crate) natural: Vec<f64>,
    /// Degrees east of each region.
    longitudes: Vec<f64>,
}

/// Share of the ways with a detour.
const DETOURS: f64 = 0.35;
/// Mean length of a detour.
const DETOUR_US: f64 = 12_000.0;
/// The longest.
const DETOUR_MAX_US: f64 = 90_000.0;
/// Last miles lie between these, as the README beside the data advises.
const ACCESS_US: (f64, f64) = (2_000.0, 30_000.0);

// What draws are for.
const REGION: u64 = 11;
const WEIGHT: u64 = 12;
const ACCESS: u64 = 13;
const STRAY: u64 = 14;
const SILENT: u64 = 15;
const HOLDS: u64 = 16;
const NEW: u64 = 17;
const NEW_PREFIX: u64 = 18;
const KNOWN: u64 = 19;
const CITY: u64 = 20;
const DETOUR: u64 = 21;

impl World {
    /// The world of `seed` around `fabric`.
    pub(crate) fn new(
        crowd: &Crowd,
        plan: CapacityPlan,
        fabric: &Fabric,
        atlas: &Atlas,
        seed: u64,
    ) -> Self {
        let mut base = Vec::new();
        for (at, region) in atlas.places.iter().enumerate() {
            for pop in &fabric.pops {
                let centre = atlas.places.get(pop.region);
                let from = if at == pop.region { Some(region) } else { centre };
                let leg =
                    from.map_or(0.0, |from| fibre_us((from.lat, from.lon), (pop.lat, pop.lon)));
                base.push(atlas.trip(at, pop.region) + leg);
            }
        }
        let mut between = Vec::new();
        for one in &fabric.pops {
            for other in &fabric.pops {
                let trip = if one.region == other.region {
                    atlas.trip(one.region, one.region)
                        + fibre_us((one.lat, one.lon), (other.lat, other.lon))
                } else {
                    let leg = |of: &crate::fabric::Site| {
                        let centre = atlas.places.get(of.region);
                        centre.map_or(0.0, |at| fibre_us((at.lat, at.lon), (of.lat, of.lon)))
                    };
                    atlas.trip(one.region, other.region) + leg(one) + leg(other)
                };
                between.push(trip);
            }
        }
        let pops = fabric.pops.len();
        let mut world = Self {
            units: Vec::new(),
            homes: Vec::new(),
            per_prefix: crowd.per_prefix.max(1),
            seed,
            base,
            between,
            pops,
            capacity: vec![1.0; pops],
            natural: vec![0.0; pops],
            longitudes: atlas.places.iter().map(|place| place.lon).collect(),
        };
        world.populate(crowd, fabric, atlas);
        world.build(crowd, plan);
        world
    }

    fn populate(&mut self, crowd: &Crowd, fabric: &Fabric, atlas: &Atlas) {
        let seed = self.seed;
        // No count of people is at hand: cities differ as waiting times do.
        let cities: Vec<f64> =
            (0..atlas.places.len()).map(|at| exponential(noise(seed, CITY, count(at)))).collect();
        let all: f64 = cities.iter().sum();
        let city = |draw: u64| {
            let mut left = unit(draw) * all;
            cities.iter().position(|weight| {
                left -= weight;
                left < 0.0
            })
        };
        let prefixes = u64::from(crowd.units.div_ceil(self.per_prefix));
        let home = |prefix: u64| city(noise(seed, REGION << 8, prefix)).unwrap_or(0);
        self.homes = (0..prefixes).map(home).collect();
        for n in 0..crowd.units {
            let prefix = n / self.per_prefix;
            let (id, of_prefix) = (u64::from(n), u64::from(prefix));
            let draw = |what| noise(seed, what, id);
            let chance = |what, share: f64| unit(draw(what)) < share;
            let is_stray = chance(STRAY, crowd.stray);
            let home = if is_stray { draw(REGION) } else { noise(seed, REGION << 8, of_prefix) };
            let rank = 1 + draw(WEIGHT) % u64::from(crowd.units);
            let late = unit(noise(seed, NEW_PREFIX, of_prefix)) < crowd.new_prefixes;
            let is_new = late || chance(NEW, crowd.new_units);
            let (low, high) = ACCESS_US;
            // A prefix is one access network: its last miles are alike.
            let alike = unit(noise(seed, ACCESS << 8, of_prefix));
            let mile = 0.8 * alike * alike + 0.2 * unit(draw(ACCESS));
            self.units.push(Unit {
                prefix,
                region: city(home).unwrap_or(0),
                access_us: low + mile * (high - low),
                weight: float(rank).powf(-crowd.zipf) * 1_000.0,
                is_stray,
                is_silent: chance(SILENT, crowd.silent),
                over_holds: chance(HOLDS, crowd.over_hold),
                is_new,
                is_known: !is_new && chance(KNOWN, crowd.known),
                site: place(draw(3) % count(fabric.sites.len()).max(1)),
                best: 0,
                best_us: 0,
            });
        }
    }

    /// Finds everybody's nearest POP and sizes the POPs.
    fn build(&mut self, crowd: &Crowd, plan: CapacityPlan) {
        // All of a prefix but its strays have the same ways: once a prefix is enough.
        let mut of_prefix: Option<(u32, usize)> = None;
        for n in 0..self.units.len() {
            let Some(unit) = self.units.get(n) else { continue };
            let best = match of_prefix {
                Some((prefix, best)) if prefix == unit.prefix && !unit.is_stray => best,
                Some(_) | None => {
                    let best = (0..self.pops).min_by_key(|pop| self.rtt_us(n, *pop)).unwrap_or(0);
                    if !unit.is_stray {
                        of_prefix = Some((unit.prefix, best));
                    }
                    best
                }
            };
            let best_us = self.rtt_us(n, best);
            if let Some(unit) = self.units.get_mut(n) {
                (unit.best, unit.best_us) = (best, best_us);
                if let Some(natural) = self.natural.get_mut(best) {
                    *natural += unit.weight;
                }
            }
        }
        let demand: f64 = self.natural.iter().sum();
        let even = 1.0 / float(count(self.pops).max(1));
        for (capacity, natural) in self.capacity.iter_mut().zip(&self.natural) {
            let part = match plan {
                CapacityPlan::Even => even,
                CapacityPlan::Natural => 0.5 * even + 0.5 * natural / demand.max(1.0),
            };
            *capacity = (part * demand / crowd.load).max(1.0);
        }
    }

    /// The true round trip between a unit and a POP.
    pub(crate) fn rtt_us(&self, n: usize, pop: usize) -> u32 {
        let Some(who) = self.units.get(n) else { return 0 };
        let base = self.base.get(who.region * self.pops + pop).copied().unwrap_or(0.0);
        let network = if who.is_stray { (1 << 40) + count(n) } else { u64::from(who.prefix) };
        let draw = noise(self.seed, DETOUR ^ (network << 8), count(pop));
        let detour = if unit(draw) < DETOURS {
            (exponential(noise(draw, 1, 2)) * DETOUR_US).min(DETOUR_MAX_US)
        } else {
            0.0
        };
        u32::try_from(whole(base + detour + who.access_us)).unwrap_or(u32::MAX)
    }

    /// The round trip between two POPs.
    pub(crate) fn between_us(&self, one: usize, other: usize) -> u32 {
        let trip = self.between.get(one * self.pops + other).copied().unwrap_or(0.0);
        u32::try_from(whole(trip)).unwrap_or(u32::MAX)
    }

    /// The unit's resolver.
    pub(crate) fn resolver(&self, n: usize) -> std::net::IpAddr {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        resolver(n / self.per_prefix, n % self.per_prefix)
    }

    /// The unit as steering knows it.
    pub(crate) fn net(&self, n: usize) -> IpNet {
        client_unit(self.resolver(n))
    }

    /// Whose resolver has this address.
    pub(crate) fn unit_at(&self, address: std::net::IpAddr) -> Option<usize> {
        let std::net::IpAddr::V4(v4) = address else { return None };
        let [first, second, third, _] = v4.octets();
        let prefix = (u64::from(first) * 256 + u64::from(second)).checked_sub(20 * 256)?;
        let at = prefix * u64::from(self.per_prefix) + u64::from(third);
        (u64::from(third) < u64::from(self.per_prefix)).then_some(())?;
        Some(place(at)).filter(|at| *at < self.units.len())
    }

    /// The POP nearest to a unit on the globe.
    pub(crate) fn nearest_on_globe(&self, n: usize, fabric: &Fabric, atlas: &Atlas) -> usize {
        let home = self.units.get(n).and_then(|who| atlas.places.get(who.region));
        let Some(home) = home else { return 0 };
        let far = |pop: &crate::fabric::Site| fibre_us((home.lat, home.lon), (pop.lat, pop.lon));
        let all = fabric.pops.iter().enumerate();
        all.min_by(|(_, a), (_, b)| far(a).total_cmp(&far(b))).map_or(0, |(at, _)| at)
    }

    /// How much a region asks at this part of the day (0 to 1), as a factor: noon is thrice night.
    pub(crate) fn daylight(&self, n: usize, day: f64) -> f64 {
        let region = self.units.get(n).map_or(0, |who| who.region);
        let east = self.longitudes.get(region).copied().unwrap_or(0.0) / 360.0;
        1.0 + 0.5 * ((day + east) * std::f64::consts::TAU).sin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::NetworkPlan;

    #[test]
    fn a_world_holds_together() {
        let atlas = Atlas::new();
        let fabric = Fabric::new(&NetworkPlan::default(), None, None, &atlas, 3).unwrap();
        let crowd = Crowd { units: 3_000, ..Crowd::default() };
        let world = World::new(&crowd, CapacityPlan::Natural, &fabric, &atlas, 3);
        let capacity: f64 = world.capacity.iter().sum();
        let demand: f64 = world.natural.iter().sum();
        assert!((demand / capacity - crowd.load).abs() < 0.001);
        let mut globe = 0;
        for n in 0..3_000 {
            assert_eq!(world.unit_at(world.resolver(n)), Some(n));
            let who = &world.units[n];
            assert!((0..12).all(|pop| world.rtt_us(n, pop) >= who.best_us));
            globe += usize::from(world.nearest_on_globe(n, &fabric, &atlas) != who.best);
        }
        // The globe is right for most and wrong for many.
        assert!((300..1_500).contains(&globe), "{globe}");
        assert_eq!(world.unit_at([9, 9, 9, 9].into()), None);
    }
}
