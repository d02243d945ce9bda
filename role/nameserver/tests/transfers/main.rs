//! Zones that travel between this name server and those that people run today: BIND, NSD and Knot
//! as secondaries and as primaries, `nsupdate` and `dig` as clients.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "../stories/common.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod common;

mod catalogs;
mod lab;
mod lies;
mod orders;
mod ours;
mod peer;
mod peers;
mod tls;
mod updates;
mod views;
