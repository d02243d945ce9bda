//! What roles say to each other, one file a conversation. Roles meet only here: on one machine as
//! across the world.
//!
//! Every message is postcard in a [`frame`] that starts with the conversation and its version, so
//! that a node of version N reads N and N−1 and refuses what is foreign in words.

pub mod asking;
pub mod control;
pub mod counting;
pub mod delivery;
pub mod earlier;
pub mod explaining;
pub mod frame;
pub mod inquiring;
pub mod logging;
pub mod probing;
pub mod purging;
pub mod rollout;
pub mod sheet;
pub mod status;
pub mod trips;
pub mod zoning;
