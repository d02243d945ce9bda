//! Catalog zones (RFC 9432): what those of others list is transferred from their primaries as well;
//! ours list the zones that have files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use popnet_answer::Image;
use popnet_dns::Name;
use popnet_runtime::clock;
use popnet_transfer::{Content, listing, members};

use super::book::Book;
use super::press::lines;
use super::{change, follow};
use crate::shared::Shared;

/// Zones that catalogs list, each with its catalog.
pub(crate) type Members = BTreeMap<Name, Name>;

/// What a catalog said last, and in which state.
struct Seen {
    image: Arc<Image>,
    members: Vec<Name>,
}

/// Makes the catalogs of zones with `files`; the next table takes them up. Where those are not all
/// known, a catalog stays: whoever follows it gives up a zone that it lists no more.
pub(super) async fn make(
    shared: &Arc<Shared>,
    book: &Arc<Book>,
    files: Option<Arc<BTreeSet<Name>>>,
) {
    let (shared, book) = (Arc::clone(shared), Arc::clone(book));
    let made = tokio::task::spawn_blocking(move || {
        for (apex, _) in book.zones().filter(|(_, rules)| rules.is_listing) {
            if let Err(why) = make_one(&shared, &book, apex, files.as_deref()) {
                tracing::error!(catalog = %apex, %why, "the catalog stays as it was");
            }
        }
    });
    if let Err(error) = made.await {
        tracing::error!(%error, "catalogs cannot be made");
    }
}

fn make_one(
    shared: &Shared,
    book: &Book,
    apex: &Name,
    files: Option<&BTreeSet<Name>>,
) -> Result<(), String> {
    let folder = &shared.transfers.folder;
    let kept = folder.load(apex).map(|kept| kept.content);
    let group = |zone: &Name| book.zone(zone).and_then(|rules| rules.group.as_deref());
    let now = clock::now();
    let seconds = u32::try_from(now.0 / 1_000_000).unwrap_or(0);
    let made = files.and_then(|files| {
        let members: Vec<_> = files.iter().map(|zone| (zone, group(zone))).collect();
        listing(apex, &members, kept.as_ref(), seconds)
    });
    if let Some(made) = &made {
        tracing::info!(catalog = %apex, zones = files.map_or(0, BTreeSet::len), "catalog made");
        folder.save(made, now).map_err(|error| error.to_string())?;
    }
    let Some(content) = made.or(kept) else {
        return Err("zones_from cannot be read, and nothing is kept".to_owned());
    };
    let is_served = |content: &Content| {
        let served = follow::current(shared, apex).map(|(_, soa)| soa);
        served.is_some() && served == content.numbers()
    };
    if !is_served(&content) {
        shared.transfers.press.lay(Arc::new(change::compile(&content)?));
    }
    Ok(())
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
