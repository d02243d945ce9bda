//! The whole steering system in one process, with the real cores and a made world.
//!
//! Probers, boards, views, choices and every message on the wire are popnet's own; time, packets,
//! clocks, crashes and clients are simulated, by one queue of events and one seed. The same
//! scenario and seed give the same history to the last octet, so that what went wrong once goes
//! wrong again.
//!
//! - [`load`] reads a [`Scenario`]; [`run`] simulates it and gives a [`Report`]: figures beside
//!   their limits, and [`Report::plots`] as SVG.
//!
//! Left out: what cannot be told from measurements, such as a connection's own life. A client
//! moves with its resolver's answer, and its demand moves with it.

mod chance;
mod crowd;
mod fabric;
mod fate;
mod figures;
mod gauge;
mod globe;
mod mmdb;
mod num;
mod oracle;
mod places;
mod plot;
mod post;
mod queue;
mod report;
mod scenario;
mod server;
mod site;
mod twin;
mod world;

pub use figures::{Figure, Measured};
pub use report::{Plot, Report, Row, run};
pub use scenario::{
    CapacityPlan, Crowd, Expectation, Fault, FaultKind, NetworkPlan, Says, Scenario, Wire, load,
};
