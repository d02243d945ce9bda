//! Last resorts that are in use, site by site, for people to hear of (steering model, section 11).
//!
//! Choices leave a word here; whoever publishes views looks, and tells when one begins, changes
//! and ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use popnet_steering::Choice;
use popnet_terms::{Because, SiteName, Timestamp, TtlBecause};

/// Answers of last resort are asked for again after ten seconds: one that has not been given for
/// longer is over.
const OVER: Duration = Duration::from_secs(15);

/// In use for less it is no alarm: a name server that has just started hears of targets within
/// a second or two.
const ALARMING: Duration = Duration::from_secs(3);

/// The last resort that a site's answers have used lately.
#[derive(Debug, Default)]
pub(crate) struct Resort {
    /// The instant of the last view under which anything was noted: of one view's many answers, the
    /// first alone takes the lock.
    noted: AtomicI64,
    used: Mutex<Option<Used>>,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    because: Because,
    first: Timestamp,
    last: Timestamp,
}

impl Resort {
    /// A choice was made under a view of `now`.
    pub(crate) fn note(&self, choice: &Choice, now: Timestamp) {
        let is_resort = choice.ttl_because == TtlBecause::LastResort;
        // Asking for a family that no target has is no misfortune.
        if !is_resort || choice.because == Because::NoAddressOfFamily {
            return;
        }
        if self.noted.swap(now.0, Ordering::Relaxed) == now.0 {
            return;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = used.filter(|used| now.since(used.last) <= OVER);
        let first = goes_on.map_or(now, |used| used.first);
        *used = Some(Used { because: choice.because, first, last: now });
    }

    /// What is in use at `now`, for long enough to be told.
    fn in_use(&self, now: Timestamp) -> Option<Because> {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used = used.filter(|used| now.since(used.last) <= OVER)?;
        (used.last.since(used.first) >= ALARMING).then_some(used.because)
    }
}

/// What has been told.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeMap<SiteName, Because>);

/// A last resort that begins, changes or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) site: SiteName,
    pub(crate) from: Option<Because>,
    pub(crate) to: Option<Because>,
}

impl Told {
    /// What has changed since the last look. A site that is no more has ended.
    pub(crate) fn look<'a>(
        &mut self,
        sites: impl Iterator<Item = (&'a SiteName, &'a Resort)>,
        now: Timestamp,
    ) -> Vec<Turn> {
        let now = sites.filter_map(|(site, resort)| Some((site.clone(), resort.in_use(now)?)));
        let now: BTreeMap<SiteName, Because> = now.collect();
        let before = std::mem::replace(&mut self.0, now);
        let ended = before.keys().filter(|site| !self.0.contains_key(*site));
        let all = self.0.keys().chain(ended);
        let turn = |site: &SiteName| Turn {
            site: site.clone(),
            from: before.get(site).copied(),
            to: self.0.get(site).copied(),
        };
        all.map(turn).filter(|turn| turn.from != turn.to).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_steering::Pick;
    use popnet_terms::{ScopeBecause, Seconds};

    fn choice(because: Because, ttl_because: TtlBecause) -> Choice {
        let pick = Pick {
            targets: [].into_iter().collect(),
            ttl: Seconds(10),
            ttl_because,
            scope: 0,
            scope_because: ScopeBecause::SameForAll,
            because,
            margin: None,
            needs_measurement: false,
        };
        Choice { pick, candidates: [].into() }
    }

    #[test]
    fn told_once_when_it_begins_changes_and_ends() {
        let (site, resort) = (SiteName::new("www.test"), Resort::default());
        let mut told = Told::default();
        let mut look = |second: i64| {
            let turns = told.look([(&site, &resort)].into_iter(), Timestamp(second * 1_000_000));
            turns.into_iter().map(|turn| (turn.from, turn.to)).collect::<Vec<_>>()
        };
        let at = |second: i64| Timestamp(second * 1_000_000);
        let all = choice(Because::FallbackAll, TtlBecause::LastResort);
        resort.note(&all, at(100));
        assert_eq!(look(100), [], "a moment is no alarm");
        resort.note(&all, at(104));
        assert_eq!(look(104), [(None, Some(Because::FallbackAll))]);
        assert_eq!(look(110), []);
        resort.note(&choice(Because::FallbackDamped, TtlBecause::LastResort), at(112));
        assert_eq!(look(112), [(Some(Because::FallbackAll), Some(Because::FallbackDamped))]);
        // What is well, or lacks an address of the family, is none.
        resort.note(&choice(Because::BestScore, TtlBecause::Settled), at(125));
        resort.note(&choice(Because::NoAddressOfFamily, TtlBecause::LastResort), at(125));
        assert_eq!(look(128), [(Some(Because::FallbackDamped), None)]);
        assert_eq!(look(129), []);
    }
}
