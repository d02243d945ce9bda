//! "Why, then?" and "what if?": a decision of now or of the past, by the configuration in force or
//! by another, with whatever is supposed to be otherwise; and who would move if another
//! configuration came into force. Answered by the code that decides.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use popnet_terms::{
    Because, Micros, Removed, ScopeBecause, SiteName, TargetId, Timestamp, TtlBecause,
};
use serde::{Deserialize, Serialize};

use crate::explaining::DnsStory;

/// Most assumptions in one question: a network's every target a few times over.
pub const ASSUMPTIONS_MAX: usize = 4_096;

/// Which answer does this resolver get? Nothing is counted or remembered by asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inquiry {
    /// The name.
    pub name: Arc<str>,
    /// The type: 1 for A, 28 for AAAA …
    pub qtype: u16,
    /// Who would ask.
    pub resolver: IpAddr,
    /// With which client subnet.
    pub subnet: Option<IpNet>,
    /// What is supposed to be otherwise than it is.
    pub assume: Vec<Assumption>,
    /// At which moment; `None`: now.
    pub at: Option<Timestamp>,
    /// By this configuration, as TOML; `None`: by the one that was in force.
    pub config: Option<String>,
}

/// One thing that is otherwise than it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Assumption {
    /// Of which target.
    pub target: TargetId,
    /// And what.
    pub what: Assumed,
}

/// What of a target is otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Assumed {
    /// It is healthy, and so is every machine of it.
    Up,
    /// It is down.
    Down,
    /// An operator empties it.
    Drained,
    /// The client is not bound to it.
    Unbound,
    /// Its load, in thousandths.
    Load(u16),
    /// The share of new clients that it asks to send elsewhere, in thousandths.
    Shed(u16),
    /// Its price, in thousandths of the unit.
    Cost(u32),
    /// The round trip to the client.
    Rtt(Micros),
    /// Lost packets on the way to the client, in thousandths.
    Loss(u16),
}

/// The answer to an [`Inquiry`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What would be answered, and the decision behind it.
    pub story: DnsStory,
    /// The view of zones that the asker is in.
    pub view: Option<Arc<str>>,
    /// The moment whose measurements it rests on.
    pub at: Timestamp,
    /// Why it lives as long and holds for as many as it does; of steered names.
    pub reasons: Option<Reasons>,
    /// Who else would win, and what would have to change for that; nearest first.
    pub rivals: Vec<Rival>,
    /// What a reader has to know about it, one sentence each.
    pub notes: Vec<Arc<str>>,
}

/// Why an answer lives as long and holds for as many clients as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reasons {
    /// Of its time to live.
    pub ttl: TtlBecause,
    /// Prefix length of the clients for whom it is right.
    pub scope: u8,
    /// Of that.
    pub scope_because: ScopeBecause,
}

/// Another target, and the smallest single change by which it would win.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rival {
    /// Which.
    pub target: TargetId,
    /// What it scores as things are.
    pub points: Micros,
    /// Whether it is removed as things are.
    pub removed: Option<Removed>,
    /// What would do; `None`: no single change.
    pub change: Option<Change>,
}

/// One change of one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What would have to be: at least, or at most, this much.
    pub to: Assumption,
    /// What it is now, in the same unit, where it is a number.
    pub from: Option<u32>,
    /// What the rival would score then.
    pub points: Micros,
}

/// The answer to [`crate::control::Ask::Moves`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    /// Client units that were looked at.
    pub units: u32,
    /// Client units that this name server knows.
    pub known: u32,
    /// Sites that are in either configuration, in order of their names.
    pub sites: Vec<SiteMoves>,
}

/// Who of one site's clients would move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteMoves {
    /// Which site.
    pub site: SiteName,
    /// Client units that were asked for.
    pub units: u32,
    /// From where to where, the most first.
    pub moves: Vec<Move>,
    /// What those units ask for, as far as they were heard lately; only shares of it mean anything.
    pub demand: u64,
}

/// Clients who would move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Who serves them now; `None`: nobody.
    pub from: Option<TargetId>,
    /// Who would.
    pub to: Option<TargetId>,
    /// How many client units.
    pub units: u32,
    /// Why the new one is named.
    pub because: Because,
    /// Why the old one is not taken, where it is removed.
    pub removed: Option<Removed>,
    /// What these units ask for, of the site's.
    pub demand: u64,
}
