//! What another name server's configuration says, in ours.
//!
//! - Function: [`bind()`] reads a `named.conf` with what it includes and gives an [`Imported`]: a
//!   configuration for one name server, the keys as files, and one [`Note`] for each statement:
//!   taken, not needed here, left for a person, or not understood.
//!
//! A list that says who may do something never becomes wider than it was: what cannot be said
//! in ours is left out of it, or the whole list is. Secrets go into keys' files only. Nothing
//! here opens a file: the caller does, and decides which.

mod access;
mod bind;
mod listen;
mod places;
mod report;
mod scan;
mod settings;
mod toml;
mod tree;
mod updates;
mod views;
mod zones;

pub use bind::{Imported, Wanted, bind};
pub use places::Place;
pub use report::{Kind, Note};
pub use zones::KeyFile;
