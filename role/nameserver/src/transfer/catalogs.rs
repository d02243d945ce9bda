//! Catalog zones (RFC 9432): what they list is transferred from their primaries as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use popnet_answer::Image;
use popnet_dns::Name;
use popnet_transfer::members;

use super::follow;
use super::press::lines;
use crate::shared::Shared;

/// Zones that catalogs list, each with its catalog.
pub(crate) type Members = BTreeMap<Name, Name>;

/// What a catalog said last, and in which state.
struct Seen {
    image: Arc<Image>,
    members: Vec<Name>,
}

/// Reads catalogs as they are published, and asks for another table when they list other zones.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut news = shared.transfers.press.news();
    let mut seen = BTreeMap::new();
    loop {
        look(&shared, &mut seen);
        tokio::select! {
            () = shared.transfers.shutdown.cancelled() => return,
            changed = news.changed() => if changed.is_err() { return },
        }
    }
}

fn look(shared: &Shared, seen: &mut BTreeMap<Name, Seen>) {
    let book = shared.transfers.book.load();
    seen.retain(|apex, _| book.zone(apex).is_some_and(|rules| rules.is_catalog));
    for (apex, _) in book.zones().filter(|(_, rules)| rules.is_catalog) {
        // A catalog that is gone for a while says nothing new.
        let Some((image, _)) = follow::current(shared, apex) else { continue };
        if seen.get(apex).is_some_and(|seen| Arc::ptr_eq(&seen.image, &image)) {
            continue;
        }
        let before = seen.remove(apex).map(|seen| seen.members).unwrap_or_default();
        let members = match members(apex, lines(&image)) {
            Ok(members) => members.into_keys().collect(),
            Err(why) => {
                tracing::error!(catalog = %apex, %why, "the catalog is broken: what it said stays");
                before
            }
        };
        seen.insert(apex.clone(), Seen { image, members });
    }
    let mut all = Members::new();
    for (catalog, seen) in seen.iter() {
        for member in &seen.members {
            // The first to list a zone has it (RFC 9432 5.2).
            all.entry(member.clone()).or_insert_with(|| catalog.clone());
        }
    }
    if all != **shared.transfers.members.load() {
        tracing::info!(zones = all.len(), "catalogs list other zones");
        shared.transfers.members.store(Arc::new(all));
        shared.transfers.rebuild.notify_one();
    }
}
