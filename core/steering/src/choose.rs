//! The decision: addressable → healthy → measured → scored and shed → tie → persistence → answer
//! set (steering model, sections 6 to 8). How each target may be used is said in `standing.rs`.

use std::net::IpAddr;
use std::sync::Arc;

use popnet_config::network::Preset;
use popnet_terms::{Because, Micros, Removed, ScopeBecause, Seconds, TtlBecause};
use popnet_wire::logging::{Candidate, Removal};
use smallvec::SmallVec;

use crate::choice::{Choice, Chosen, Client, Family, Pick, Question};
use crate::distance::{Distance, distances};
use crate::lineup::{Lineup, Stand};
use crate::rank::{Ranked, Runner, Runners, client_hash, level, rank};
use crate::rules::{SiteRules, Target};
use crate::score::Points;
use crate::standing::{Asker, Class, resort};
use crate::view::View;

/// Whom an answer to `question` names, and why.
///
/// ```
/// use popnet_config::network::Network;
/// use popnet_steering::{Board, Client, Family, Question, Rules, choose};
///
/// let text = include_str!("../../../examples/network.toml");
/// let network: Network = toml_edit::de::from_str(text).unwrap();
/// let rules = Rules::compile(&network);
/// let mut board = Board::new();
/// let now = popnet_terms::Timestamp(0);
/// board.configure(&network, None, now);
/// let question = Question {
///     client: Client::Unit("198.51.100.0/24".parse().unwrap()),
///     family: Family::V4,
///     bound: None,
/// };
/// let choice = choose(&board.view(now), rules.site("static.acme.example").unwrap(), &question);
/// // No probe has spoken yet: the cheapest POP, by name, for a short time.
/// assert_eq!(choice.targets[0].target.to_string(), "fra1");
/// assert_eq!(choice.because.code(), "FALLBACK_ANY_UP");
/// ```
#[must_use]
pub fn choose(view: &View, rules: &SiteRules, question: &Question) -> Choice {
    Lineup::new(view, rules).choose(view, rules, question)
}

impl Lineup {
    /// Whom an answer to `question` names, and why. `view` and `rules` are those that the line-up
    /// was made of.
    #[must_use]
    pub fn choose(&self, view: &View, rules: &SiteRules, question: &Question) -> Choice {
        let told = |entries: &[Entry<'_>]| entries.iter().map(Entry::candidate).collect();
        let (pick, candidates) = self.decide(view, rules, question, told);
        Choice { pick, candidates }
    }

    /// The same without what is told of the candidates, for those who make choices by the
    /// hundred thousand.
    #[must_use]
    pub fn pick(&self, view: &View, rules: &SiteRules, question: &Question) -> Pick {
        self.decide(view, rules, question, |_| ()).0
    }

    /// The decision, and what `tell` makes of all who took part.
    fn decide<T>(
        &self,
        view: &View,
        rules: &SiteRules,
        question: &Question,
        tell: impl FnOnce(&[Entry<'_>]) -> T,
    ) -> (Pick, T) {
        let distances = distances(view, rules, self, &question.client);
        let client = client_hash(rules, &question.client);
        let asker = Asker::new(view, rules, self, question, client);
        let mut entries = Entries::new();
        for ((target, stand), distance) in rules.targets.iter().zip(&self.stands).zip(&distances) {
            entries.push(Entry::new(&asker, rules, question.family, target, stand, distance));
        }
        let (pool, fallback) = pool(rules, &entries, question.family);
        let is_level = matches!(fallback, Some(Because::BrownOut | Because::FallbackAll));
        let mut ranked = if is_level { level(client, &pool) } else { rank(rules, client, &pool) };
        let is_drawn =
            ranked.order.len() > 1 && (is_level || rules.preset != Preset::FailoverOrder);
        let is_by_client = is_drawn || self.tells_regions_apart;
        let persisted = bind(&mut ranked, &entries, question);
        let because = match (fallback, persisted) {
            (_, true) => Because::Persisted,
            (Some(fallback), false) => fallback,
            (None, false) if is_shed(rules, client, &entries) => Because::ShedTo,
            (None, false) if ranked.order.len() == 1 => Because::OnlyCandidate,
            (None, false) if ranked.tie > 1 => Because::TieWithin,
            (None, false) => Because::BestScore,
        };
        let contest = Contest { rules, question, lineup: self, entries: &entries, ranked: &ranked };
        let (ttl, ttl_because) = contest.ttl(fallback.is_some(), client);
        let (scope, scope_because) = contest.scope(is_by_client);
        let pick = Pick {
            targets: contest.answer_set(fallback.is_some()),
            ttl,
            ttl_because,
            scope,
            scope_because,
            because,
            margin: contest.margin(),
            needs_measurement: contest.needs_measurement(),
        };
        (pick, tell(&entries))
    }
}

/// Answers of last resort are asked for again soon.
const LAST_RESORT_TTL: Seconds = Seconds(10);

/// A target in the funnel.
struct Entry<'a> {
    target: &'a Target,
    stand: &'a Stand,
    distance: &'a Distance<'a>,
    class: Class,
    removal: Option<Box<Removal>>,
    points: Points,
    /// Of the family that is asked for.
    addresses: &'a Arc<[IpAddr]>,
}

/// Every target: eight without asking for memory.
type Entries<'a> = SmallVec<[Entry<'a>; 8]>;

impl<'a> Entry<'a> {
    fn new(
        asker: &Asker<'_>,
        rules: &SiteRules,
        family: Family,
        target: &'a Target,
        stand: &'a Stand,
        distance: &'a Distance<'a>,
    ) -> Self {
        let addresses = stand.addresses.of_family(family);
        let verdict = stand.verdict.as_deref();
        let standing = verdict.map(|verdict| asker.standing(verdict));
        let points = Points::new(rules, &stand.burden, distance, standing);
        let (class, removal) = match asker.classify(target, verdict) {
            (class, removal) if class == Class::Barred => (class, removal),
            // It stands alone in its answer, as an alias.
            (class, removal) if class == Class::Backup && is_by_name(target) => (class, removal),
            _ if addresses.is_empty() && family != Family::Any => {
                (Class::Unaddressable, Some(unaddressable(target, family)))
            }
            usable => usable,
        };
        Self { target, stand, distance, class, removal, points, addresses }
    }

    fn runner(&'a self, index: usize) -> Runner<'a> {
        Runner {
            index,
            target: self.target,
            points: &self.points,
            source: self.distance.source,
            ramp: self.stand.ramp,
        }
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            target: self.target.id.clone(),
            removed: self.removal.clone(),
            score: Some(self.points.told(self.distance)),
        }
    }
}

/// Whether the target is configured by name, so that no address of it is known.
fn is_by_name(target: &Target) -> bool {
    target.addresses.of_family(Family::Any).is_empty()
}

fn unaddressable(target: &Target, family: Family) -> Box<Removal> {
    let detail = match family {
        _ if is_by_name(target) => "configured by name, not by address",
        Family::V4 => "no IPv4 address",
        Family::V6 => "no IPv6 address",
        Family::Any => "no address",
    };
    let (reason, age, seen_by) = (Removed::NoAddressOfFamily, None, Vec::new());
    Box::new(Removal { reason, detail: detail.into(), age, seen_by })
}

/// Those among whom the answer is chosen, with the last resort where one is needed.
fn pool<'a>(
    rules: &SiteRules,
    entries: &'a [Entry<'a>],
    family: Family,
) -> (Runners<'a>, Option<Because>) {
    // A backup of the family does not make up for it: the other family has better.
    let mut regular = entries.iter().filter(|entry| !entry.target.is_backup).map(|e| e.class);
    let lacking = regular.clone().any(|class| class == Class::Unaddressable);
    if lacking && regular.all(|class| matches!(class, Class::Unaddressable | Class::Barred)) {
        return (Runners::new(), Some(Because::NoAddressOfFamily));
    }
    let has = |class| entries.iter().any(|entry| entry.class == class);
    match resort(rules, has) {
        Ok((classes, because)) => {
            let mut pool = having(entries, classes);
            // A name would have to stand alone; addresses may share the work.
            let has_address = |runner: &Runner<'_>| {
                entries.get(runner.index).is_some_and(|entry| !entry.addresses.is_empty())
            };
            if family != Family::Any && pool.iter().any(has_address) {
                pool.retain(|runner| has_address(runner));
            }
            (pool, because)
        }
        Err(because) => (Runners::new(), Some(because)),
    }
}

fn having<'a>(entries: &'a [Entry<'a>], wanted: &[Class]) -> Runners<'a> {
    let left = entries.iter().enumerate().filter(|(_, entry)| wanted.contains(&entry.class));
    left.map(|(index, entry)| entry.runner(index)).collect()
}

/// Whether somebody who sheds this client would have got it.
fn is_shed(rules: &SiteRules, client: u64, entries: &[Entry<'_>]) -> bool {
    let sends_away = |class| matches!(class, Class::Shed | Class::Reserved);
    if !entries.iter().any(|entry| sends_away(entry.class)) {
        return false;
    }
    let all = having(entries, &[Class::Fit, Class::Unknown, Class::Shed, Class::Reserved]);
    let first = rank(rules, client, &all).order.first().and_then(|r| entries.get(r.index));
    first.is_some_and(|entry| sends_away(entry.class))
}

/// Puts the target to which the client is bound in front (N7). A drained one keeps those who are
/// bound to it; nothing else that was removed does.
fn bind<'a>(ranked: &mut Ranked<'a>, entries: &'a [Entry<'a>], question: &Question) -> bool {
    let Some(bound) = &question.bound else { return false };
    if let Some(at) = ranked.order.iter().position(|runner| runner.target.id == *bound) {
        if let Some(front) = ranked.order.get_mut(..=at) {
            front.rotate_right(1);
        }
        return true;
    }
    let mut draining = entries.iter().enumerate().filter(|(_, e)| e.class == Class::Draining);
    let Some((index, entry)) = draining.find(|(_, entry)| entry.target.id == *bound) else {
        return false;
    };
    ranked.order.insert(0, entry.runner(index));
    true
}

/// So many of `good`, in their order; but one of a provider that is named already only where no
/// other provider is left (steering model, section 8). Who says no provider is one of its own.
fn apart<'e>(good: &[&'e Entry<'e>], most: usize) -> SmallVec<[&'e Entry<'e>; 4]> {
    let mut named: SmallVec<[&Entry<'_>; 4]> = SmallVec::new();
    let mut again: SmallVec<[&Entry<'_>; 4]> = SmallVec::new();
    for entry in good {
        let provider = entry.target.provider.as_deref();
        let is_known = |other: &&Entry<'_>| other.target.provider.as_deref() == provider;
        let list =
            if provider.is_some() && named.iter().any(is_known) { &mut again } else { &mut named };
        list.push(*entry);
    }
    named.extend(again);
    named.truncate(most);
    named
}

/// What is left to say once the order is known.
struct Contest<'a, 'r> {
    rules: &'a SiteRules,
    question: &'a Question,
    lineup: &'a Lineup,
    entries: &'a [Entry<'a>],
    ranked: &'r Ranked<'a>,
}

impl Contest<'_, '_> {
    /// The first, and others that are nearly as good: each is another POP or server, so that no
    /// one failure takes them all.
    fn answer_set(&self, last_resort: bool) -> SmallVec<[Chosen; 2]> {
        let Some(first) = self.ranked.order.first() else { return SmallVec::new() };
        let limit = u64::from(first.points.sum.0) * 13 / 10;
        let is_alias = self.entries.get(first.index).is_some_and(|e| e.addresses.is_empty());
        let good = |at: usize, runner: &Runner<'_>| {
            let healthy = last_resort || self.class(runner) == Some(Class::Fit);
            let near = at < self.ranked.tie || u64::from(runner.points.sum.0) <= limit;
            match self.question.client {
                // A POP tries origins one after the other: the far one is better than none.
                Client::Pop(_) => true,
                Client::Unit(_) if is_alias => false,
                Client::Unit(_) => healthy && near && self.rules.preset != Preset::FailoverOrder,
            }
        };
        let order = self.ranked.order.iter().enumerate();
        let good = order.filter(|(at, runner)| *at == 0 || good(*at, runner));
        let good: SmallVec<[&Entry<'_>; 8]> =
            good.filter_map(|(_, runner)| self.entries.get(runner.index)).collect();
        let named = apart(&good, self.rules.answers_max);
        let chosen = |entry: &Entry<'_>| Chosen {
            target: entry.target.id.clone(),
            addresses: Arc::clone(entry.addresses),
        };
        named.into_iter().map(chosen).collect()
    }

    /// Long while everything is well known, short while it is not. Up to a tenth is taken off by
    /// client, so that not all ask again at once.
    fn ttl(&self, last_resort: bool, client: u64) -> (Seconds, TtlBecause) {
        let longest = self.lineup.next_change.map_or(self.rules.ttl_max, |seconds| {
            Seconds(seconds.clamp(self.rules.ttl_min.0, self.rules.ttl_max.0))
        });
        let shortest = self.rules.ttl_min;
        if last_resort {
            let soon = Seconds(LAST_RESORT_TTL.0.min(longest.0).max(1));
            return (soon, TtlBecause::LastResort);
        }
        let contending = self.ranked.order.iter().take(self.ranked.tie.max(1));
        let mut distances =
            contending.filter_map(|runner| self.entries.get(runner.index)).map(|e| e.distance);
        // What is shed changes a few points at a time, and clients have to follow.
        if self.is_shedding() {
            return (shortest, TtlBecause::Shedding);
        }
        let is_settled = distances.all(Distance::is_sure) && !self.is_open();
        if self.is_by_distance() && !is_settled {
            return (shortest, TtlBecause::Unsure);
        }
        let off = u64::from(longest.0) * (client % 101) / 1_000;
        let off = u32::try_from(off).unwrap_or(0);
        (Seconds(longest.0.saturating_sub(off).max(shortest.0)), TtlBecause::Settled)
    }

    /// Whether the client's distances have any part in the decision.
    fn is_by_distance(&self) -> bool {
        let choice = self.addressable().nth(1).is_some();
        match self.rules.preset {
            Preset::Fastest | Preset::CheapestWithin | Preset::GeoOnly => choice,
            // The first term of the sum is the name server's own.
            Preset::SumNs | Preset::FailoverOrder | Preset::Weighted | Preset::Spread => false,
        }
    }

    /// The unit, or everybody. Which of the two must be the same for all units: a wider answer
    /// that overlaps a narrower one must not differ from it (RFC 7871 section 7.2.1). So nothing
    /// counts here that one unit's own case alone has brought about.
    fn scope(&self, is_by_client: bool) -> (u8, ScopeBecause) {
        let rules = self.rules;
        let sheds = || self.entries.iter().any(|entry| entry.stand.shed > 0);
        let tells_apart = is_by_client || self.lineup.is_by_place || rules.binds() || sheds();
        match &self.question.client {
            Client::Unit(unit) if tells_apart => (unit.prefix_len(), ScopeBecause::ByClient),
            Client::Unit(_) | Client::Pop(_) => (0, ScopeBecause::SameForAll),
        }
    }

    fn margin(&self) -> Option<Micros> {
        match self.rules.preset {
            Preset::Fastest | Preset::CheapestWithin | Preset::GeoOnly | Preset::SumNs => {}
            Preset::FailoverOrder | Preset::Weighted | Preset::Spread => return None,
        }
        let (first, rest) = self.ranked.order.split_first()?;
        let next = rest.iter().map(|runner| runner.points.sum).min()?;
        Some(Micros(next.0.saturating_sub(first.points.sum.0)))
    }

    fn needs_measurement(&self) -> bool {
        match self.question.client {
            Client::Unit(_) => {
                let mut known = self.addressable().map(|entry| entry.distance);
                self.is_by_distance() && (!known.all(Distance::is_sure) || self.is_open())
            }
            Client::Pop(_) => false,
        }
    }

    /// Whether a POP that has not measured the client itself may be nearer than the first.
    fn is_open(&self) -> bool {
        let first = self.ranked.order.first().and_then(|runner| self.entries.get(runner.index));
        let Some(first) = first else { return false };
        let may_win = |e: &Entry<'_>| e.distance.may_beat(&e.target.id, first.distance.rtt);
        self.addressable().any(may_win)
    }

    /// Whether clients are told apart by what a target sheds.
    fn is_shedding(&self) -> bool {
        self.addressable().nth(1).is_some() && self.addressable().any(|entry| entry.stand.shed > 0)
    }

    fn addressable(&self) -> impl Iterator<Item = &Entry<'_>> {
        let is_in = |class| !matches!(class, Class::Unaddressable | Class::Barred | Class::Backup);
        self.entries.iter().filter(move |entry| is_in(entry.class))
    }

    fn class(&self, runner: &Runner<'_>) -> Option<Class> {
        self.entries.get(runner.index).map(|entry| entry.class)
    }
}
