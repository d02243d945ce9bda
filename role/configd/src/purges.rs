//! Purges. A master numbers each order, keeps it, and tells every node whose caches may hold the
//! content; a node tells its cache roles and remembers how far it has come. Whoever was away asks
//! for what it missed.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use popnet_config::network::Network;
use popnet_runtime::journal::{Journal, rewrite};
use popnet_runtime::link::{Link, LinkError};
use popnet_runtime::{clock, pidfile};
use popnet_terms::{Micros, NodeName, PopId, Role};
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::purging::{Purge, PurgeId, PurgeOrder, PurgeReceipt, PurgeState, PurgeWhat};

use crate::daemon::Daemon;
use crate::way::Way;

/// The roles that hold content.
const CACHES: [Role; 2] = [Role::Webserver, Role::Webcache];
/// Purges that a master keeps for returning nodes. A node that missed more has to be emptied by
/// hand; it says so.
const KEEP: usize = 50_000;
/// Purges sent to a returning node at once.
const BATCH: usize = 1000;
/// Time for a role of this node to purge.
const ROLE_MAX: Duration = Duration::from_millis(2500);
/// Time for a node to purge before its receipt says that it is not reached.
pub(crate) const NODE_MAX: Duration = Duration::from_secs(3);
/// Between two looks for missed purges.
const LOOK: Duration = Duration::from_secs(3);
/// Between two looks of a node that is behind.
const LOOK_SOON: Duration = Duration::from_millis(250);
/// Between two looks of a node that just started: its disk tier waits, and the master may be
/// starting too.
const LOOK_FIRST: Duration = Duration::from_millis(50);
/// For so long it looks that often.
const FIRST_MAX: Duration = Duration::from_secs(5);

/// A master's purges, numbered and on disk.
#[derive(Debug)]
pub(crate) struct PurgeBook {
    inner: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    journal: Journal,
    purges: VecDeque<Purge>,
}

impl PurgeBook {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let (mut journal, mut records) = Journal::open(path)?;
        if records.len() > KEEP {
            drop(journal);
            records.drain(..records.len() - KEEP);
            rewrite(path, records.iter().map(Vec::as_slice))?;
            (journal, records) = Journal::open(path)?;
        }
        let purges = records.iter().filter_map(|record| decode_purge(record)).collect();
        Ok(Self { inner: Mutex::new(Book { journal, purges }) })
    }

    /// Gives `order` its number; it is on disk when this returns.
    pub(crate) fn add(&self, order: PurgeOrder) -> io::Result<Purge> {
        let mut book = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let last = book.purges.back().map_or(0, |purge| purge.id.0);
        let purge = Purge { id: PurgeId(last + 1), at: clock::now(), order };
        let record = postcard::to_stdvec(&purge).map_err(io::Error::other)?;
        book.journal.append(&record)?;
        book.purges.push_back(purge.clone());
        if book.purges.len() > KEEP {
            book.purges.pop_front();
        }
        Ok(purge)
    }

    /// The oldest purges after `since`, a batch at most.
    pub(crate) fn after(&self, since: PurgeId) -> Vec<Purge> {
        let book = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        book.purges.iter().filter(|purge| purge.id > since).take(BATCH).cloned().collect()
    }
}

/// A purge out of a journal's record. Takes any octets.
#[must_use]
pub fn decode_purge(record: &[u8]) -> Option<Purge> {
    match postcard::take_from_bytes(record) {
        Ok((purge, [])) => Some(purge),
        Ok(_) | Err(_) => None,
    }
}

/// Whether `order` names content of its customer.
pub(crate) fn check_order(network: &Network, order: &PurgeOrder) -> Result<(), Problem> {
    if !network.customers.contains_key(&order.customer) {
        let what = format!("there is no customer {}", order.customer);
        return Err(Problem::new("N0030", what, "popnet config get customers").with_exit(3));
    }
    let site = match &order.what {
        PurgeWhat::Url { site, .. } | PurgeWhat::Prefix { site, .. } | PurgeWhat::Site { site } => {
            site
        }
        PurgeWhat::Tag { .. } => return Ok(()),
    };
    match network.sites.get(site) {
        Some(of) if of.customer == order.customer => Ok(()),
        // Another customer's site looks to this one as if it did not exist.
        Some(_) | None => {
            let what = format!("{} has no site {site}", order.customer);
            Err(Problem::new("N0031", what, "popnet config get sites").with_exit(3))
        }
    }
}

/// The nodes whose caches may hold what `order` names.
pub(crate) fn targets(network: &Network, order: &PurgeOrder) -> Vec<NodeName> {
    let serves = |pop: &PopId| match &order.what {
        PurgeWhat::Url { site, .. } | PurgeWhat::Prefix { site, .. } | PurgeWhat::Site { site } => {
            network.sites.get(site).is_some_and(|of| network.serves(pop, of))
        }
        PurgeWhat::Tag { .. } => network
            .sites
            .values()
            .any(|of| of.customer == order.customer && network.serves(pop, of)),
    };
    network
        .nodes()
        .filter(|(_, pop, node)| CACHES.iter().any(|role| node.runs(*role)) && serves(pop))
        .map(|(name, _, _)| name)
        .collect()
}

/// Tells this node's cache roles, and remembers the number when none before it is missing.
pub(crate) async fn apply(daemon: &Daemon, purge: &Purge) -> PurgeReceipt {
    let receipt = tell_roles(daemon, purge).await;
    if matches!(receipt.state, PurgeState::Unreachable(_)) || purge.id > next(daemon) {
        daemon.purged.send_replace(false);
        daemon.hurry_purges.notify_one();
    } else {
        remember(daemon, purge.id);
    }
    receipt
}

/// The number of the next purge in the master's list.
fn next(daemon: &Daemon) -> PurgeId {
    PurgeId(daemon.last_purge.get().0.saturating_add(1))
}

fn remember(daemon: &Daemon, id: PurgeId) {
    if let Err(error) = daemon.last_purge.advance(id) {
        tracing::error!(%error, "cannot remember a purge; it is applied again at the next start");
    }
}

async fn tell_roles(daemon: &Daemon, purge: &Purge) -> PurgeReceipt {
    let began = Instant::now();
    let roles = daemon.roles();
    let receipt = |state| PurgeReceipt { node: daemon.me().clone(), state };
    let mut total: u64 = 0;
    for role in CACHES.into_iter().filter(|role| roles.contains(role)) {
        // The disk tier first: the memory tier must not fill itself with the old content again.
        match ask_role(daemon, role, purge).await {
            Ok(objects) => total = total.saturating_add(objects),
            // A memory tier that does not run is empty. It opens its socket before it serves, so
            // that it starts from a disk tier which has been told.
            Err(LinkError::Nobody(_)) if role == Role::Webcache => {}
            Err(error) => {
                let why = format!("its {role} does not answer: {error}");
                return receipt(PurgeState::Unreachable(why));
            }
        }
    }
    let took = Micros(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
    receipt(PurgeState::Applied { objects: total, took })
}

async fn ask_role(daemon: &Daemon, role: Role, purge: &Purge) -> Result<u64, LinkError> {
    let socket = daemon.context.role_socket(role);
    let asking = async {
        let mut link = Link::local(&socket).await?.patient_for(ROLE_MAX);
        link.ask_one(&Ask::Purge(purge.clone())).await
    };
    let reply = tokio::time::timeout(ROLE_MAX, asking).await;
    let Reply::Receipts(receipts) = reply.unwrap_or(Err(LinkError::TimedOut(ROLE_MAX)))? else {
        return Err(LinkError::Unexpected("a purge"));
    };
    receipts.iter().try_fold(0u64, |sum, receipt| match &receipt.state {
        PurgeState::Applied { objects, .. } => Ok(sum.saturating_add(*objects)),
        PurgeState::Unreachable(why) => Err(LinkError::Unreachable(why.clone())),
    })
}

/// Asks the master for purges that this node has missed, until shutdown.
pub(crate) async fn keep_up(daemon: Arc<Daemon>) {
    let began = Instant::now();
    loop {
        let roles = daemon.roles();
        let is_cache = CACHES.iter().any(|role| roles.contains(role));
        let looked = if is_cache { look(&daemon).await } else { Looked::Level };
        let pause = match looked {
            Looked::Level => {
                daemon.purged.send_replace(true);
                LOOK
            }
            Looked::Behind | Looked::Nobody
                if !*daemon.purged.borrow() && began.elapsed() < FIRST_MAX =>
            {
                LOOK_FIRST
            }
            Looked::Behind => LOOK_SOON,
            Looked::Nobody => LOOK,
        };
        tokio::select! {
            () = daemon.context.shutdown.cancelled() => return,
            () = daemon.hurry_purges.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// How a look for missed purges ended.
enum Looked {
    /// Nothing is missing here.
    Level,
    /// Something could not be applied yet.
    Behind,
    /// Nobody can be asked.
    Nobody,
}

/// Applies what was missed, all of it.
async fn look(daemon: &Daemon) -> Looked {
    loop {
        let last = daemon.last_purge.get();
        let Some(missed) = after(daemon, last).await else { return Looked::Nobody };
        let Some(first) = missed.first() else { return Looked::Level };
        if first.id > next(daemon) {
            tracing::error!(
                "purges between {last} and {} are no longer kept: empty this node's caches",
                first.id
            );
        }
        for purge in &missed {
            let receipt = tell_roles(daemon, purge).await;
            if let PurgeState::Unreachable(why) = receipt.state {
                tracing::debug!(purge = %purge.id, why, "cannot catch up with purges yet");
                daemon.purged.send_replace(false);
                return Looked::Behind;
            }
            remember(daemon, purge.id);
        }
        if daemon.last_purge.get() <= last || daemon.context.shutdown.is_cancelled() {
            return Looked::Behind;
        }
    }
}

/// The purges after `since`; `None` when nobody can be asked.
async fn after(daemon: &Daemon, since: PurgeId) -> Option<Vec<Purge>> {
    if let Some(purges) = of_master(daemon, since).await {
        return Some(purges);
    }
    for way in daemon.parent_ways() {
        if let Some(purges) = ask_for(daemon, &way, since).await {
            return Some(purges);
        }
    }
    None
}

/// The purges after `since` by the book of the one who numbers them, where the configuration says
/// who that is: for this node, and for those below that hold no configuration.
pub(crate) async fn of_master(daemon: &Daemon, since: PurgeId) -> Option<Vec<Purge>> {
    let held = daemon.held()?;
    let keeper = held.network.relay_root()?;
    if keeper == daemon.me() {
        return daemon.book.as_ref().map(|book| book.after(since));
    }
    ask_for(daemon, &Way::to(&held.network, keeper)?, since).await
}

async fn ask_for(daemon: &Daemon, way: &Way, since: PurgeId) -> Option<Vec<Purge>> {
    match way.ask_one(&daemon.context.identity, &Ask::PurgesSince(since), NODE_MAX).await {
        Ok(Reply::Purges(purges)) => Some(purges),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(from = way.hostname, %error, "cannot ask for purges");
            None
        }
    }
}

/// Tells the node's other processes to read again (G1).
pub(crate) fn hang_up_others(run_dir: &Path) {
    let pids: BTreeSet<i32> = pidfile::others(run_dir).into_iter().collect();
    for pid in pids {
        if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGHUP) {
            tracing::warn!(pid, %error, "cannot tell a process of the new configuration");
        }
    }
}
