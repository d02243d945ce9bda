//! Fetches under way, so that simultaneous requests share one.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderValue};
use popnet_cache::key::Key;
use popnet_http::failure::Failure;
use popnet_http::interim::Ahead;
use popnet_terms::{CacheReason, CustomerId, SiteName};
use tokio::sync::watch;

use crate::fill::Fill;
use crate::shelf::Entry;

/// One fetch.
pub(crate) struct Flight<R> {
    pub(crate) key: Key,
    pub(crate) site: SiteName,
    pub(crate) customer: CustomerId,
    /// Others may wait for it.
    shared: bool,
    /// The part that it is to bring, as it was asked for; else the whole.
    part: Option<HeaderValue>,
    /// What it brings was purged meanwhile: it must not be stored.
    purged: AtomicBool,
    state: watch::Sender<State<R>>,
}

/// How far a flight is.
pub(crate) enum State<R> {
    /// Nothing is known yet.
    Pending,
    /// Its head has come, or never will.
    Landed(Landing<R>),
}

/// What a flight brought, for everybody.
pub(crate) enum Landing<R> {
    /// A response on its way onto the shelf.
    Fill(Arc<Fill<R>>),
    /// What is stored is valid: its head is renewed.
    Valid(Entry),
    /// It failed, and what is stored may be served stale.
    Stale(Entry, Option<u16>),
    /// It failed.
    Failed(Failure),
    /// Nothing that can be shared: everybody for himself.
    Released(CacheReason),
}

impl<R> Clone for Landing<R> {
    fn clone(&self) -> Self {
        match self {
            Self::Fill(fill) => Self::Fill(Arc::clone(fill)),
            Self::Valid(entry) => Self::Valid(entry.clone()),
            Self::Stale(entry, status) => Self::Stale(entry.clone(), *status),
            Self::Failed(failure) => Self::Failed(failure.clone()),
            Self::Released(reason) => Self::Released(*reason),
        }
    }
}

impl<R> Flight<R> {
    pub(crate) fn land(&self, landing: Landing<R>) {
        self.state.send_replace(State::Landed(landing));
    }

    pub(crate) fn is_purged(&self) -> bool {
        self.purged.load(Ordering::Acquire)
    }

    /// Waits for the landing.
    pub(crate) async fn landing(&self) -> Landing<R> {
        let mut state = self.state.subscribe();
        let landed = state.wait_for(|state| matches!(state, State::Landed(_))).await;
        match landed.as_deref() {
            Ok(State::Landed(landing)) => landing.clone(),
            // The sender lives in the flight, so this does not happen; going alone is always right.
            Ok(State::Pending) | Err(_) => Landing::Released(CacheReason::RespIncomplete),
        }
    }
}

/// Every fetch under way.
pub(crate) struct Flights<R> {
    hasher: RandomState,
    shards: Box<[Shard<R>]>,
}

type List<R> = HashMap<Key, Vec<Arc<Flight<R>>>>;
type Shard<R> = Mutex<List<R>>;

/// A request's place in a fetch.
pub(crate) enum Boarded<R> {
    /// It starts one.
    First(Arc<Flight<R>>),
    /// Another did.
    With(Arc<Flight<R>>),
}

impl<R> Flights<R> {
    pub(crate) fn new() -> Self {
        const SHARDS: usize = 16;
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { hasher: RandomState::new(), shards }
    }

    fn shard(&self, key: &Key) -> Option<MutexGuard<'_, List<R>>> {
        let count = u64::try_from(self.shards.len()).unwrap_or(1).max(1);
        let place = usize::try_from(self.hasher.hash_one(key) % count).unwrap_or(0);
        Some(lock(self.shards.get(place)?))
    }

    /// Joins a fetch of the same `part` of `key` that is still without a head, or any whose
    /// response `suits`; else starts one.
    pub(crate) fn board(
        &self,
        key: &Key,
        (site, customer): (&SiteName, &CustomerId),
        part: Option<&HeaderValue>,
        suits: impl Fn(&Fill<R>) -> bool,
    ) -> Boarded<R> {
        let Some(mut shard) = self.shard(key) else {
            return Boarded::First(Arc::new(flight(key, site, customer, false)));
        };
        let list = shard.entry(key.clone()).or_default();
        let found = list.iter().find(|flight| {
            flight.shared
                && match &*flight.state.borrow() {
                    State::Pending => flight.part.as_ref() == part,
                    State::Landed(Landing::Fill(fill)) => suits(fill),
                    State::Landed(
                        Landing::Valid(_)
                        | Landing::Stale(..)
                        | Landing::Failed(_)
                        | Landing::Released(_),
                    ) => false,
                }
        });
        if let Some(flight) = found {
            return Boarded::With(Arc::clone(flight));
        }
        let flight = flight(key, site, customer, true);
        let flight = Arc::new(Flight { part: part.cloned(), ..flight });
        list.push(Arc::clone(&flight));
        Boarded::First(flight)
    }

    /// Starts a fetch that nobody else joins.
    pub(crate) fn alone(
        &self,
        key: &Key,
        site: &SiteName,
        customer: &CustomerId,
    ) -> Arc<Flight<R>> {
        let flight = Arc::new(flight(key, site, customer, false));
        if let Some(mut shard) = self.shard(key) {
            shard.entry(key.clone()).or_default().push(Arc::clone(&flight));
        }
        flight
    }

    /// Whether a shared fetch of `key` is under way.
    pub(crate) fn is_flying(&self, key: &Key) -> bool {
        let shard = self.shard(key);
        shard.is_some_and(|shard| {
            shard.get(key).is_some_and(|list| list.iter().any(|flight| flight.shared))
        })
    }

    /// Forgets `flight`: it is over, or nobody may join it any more.
    pub(crate) fn remove(&self, flight: &Arc<Flight<R>>) {
        let Some(mut shard) = self.shard(&flight.key) else { return };
        if let Some(list) = shard.get_mut(&flight.key) {
            list.retain(|other| !Arc::ptr_eq(other, flight));
            if list.is_empty() {
                shard.remove(&flight.key);
            }
        }
    }

    /// Keeps what the fetches that `hit` picks bring from being stored or joined.
    pub(crate) fn purge(&self, hit: impl Fn(&Flight<R>) -> bool) {
        for shard in &self.shards {
            lock(shard).retain(|_, list| {
                list.retain(|flight| {
                    let hit = hit(flight);
                    if hit {
                        flight.purged.store(true, Ordering::Release);
                    }
                    !hit
                });
                !list.is_empty()
            });
        }
    }
}

fn flight<R>(key: &Key, site: &SiteName, customer: &CustomerId, shared: bool) -> Flight<R> {
    let (state, _) = watch::channel(State::Pending);
    Flight {
        key: key.clone(),
        site: site.clone(),
        customer: customer.clone(),
        shared,
        part: None,
        purged: AtomicBool::new(false),
        state,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a flight off the list when its task ends, however it ends.
pub(crate) struct Listed<'a, R> {
    pub(crate) flights: &'a Flights<R>,
    pub(crate) flight: &'a Arc<Flight<R>>,
}

impl<R> Drop for Listed<'_, R> {
    fn drop(&mut self) {
        self.flights.remove(self.flight);
        // A task that ended by a mistake must not leave others waiting.
        self.flight.state.send_if_modified(|state| {
            let pending = matches!(state, State::Pending);
            if pending {
                *state = State::Landed(Landing::Released(CacheReason::RespIncomplete));
            }
            pending
        });
    }
}

/// The fields of a request that a flight is made from.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) uri: http::Uri,
    pub(crate) method: http::Method,
    pub(crate) version: http::Version,
    pub(crate) fields: HeaderMap,
    /// Where interim responses go; nowhere, for what is fetched in the background.
    pub(crate) ahead: Option<Ahead>,
}
