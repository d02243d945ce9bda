//! Service and latency probes.
