//! What the role is asked over its own socket: what every tier is, and the ways to its clients.

use std::sync::{Arc, Mutex, PoisonError};

use popnet_runtime::clock;
use popnet_runtime::link::{Handler, Peer, ReplySink};
use popnet_tally::Trips;
use popnet_tier::control::Control;
use popnet_wire::control::{Ask, Reply};

use crate::memory::Memory;
use crate::store::Store;

/// Answers asks.
pub(crate) struct Desk {
    pub(crate) tier: Control<Memory, Store>,
    pub(crate) trips: Arc<Mutex<Trips>>,
}

impl Handler for Desk {
    async fn answer(&self, peer: Peer, ask: Ask, out: ReplySink) {
        let Ask::Trips(ask) = ask else { return self.tier.answer(peer, ask, out).await };
        let trips = Arc::clone(&self.trips);
        let told = trips.lock().unwrap_or_else(PoisonError::into_inner).told(ask, clock::now());
        // Whoever asked may have gone; the next ask begins where this one did.
        let _ = out.send(Reply::Trips(told)).await;
    }
}
