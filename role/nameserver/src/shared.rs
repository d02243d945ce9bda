//! What every thread of the role sees: two published tables, counters, and the ways out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use popnet_runtime::ship::Shipper;
use popnet_runtime::{Context, Published, StartError};
use popnet_steering::{Board, View};
use popnet_terms::NodeName;

use crate::counters::Counters;
use crate::needs::Wishes;
use crate::table::Table;

/// Shared by all threads; nothing in it makes anybody wait.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) node: NodeName,
    /// Told to those who ask for the server's name (RFC 5001).
    pub(crate) hostname: String,
    pub(crate) table: Published<Table>,
    pub(crate) view: Published<View>,
    pub(crate) counters: Counters,
    pub(crate) shipper: Shipper,
    pub(crate) wishes: Wishes,
    decisions: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        context: &Context,
        table: Table,
        shipper: Shipper,
        wishes: Wishes,
    ) -> Result<Self, StartError> {
        let first = getrandom::u64().map_err(|error| StartError::Io {
            what: "random start of decision numbers".to_owned(),
            source: std::io::Error::other(error.to_string()),
        })?;
        let view = Board::new().view(popnet_runtime::clock::now());
        Ok(Self {
            node: context.node.clone(),
            hostname: context.hostname.clone(),
            table: Published::new(Arc::new(table)),
            view: Published::new(Arc::new(view)),
            counters: Counters::default(),
            shipper,
            wishes,
            // Unique in the network: 64 random bits to begin with, then one by one.
            decisions: AtomicU64::new(first),
        })
    }

    /// The number of the next decision.
    pub(crate) fn next_decision(&self) -> u64 {
        self.decisions.fetch_add(1, Ordering::Relaxed)
    }
}
