//! The dictionary of popnet: the words every crate shares, in the field's standard terms
//! (RFC 9499 for DNS, RFC 9110 and 9111 for HTTP, RFC 9211 for cache status).
//!
//! - **POP**: a location with machines. **Node**: one machine with our software. **Role**: a
//!   component on a node.
//! - **Site**: what a customer gives us to serve. **Target**: what an answer may name: a POP or
//!   one of the customer's own servers. **Origin**: a customer's web server.
//! - **Resolver**: the client's DNS server. **Client unit**: the /24 or /48 that speaks for it.
//! - **Sample**: one probe result. **Verdict**: what samples say of a target's health.
//! - **Epoch**: the number of a configuration; it only grows.
//!
//! Nothing here decides anything.

mod id;
mod prefix;
mod reason;
mod role;
mod time;
mod trip;
mod units;

pub use id::{
    CustomerId, NodeName, OriginGroupId, OriginId, PopId, ProbeId, SiteName, TargetId,
    UnknownTarget,
};
pub use prefix::{client_unit, host_prefix};
pub use reason::{
    Because, CacheReason, CodingReason, Removed, RttSource, ScopeBecause, TtlBecause,
};
pub use role::{Role, UnknownRole};
pub use time::{Micros, Seconds, Timestamp};
pub use trip::Trip;
pub use units::{BitRate, Octets, PerTime, Span, UnitError};
