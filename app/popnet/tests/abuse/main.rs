//! What people do to caches on purpose, done to the program with an origin behind it that writes
//! down every octet: refused, or bounded. docs/operate/abuse.md is the list.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

#[path = "../clients/edge.rs"]
mod edge;
#[path = "../support/mod.rs"]
mod support;

mod frames;
mod http2;
mod memory;
mod origin;
mod poisoning;
mod smuggling;
