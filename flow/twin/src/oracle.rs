//! Those who know everything: what the decisions are measured against.

use std::collections::BTreeMap;

use crate::fabric::{Fabric, Site};
use crate::num::{count, float};
use crate::places::Atlas;
use crate::world::World;

/// Mean round trips in milliseconds, weighted by demand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ideals {
    /// No chooser that keeps every POP below the load limit can be better: a bound by Lagrange's
    /// multipliers, which an all-knowing chooser comes close to.
    pub(crate) bound: f64,
    /// Everybody at the nearest POP on the globe, whatever the load.
    pub(crate) globe: f64,
    /// Everybody everywhere in turn, in proportion to what POPs carry.
    pub(crate) turns: f64,
}

/// Rounds of the search for prices: the bound moves by less than a thousandth after some hundred.
const ROUNDS: u32 = 400;

/// Those who have the same way to every POP, taken together.
struct Group {
    demand: f64,
    trips: Vec<f64>,
}

/// The ideals of `world`, with no POP above `limit` of what it carries.
pub(crate) fn ideals(world: &World, fabric: &Fabric, atlas: &Atlas, limit: f64) -> Ideals {
    let pops = fabric.pops.len();
    let mut groups: BTreeMap<u64, Group> = BTreeMap::new();
    let (mut globe, mut total, mut last_mile) = (0.0, 0.0, 0.0);
    for (n, unit) in world.units.iter().enumerate() {
        let near = world.nearest_on_globe(n, fabric, atlas);
        globe += unit.weight * f64::from(world.rtt_us(n, near));
        total += unit.weight;
        // Ways are told from the nearest POP's, so that last miles do not part a prefix.
        let key = if unit.is_stray { (1 << 40) + count(n) } else { u64::from(unit.prefix) };
        last_mile += unit.weight * f64::from(unit.best_us);
        let group = groups.entry(key).or_insert_with(|| Group {
            demand: 0.0,
            trips: (0..pops)
                .map(|pop| f64::from(world.rtt_us(n, pop)) - f64::from(unit.best_us))
                .collect(),
        });
        group.demand += unit.weight;
    }
    let groups: Vec<Group> = groups.into_values().collect();
    let capacity: Vec<f64> = world.capacity.iter().map(|capacity| capacity * limit).collect();
    let carried: f64 = world.capacity.iter().sum();
    let over = bound(&groups, &capacity);
    let turns: f64 = groups
        .iter()
        .map(|group| {
            let mean = group.trips.iter().zip(&world.capacity).map(|(trip, part)| trip * part);
            group.demand * mean.sum::<f64>() / carried
        })
        .sum();
    let ms = |sum: f64| sum / total.max(f64::MIN_POSITIVE) / 1_000.0;
    Ideals { bound: ms(last_mile + over), globe: ms(globe), turns: ms(last_mile + turns) }
}

/// The greatest lower bound that prices on crowded POPs show: everybody takes the POP whose way
/// and price are least; prices rise where too many come (subgradient ascent).
fn bound(groups: &[Group], capacity: &[f64]) -> f64 {
    let mut prices = vec![0.0_f64; capacity.len()];
    let mut best = 0.0_f64;
    for round in 0..ROUNDS {
        let mut demand = vec![0.0; capacity.len()];
        let mut cost = 0.0;
        for group in groups {
            let sums = group.trips.iter().zip(&prices).map(|(trip, price)| trip + price);
            let least = sums.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
            let Some((pop, sum)) = least else { continue };
            cost += group.demand * sum;
            if let Some(of_pop) = demand.get_mut(pop) {
                *of_pop += group.demand;
            }
        }
        let paid: f64 = prices.iter().zip(capacity).map(|(price, capacity)| price * capacity).sum();
        best = best.max(cost - paid);
        let step = 20_000.0 / (1.0 + f64::from(round) / 8.0);
        for ((price, demand), capacity) in prices.iter_mut().zip(&demand).zip(capacity) {
            let crowd = ((demand - capacity) / capacity.max(1.0)).clamp(-1.0, 1.0);
            *price = (*price + step * crowd).max(0.0);
        }
    }
    best
}

/// All POPs' bill: what each sends in the 95th part of a hundred of its slots, or its commit where
/// that is more, by its price.
pub(crate) fn bill(series: &[Vec<f64>], sites: &[Site]) -> f64 {
    let of_pop = |(sent, site): (&Vec<f64>, &Site)| {
        let mut sent = sent.clone();
        let billed = crate::num::percentile(&mut sent, 0.95).unwrap_or(0.0);
        billed.max(site.commit) * site.price
    };
    series.iter().zip(sites).map(of_pop).sum()
}

/// The mean of `values`; 0 of none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / float(count(values.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_what_a_small_case_shows() {
        // Two POPs of 10; 16 are nearer to the first by 8 ms. Six have to go: 48 ms.
        let groups: Vec<Group> =
            (0..16).map(|_| Group { demand: 1.0, trips: vec![0.0, 8_000.0] }).collect();
        let bound = bound(&groups, &[10.0, 10.0]);
        assert!((47_500.0..=48_000.0).contains(&bound), "{bound}");
        assert_eq!(super::bound(&groups, &[100.0, 100.0]), 0.0);
    }

    #[test]
    fn bills_forget_the_highest_twentieth() {
        let mut sent: Vec<f64> = vec![10.0; 95];
        sent.extend([900.0; 5]);
        let site = |commit| {
            let id = popnet_terms::PopId::new("fra1");
            Site { id, lat: 50.0, lon: 8.7, region: 0, price: 2.0, commit }
        };
        assert_eq!(bill(&[sent.clone()], &[site(0.0)]), 20.0);
        assert_eq!(bill(&[sent], &[site(12.0)]), 24.0);
        assert_eq!(mean(&[1.0, 3.0]), 2.0);
    }
}
