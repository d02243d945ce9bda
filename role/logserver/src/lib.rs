//! Per-customer logs and exact counters.
