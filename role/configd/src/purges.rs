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
/// Between two looks of a node that just started or is behind.
const LOOK_SOON: Duration = Duration::from_millis(250);

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
pub(crate) fn decode_purge(record: &[u8]) -> Option<Purge> {
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
    let began = Instant::now();
    let roles = daemon.roles();
    let mut total = 0;
    for role in CACHES.into_iter().filter(|role| roles.contains(role)) {
        // The disk tier first: the memory tier must not fill itself with the old content again.
        match ask_role(daemon, role, purge).await {
            Ok(objects) => total += objects,
            Err(error) => {
                let why = format!("its {role} does not answer: {error}");
                return receipt(daemon, PurgeState::Unreachable(why));
            }
        }
    }
    if purge.id.0 <= daemon.last_purge.get().0 + 1 {
        if let Err(error) = daemon.last_purge.advance(purge.id) {
            tracing::error!(%error, "cannot remember a purge; it is applied again at the next start");
        }
    } else {
        daemon.hurry_purges.notify_one();
    }
    let took = Micros(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
    receipt(daemon, PurgeState::Applied { objects: total, took })
}

fn receipt(daemon: &Daemon, state: PurgeState) -> PurgeReceipt {
    PurgeReceipt { node: daemon.me().clone(), state }
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
    let mut pause = LOOK_SOON;
    loop {
        tokio::select! {
            () = daemon.context.shutdown.cancelled() => return,
            () = daemon.hurry_purges.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        let roles = daemon.roles();
        if !CACHES.iter().any(|role| roles.contains(role)) {
            pause = LOOK;
            continue;
        }
        pause = if look(&daemon).await { LOOK } else { LOOK_SOON };
    }
}

/// Applies what was missed; `false` when there is more to do soon.
async fn look(daemon: &Daemon) -> bool {
    let Some(missed) = missed(daemon).await else { return true };
    let last = daemon.last_purge.get();
    if let Some(first) = missed.first().filter(|first| first.id.0 > last.0 + 1) {
        tracing::error!(
            "purges between {last} and {} are no longer kept: empty this node's caches",
            first.id
        );
    }
    for purge in &missed {
        let receipt = apply_in_turn(daemon, purge).await;
        if let PurgeState::Unreachable(why) = receipt.state {
            tracing::debug!(purge = %purge.id, why, "cannot catch up with purges yet");
            return false;
        }
    }
    missed.is_empty()
}

/// Applies the next purge of the master's list: none before it is missing.
async fn apply_in_turn(daemon: &Daemon, purge: &Purge) -> PurgeReceipt {
    let receipt = apply(daemon, purge).await;
    if matches!(receipt.state, PurgeState::Applied { .. })
        && let Err(error) = daemon.last_purge.advance(purge.id)
    {
        tracing::error!(%error, "cannot remember a purge; it is applied again at the next start");
    }
    receipt
}

/// What came after the last purge applied here; `None` when nobody can be asked.
async fn missed(daemon: &Daemon) -> Option<Vec<Purge>> {
    let last = daemon.last_purge.get();
    let held = daemon.held();
    let keeper = held.as_ref().and_then(|held| held.network.relay_root());
    if let (true, Some(book)) = (keeper == Some(daemon.me()), &daemon.book) {
        return Some(book.after(last));
    }
    let known = keeper.and_then(|master| Way::to(&held.as_ref()?.network, master));
    let ways: Vec<Way> = match known {
        Some(way) => vec![way],
        None => daemon.parent_ways(),
    };
    for way in ways {
        let ask = Ask::PurgesSince(last);
        match way.ask_one(&daemon.context.identity, &ask, NODE_MAX).await {
            Ok(Reply::Purges(purges)) => return Some(purges),
            Ok(_) => {}
            Err(error) => tracing::debug!(from = way.hostname, %error, "cannot ask for purges"),
        }
    }
    None
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
