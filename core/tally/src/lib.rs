//! Counters, rollups and questions over log records: what a log server knows, as values.
//!
//! - [`rollup`]: counters summed by customer, minute, site and POP.
//! - [`arrivals`]: which numbered batches have arrived and which are missing.
//! - [`question`]: answers over rows, never beyond the asker's scope.
//! - [`trips`]: round trips to clients, by client unit: what a cache tells of its connections.
//!
//! Nothing here stores or sends anything.

pub mod arrivals;
pub mod question;
pub mod rollup;
pub mod trips;

pub use arrivals::{Arrivals, Arrived};
pub use rollup::Rollup;
pub use trips::Trips;
