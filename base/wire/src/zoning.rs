//! A person's orders to name servers about one zone, and how it stands there.

use popnet_terms::Timestamp;
use serde::{Deserialize, Serialize};

/// What is to be done with a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZoneOrder {
    /// Nothing: say how it stands.
    Status,
    /// A secondary: ask the primaries now.
    Transfer,
    /// Whoever has secondaries: tell them now, whatever they were told before.
    Notify,
    /// A zone that can be updated: take no updates.
    Freeze,
    /// Take updates again.
    Thaw,
}

/// An order about one zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneAsk {
    /// The zone, lower case, without a dot at its end unless it is the root.
    pub zone: String,
    /// What is to be done.
    pub order: ZoneOrder,
}

/// How a zone stands at one name server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneStanding {
    /// Where its records come from.
    pub source: ZoneSource,
    /// Serial number of what is answered; `None`: it is answered with SERVFAIL.
    pub serial: Option<u32>,
    /// Whether we sign it.
    pub is_signed: bool,
    /// Updates are not taken until somebody thaws it.
    pub is_frozen: bool,
    /// Who is told of changes.
    pub secondaries: Vec<String>,
}

/// Where a zone's records come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZoneSource {
    /// A zone file.
    File,
    /// A zone file and updates.
    Updates,
    /// Other name servers.
    Primaries {
        /// Asked in this order.
        primaries: Vec<String>,
        /// When a primary last said that this is its newest.
        confirmed: Option<Timestamp>,
        /// When they are asked next.
        next: Option<Timestamp>,
        /// When it is no longer answered if nobody confirms it.
        expires: Option<Timestamp>,
        /// Why the last attempt failed.
        trouble: Option<String>,
    },
    /// The zones that this server has: a catalog of its own making.
    Listing,
}
