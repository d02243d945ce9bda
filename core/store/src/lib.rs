//! Book-keeping of the disk tier: segments, index, recovery.
