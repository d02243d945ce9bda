//! Carries updates out one by one when it is told to, instead of in a task: what is rehearsed ends
//! before the next thing begins, and finds the zones as they were.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use popnet_dns::Name;
use popnet_transfer::Content;
use tokio::sync::{mpsc, oneshot};

use super::change::{self, Order, Way};
use crate::shared::Shared;

/// Takes the updates of a server that runs no tasks.
#[derive(Debug)]
pub(crate) struct Clerk {
    waiting: Option<mpsc::Receiver<Order>>,
    /// The zones that can be changed, as they were first.
    first: BTreeMap<Name, Content>,
}

impl Clerk {
    /// For a server whose zones are published and whose tasks were not started.
    pub(crate) async fn new(shared: &Shared) -> Self {
        let waiting = &shared.transfers.waiting;
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let dynamics = shared.transfers.dynamics.lock().await;
        let first = dynamics.iter().map(|(apex, zone)| (apex.clone(), zone.content.clone()));
        Self { waiting, first: first.collect() }
    }

    /// A way back for a datagram's later answer, and where it comes out.
    pub(crate) fn way() -> (Way, oneshot::Receiver<Vec<u8>>) {
        let (way, answer) = oneshot::channel();
        (Way::Connection(way), answer)
    }

    /// Carries out what waits.
    pub(crate) fn settle(&mut self, shared: &Shared) {
        while let Some(Ok(order)) = self.waiting.as_mut().map(mpsc::Receiver::try_recv) {
            carry_out(shared, order);
        }
    }

    /// Carries out whatever comes, for ever.
    pub(crate) async fn serve(&mut self, shared: &Shared) {
        loop {
            let order = match &mut self.waiting {
                Some(waiting) => waiting.recv().await,
                None => None,
            };
            match order {
                Some(order) => carry_out(shared, order),
                None => std::future::pending().await,
            }
        }
    }

    /// Takes every zone back to what it was first.
    pub(crate) fn undo(&mut self, shared: &Shared) {
        let Ok(mut dynamics) = shared.transfers.dynamics.try_lock() else { return };
        for (apex, zone) in dynamics.iter_mut() {
            let Some(first) = self.first.get(apex).filter(|first| **first != zone.content) else {
                continue;
            };
            zone.content = first.clone();
            if let Ok(image) = change::compile(first) {
                shared.transfers.press.zone(shared, Arc::new(image));
            }
        }
    }
}

fn carry_out(shared: &Shared, order: Order) {
    if let Ok(mut dynamics) = shared.transfers.dynamics.try_lock() {
        change::settle(shared, &mut dynamics, order);
    }
}
