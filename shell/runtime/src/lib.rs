//! What several roles need to meet the machine and each other: the clock, ports, files, identity,
//! the control conversation, QUIC, published tables.
//!
//! - [`context`]: what a role is given and gives back.
//! - [`identity`]: the network's authority and each node's certificate; nobody else is trusted.
//! - [`link`]: asks and replies over mutually authenticated TLS or a Unix socket.
//! - [`quic`]: the same trust for measurements (datagrams) and logs (streams).
//! - [`bind`]: ports, with the holder's name when one is taken.
//! - [`files`], [`journal`], [`issued`], [`pidfile`]: what must survive, or be found by other
//!   processes.
//! - [`publish`], [`clock`], [`backoff`], [`descriptors`], [`text`]: small tools.
//!
//! Nothing here knows what an answer, a cache or a probe is.

mod authority;
pub mod backoff;
pub mod bind;
pub mod clock;
pub mod context;
pub mod descriptors;
pub mod files;
mod holder;
pub mod identity;
pub mod issued;
pub mod journal;
pub mod link;
pub mod pidfile;
pub mod publish;
pub mod quic;
pub mod ship;
pub mod socket_path;
pub mod text;
mod trust;

pub use context::{Context, Ended, Running, StartError};
pub use identity::{Authority, Identity};
pub use pidfile::PidFile;
pub use publish::Published;
