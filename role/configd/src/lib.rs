//! The configuration daemon of every node (G1, A1–A7): it listens on the control port and on the
//! node's admin socket, keeps the configuration in force on disk, takes part in pushes, tells the
//! node's other processes, and hands questions on to the node's roles. On a master it starts
//! pushes and purges and sees the whole network.
//!
//! - [`start`] runs it, from a file ([`Source::File`]) or managed ([`Source::Managed`]).
//! - [`follow()`] is for processes of the node that run beside it.
//! - [`seed`] puts the first version into a new node's state folder.
//!
//! What it never does: it gives the configuration to a node that only caches (G6), and it lets
//! nobody change it who is not listed in the configuration itself (A7).

mod answer;
mod catch_up;
mod daemon;
mod file;
mod follow;
mod history;
mod may;
mod network;
mod purged;
mod purges;
mod push;
mod reading;
mod sheet;
mod state;
mod status;
mod way;

pub use daemon::{Managed, Parent, Source, Started, start};
pub use follow::follow;
pub use history::decode_version;
pub use may::{Scope, Who, may};
pub use purged::Purged;
pub use purges::decode_purge;
pub use state::{SeedError, decode_ledger, seed};
