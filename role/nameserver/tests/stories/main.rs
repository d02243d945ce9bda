//! Stories of a name server over real sockets.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;
mod logging;
mod steering;
mod zones;
