//! What is simulated: a network, a crowd, a wire, faults over time, and the figures to reach.
//! Read from a TOML file; every mistake is shown at its place.

mod check;
mod fault;

use popnet_config::network::Policy;
use popnet_terms::Span;
use serde::Deserialize;

pub use check::load;
pub use fault::{Fault, FaultKind, Says};

use crate::figures::Figure;

/// A scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What happens, in one line.
    pub title: String,
    /// Everything that happens by chance is drawn from it.
    #[serde(default = "one")]
    pub seed: u64,
    /// Simulated time in all.
    pub length: Span,
    /// Figures count from here.
    #[serde(default)]
    pub warm_up: Span,
    /// POPs, name servers, probes.
    #[serde(default)]
    pub network: NetworkPlan,
    /// How a server is chosen: keys as in the configuration's `[policies.*]`. Unset: as the
    /// configuration says, or `fastest`.
    pub policy: Option<Policy>,
    /// Another policy under which the same is simulated first, to compare with.
    pub baseline: Option<Policy>,
    /// Clients and their demand.
    #[serde(default)]
    pub crowd: Crowd,
    /// What happens to packets.
    #[serde(default)]
    pub wire: Wire,
    /// What breaks, and when.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Figures and their limits.
    #[serde(default)]
    pub expect: Vec<Expectation>,
}

/// The network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkPlan {
    /// A popnet configuration; its POPs need locations. Unset: a network is made.
    pub file: Option<String>,
    /// Points of presence, at most 1,000.
    pub pops: u32,
    /// Name servers, in different POPs where there are enough, at most 24.
    pub name_servers: u32,
    /// POPs that probe every cache; 0: all.
    pub watchers: u32,
    /// POPs that measure the way to clients; 0: all.
    pub measuring: u32,
    /// Sites that are steered, at most 16.
    pub sites: u32,
    /// Time between two service probes of one cache.
    pub interval: Span,
    /// A service probe's longest time.
    pub timeout: Span,
    /// Failures in a row before "down".
    pub fall: u16,
    /// Successes in a row before "up".
    pub rise: u16,
    /// Watchers that must agree that a cache is down.
    pub agree: u16,
    /// What POPs can carry.
    pub capacity: CapacityPlan,
    /// Prices lie between 1 and this.
    pub dearest: f64,
    /// Traffic is billed by the 95th percentile of a day, and POPs pay in any case for between half
    /// of this and one and a half of it, as shares of the mean demand near them; 0: it is not.
    pub commits: f64,
    /// Name servers publish a view so long after the first news.
    pub views: Span,
}

impl Default for NetworkPlan {
    fn default() -> Self {
        Self {
            file: None,
            pops: 12,
            name_servers: 3,
            watchers: 0,
            measuring: 0,
            sites: 1,
            interval: Span::seconds(5),
            timeout: Span::seconds(2),
            fall: 2,
            rise: 3,
            agree: 2,
            capacity: CapacityPlan::Natural,
            dearest: 1.0,
            commits: 0.0,
            views: Span(50_000),
        }
    }
}

/// What POPs can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CapacityPlan {
    /// All the same.
    Even,
    /// Half the same for all, half by the demand that is nearest to each.
    Natural,
}

/// Clients and their demand.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Crowd {
    /// Client units (/24), at most 1,000,000.
    pub units: u32,
    /// Units in one announced prefix (a /16), at most 256.
    pub per_prefix: u32,
    /// How unequal the units are: the exponent of Zipf's law; 0 is equal.
    pub zipf: f64,
    /// Total demand as a share of the total capacity.
    pub load: f64,
    /// Share of the units that every measuring POP has measured before the start.
    pub known: f64,
    /// Share of the prefixes that come only after the warm-up, with all their units.
    pub new_prefixes: f64,
    /// Share of the units of other prefixes that come only after the warm-up.
    pub new_units: f64,
    /// Share of the resolvers that keep an answer for thrice its time.
    pub over_hold: f64,
    /// Share of the resolvers that answer no probe.
    pub silent: f64,
    /// Share of the units that are far from their prefix.
    pub stray: f64,
    /// Length of a day with its ups and downs; unset: demand is steady.
    pub day: Option<Span>,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            units: 10_000,
            per_prefix: 64,
            zipf: 0.6,
            load: 0.4,
            known: 1.0,
            new_prefixes: 0.0,
            new_units: 0.0,
            over_hold: 0.0,
            silent: 0.0,
            stray: 0.02,
            day: None,
        }
    }
}

/// What happens to packets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wire {
    /// Share that is lost.
    pub loss: f64,
    /// Share that comes twice.
    pub duplicate: f64,
    /// Share that is held up by up to a second, and so overtaken.
    pub late: f64,
    /// Mean of what queues add to every packet.
    pub jitter: Span,
}

impl Default for Wire {
    fn default() -> Self {
        Self { loss: 0.0, duplicate: 0.0, late: 0.0, jitter: Span(1_000) }
    }
}

/// A figure and its limit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Which.
    pub figure: Figure,
    /// It may be this at most.
    pub at_most: Option<f64>,
    /// It has to be this at least.
    pub at_least: Option<f64>,
}

fn one() -> u64 {
    1
}
