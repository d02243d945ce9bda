//! Round trips that a cache saw to its clients, for the probes of its own POP (steering model,
//! section 5). Client units only, never an address, a name or a site.

use ipnet::IpNet;
use popnet_terms::Micros;
use serde::{Deserialize, Serialize};

/// Units in one answer: some hundred thousand octets.
pub const UNITS_MAX: usize = 4_096;

/// What a probe asks: "what is new since then".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TripsAsk {
    /// The start of the cache that the number is of; 0: none yet.
    pub boot: u64,
    /// The last change that the asker knows.
    pub after: u64,
}

/// What a cache saw, the oldest change first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TripsTold {
    /// Of which start.
    pub boot: u64,
    /// The last change in here: to be asked after the next time.
    pub upto: u64,
    /// At most [`UNITS_MAX`]; as many mean that there may be more.
    pub units: Vec<UnitTrips>,
}

/// Round trips to one client unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitTrips {
    /// The unit.
    pub client: IpNet,
    /// Smoothed over its connections.
    pub rtt: Micros,
    /// Its spread.
    pub spread: Micros,
    /// Segments that were sent again, in thousandths.
    pub loss: u16,
    /// Connections that it rests on.
    pub connections: u32,
    /// How long ago the last of them ended.
    pub age_ms: u32,
}
