//! One HTTP caching tier: answers from its shelf or from the next tier.

pub mod shelf;
pub mod upstream;
