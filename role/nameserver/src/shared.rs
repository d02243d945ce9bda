//! What every thread of the role sees: the published tables, counters, and the ways out.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use popnet_answer::{Standing, Zone};
use popnet_config::Held;
use popnet_guard::Secrets;
use popnet_runtime::ship::Shipper;
use popnet_runtime::{Context, Published, StartError, clock};
use popnet_steering::{Board, Demand, View};
use popnet_terms::{NodeName, Role, Timestamp};
use popnet_wire::counting::{DnsCounts, Group};

use crate::archive::Archive;
use crate::bindings::Book;
use crate::counters::Counters;
use crate::limit::{Shield, first_secrets, tap};
use crate::needs::Wishes;
use crate::sign::Signing;
use crate::table::Table;
use crate::tally::Tally;
use crate::transfer::Transfers;

/// Shared by all threads; nothing in it makes anybody wait.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) node: NodeName,
    /// Told to those who ask for the server's name (RFC 5001).
    pub(crate) hostname: String,
    pub(crate) table: Published<Table>,
    pub(crate) view: Published<View>,
    /// What stands before the answers.
    pub(crate) shield: Published<Shield>,
    /// Of cookies.
    pub(crate) secrets: Published<Secrets>,
    pub(crate) counters: Counters,
    /// When counting began.
    pub(crate) since: Timestamp,
    /// The counts of each worker for datagrams.
    tallies: Mutex<Vec<Arc<Tally>>>,
    /// Those of all connections.
    pub(crate) connections: Tally,
    pub(crate) shipper: Shipper,
    pub(crate) wishes: Wishes,
    /// Who asks for what.
    pub(crate) demand: Mutex<Demand>,
    /// Which clients stay where.
    pub(crate) book: Book,
    /// Zones that travel.
    pub(crate) transfers: Transfers,
    pub(crate) signing: Signing,
    /// The past.
    pub(crate) archive: Archive,
    decisions: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        context: &Context,
        held: &Held,
        table: Table,
        shipper: Shipper,
        wishes: Wishes,
    ) -> Result<Self, StartError> {
        let no_random = |what: &str| {
            let what = what.to_owned();
            |error: getrandom::Error| StartError::Io {
                what,
                source: std::io::Error::other(error.to_string()),
            }
        };
        let first = getrandom::u64().map_err(no_random("random start of decision numbers"))?;
        let now = clock::now();
        let folder = context.role_dir(Role::Nameserver);
        let tap = tap(held, &context.node, &folder, None);
        let secrets =
            first_secrets(&folder, held, now).map_err(no_random("a secret for cookies"))?;
        // Not of the board that publishes the others, whose generations begin with 1.
        let mut view = Board::new().view(now);
        view.generation = 0;
        Ok(Self {
            node: context.node.clone(),
            hostname: context.hostname.clone(),
            table: Published::new(Arc::new(table)),
            view: Published::new(Arc::new(view)),
            shield: Published::new(Arc::new(Shield::build(held, None, tap))),
            secrets: Published::new(Arc::new(secrets)),
            counters: Counters::default(),
            since: now,
            tallies: Mutex::default(),
            connections: Tally::default(),
            shipper,
            wishes,
            demand: Mutex::default(),
            book: Book::new(),
            transfers: Transfers::new(context),
            signing: Signing::new(context),
            archive: Archive::new(context),
            // Unique in the network: 64 random bits to begin with, then one by one.
            decisions: AtomicU64::new(first),
        })
    }

    /// Counts for one more worker.
    pub(crate) fn tally(&self) -> Arc<Tally> {
        let tally = Arc::<Tally>::default();
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.push(Arc::clone(&tally));
        tally
    }

    /// Everything that was counted.
    pub(crate) fn counts(&self) -> DnsCounts {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let workers = tallies.iter().enumerate();
        let mut workers: Vec<(Arc<str>, Vec<Group>)> =
            workers.map(|(at, tally)| (format!("udp {at}").into(), tally.groups())).collect();
        workers.push(("connections".into(), self.connections.groups()));
        let mut node = self.counters.groups();
        let table = self.table.load();
        let is_served = |zone: &&Zone| zone.image().standing() == Standing::Served;
        let all = table.catalog.zones().len();
        let served = table.catalog.zones().iter().filter(is_served).count();
        let counts = [("served", served), ("not_served", all - served)];
        let counts = counts.map(|(name, count)| (name.into(), count as u64));
        node.push(Group { name: "zones".into(), counts: counts.into() });
        let taps = self.shield.load().tap.as_ref().map(|tap| tap.progress()).unwrap_or_default();
        DnsCounts { since: self.since, workers, node, taps }
    }

    /// Numbers for so many decisions. After 2^64 of them they begin anew.
    pub(crate) fn decisions(&self, count: u64) -> Range<u64> {
        let first = self.decisions.fetch_add(count, Ordering::Relaxed);
        // A block at the end of the range would be empty: one number again harms nobody.
        first..first.saturating_add(count)
    }
}
