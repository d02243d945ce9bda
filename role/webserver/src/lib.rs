//! The disk tier, and the way to the best origin.
