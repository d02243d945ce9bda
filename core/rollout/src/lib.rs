//! Configuration push: two phases down a tree, confirmed up it (A3–A5).
//!
//! Every node that holds the configuration has a [`Relay`]: it checks and stores what its parent
//! sends, hands it on to its children and answers for itself and everyone below. The master that
//! pushes has a [`Coordinator`] besides, which is the parent of its own relay: it decides.
//!
//! What is promised, with machines down and connections broken at any step:
//! - a number (epoch) stands for one text for good, and each node's number only grows;
//! - nothing comes into force unless every node that could be reached has it stored and checked,
//!   and none refused;
//! - a node that could not be reached is named (fenced), keeps what it has, and catches up from
//!   whom it receives as soon as it is back;
//! - a master that dies before its decision gives the push up when it returns; one that dies after
//!   it carries the push to its end.
//!
//! Nothing here reads TOML, opens a connection or writes a file: the machines say what is to be
//! done as [`Action`]s, in the order in which it must be done.

mod coordinator;
mod gather;
mod ledger;
mod relay;
mod tree;

pub use coordinator::{Coordinator, Needs, Step, Verdict};
pub use ledger::{Ledger, Staged, Unfinished};
pub use relay::{Action, Relay};
pub use tree::Tree;
