//! Administration as functions: push, purge, status, explain. The command line and NetView both
//! call these, so that neither can do what the other cannot.
//!
//! Each function is one conversation with a configuration daemon ([`popnet_wire::control`]) and
//! gives back wire types, or a [`Problem`] that says what to type next.

mod admin;
mod endpoint;

pub use admin::{Admin, Purged, Pushed};
pub use endpoint::Endpoint;
pub use popnet_wire::control::Problem;
