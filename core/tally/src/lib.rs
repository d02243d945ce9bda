//! Counters, rollups and questions over log records.
