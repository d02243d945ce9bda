//! Which key of a zone does what, and when that changes: a machine that is told the time and what
//! the parent shows.
//!
//! A key that signs records is made known before it is used, and stays known after
//! (pre-publication, RFC 7583 3.2.1). A key that the parent names is announced by CDS and CDNSKEY
//! (RFC 7344, 8078) beside the one in use, takes over when the parent has named both for long
//! enough (double DS, RFC 7583 3.3.2, with the key published as well), and the old one goes when
//! the parent has forgotten it. So a key with flags 257 changes only where somebody looks at the
//! parent.

use std::time::Duration;

use popnet_terms::{Seconds, Timestamp};
use serde::{Deserialize, Serialize};

use crate::key::{Algorithm, Key};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Signs everything; the parent names it.
    Csk,
    /// Signs keys only; the parent names it.
    Ksk,
    /// Signs records only.
    Zsk,
}

impl Role {
    fn has_ds(self) -> bool {
        matches!(self, Self::Csk | Self::Ksk)
    }
}

/// How far a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// In the zone, so that caches learn it.
    Published,
    /// It signs.
    Active,
    /// It signs no longer; caches may hold what it signed.
    Retired,
    /// Out of the zone; its files may be deleted.
    Gone,
}

/// How far the parent is with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is", content = "since")]
pub enum DsStage {
    /// The parent is not to name it (yet).
    Hidden,
    /// The parent is asked to.
    Wanted,
    /// It was first seen at the parent then.
    Seen(Timestamp),
    /// The parent is asked to forget it.
    Unwanted,
    /// It was first missing at the parent then.
    Missing(Timestamp),
}

/// One key's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    /// The common name of its files.
    pub stem: String,
    /// What it is for.
    pub role: Role,
    /// How it signs.
    pub algorithm: Algorithm,
    /// The data of its DS record.
    pub ds: Vec<u8>,
    /// How far it is.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// How far the parent is with it.
    pub parent: DsStage,
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How new keys sign.
    pub algorithm: Algorithm,
    /// One key for everything, or a key for keys and another for records.
    pub is_split: bool,
    /// How long a key signs records before the next takes over; `None`: until told.
    pub zsk_lifetime: Option<Seconds>,
    /// The same for a key that the parent names.
    pub ksk_lifetime: Option<Seconds>,
    /// TTL of the DNSKEY records.
    pub key_ttl: Seconds,
    /// Longest TTL in the zone.
    pub zone_ttl: Seconds,
    /// Until all servers of the zone have what one has.
    pub propagation: Seconds,
}

/// The DS records that every server of the parent shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentView {
    /// Their data.
    pub ds: Vec<Vec<u8>>,
    /// Their TTL.
    pub ttl: Seconds,
}

/// What the caller does, then asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a key and [`Keyset::add`] it.
    Make {
        /// For what.
        role: Role,
        /// With which first stage.
        stage: Stage,
    },
    /// Nothing before then, unless the parent changes; `None`: nothing at all.
    Wait(Option<Timestamp>),
}

/// The keys of a zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyset {
    /// Those that are in use, were, or will be.
    pub keys: Vec<Tracked>,
}

impl Keyset {
    /// Takes a key in that was made now.
    pub fn add(&mut self, key: &Key, role: Role, stage: Stage, now: Timestamp) {
        // The first key waits with its DS until caches have forgotten the unsigned zone.
        self.keys.push(Tracked {
            stem: key.stem(),
            role,
            algorithm: key.algorithm(),
            ds: key.ds(),
            stage,
            since: now,
            parent: DsStage::Hidden,
        });
    }

    /// Goes as far as the time and `parent` allow; `parent` is `None` when nobody has looked, or
    /// its servers do not agree.
    pub fn advance(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        parent: Option<&ParentView>,
    ) -> Step {
        if let Some(parent) = parent {
            self.see(parent, now);
        }
        let roles: &[Role] = if policy.is_split { &[Role::Ksk, Role::Zsk] } else { &[Role::Csk] };
        let mut next = Next::default();
        for role in roles {
            if let Some(step) = self.advance_role(policy, *role, now, parent.is_some(), &mut next) {
                return step;
            }
        }
        self.end_old(policy, now, parent.map(|parent| parent.ttl), &mut next);
        Step::Wait(next.0)
    }

    /// Begins the change of the keys of `role` before their time; `false` when one is under way.
    pub fn start_change(&mut self, role: Role, now: Timestamp) -> bool {
        let busy = self.keys.iter().any(|key| key.role == role && key.stage == Stage::Published);
        let active = self.keys.iter_mut().filter(|key| key.role == role);
        let mut active = active.filter(|key| key.stage == Stage::Active);
        match active.next() {
            Some(key) if !busy => {
                // As old as time: past every lifetime.
                key.since = Timestamp(now.0.min(0));
                true
            }
            Some(_) | None => false,
        }
    }

    /// Notes what the parent shows.
    fn see(&mut self, parent: &ParentView, now: Timestamp) {
        for key in &mut self.keys {
            let shown = parent.ds.contains(&key.ds);
            key.parent = match (key.parent, shown) {
                (DsStage::Wanted | DsStage::Hidden, true) => DsStage::Seen(now),
                // Somebody took it away by hand: it is asked for again.
                (DsStage::Seen(_), false) => DsStage::Wanted,
                (DsStage::Unwanted, false) => DsStage::Missing(now),
                (DsStage::Missing(_), true) => DsStage::Unwanted,
                (same, _) => same,
            };
        }
    }

    fn find(&self, role: Role, stage: Stage) -> Option<usize> {
        self.keys.iter().position(|key| key.role == role && key.stage == stage)
    }

    fn advance_role(
        &mut self,
        policy: &Policy,
        role: Role,
        now: Timestamp,
        is_watched: bool,
        next: &mut Next,
    ) -> Option<Step> {
        let known = span(policy.key_ttl, policy.propagation);
        let Some(active) = self.find(role, Stage::Active) else {
            // Nothing signs: the first key, or the first of another arrangement of keys.
            return Some(Step::Make { role, stage: Stage::Active });
        };
        let fresh = self.find(role, Stage::Published);
        self.ask_parent(policy, active, now, next);
        if let Some(fresh) = fresh {
            self.ask_parent(policy, fresh, now, next);
        }
        let lifetime = if role.has_ds() { policy.ksk_lifetime } else { policy.zsk_lifetime };
        let (old, is_first) = (self.keys.get(active)?, self.keys.len() == 1);
        let asked = old.since.0 <= 0;
        let due = lifetime.map(|life| old.since.after(Duration::from_secs(life.0.into())));
        let due = if asked { Some(now) } else { due };
        let Some(fresh) = fresh else {
            // Made known in time; but nothing is begun that cannot be ended.
            let can_end = !role.has_ds() || is_watched;
            let begin = Timestamp(due?.0.saturating_sub(micros(known)));
            let settled = !is_first || !role.has_ds() || matches!(old.parent, DsStage::Seen(_));
            if can_end && settled && begin <= now {
                return Some(Step::Make { role, stage: Stage::Published });
            }
            if can_end {
                next.at(begin, now);
            }
            return None;
        };
        let mut ready = self.keys.get(fresh)?.since.after(known);
        if role.has_ds() {
            // The parent names it for longer than caches hold what the parent said before.
            let DsStage::Seen(seen) = self.keys.get(fresh)?.parent else { return None };
            ready = ready.max(seen.after(span(policy.zone_ttl.max(DS_TTL), policy.propagation)));
        }
        ready = ready.max(due.unwrap_or(ready));
        if ready > now {
            next.at(ready, now);
            return None;
        }
        self.hand_over(active, fresh, now);
        None
    }

    /// The first key's DS is asked for when caches have forgotten the unsigned zone, a later one's
    /// as soon as its DNSKEY is known.
    fn ask_parent(&mut self, policy: &Policy, at: usize, now: Timestamp, next: &mut Next) {
        let Some(key) = self.keys.get_mut(at) else { return };
        if !key.role.has_ds() || key.parent != DsStage::Hidden {
            return;
        }
        let ttl = if key.stage == Stage::Active { policy.zone_ttl } else { policy.key_ttl };
        let ready = key.since.after(span(ttl, policy.propagation));
        if ready <= now {
            key.parent = DsStage::Wanted;
        } else {
            next.at(ready, now);
        }
    }

    fn hand_over(&mut self, old: usize, fresh: usize, now: Timestamp) {
        if let Some(key) = self.keys.get_mut(old) {
            (key.stage, key.since) = (Stage::Retired, now);
            if key.role.has_ds() {
                key.parent = DsStage::Unwanted;
            }
        }
        if let Some(key) = self.keys.get_mut(fresh) {
            (key.stage, key.since) = (Stage::Active, now);
        }
    }

    /// Takes keys out that nothing refers to any more.
    fn end_old(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        ds_ttl: Option<Seconds>,
        next: &mut Next,
    ) {
        let forgotten = span(policy.zone_ttl.max(policy.key_ttl), policy.propagation);
        for key in self.keys.iter_mut().filter(|key| key.stage == Stage::Retired) {
            let mut end = key.since.after(forgotten);
            if key.role.has_ds() {
                let DsStage::Missing(missing) = key.parent else { continue };
                let ttl = ds_ttl.unwrap_or(DS_TTL).max(DS_TTL);
                end = end.max(missing.after(span(ttl, policy.propagation)));
            }
            if end <= now {
                (key.stage, key.since) = (Stage::Gone, now);
            } else {
                next.at(end, now);
            }
        }
    }
}

/// How long a DS may be kept at least: the usual TTL in registries. One that is no longer shown
/// has no TTL to read.
const DS_TTL: Seconds = Seconds(86_400);

impl Tracked {
    /// Whether its DNSKEY stands in the zone.
    #[must_use]
    pub fn is_published(&self) -> bool {
        matches!(self.stage, Stage::Published | Stage::Active | Stage::Retired)
    }

    /// Whether it signs the keys. From its publication until the parent forgets it, so that a
    /// validator that knows either DS has a way in.
    #[must_use]
    pub fn signs_keys(&self) -> bool {
        self.role.has_ds() && self.is_published()
    }

    /// Whether it signs records.
    #[must_use]
    pub fn signs_zone(&self) -> bool {
        self.role != Role::Ksk && self.stage == Stage::Active
    }

    /// Whether CDS and CDNSKEY records name it.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        matches!(self.parent, DsStage::Wanted | DsStage::Seen(_))
    }
}

/// The earliest of several times.
#[derive(Default)]
struct Next(Option<Timestamp>);

impl Next {
    fn at(&mut self, at: Timestamp, now: Timestamp) {
        let at = at.max(now);
        self.0 = Some(self.0.map_or(at, |known| known.min(at)));
    }
}

fn span(one: Seconds, other: Seconds) -> Duration {
    Duration::from_secs(u64::from(one.0) + u64::from(other.0))
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_dns::Name;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 86_400;

    fn policy(is_split: bool) -> Policy {
        Policy {
            algorithm: Algorithm::Ed25519,
            is_split,
            zsk_lifetime: Some(Seconds(30 * 86_400)),
            ksk_lifetime: Some(Seconds(300 * 86_400)),
            key_ttl: Seconds(3_600),
            zone_ttl: Seconds(86_400),
            propagation: Seconds(600),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp((1_700_000_000 + seconds) * 1_000_000)
    }

    /// Runs the machine hour by hour; the parent does within `lag` hours what CDS asks for.
    struct World {
        keys: Keyset,
        policy: Policy,
        parent: ParentView,
        /// CDS contents of the last hours.
        asked: std::collections::VecDeque<Vec<Vec<u8>>>,
        hour: i64,
        /// DNSKEY sets and signers of the last day, as caches may hold them.
        seen: Vec<(i64, Vec<String>, Vec<String>)>,
    }

    impl World {
        fn new(is_split: bool, lag: usize) -> Self {
            Self {
                keys: Keyset::default(),
                policy: policy(is_split),
                parent: ParentView { ds: Vec::new(), ttl: Seconds(86_400) },
                asked: vec![Vec::new(); lag].into(),
                hour: 0,
                seen: Vec::new(),
            }
        }

        fn names(&self, of: fn(&Tracked) -> bool) -> Vec<String> {
            self.keys.keys.iter().filter(|key| of(key)).map(|key| key.stem.clone()).collect()
        }

        fn step(&mut self, zone: &Name) {
            let now = at(self.hour * HOUR);
            let mut turns = 0;
            loop {
                turns += 1;
                assert!(turns < 10, "the machine spins: {:?}", self.keys);
                match self.keys.advance(&self.policy, now, Some(&self.parent)) {
                    Step::Make { role, stage } => {
                        let entry = role != Role::Zsk;
                        let made = Key::generate(zone, self.policy.algorithm, entry);
                        self.keys.add(&made.unwrap().0, role, stage, now);
                    }
                    Step::Wait(next) => {
                        assert!(next.is_none_or(|next| next >= now));
                        break;
                    }
                }
            }
            let announced = self.keys.keys.iter().filter(|key| key.is_announced());
            self.asked.push_back(announced.map(|key| key.ds.clone()).collect());
            if let Some(cds) = self.asked.pop_front().filter(|cds| !cds.is_empty()) {
                self.parent.ds = cds;
            }
            let (keys, signers) =
                (self.names(Tracked::is_published), self.names(Tracked::signs_zone));
            self.seen.push((self.hour, keys, signers));
            self.check();
            self.hour += 1;
        }

        /// RFC 7583 in one sentence: whatever a cache may hold of keys, signatures and DS, there
        /// is a way from DS over DNSKEY to the signature.
        fn check(&self) {
            let (_, keys, signers) = self.seen.last().unwrap();
            assert!(!signers.is_empty());
            for (hour, old_keys, old_signers) in self.seen.iter().rev() {
                let age = self.hour - hour;
                if age > 25 {
                    break;
                }
                if age <= 1 {
                    assert!(
                        signers.iter().all(|key| old_keys.contains(key)) || self.hour == 0,
                        "hour {}: signed by a key that caches do not know",
                        self.hour
                    );
                }
                // Signatures of a day ago are still in caches; the keys come fresh.
                assert!(old_signers.iter().all(|key| keys.contains(key)), "hour {}", self.hour);
            }
            let ways = self.keys.keys.iter().filter(|key| key.signs_keys());
            let ways: Vec<&Vec<u8>> = ways.map(|key| &key.ds).collect();
            let known = |ds: &Vec<u8>| ways.contains(&ds);
            assert!(self.parent.ds.is_empty() || self.parent.ds.iter().any(known));
        }
    }

    #[test]
    fn three_years_of_a_zone() {
        let zone: Name = "example.test".parse().unwrap();
        for (is_split, lag) in [(true, 2), (false, 2), (true, 200), (false, 1)] {
            let mut world = World::new(is_split, lag);
            let mut ds_changes = 0;
            for _ in 0..3 * 365 * 24 {
                let before = world.parent.ds.clone();
                world.step(&zone);
                ds_changes += usize::from(before != world.parent.ds);
                if world.seen.len() > 30 {
                    world.seen.remove(0);
                }
            }
            // First DS, then each change adds one and takes one away.
            assert_eq!(ds_changes, 7, "split {is_split}, lag {lag}");
            let gone = |role| {
                let keys = &world.keys.keys;
                keys.iter().filter(|key| key.role == role && key.stage == Stage::Gone).count()
            };
            if is_split {
                assert_eq!(gone(Role::Ksk), 3);
                assert!((34..=36).contains(&gone(Role::Zsk)), "{}", gone(Role::Zsk));
            } else {
                assert_eq!(gone(Role::Csk), 3);
            }
        }
    }

    #[test]
    fn unwatched_parents_keep_their_key() {
        let zone: Name = "example.test".parse().unwrap();
        let (rules, mut keys) = (policy(false), Keyset::default());
        let Step::Make { role: Role::Csk, stage: Stage::Active } =
            keys.advance(&rules, at(0), None)
        else {
            panic!("no first key")
        };
        let (key, _) = Key::generate(&zone, Algorithm::Ed25519, true).unwrap();
        keys.add(&key, Role::Csk, Stage::Active, at(0));
        assert_eq!(keys.advance(&rules, at(0), None), Step::Wait(Some(at(DAY + 600))));
        assert!(!keys.keys[0].is_announced());
        assert_eq!(keys.advance(&rules, at(DAY + 600), None), Step::Wait(None));
        assert!(keys.keys[0].is_announced());
        assert_eq!(keys.advance(&rules, at(900 * DAY), None), Step::Wait(None));
        assert_eq!(keys.keys.len(), 1);
    }

    #[test]
    fn a_change_may_be_asked_for() {
        let zone: Name = "example.test".parse().unwrap();
        let mut world = World::new(true, 1);
        world.policy.zsk_lifetime = None;
        for _ in 0..48 {
            world.step(&zone);
        }
        let before = world.names(Tracked::signs_zone);
        assert!(world.keys.start_change(Role::Zsk, at(48 * HOUR)));
        for _ in 0..4 {
            world.step(&zone);
        }
        assert_ne!(world.names(Tracked::signs_zone), before);
        for _ in 0..30 {
            world.step(&zone);
        }
        assert!(!world.names(Tracked::is_published).contains(&before[0]));
    }
}
