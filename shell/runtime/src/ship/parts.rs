//! What will become one batch, before it has a number, and how it is cut to size.

use popnet_wire::logging::{Counter, RECORDS_MAX, Record};

use super::ring::Pending;

/// Counter rows in one batch: some two megabytes.
const COUNTERS_MAX: usize = 20_000;

/// The content of one batch.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Exact counters.
    pub(super) counters: Vec<Counter>,
    /// Detail records.
    pub(super) records: Vec<Record>,
    /// Detail records that were given up.
    pub(super) dropped: u64,
}

impl Part {
    /// Makes it shorter: gives away the second half of its records, or gives up a record that is
    /// too long alone.
    pub(super) fn split(&mut self) -> Option<Self> {
        match self.records.len() {
            0 => None,
            1 => {
                self.records.clear();
                self.dropped = self.dropped.saturating_add(1);
                None
            }
            many => Some(Self { records: self.records.split_off(many / 2), ..Self::default() }),
        }
    }
}

/// Cuts what waits into batches. Without `details`, records become a count.
pub(super) fn cut(mut pending: Pending, details: bool) -> Vec<Part> {
    let mut records = std::mem::take(&mut pending.records);
    let mut dropped = pending.dropped;
    if !details {
        dropped = dropped.saturating_add(records.len() as u64);
        records.clear();
    }
    let mut counters = pending.take_counters();
    let mut parts = Vec::new();
    loop {
        let rest = records.split_off(records.len().min(RECORDS_MAX));
        let rows = counters.split_off(counters.len().min(COUNTERS_MAX));
        parts.push(Part { counters, records, dropped });
        (counters, records, dropped) = (rows, rest, 0);
        if counters.is_empty() && records.is_empty() {
            return parts;
        }
    }
}
