//! Publishes tables and zones. Whatever changes a zone (a file, a transfer, an update, a
//! signature) comes through here, so that none undoes another's work, and what differs is known
//! to secondaries.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use popnet_answer::{Image, Standing};
use popnet_dns::Name;
use popnet_runtime::{Published, clock};
use popnet_transfer::{Difference, History, Line, Serial, merge};
use tokio::sync::watch;

use super::annals;
use crate::shared::Shared;
use crate::table::Table;
use crate::views::ZoneKey;

/// Zones that stand in place of what a table was built with, and how zones came to be as they are.
#[derive(Debug)]
pub(crate) struct Press {
    /// Held while something is published: one after the other.
    overlay: Mutex<BTreeMap<Name, Arc<Image>>>,
    histories: Published<BTreeMap<ZoneKey, Arc<History>>>,
    /// Counts publications.
    news: watch::Sender<u64>,
}

impl Default for Press {
    fn default() -> Self {
        Self {
            overlay: Mutex::new(BTreeMap::new()),
            histories: Published::new(Arc::new(BTreeMap::new())),
            news: watch::Sender::new(0),
        }
    }
}

impl Press {
    /// Publishes `table`, with the newest states of zones that this node `keeps` in it.
    pub(crate) fn table(&self, shared: &Shared, mut table: Table, keeps: impl Fn(&Name) -> bool) {
        let mut overlay = self.overlay.lock().unwrap_or_else(PoisonError::into_inner);
        overlay.retain(|apex, _| keeps(apex) && table.catalog.zone(apex).is_some());
        for image in overlay.values() {
            if let Some(catalog) = table.catalog.with(Arc::clone(image)) {
                table.catalog = catalog;
            }
        }
        shared.signing.dress(&mut table, clock::now());
        table.align();
        let before = shared.table.load_full();
        let mut histories = (*self.histories.load_full()).clone();
        histories.retain(|key, _| table.zone(key).is_some());
        for (key, zone) in table.zones() {
            let old = before.zone(&key);
            remember(shared, &mut histories, key, old.map(|old| &**old.image()), zone.image());
        }
        self.histories.store(Arc::new(histories));
        shared.table.store(Arc::new(table));
        self.news.send_modify(|count| *count += 1);
    }

    /// Publishes another state of a zone; says whether this server has the zone.
    pub(crate) fn zone(&self, shared: &Shared, image: Arc<Image>) -> bool {
        let mut overlay = self.overlay.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shared.table.load_full();
        let Some(catalog) = before.catalog.with(Arc::clone(&image)) else { return false };
        let apex = image.apex().clone();
        overlay.insert(apex.clone(), image);
        let mut table = (*before).clone();
        table.catalog = catalog;
        shared.signing.dress(&mut table, clock::now());
        table.align();
        let mut histories = (*self.histories.load_full()).clone();
        let old = before.catalog.zone(&apex).map(|zone| &**zone.image());
        if let Some(zone) = table.catalog.zone(&apex) {
            remember(shared, &mut histories, ZoneKey::common(apex), old, zone.image());
        }
        self.histories.store(Arc::new(histories));
        shared.table.store(Arc::new(table));
        self.news.send_modify(|count| *count += 1);
        true
    }

    /// Publishes what is served now, with new signatures where they are due.
    pub(crate) fn renew(&self, shared: &Shared) {
        self.table(shared, (*shared.table.load_full()).clone(), |_| true);
    }

    /// Lays a state aside that the next table takes up.
    pub(crate) fn lay(&self, image: Arc<Image>) {
        let mut overlay = self.overlay.lock().unwrap_or_else(PoisonError::into_inner);
        overlay.insert(image.apex().clone(), image);
    }

    /// The last differences of a zone.
    pub(crate) fn history(&self, key: &ZoneKey) -> Option<Arc<History>> {
        self.histories.load().get(key).cloned()
    }

    /// The last differences of all zones.
    pub(super) fn histories(&self) -> Arc<BTreeMap<ZoneKey, Arc<History>>> {
        self.histories.load_full()
    }

    /// Tells of each publication.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}

/// Notes how a zone came to be as it is.
fn remember(
    shared: &Shared,
    histories: &mut BTreeMap<ZoneKey, Arc<History>>,
    key: ZoneKey,
    old: Option<&Image>,
    new: &Image,
) {
    if old.is_some_and(|old| std::ptr::eq(old, new)) {
        return;
    }
    let book = shared.transfers.book.load();
    // Differences are looked for only where somebody may ask for them.
    let Some(rules) = book.rules(&key).filter(|rules| !rules.transfer.is_empty()) else {
        histories.remove(&key);
        return;
    };
    if !histories.contains_key(&key)
        && key.view.is_none()
        && let Some(kept) = annals::read(&shared.transfers.folder, new, rules.history)
    {
        histories.insert(key, Arc::new(kept));
        return;
    }
    let served = |image: &&Image| image.standing() == Standing::Served;
    let (Some(old), Some(new)) = (old.filter(served), Some(new).filter(served)) else {
        return;
    };
    let serials = (Serial(old.serial()), Serial(new.serial()));
    if !serials.1.is_after(serials.0) {
        if serials.0 != serials.1 || old.record_count() != new.record_count() {
            histories.remove(&key);
        }
        return;
    }
    let known = histories.get(&key).map(|known| (**known).clone());
    let mut history = known.unwrap_or_else(|| History::new(rules.history));
    match difference(old, new, rules.history) {
        Some(step) => history.push(Arc::new(step)),
        None => history.clear(),
    }
    histories.insert(key, Arc::new(history));
}

fn difference(old: &Image, new: &Image, limit: usize) -> Option<Difference> {
    merge(new.apex(), lines(old), lines(new), limit)
}

/// Every record of a zone, owners relative to its apex.
pub(crate) fn lines(image: &Image) -> impl Iterator<Item = Line<'_>> {
    image.records().map(|record| Line {
        owner: record.name,
        rtype: record.rtype,
        ttl: record.ttl,
        rdata: record.rdata,
    })
}
