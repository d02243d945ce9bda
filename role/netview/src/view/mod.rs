//! What the pages and the interface show: values drawn from a snapshot for one pair of eyes. The
//! same values become HTML by templates and JSON by serde, so that the two never differ.

pub(crate) mod candidates;
pub(crate) mod chart;
pub(crate) mod configuration;
pub(crate) mod decisions;
pub(crate) mod figures;
pub(crate) mod format;
pub(crate) mod pops;
pub(crate) mod problems;
pub(crate) mod purges;
pub(crate) mod state;
pub(crate) mod traffic;
pub(crate) mod words;
