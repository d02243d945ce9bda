//! How a zone travels between name servers, and how it is changed from afar.
//!
//! - Values: [`Content`] is a zone that can be edited, [`Difference`] what changed between two
//!   states, [`History`] the last of these; [`stored`] is their form on disk.
//! - [`tsig`]: messages signed with a shared key (RFC 8945).
//! - Out: [`plan()`] decides what a transfer sends (RFC 5936, RFC 1995), [`pack()`] fills messages.
//! - In: [`Arrival`] puts a transfer together from its messages, [`Secondary`] keeps the timers of
//!   the SOA record, [`Heralds`] send and repeat notifications (RFC 1996).
//! - [`update()`]: prerequisites and changes (RFC 2136) under [`Grants`].
//!
//! [`members`] reads what a catalog lists (RFC 9432), [`is_intact`] checks a zone's digest
//! (RFC 8976).
//!
//! Nothing here opens a socket, reads a clock or decides which zones there are.

mod access;
mod arrival;
mod ask;
mod catalog;
mod concern;
mod content;
mod difference;
mod digest;
mod grant;
mod history;
mod key;
mod merge;
mod message;
mod notify;
mod pack;
mod plan;
mod record;
mod refresh;
mod serial;
pub mod stored;
#[cfg(test)]
mod testing;
pub mod tsig;
mod update;

pub use access::Access;
pub use arrival::{Arrival, Arrived, Limits, Progress, Trouble, Wanted};
pub use ask::{ask, notification, reply};
pub use catalog::{listing, members};
pub use concern::{Concern, concern};
pub use content::Content;
pub use difference::{Difference, between};
pub use digest::is_intact;
pub use grant::{Grant, Grants};
pub use history::History;
pub use key::{Algorithm, Key, KeyError, Keys};
pub use merge::merge;
pub use message::{Incoming, Malformed, Question};
pub use notify::{Call, Heralds};
pub use pack::{Head, Packed, Parcel, pack};
pub use plan::{Plan, plan};
pub use record::{Line, Rr, Soa};
pub use refresh::Secondary;
pub use serial::Serial;
pub use update::{Refused, update};
