//! Zones that travel: out to secondaries, in from primaries, changed from afar.
//!
//! - `book`: what the configuration says about it, with the keys that lie on this node.
//! - `door`: packets that are no plain questions; signatures on and off.
//! - `press`: the one place that publishes tables and zones, and remembers what changed.
//! - `out`, `herald`: transfers and notifications that leave.
//! - `follow`, `fetch`: secondary zones, their timers and transfers that come in.
//! - `catalogs`: zones that list zones. `change`: updates. `forward`: updates passed on.
//! - `tls`: who is who over TLS, as primary and as secondary.
//! - `annals`: differences that outlive a restart.
//! - `orders`: what a person orders about one zone.
//! - `disk`: what of all this survives a restart. `clerk`: updates without tasks, to rehearse.

mod annals;
mod book;
mod catalogs;
mod change;
mod clerk;
mod disk;
mod door;
mod fetch;
mod follow;
mod forward;
mod herald;
pub(crate) mod orders;
mod out;
mod press;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use popnet_answer::Image;
use popnet_config::Held;
use popnet_dns::Name;
use popnet_runtime::{Context, Published};
use popnet_terms::Role;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;
use crate::table::Table;

pub use annals::{history_entries, history_of};
use book::Book;
pub(crate) use catalogs::Members;
pub(crate) use change::Way;
use change::{Dynamics, Order};
pub(crate) use clerk::Clerk;
use disk::Folder;
use follow::Followers;
use forward::Forward;
use press::Press;

pub(crate) use door::{Caller, datagram, stream};
pub(crate) use popnet_transfer::concern;
pub(crate) use tls::{Asking, Shown};

/// Transfers that leave at a time: each holds one message and a pointer to its zone.
const OUT_MAX: usize = 64;
/// Updates that wait: more are not taken, and sent again by whoever has them.
const UPDATES_MAX: usize = 256;

/// What the role's threads share about zones that travel.
#[derive(Debug)]
pub(crate) struct Transfers {
    pub(crate) book: Published<Book>,
    pub(crate) press: Press,
    pub(crate) out: Arc<Semaphore>,
    pub(crate) folder: Folder,
    keys: PathBuf,
    /// Zones that can be updated, as their files have them.
    files: Published<BTreeMap<Name, Arc<Image>>>,
    /// Zones that catalogs list.
    pub(crate) members: Published<Members>,
    /// Asks for another table: catalogs list other zones.
    pub(crate) rebuild: Notify,
    dynamics: Dynamics,
    /// Zones whose secondaries are to be told again.
    recall: Mutex<BTreeSet<Name>>,
    recalled: Notify,
    followers: Mutex<Followers>,
    updates: mpsc::Sender<Order>,
    forwards: mpsc::Sender<Forward>,
    /// Taken once, by the task that passes updates on.
    forwarding: Mutex<Option<mpsc::Receiver<Forward>>>,
    /// Taken once, by the task that carries updates out.
    waiting: Mutex<Option<mpsc::Receiver<Order>>>,
    shutdown: CancellationToken,
}

impl Transfers {
    pub(crate) fn new(context: &Context) -> Self {
        let (updates, waiting) = mpsc::channel(UPDATES_MAX);
        let (forwards, forwarding) = mpsc::channel(UPDATES_MAX);
        Self {
            book: Published::new(Arc::new(Book::default())),
            press: Press::default(),
            out: Arc::new(Semaphore::new(OUT_MAX)),
            folder: Folder::new(context.role_dir(Role::Nameserver).join("zones")),
            keys: context.state_dir.join("keys").join("tsig"),
            files: Published::new(Arc::new(BTreeMap::new())),
            members: Published::new(Arc::new(Members::new())),
            rebuild: Notify::new(),
            dynamics: Dynamics::default(),
            recall: Mutex::default(),
            recalled: Notify::new(),
            followers: Mutex::new(BTreeMap::new()),
            updates,
            forwards,
            forwarding: Mutex::new(Some(forwarding)),
            waiting: Mutex::new(Some(waiting)),
            shutdown: context.shutdown.clone(),
        }
    }
}

/// Publishes what a configuration means: `table` with the zones that are kept here in their
/// newest state. It was built with the `members` of catalogs.
pub(crate) async fn publish(
    shared: &Arc<Shared>,
    held: Arc<Held>,
    members: Arc<Members>,
    table: Table,
) {
    let transfers = &shared.transfers;
    let (keys, with_files) = (transfers.keys.clone(), table.files.clone());
    let read = tokio::task::spawn_blocking(move || {
        Book::read(&held, with_files.as_deref(), &members, &keys)
    });
    let read = read.await;
    let book = Arc::new(read.unwrap_or_default());
    transfers.book.store(Arc::clone(&book));
    let dynamic = book.zones().filter(|(_, rules)| rules.is_dynamic());
    let files = dynamic.filter_map(|(apex, _)| {
        Some((apex.clone(), Arc::clone(table.catalog.zone(apex)?.image())))
    });
    transfers.files.store(Arc::new(files.collect()));
    let kept = follow::restore(shared, &book).await;
    // Before the table: zones are signed and published once, in the state that was kept.
    change::adopt(shared, &book).await;
    catalogs::make(shared, &book, table.files.clone()).await;
    print(shared, &book, table).await;
    follow::start(shared, &book, kept);
}

/// Publishes a table off the threads that wait for others: zones may have to be signed anew.
async fn print(shared: &Arc<Shared>, book: &Arc<Book>, mut table: Table) {
    let missing = book.problems.iter().cloned();
    table.problems.extend(missing);
    let (shared, book) = (Arc::clone(shared), Arc::clone(book));
    let printed = tokio::task::spawn_blocking(move || {
        shared.transfers.press.table(&shared, table, |apex| book.keeps(apex));
    });
    if let Err(error) = printed.await {
        tracing::error!(%error, "a table cannot be published");
    }
}

/// Starts what runs beside the threads that answer.
pub(crate) fn start(shared: &Arc<Shared>) -> Vec<JoinHandle<()>> {
    let taken = match shared.transfers.waiting.lock() {
        Ok(mut waiting) => waiting.take(),
        Err(_) => None,
    };
    let mut tasks = vec![
        tokio::spawn(herald::run(Arc::clone(shared))),
        tokio::spawn(catalogs::run(Arc::clone(shared))),
        tokio::spawn(annals::run(Arc::clone(shared))),
    ];
    let forwarding = shared.transfers.forwarding.lock().ok().and_then(|mut taken| taken.take());
    tasks.extend(forwarding.map(|waiting| tokio::spawn(forward::run(Arc::clone(shared), waiting))));
    tasks.extend(taken.map(|waiting| tokio::spawn(change::run(Arc::clone(shared), waiting))));
    tasks
}

/// A zone's name as part of a file's name. A slash is a letter of some names (RFC 2317).
fn file_name(apex: &Name) -> String {
    match apex.to_host().as_str() {
        "." => "%root".to_owned(),
        host => host.replace('%', "%25").replace('/', "%2f"),
    }
}
