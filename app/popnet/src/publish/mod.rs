//! Releases of hosted content in a folder that WebServers read.
//!
//! ```text
//! FOLDER/.current      → .releases/7: what visitors see; put another way by one rename
//! FOLDER/.releases/7/  the files of a release, never changed after it was finished
//! FOLDER/.releases/6/  the one before, for requests that began with it
//! FOLDER/.unpurged     files whose purge has not been heard of yet
//! ```

mod release;
mod tree;

pub(crate) use release::{Broken, Plan, Store};
pub(crate) use tree::Tree;
