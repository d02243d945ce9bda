//! Updates passed on to the primary (RFC 2136 6), for zones that say so. A message goes as it is,
//! with its sender's signature, and so does the answer: who may change what the primary decides.
//! Unsigned ones are not passed on: the primary would take them for ours.

use std::net::IpAddr;
use std::sync::Arc;

use popnet_dns::Rcode;
use popnet_transfer::{Concern, Incoming, concern, reply};
use tokio::sync::{Semaphore, mpsc};

use super::book::ZoneBook;
use super::change::Way;
use super::follow;
use crate::shared::Shared;

/// On their way at a time: each holds a connection and a message.
const WAYS_MAX: usize = 16;

/// An update that came as a datagram, on its way to a primary.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) packet: Vec<u8>,
    pub(super) from: IpAddr,
    pub(super) rules: Arc<ZoneBook>,
    pub(super) way: Way,
}

/// The rules of the zone that `packet` would change, when its updates are passed on.
pub(super) fn wanted(shared: &Shared, packet: &[u8]) -> Option<Arc<ZoneBook>> {
    if concern(packet) != Some(Concern::Update) {
        return None;
    }
    let book = shared.transfers.book.load();
    if !book.forwards {
        return None;
    }
    let zone = Incoming::parse(packet).ok()?.question?.name;
    book.zone(&zone).filter(|rules| rules.forwards).cloned()
}

/// Passes on what came as datagrams, until the role ends.
pub(super) async fn run(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Forward>) {
    let ways = Arc::new(Semaphore::new(WAYS_MAX));
    loop {
        let next = tokio::select! {
            () = shared.transfers.shutdown.cancelled() => return,
            next = waiting.recv() => next,
        };
        let Some(Forward { packet, from, rules, way }) = next else { return };
        let Ok(place) = Arc::clone(&ways).acquire_owned().await else { return };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            way.answer(pass(&shared, &packet, from, &rules).await);
            drop(place);
        });
    }
}

/// The answer of the first primary that gives one.
pub(super) async fn pass(
    shared: &Shared,
    packet: &[u8],
    from: IpAddr,
    rules: &ZoneBook,
) -> Vec<u8> {
    for source in &rules.primaries {
        match follow::primary(shared, source, None).pass_on(packet).await {
            Ok(answer) => {
                tracing::info!(%from, primary = %source.at, "an update is passed on");
                return answer;
            }
            Err(why) => tracing::warn!(%from, primary = %source.at, %why, "an update is stuck"),
        }
    }
    reply(packet, Rcode::SERVFAIL)
}
