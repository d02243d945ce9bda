//! When to probe what, and what the outcomes mean.
