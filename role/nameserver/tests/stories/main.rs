//! Stories of a name server over real sockets.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod bindings;
mod common;
mod examples;
mod explained;
mod limits;
mod logging;
mod names;
mod past;
mod resolver;
mod resorts;
mod steering;
mod taps;
mod transports;
mod zones;
