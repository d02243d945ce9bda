//! What breaks, for how long.

use popnet_terms::Span;
use serde::Deserialize;

/// Something that goes wrong, or merely changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// When it begins.
    pub at: Span,
    /// How long it lasts; unset: to the end.
    #[serde(rename = "for")]
    pub lasts: Option<Span>,
    /// Which POPs: their names, or `*`. Not needed with `busiest` or `watchers`,
    /// or for the wire.
    #[serde(default)]
    pub pops: Vec<String>,
    /// So many of the POPs that the most demand is nearest to.
    #[serde(default)]
    pub busiest: u32,
    /// So many of the POPs whose probes watch caches.
    #[serde(default)]
    pub watchers: u32,
    /// `demand`: the factor. `loss`: the share of packets.
    pub factor: Option<f64>,
    /// `demand`, instead of a factor: what becomes of the demand nearest to each POP, as a share
    /// of what the POP can carry.
    pub to: Option<f64>,
    /// `clock`: seconds forward, or back when negative.
    pub seconds: Option<i64>,
    /// `slow`: milliseconds on every way to these POPs.
    pub ms: Option<u32>,
    /// `lie`: what the probes say.
    pub says: Option<Says>,
    /// Repeated after so long, with the next POP each time (the next busiest, or the next in
    /// the list), until the end.
    pub every: Option<Span>,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The POPs' caches refuse connections.
    Dead,
    /// The POPs answer nothing, neither clients nor probes nor name servers.
    Dark,
    /// No packet of ours leaves or enters the POPs; clients reach them.
    Cut,
    /// The POPs' probes say what is not so.
    Lie,
    /// The POPs' name servers are killed, and start again at the end with what is on disk.
    Crash,
    /// The POPs' probes are killed, and start again at the end.
    Quit,
    /// The POPs' clocks jump.
    Clock,
    /// The demand of those nearest to the POPs changes.
    Demand,
    /// More packets are lost everywhere.
    Loss,
    /// Every way to the POPs is longer.
    Slow,
}

/// What a lying probe says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// Every cache is down.
    Down,
    /// Every cache is up.
    Up,
    /// Every client is a millisecond away from this POP.
    Near,
}
