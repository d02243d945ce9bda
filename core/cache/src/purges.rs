//! Purges that are remembered instead of carried out: each costs the same however much is stored,
//! and a stored response is held against them when it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use popnet_terms::{CustomerId, SiteName};
use popnet_wire::purging::PurgeKind;

use crate::purge::{Aim, What};
use crate::stored::Stored;

/// Most sites, prefixes and tags that are remembered. Beyond it the older half is forgotten, and
/// with it everything that was stored before: more goes than was asked for, never less.
const MARKS_MAX: usize = 1 << 17;

/// The purges since `P`, the order in which things were stored and purged: a place in a log, a
/// number that grows.
#[derive(Clone, Debug)]
pub struct Purges<P> {
    customers: BTreeMap<CustomerId, Customer<P>>,
    marks: usize,
    /// The last purge: what was stored after it needs no look at the rest.
    last: Option<P>,
    /// Everything before it is gone.
    floor: Option<P>,
    most: usize,
}

#[derive(Clone, Debug)]
struct Customer<P> {
    sites: BTreeMap<SiteName, Site<P>>,
    tags: BTreeMap<Arc<str>, Mark<P>>,
}

#[derive(Clone, Debug)]
struct Site<P> {
    whole: Option<Mark<P>>,
    prefixes: BTreeMap<Arc<str>, Mark<P>>,
    /// Lengths of the prefixes: no other is looked for.
    lengths: BTreeSet<usize>,
}

/// The last purges of one aim.
#[derive(Clone, Copy, Debug)]
struct Mark<P> {
    hard: Option<P>,
    soft: Option<P>,
}

impl<P: Copy + Ord> Mark<P> {
    fn of(kind: PurgeKind, at: P) -> Self {
        match kind {
            PurgeKind::Hard => Self { hard: Some(at), soft: None },
            PurgeKind::Soft => Self { hard: None, soft: Some(at) },
        }
    }

    fn join(&mut self, other: Self) {
        self.hard = self.hard.max(other.hard);
        self.soft = self.soft.max(other.soft);
    }

    fn last(self) -> Option<P> {
        self.hard.max(self.soft)
    }
}

impl<P> Default for Customer<P> {
    fn default() -> Self {
        Self { sites: BTreeMap::new(), tags: BTreeMap::new() }
    }
}

impl<P> Default for Site<P> {
    fn default() -> Self {
        Self { whole: None, prefixes: BTreeMap::new(), lengths: BTreeSet::new() }
    }
}

impl<P: Copy + Ord> Default for Purges<P> {
    fn default() -> Self {
        Self::with_most(MARKS_MAX)
    }
}

impl<P: Copy + Ord> Purges<P> {
    fn with_most(most: usize) -> Self {
        Self { customers: BTreeMap::new(), marks: 0, last: None, floor: None, most }
    }

    /// Remembers the purge of a site, a prefix or a tag. `false`: `aim` names its keys, so that
    /// what it hits is found by them and there is nothing to remember.
    pub fn add(&mut self, aim: &Aim, kind: PurgeKind, at: P) -> bool {
        let mark = Mark::of(kind, at);
        let customer = || aim.customer.clone();
        let new = match &aim.what {
            What::Url { .. } => return false,
            What::Tag(tag) => {
                let tags = &mut self.customers.entry(customer()).or_default().tags;
                put(tags, tag, mark)
            }
            What::Site(site) => {
                let sites = &mut self.customers.entry(customer()).or_default().sites;
                let whole = &mut sites.entry(site.clone()).or_default().whole;
                let new = whole.is_none();
                whole.get_or_insert(mark).join(mark);
                new
            }
            What::Prefix { site, path } => {
                let sites = &mut self.customers.entry(customer()).or_default().sites;
                let site = sites.entry(site.clone()).or_default();
                site.lengths.insert(path.len());
                put(&mut site.prefixes, path, mark)
            }
        };
        self.last = self.last.max(Some(at));
        self.marks += usize::from(new);
        if self.marks > self.most {
            self.forget_older_half();
        }
        true
    }

    /// Everything that was stored before `at` is gone.
    pub fn add_all(&mut self, at: P) {
        self.last = self.last.max(Some(at));
        self.floor = self.floor.max(Some(at));
        self.forget_before(at);
    }

    /// What purges later than `since` did to `stored`, whose head is of that time.
    #[must_use]
    pub fn verdict(&self, stored: &Stored, since: P) -> Option<PurgeKind> {
        if self.last.is_none_or(|last| last <= since) {
            return None;
        }
        if self.floor.is_some_and(|floor| floor > since) {
            return Some(PurgeKind::Hard);
        }
        let customer = self.customers.get(&stored.customer)?;
        let mut mark = Mark { hard: None, soft: None };
        for tag in &stored.tags {
            customer.tags.get(tag).into_iter().for_each(|found| mark.join(*found));
        }
        if let Some(site) = customer.sites.get(&stored.site) {
            site.whole.into_iter().for_each(|found| mark.join(found));
            let path = stored.key.path();
            let prefixes = site.lengths.iter().filter_map(|length| path.get(..*length));
            let found = prefixes.filter_map(|prefix| site.prefixes.get(prefix));
            found.for_each(|found| mark.join(*found));
        }
        if mark.hard.is_some_and(|hard| hard > since) {
            Some(PurgeKind::Hard)
        } else if mark.soft.is_some_and(|soft| soft > since) {
            Some(PurgeKind::Soft)
        } else {
            None
        }
    }

    /// Nothing is left that was stored before `oldest`: the purges before it have nothing to hit.
    pub fn forget_before(&mut self, oldest: P) {
        let current = |mark: &Mark<P>| mark.last() >= Some(oldest);
        for customer in self.customers.values_mut() {
            customer.tags.retain(|_, mark| current(mark));
            for site in customer.sites.values_mut() {
                site.whole = site.whole.filter(current);
                site.prefixes.retain(|_, mark| current(mark));
                site.lengths = site.prefixes.keys().map(|path| path.len()).collect();
            }
            customer.sites.retain(|_, site| site.whole.is_some() || !site.prefixes.is_empty());
        }
        self.customers
            .retain(|_, customer| !customer.tags.is_empty() || !customer.sites.is_empty());
        self.marks = self.all().count();
    }

    fn all(&self) -> impl Iterator<Item = Mark<P>> {
        self.customers.values().flat_map(|customer| {
            let sites = customer.sites.values();
            let sites = sites.flat_map(|site| site.whole.iter().chain(site.prefixes.values()));
            customer.tags.values().chain(sites).copied()
        })
    }

    fn forget_older_half(&mut self) {
        let mut times: Vec<P> = self.all().filter_map(Mark::last).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        self.add_all(*median);
    }
}

/// Marks `name`; whether it had no mark.
fn put<P: Copy + Ord>(
    marks: &mut BTreeMap<Arc<str>, Mark<P>>,
    name: &Arc<str>,
    mark: Mark<P>,
) -> bool {
    let before = marks.len();
    marks.entry(Arc::clone(name)).or_insert(mark).join(mark);
    marks.len() > before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::stored;
    use popnet_wire::purging::{PurgeOrder, PurgeWhat};
    use proptest::prelude::*;

    fn aim(what: PurgeWhat) -> Aim {
        let kind = PurgeKind::Hard;
        Aim::of(&PurgeOrder { customer: "acme".into(), what, kind, actor: "test".into() }, None)
    }

    fn prefix(path: &str) -> Aim {
        aim(PurgeWhat::Prefix { site: "a.test".into(), path: path.into() })
    }

    fn tag(tag: &str) -> Aim {
        aim(PurgeWhat::Tag { tag: tag.into() })
    }

    fn one() -> Stored {
        stored("cache-control: max-age=60\nsurrogate-key: one two").unwrap()
    }

    #[test]
    fn later_purges_hit_and_earlier_ones_do_not() {
        let mut purges = Purges::default();
        assert_eq!(purges.verdict(&one(), 0), None);
        assert!(purges.add(&tag("two"), PurgeKind::Soft, 5));
        assert!(purges.add(&prefix("/"), PurgeKind::Hard, 3));
        assert_eq!(purges.verdict(&one(), 2), Some(PurgeKind::Hard));
        assert_eq!(purges.verdict(&one(), 3), Some(PurgeKind::Soft));
        assert_eq!(purges.verdict(&one(), 5), None);
        purges.forget_before(4);
        assert_eq!(purges.verdict(&one(), 4), Some(PurgeKind::Soft));
        purges.forget_before(6);
        assert_eq!((purges.marks, purges.customers.len()), (0, 0));
    }

    #[test]
    fn what_names_its_keys_is_not_remembered() {
        let mut purges = Purges::default();
        let url =
            PurgeWhat::Url { site: "a.test".into(), host: "a.test".into(), path: "/x".into() };
        assert!(!purges.add(&aim(url), PurgeKind::Hard, 1));
        assert_eq!(purges.verdict(&one(), 0), None);
    }

    #[test]
    fn too_many_purges_take_more_and_never_less() {
        let mut purges = Purges::with_most(4);
        for at in 1..=5 {
            purges.add(&tag(&format!("tag-{at}")), PurgeKind::Soft, at);
        }
        assert_eq!(purges.marks, 3);
        assert_eq!(purges.verdict(&one(), 2), Some(PurgeKind::Hard), "below the floor");
        assert_eq!(purges.verdict(&one(), 3), None);
        purges.add_all(7);
        assert_eq!(purges.verdict(&one(), 6), Some(PurgeKind::Hard));
        assert_eq!((purges.verdict(&one(), 7), purges.marks), (None, 0));
    }

    fn any_aim() -> impl Strategy<Value = Aim> {
        let paths = ["/", "/x", "/xy", "/ä", "/x?a", ""];
        let tags = ["one", "two", "three"];
        prop_oneof![
            prop::sample::select(paths.to_vec()).prop_map(prefix),
            prop::sample::select(tags.to_vec()).prop_map(tag),
            Just(aim(PurgeWhat::Site { site: "a.test".into() })),
            Just(aim(PurgeWhat::Site { site: "b.test".into() })),
        ]
    }

    proptest! {
        /// Remembered purges say what looking at each of them says.
        #[test]
        fn as_one_by_one(
            orders in prop::collection::vec((any_aim(), any::<bool>(), 0u8..9), 0..12),
            since in 0u8..9,
            oldest in 0u8..9,
        ) {
            let stored = one();
            let mut purges = Purges::default();
            let kind = |hard| if hard { PurgeKind::Hard } else { PurgeKind::Soft };
            for (aim, hard, at) in &orders {
                purges.add(aim, kind(*hard), *at);
            }
            purges.forget_before(oldest);
            let hit = |wanted: bool| {
                orders.iter().any(|(aim, hard, at)| {
                    *hard == wanted && *at > since && aim.hits(&stored)
                })
            };
            let softly = hit(false).then_some(PurgeKind::Soft);
            let expected = if hit(true) { Some(PurgeKind::Hard) } else { softly };
            // Nothing is asked about from before what was forgotten.
            if since >= oldest {
                prop_assert_eq!(purges.verdict(&stored, since), expected);
            }
        }
    }
}
