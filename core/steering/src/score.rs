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

/// What a target's load and price weigh, whoever asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burden {
    /// In thousandths.
    load_permille: u16,
    load: u64,
    cost: u64,
    /// Called down by so many POPs although it is up, in thousandths.
    dissent: u16,
    bias: i64,
}

impl Burden {
    pub(crate) fn new(rules: &SiteRules, target: &Target, verdict: Option<&Verdict>) -> Self {
        let load = verdict.and_then(|verdict| verdict.load).unwrap_or(0);
        // Where a target's own site sheds what is too much, load moves nobody else: a second loop,
        // steeper the higher the load and as late as answers last, would swing against the first.
        let is_kept = verdict.is_some_and(|verdict| verdict.is_kept);
        let counted = if is_kept { 0 } else { load };
        let whole = weigh(u64::from(rules.cost_worth.0), target.cost);
        let share = verdict.and_then(|verdict| verdict.toll).map_or(1_000, |toll| toll.price);
        Self {
            load_permille: load,
            load: weigh(queue_us(counted), rules.load_weight),
            cost: weigh(whole, share.into()),
            dissent: verdict.map_or(0, |verdict| verdict.dissent),
            bias: target.bias,
        }
    }
}

/// A sum and its terms, in microseconds-equivalent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Points {
    pub(crate) sum: Micros,
    pub(crate) cost: Micros,
    latency: Micros,
    loss: Micros,
    load_permille: u16,
    load: Micros,
    penalty: Micros,
}

impl Points {
    /// Those of a target with `burden` at `distance`. One that is removed is scored as if it were
    /// up: that is what it would have had. `standing` is how it stands for the client's region.
    pub(crate) fn new(
        rules: &SiteRules,
        burden: &Burden,
        distance: &Distance<'_>,
        standing: Option<Standing>,
    ) -> Self {
        let spread = weigh(u64::from(distance.spread.0), rules.spread_weight);
        let latency = weigh(u64::from(distance.rtt.0) + spread, rules.latency_weight);
        let loss = weigh(loss_us(distance.rtt, distance.loss), rules.loss_weight);
        let penalty = penalty_us(standing, burden.dissent);
        let all = latency + loss + burden.load + burden.cost + penalty;
        Self {
            sum: micros(all.saturating_add_signed(-burden.bias)),
            latency: micros(latency),
            loss: micros(loss),
            load_permille: burden.load_permille,
            load: micros(burden.load),
            cost: micros(burden.cost),
            penalty: micros(penalty),
        }
    }

    /// As they are told, beside the distance that they rest on.
    pub(crate) fn told(&self, distance: &Distance<'_>) -> Score {
        Score {
            points: self.sum,
            rtt: distance.rtt,
            rtt_source: distance.source,
            rtt_age: distance.age,
            rtt_via: distance.via.cloned(),
            latency: self.latency,
            loss_permille: distance.loss,
            loss: self.loss,
            load_permille: self.load_permille,
            load: self.load,
            cost: self.cost,
            penalty: self.penalty,
        }
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
