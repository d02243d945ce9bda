//! Who would move if another configuration came into force: both are asked, for the clients that
//! are known, over the same measurements.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use ipnet::IpNet;
use popnet_config::network::{PersistBy, PersistMode};
use popnet_dns::Rtype;
use popnet_steering::{Held, Lineup, View};
use popnet_terms::{Because, Removed, SiteName, TargetId};
use popnet_wire::control::Problem;
use popnet_wire::inquiring::{Move, Moves, SiteMoves};

use crate::shared::Shared;
use crate::steer::{Steered, for_unit};
use crate::table::{SiteEntry, Table};
use crate::why::{no_board, parsed, under};

/// Choices made for one plan: some seconds of one core, for a network of many targets.
const CHOICES_MAX: usize = 400_000;

/// No more clients are looked at: a share among these is within half a percent.
const UNITS_MAX: usize = 20_000;

/// Ways told of one site; the rest are few clients each.
const MOVES_MAX: usize = 64;

/// Says who would move.
pub(crate) async fn moves(shared: &Arc<Shared>, text: String) -> Result<Moves, Problem> {
    let turn = shared.archive.turn().await;
    let board = shared.archive.board().await.ok_or_else(no_board)?;
    let shared = Arc::clone(shared);
    let told = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let network = parsed(&text)?;
        let (table, view) = (shared.table.load_full(), shared.view.load_full());
        let next = under(board, &network, table.epoch, view.at);
        let beside = table.beside(&network, table.epoch);
        let (now, then) =
            (Side { table: &table, view: &view }, Side { table: &beside, view: &next });
        Ok(compare(&shared, &now, &then))
    });
    told.await.unwrap_or_else(|_| {
        Err(Problem::new("N0069", "a mistake in the program: the comparison broke off", ""))
    })
}

/// A configuration and what is known under it.
struct Side<'a> {
    table: &'a Table,
    view: &'a View,
}

impl<'a> Side<'a> {
    fn sites(&self) -> BTreeMap<&'a SiteName, &'a SiteEntry> {
        self.table.sites().iter().map(|site| (&site.name, site)).collect()
    }

    /// What clients of `unit` get: for A, and where that is nothing, for AAAA.
    fn choose(&self, site: (&SiteEntry, &Lineup), unit: IpNet, held: Option<&Held>) -> Steered {
        let four = for_unit(self.table, self.view, site, unit, Rtype::A, held);
        if !four.chosen.is_empty() {
            return four;
        }
        for_unit(self.table, self.view, site, unit, Rtype::AAAA, held)
    }
}

fn compare(shared: &Shared, now: &Side<'_>, then: &Side<'_>) -> Moves {
    let (before, after) = (now.sites(), then.sites());
    let names: BTreeSet<&SiteName> = before.keys().chain(after.keys()).copied().collect();
    let most = (CHOICES_MAX / 2 / names.len().max(1)).clamp(1, UNITS_MAX);
    let units = now.view.units_among(most);
    let demand = shared.demand.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let sites = names.into_iter().map(|name| {
        let (old, new) = (before.get(name).copied(), after.get(name).copied());
        let before = old.map(|site| (site, Lineup::new(now.view, &site.answered)));
        let after = new.map(|site| (site, Lineup::new(then.view, &site.answered)));
        let mut counts: BTreeMap<Way, Count> = BTreeMap::new();
        let mut all = Count::default();
        // Those who ask most are looked at, measured or not.
        let asking = demand.top(name, most / 2).into_iter();
        let looked_at: BTreeSet<IpNet> = units.iter().copied().chain(asking).collect();
        for unit in &looked_at {
            let asked = demand.of(name, *unit).into();
            all.add(asked);
            let held = old.and_then(|site| bound(shared, site, *unit));
            let choose = |side: &Side<'_>, of: &Option<(&SiteEntry, Lineup)>| {
                let (site, lineup) = of.as_ref()?;
                Some(side.choose((site, lineup), *unit, held.as_ref()))
            };
            let (old, new) = (choose(now, &before), choose(then, &after));
            if let Some(way) = Way::between(old.as_ref(), new.as_ref()) {
                counts.entry(way).or_default().add(asked);
            }
        }
        let mut moves: Vec<Move> = counts.into_iter().map(|(way, count)| way.told(count)).collect();
        moves.sort_by_key(|a| std::cmp::Reverse((a.units, a.demand)));
        moves.truncate(MOVES_MAX);
        SiteMoves { site: name.clone(), units: all.units, moves, demand: all.demand }
    });
    Moves {
        sites: sites.collect(),
        units: u32::try_from(units.len()).unwrap_or(u32::MAX),
        known: u32::try_from(now.view.units()).unwrap_or(u32::MAX),
    }
}

/// What a unit's clients are bound to, where they are bound by their own address.
fn bound(shared: &Shared, site: &SiteEntry, unit: IpNet) -> Option<Held> {
    let persist = site.answered.persist.as_ref()?;
    let is_its = persist.mode == PersistMode::Bound && persist.by != Some(PersistBy::Resolver);
    is_its.then(|| shared.book.get(&site.name, unit)).flatten()
}

/// How many units, and what they ask for.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    units: u32,
    demand: u64,
}

impl Count {
    fn add(&mut self, demand: u64) {
        self.units += 1;
        self.demand += demand;
    }
}

/// From where to where, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    from: Option<TargetId>,
    to: Option<TargetId>,
    because: Because,
    removed: Option<Removed>,
}

impl Way {
    /// `None`: nobody moves.
    fn between(old: Option<&Steered>, new: Option<&Steered>) -> Option<Self> {
        let first = |steered: Option<&Steered>| steered.and_then(|s| s.chosen.first().cloned());
        let (from, to) = (first(old), first(new));
        if from == to {
            return None;
        }
        let candidates = new.map(|steered| &steered.choice.candidates);
        let candidates = candidates.into_iter().flat_map(|all| all.iter());
        let mut was = candidates.filter(|candidate| Some(&candidate.target) == from.as_ref());
        let removed = was.find_map(|candidate| candidate.removed.as_ref());
        let because = new.map_or(Because::StaticRecord, |steered| steered.choice.because);
        Some(Self { from, to, because, removed: removed.map(|removal| removal.reason) })
    }

    fn told(self, Count { units, demand }: Count) -> Move {
        let Self { from, to, because, removed } = self;
        Move { from, to, units, because, removed, demand }
    }
}
