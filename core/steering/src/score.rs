//! How far, lossy, loaded and dear a target is for a client, as one sum in
//! microseconds-equivalent that a person can read term by term (steering model, sections 5 and 6).

use popnet_terms::Micros;
use popnet_wire::logging::Score;

use crate::distance::Distance;
use crate::lossy::loss_us;
use crate::rules::{SiteRules, Target};
use crate::view::{Standing, Verdict};

/// Service time of an idle target.
const IDLE_SERVICE_US: u64 = 20_000;

/// Load is taken as at most this, so that the term stays finite.
const LOAD_CLIP: u64 = 980;

/// What not knowing a target's health costs it beside healthy ones; a share of it is what being
/// called down by some POPs costs.
const UNKNOWN_PENALTY_US: u64 = 100_000;

/// The share of POPs, in thousandths, that may call a target down for nothing: lost packets make
/// one of many say so now and then, and clients who move and come back for it swing.
const DISSENT_FREE: u16 = 250;

/// The score of `target` at `distance`. A target that is removed is scored as if it were up:
/// that is what it would have had. `standing` is how it stands for the client's region.
pub(crate) fn score(
    rules: &SiteRules,
    target: &Target,
    distance: &Distance,
    verdict: Option<&Verdict>,
    standing: Option<Standing>,
) -> Score {
    let load = verdict.and_then(|verdict| verdict.load).unwrap_or(0);
    // Where a target's own site sheds what is too much, load moves nobody else: a second loop,
    // steeper the higher the load and as late as answers last, would swing against the first.
    let is_kept = verdict.is_some_and(|verdict| verdict.is_kept);
    let counted = if is_kept { 0 } else { load };
    let spread = weigh(u64::from(distance.spread.0), rules.spread_weight);
    let latency = weigh(u64::from(distance.rtt.0) + spread, rules.latency_weight);
    let loss = weigh(loss_us(distance.rtt, distance.loss), rules.loss_weight);
    let load_us = weigh(queue_us(counted), rules.load_weight);
    let whole = weigh(u64::from(rules.cost_worth.0), target.cost);
    let share = verdict.and_then(|verdict| verdict.toll).map_or(1_000, |toll| toll.price);
    let cost = weigh(whole, share.into());
    let penalty = penalty_us(standing, verdict.map_or(0, |verdict| verdict.dissent));
    Score {
        points: micros(
            (latency + loss + load_us + cost + penalty).saturating_add_signed(-target.bias),
        ),
        rtt: distance.rtt,
        rtt_source: distance.source,
        rtt_age: distance.age,
        rtt_via: distance.via.clone(),
        latency: micros(latency),
        loss_permille: distance.loss,
        loss: micros(loss),
        load_permille: load,
        load: micros(load_us),
        cost: micros(cost),
        penalty: micros(penalty),
    }
}

/// Waiting time of a queue at this load: smooth, without a cliff.
fn queue_us(load: u16) -> u64 {
    let load = u64::from(load).min(LOAD_CLIP);
    IDLE_SERVICE_US * load / (1_000 - load)
}

fn penalty_us(standing: Option<Standing>, dissent: u16) -> u64 {
    match standing {
        None | Some(Standing::Unknown) => UNKNOWN_PENALTY_US,
        Some(Standing::Up | Standing::Behind | Standing::Draining) => {
            let counted = if dissent > DISSENT_FREE { dissent } else { 0 };
            UNKNOWN_PENALTY_US * u64::from(counted) / 1_000
        }
        Some(Standing::Unwatched | Standing::Damped | Standing::Down) => 0,
    }
}

/// The sums here stay far below 2^64: each term is a product of 32-bit values by a thousandth.
fn weigh(value: u64, thousandths: u32) -> u64 {
    (value * u64::from(thousandths) / 1_000).min(u64::from(u32::MAX))
}

fn micros(value: u64) -> Micros {
    Micros(u32::try_from(value).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_grow_as_they_should() {
        let dissent = |share| penalty_us(Some(Standing::Up), share);
        assert_eq!((dissent(250), dissent(333), dissent(500)), (0, 33_300, 50_000));
        assert_eq!(queue_us(0), 0);
        assert_eq!(queue_us(500), 20_000);
        assert_eq!(queue_us(950), 380_000);
        assert_eq!(queue_us(1_000), queue_us(980));
    }
}
