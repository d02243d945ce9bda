//! The disk shelf: stored responses in segments on files, book-keeping by `popnet_store`.
//!
//! One thread writes, a few read; both queues are bounded, and a full queue, a slow or a broken
//! disk means "not stored" or "not found", never a request that waits for long.
//!
//! Heads of stored responses are kept in memory, so that looking one up or purging by tag needs no
//! disk; contents are read piece by piece, each checked against its checksum.

mod content;
mod files;
mod log;
mod meta;
mod opening;
mod pool;
mod shelf;
mod state;

pub use content::{DiskReader, DiskWriter};
pub use meta::{read_meta, write_meta};
pub use shelf::{DiskShelf, Trouble};
