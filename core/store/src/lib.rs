//! The disk tier's book-keeping: a log of segments in which objects are written once, front to
//! back, and from which whole segments are reclaimed, oldest first.
//!
//! A purge is one record, however much it hits: the owner holds what it finds against the purges
//! that were written after it ([`Place`]).
//!
//! What this crate decides: where each record goes, what may be read, what a folder of segments
//! holds after a crash, and which segment makes room. What it leaves out: files, threads, time and
//! the meaning of keys and metadata. The owner carries out a [`Plan`] in order and reports back.
//!
//! ```
//! use popnet_store::{Limits, Store, key_hash};
//!
//! let mut store = Store::new(Limits::for_disk(64 << 20).expect("large enough"), 7);
//! let (id, _plan) = store.begin(b"http://a.test/", b"meta", Some(2))?;
//! let _plan = store.append(id, &bytes::Bytes::from_static(b"hi"))?;
//! let _plan = store.commit(id, &[])?;
//! assert!(store.find(key_hash(b"http://a.test/")).is_empty(), "not before the writes are done");
//! store.publish(id);
//! assert_eq!(store.find(key_hash(b"http://a.test/")), [id]);
//! # Ok::<(), popnet_store::Refused>(())
//! ```
//!
//! The format is in [`segment`]; versions 1 and 2 stay readable for good.

mod index;
mod machine;
mod plan;
mod reclaim;
mod record;
mod recover;
pub mod segment;
mod summary;

pub use index::{Object, ObjectId};
pub use machine::{Refused, Store};
pub use plan::{Action, Extent, Place, Plan, Read, SegmentId};
pub use reclaim::Limits;
pub use record::{CHUNK_MAX, HEAD_MAX, Head, read_head};
pub use recover::{Lost, Recovered, Recovery};

/// The hash under which an object is found; the full key stands in its head.
#[must_use]
pub fn key_hash(key: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(key)
}
