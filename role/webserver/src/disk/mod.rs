//! The disk shelf: stored responses in segments on files, book-keeping by `popnet_store`.
//!
//! One thread writes, a few read; both queues are bounded, and a full queue, a slow or a broken
//! disk means "not stored" or "not found", never a request that waits for long.
//!
//! In memory is only where things lie. Heads and pieces of content are read when they are wanted,
//! each checked against its checksum; what the system still has in memory is read at once. A purge
//! of a site, a prefix or a tag is one record, and what is found is held against it.

mod content;
mod files;
mod log;
mod meta;
mod opening;
mod pool;
mod shelf;
mod state;

pub use content::{DiskReader, DiskWriter};
pub use meta::{read_meta, read_purge, write_meta, write_purge};
pub use shelf::{DiskShelf, Trouble};
