//! Which clients stay with which targets (N7; steering model, section 7): rows of every name
//! server, the same everywhere once they have been exchanged.
//!
//! Of two rows for one client the one made in a later round counts; of one round, the earlier; of
//! one moment, that of the name server whose name comes first. That is so in whatever order they
//! come, and however often.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use popnet_terms::{NodeName, Seconds, SiteName, TargetId, Timestamp};
use popnet_wire::probing::Binding;
use xxhash_rust::xxh3::xxh3_64;

/// Rows kept: some 100 MB. For one more the one that ends soonest goes.
pub const ROWS_MAX: usize = 1_000_000;

/// Different sites, targets and name servers in rows; what would be one more is refused.
const NAMES_MAX: usize = 65_536;

/// Parts of the table: a change copies one of them, a view shares the others.
const PARTS: usize = 1 << 12;

/// No row holds longer, whatever is written in it.
const HOLD_MAX: Duration = Duration::from_hours(31 * 24);

/// The writer's side.
#[derive(Debug)]
pub struct Bindings {
    shown: Bound,
    expiries: BTreeSet<(Timestamp, Key)>,
    rows_max: usize,
}

/// The reader's side: the rows at one moment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bound {
    parts: Arc<Vec<Arc<BTreeMap<Key, Row>>>>,
    sites: Arc<Names<SiteName>>,
    targets: Arc<Names<TargetId>>,
    issuers: Arc<Names<NodeName>>,
}

/// What holds for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// With whom it stays.
    pub target: TargetId,
    /// For how long.
    pub left: Seconds,
    /// In which round it was made.
    pub round: u32,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// It counts now.
    Counts,
    /// Another one counts, or the same was there.
    Known,
    /// It has ended, or there is no room for its names.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    site: u32,
    client: IpNet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    target: u32,
    issuer: u32,
    round: u32,
    issued: Timestamp,
    expires: Timestamp,
}

/// Names as small numbers.
#[derive(Clone, Debug)]
struct Names<T> {
    all: Vec<T>,
    numbers: BTreeMap<T, u32>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { all: Vec::new(), numbers: BTreeMap::new() }
    }
}

impl<T: Clone + Ord> Names<T> {
    fn get(&self, number: u32) -> Option<&T> {
        self.all.get(usize::try_from(number).ok()?)
    }

    /// The number of `name`; a new one while there is room.
    fn number(names: &mut Arc<Self>, name: &T) -> Option<u32> {
        if let Some(number) = names.numbers.get(name) {
            return Some(*number);
        }
        let number = u32::try_from(names.all.len()).ok()?;
        (names.all.len() < NAMES_MAX).then(|| {
            let names = Arc::make_mut(names);
            names.all.push(name.clone());
            names.numbers.insert(name.clone(), number);
            number
        })
    }
}

impl Default for Bound {
    fn default() -> Self {
        Self {
            parts: Arc::new((0..PARTS).map(|_| Arc::default()).collect()),
            sites: Arc::default(),
            targets: Arc::default(),
            issuers: Arc::default(),
        }
    }
}

impl Bound {
    /// What holds for `client` of `site` at `now`.
    #[must_use]
    pub fn get(&self, site: &SiteName, client: IpNet, now: Timestamp) -> Option<Held> {
        let site = *self.sites.numbers.get(site)?;
        let key = Key { site, client: client.trunc() };
        let row = self.row(&key).filter(|row| row.expires > now)?;
        let left = u32::try_from(row.expires.since(now).as_secs()).unwrap_or(u32::MAX);
        let target = self.targets.get(row.target)?.clone();
        Some(Held { target, left: Seconds(left), round: row.round })
    }

    /// Every row that holds at `now`.
    pub fn all(&self, now: Timestamp) -> impl Iterator<Item = Binding> + '_ {
        let rows = self.parts.iter().flat_map(|part| part.iter());
        let holds = rows.filter(move |(_, row)| row.expires > now);
        holds.filter_map(move |(key, row)| self.binding(key, row, now))
    }

    /// How many rows there are, ended ones among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.is_empty())
    }

    fn binding(&self, key: &Key, row: &Row, now: Timestamp) -> Option<Binding> {
        // Rounded up as ends are rounded down: whoever takes the row in at this moment gives it the
        // same end, so that a past that is lived again ends as it did.
        let left = row.expires.since(now).as_micros().div_ceil(1_000_000);
        Some(Binding {
            site: self.sites.get(key.site)?.clone(),
            client: key.client,
            target: self.targets.get(row.target)?.clone(),
            issued: row.issued,
            issuer: self.issuers.get(row.issuer)?.clone(),
            round: row.round,
            left: u32::try_from(left).unwrap_or(u32::MAX),
        })
    }

    fn row(&self, key: &Key) -> Option<&Row> {
        self.parts.get(part_of(key))?.get(key)
    }

    fn part_mut(&mut self, key: &Key) -> Option<&mut BTreeMap<Key, Row>> {
        let part = Arc::make_mut(&mut self.parts).get_mut(part_of(key))?;
        Some(Arc::make_mut(part))
    }
}

/// The whole second that `at` lies in.
fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp(at.0 - at.0.rem_euclid(1_000_000))
}

fn part_of(key: &Key) -> usize {
    let mut octets = [0; 20];
    let (site, client) = octets.split_at_mut(4);
    site.copy_from_slice(&key.site.to_be_bytes());
    let address = match key.client.addr() {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(v6) => v6.octets(),
    };
    client.copy_from_slice(&address);
    usize::try_from(xxh3_64(&octets) % (1 << 12)).unwrap_or(0)
}

impl Default for Bindings {
    fn default() -> Self {
        Self::new(ROWS_MAX)
    }
}

impl Bindings {
    /// No rows yet, and never more than `rows_max`.
    #[must_use]
    pub fn new(rows_max: usize) -> Self {
        Self { shown: Bound::default(), expiries: BTreeSet::new(), rows_max: rows_max.max(1) }
    }

    /// The rows as they are.
    #[must_use]
    pub fn shown(&self) -> Bound {
        self.shown.clone()
    }

    /// Takes a row in.
    pub fn record(&mut self, binding: &Binding, now: Timestamp) -> Took {
        let hold = Duration::from_secs(u64::from(binding.left)).min(HOLD_MAX);
        if hold.is_zero() {
            return Took::Refused;
        }
        let shown = &mut self.shown;
        let numbers = (
            Names::number(&mut shown.sites, &binding.site),
            Names::number(&mut shown.targets, &binding.target),
            Names::number(&mut shown.issuers, &binding.issuer),
        );
        let (Some(site), Some(target), Some(issuer)) = numbers else { return Took::Refused };
        let key = Key { site, client: binding.client.trunc() };
        let row = Row {
            target,
            issuer,
            round: binding.round,
            issued: binding.issued,
            expires: whole_second(now.after(hold)),
        };
        let before = self.shown.row(&key).copied();
        if let Some(before) = before.filter(|before| before.expires > now)
            && !self.counts_before(binding, &before)
        {
            return Took::Known;
        }
        if before.is_none() && self.expiries.len() >= self.rows_max {
            self.evict();
        }
        if let Some(before) = before {
            self.expiries.remove(&(before.expires, key));
        }
        self.expiries.insert((row.expires, key));
        if let Some(part) = self.shown.part_mut(&key) {
            part.insert(key, row);
        }
        Took::Counts
    }

    /// Drops what has ended.
    pub fn expire(&mut self, now: Timestamp) {
        while self.expiries.first().is_some_and(|(expires, _)| *expires <= now) {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let Some((_, key)) = self.expiries.pop_first() else { return };
        if let Some(part) = self.shown.part_mut(&key) {
            part.remove(&key);
        }
    }

    /// Whether `new` counts where `old` did.
    fn counts_before(&self, new: &Binding, old: &Row) -> bool {
        let rank = |round: u32, issued: Timestamp| (std::cmp::Reverse(round), issued);
        let (new_rank, old_rank) = (rank(new.round, new.issued), rank(old.round, old.issued));
        let issuer = self.shown.issuers.get(old.issuer);
        let target = self.shown.targets.get(old.target);
        // One maker may have said two things at one moment: then the target settles it.
        (new_rank, Some(&new.issuer), Some(&new.target)) < (old_rank, issuer, target)
    }
}

#[cfg(test)]
mod tests {
    use popnet_terms::PopId;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn row(client: u8, target: &str, issued: i64, issuer: &str, round: u32) -> Binding {
        Binding {
            site: "www.test".into(),
            client: IpNet::new([192, 0, client, 0].into(), 24).unwrap(),
            target: TargetId::Pop(PopId::new(target)),
            issued: Timestamp(issued),
            issuer: issuer.into(),
            round,
            left: 60,
        }
    }

    fn target_of(bindings: &Bindings, client: u8, now: Timestamp) -> Option<String> {
        let client = IpNet::new([192, 0, client, 7].into(), 24).unwrap();
        let held = bindings.shown().get(&"www.test".into(), client, now)?;
        Some(held.target.to_string())
    }

    #[test]
    fn the_order_of_arrival_changes_nothing() {
        let rows = [
            row(1, "a", 10, "ns2", 0),
            row(1, "b", 10, "ns1", 0),
            row(1, "c", 5, "ns3", 0),
            row(1, "d", 90, "ns1", 1),
            row(1, "e", 91, "ns1", 1),
            row(1, "f", 90, "ns1", 1),
        ];
        for shift in 0..rows.len() {
            for step in [1, 5] {
                let mut bindings = Bindings::default();
                for n in 0..rows.len() * 2 {
                    bindings.record(&rows[(shift + n * step) % rows.len()], NOW);
                }
                assert_eq!(target_of(&bindings, 1, NOW).as_deref(), Some("d"), "{shift} {step}");
            }
        }
        let mut bindings = Bindings::default();
        assert_eq!(bindings.record(&rows[0], NOW), Took::Counts);
        assert_eq!(bindings.record(&rows[0], NOW), Took::Known);
        assert_eq!(bindings.record(&rows[1], NOW), Took::Counts, "of one moment the first name");
        assert_eq!(bindings.record(&rows[2], NOW), Took::Counts, "the earlier one");
        assert_eq!(bindings.record(&rows[0], NOW), Took::Known);
        assert_eq!(target_of(&bindings, 1, NOW).as_deref(), Some("c"));
    }

    #[test]
    fn rows_end() {
        let mut bindings = Bindings::default();
        bindings.record(&row(1, "a", 10, "ns1", 0), NOW);
        let later = |seconds| NOW.after(Duration::from_secs(seconds));
        let client = IpNet::new([192, 0, 1, 0].into(), 24).unwrap();
        let held = bindings.shown().get(&"www.test".into(), client, later(20)).unwrap();
        assert_eq!((held.left, held.round), (Seconds(40), 0));
        assert_eq!(target_of(&bindings, 1, later(60)), None);
        // A later row is as good as any once the earlier has ended.
        assert_eq!(bindings.record(&row(1, "b", 99, "ns2", 0), later(61)), Took::Counts);
        assert_eq!(target_of(&bindings, 1, later(62)).as_deref(), Some("b"));
        assert_eq!(bindings.shown().len(), 1);
        bindings.expire(later(200));
        assert!(bindings.shown().is_empty());
        let none = Binding { left: 0, ..row(1, "a", 1, "ns1", 0) };
        assert_eq!(bindings.record(&none, NOW), Took::Refused);
    }

    #[test]
    fn for_one_too_many_the_soonest_to_end_goes() {
        let mut bindings = Bindings::new(3);
        for (client, left) in [(1, 50), (2, 20), (3, 90), (4, 70)] {
            bindings.record(&Binding { left, ..row(client, "a", 1, "ns1", 0) }, NOW);
        }
        let kept = (1..=4).filter(|client| target_of(&bindings, *client, NOW).is_some());
        assert_eq!(kept.collect::<Vec<u8>>(), [1, 3, 4]);
        let shown = bindings.shown();
        let mut again = Bindings::default();
        for row in shown.all(NOW) {
            again.record(&row, NOW);
        }
        let clients = |bound: &Bound| {
            let mut all: Vec<(IpNet, u32)> = bound.all(NOW).map(|b| (b.client, b.left)).collect();
            all.sort();
            all
        };
        assert_eq!(clients(&again.shown()), clients(&shown));
    }
}
