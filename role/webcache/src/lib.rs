//! The memory tier (C1–C10): answers clients.
//!
//! [`start()`] binds its ports, waits for its role sheet, and serves: sites by their host, from
//! [`memory`], else from the disk tier of its POP. It holds no configuration: sites, rules, the
//! disk tier and the log servers all come from the directory (C6, G6). Every request leaves one
//! record and exact counters.

mod at_once;
mod certificates;
mod control;
mod delivery;
mod health;
mod ledger;
pub mod memory;
mod naming;
mod serve;
mod start;
mod store;
mod wire;

pub use start::{Certificate, Settings, start};
