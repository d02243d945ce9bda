//! How origins are, as real requests find them: decides who is asked and in which order. No clock,
//! no socket: whoever asks says what time it is and what came of it.
//!
//! ```text
//! well ── failed ──▶ suspect: asked last for 10 s, then as before
//! suspect ── 5 failures in a row ──▶ out: not asked at all, for 1 s, 2 s, 4 s … 30 s
//! out ── its time is over ──▶ one request is the trial; the others go on without it
//! trial ── failed ──▶ out for twice as long          trial ── answered ──▶ back
//! back: over 10 s it takes its place for a growing share of the requests ──▶ well
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use popnet_http::failure::Failure;
use popnet_terms::{OriginGroupId, OriginId};
use popnet_wire::sheet::OriginAddress;

/// How long one failure counts. Name servers learn of it from probes within about as long.
const SUSPECT_FOR: Duration = Duration::from_secs(10);

/// Failures in a row that take an origin out: one page that breaks its server is not enough.
const FAILURES: u32 = 5;

/// How long it is out the first time, and at most.
const OUT_FIRST: Duration = Duration::from_secs(1);
const OUT_MOST: Duration = Duration::from_secs(30);

/// A trial of which nothing is heard for so long was given up by its client.
const TRIAL: Duration = Duration::from_secs(40);

/// How long an origin that came back is spared, and the share it has at once, in thousandths.
const SPARED: Duration = Duration::from_secs(10);
const SHARE_FIRST: u32 = 100;

/// Further attempts for each request, in thousandths: with all origins of a group in trouble, no
/// more than a fifth is asked on top of what is asked anyway.
const BUDGET_EACH: u32 = 200;
/// Attempts saved up at most, with which a group begins.
const BUDGET_MOST: u32 = 20_000;

/// What is known of every origin that is not simply well.
#[derive(Debug, Default)]
pub(crate) struct Health {
    origins: BTreeMap<OriginId, State>,
    budgets: BTreeMap<OriginGroupId, u32>,
}

/// Why an origin is not asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It failed too often.
    Out(Failure),
    /// So many requests fail that more attempts would only add to it.
    Budget,
}

#[derive(Debug)]
enum State {
    Failing { failures: u32, at: Instant, out: Option<Out>, last: Failure },
    Back { since: Instant, credit: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Out {
    until: Instant,
    for_: Duration,
    trial: Option<Instant>,
}

impl Out {
    /// Whether the next request may be the trial.
    fn is_due(&self, now: Instant) -> bool {
        now >= self.until && self.trial.is_none_or(|began| now >= began + TRIAL)
    }
}

impl Health {
    /// The same order, with those in trouble behind the others.
    pub(crate) fn order(
        &mut self,
        mut origins: Vec<OriginAddress>,
        now: Instant,
    ) -> Vec<OriginAddress> {
        if !self.origins.is_empty() {
            origins.sort_by_cached_key(|origin| self.rank(&origin.id, now));
        }
        origins
    }

    fn rank(&mut self, origin: &OriginId, now: Instant) -> u8 {
        match self.origins.get_mut(origin) {
            None => 0,
            Some(State::Failing { out: Some(out), .. }) if !out.is_due(now) => 3,
            Some(State::Failing { at, out: None, .. }) if now < *at + SUSPECT_FOR => 2,
            Some(State::Failing { .. }) => 0,
            Some(State::Back { since, credit }) => {
                *credit += share(now.saturating_duration_since(*since));
                match credit.checked_sub(1_000) {
                    Some(left) => {
                        *credit = left;
                        0
                    }
                    None => 1,
                }
            }
        }
    }

    /// Whether a request asks `origin` now, as its first attempt or a further one.
    pub(crate) fn admit(
        &mut self,
        origin: &OriginId,
        is_first: bool,
        now: Instant,
    ) -> Result<(), Refused> {
        if let Some(State::Failing { failures, out: Some(out), last, .. }) =
            self.origins.get(origin)
            && !out.is_due(now)
        {
            let detail = format!("not asked: {failures} requests in a row failed; {}", last.detail);
            return Err(Refused::Out(Failure { detail, ..last.clone() }));
        }
        if !is_first && !self.spend(&origin.group) {
            return Err(Refused::Budget);
        }
        if let Some(State::Failing { out: Some(out), .. }) = self.origins.get_mut(origin) {
            out.trial = Some(now);
        }
        Ok(())
    }

    /// `origin` failed; says whether that is news.
    pub(crate) fn failed(&mut self, origin: &OriginId, failure: &Failure, now: Instant) -> bool {
        let (before, out) = match self.origins.get(origin) {
            Some(State::Failing { failures, out, .. }) => (*failures, *out),
            Some(State::Back { .. }) | None => (0, None),
        };
        let failures = before.saturating_add(1);
        let out = match out {
            // Only the trial says anything new: others had begun before.
            Some(out) if out.trial.is_none() => Some(out),
            Some(out) => Some(until(now, (out.for_ * 2).min(OUT_MOST))),
            None if failures >= FAILURES => Some(until(now, OUT_FIRST)),
            None => None,
        };
        let state = State::Failing { failures, at: now, out, last: failure.clone() };
        self.origins.insert(origin.clone(), state);
        before == 0
    }

    /// `origin` answered; says whether that is news.
    pub(crate) fn answered(&mut self, origin: &OriginId, now: Instant) -> bool {
        match self.origins.get(origin) {
            None => false,
            Some(State::Back { since, .. }) => {
                if now >= *since + SPARED {
                    self.origins.remove(origin);
                }
                false
            }
            Some(State::Failing { out: Some(_), .. }) => {
                self.origins.insert(origin.clone(), State::Back { since: now, credit: 0 });
                true
            }
            Some(State::Failing { .. }) => self.origins.remove(origin).is_some(),
        }
    }

    /// A request begins: it earns its part of a further attempt.
    pub(crate) fn earn(&mut self, group: &OriginGroupId) {
        if let Some(budget) = self.budgets.get_mut(group) {
            *budget += BUDGET_EACH;
            if *budget >= BUDGET_MOST {
                self.budgets.remove(group);
            }
        }
    }

    /// Whether one more attempt is paid for.
    fn spend(&mut self, group: &OriginGroupId) -> bool {
        let budget = self.budgets.entry(group.clone()).or_insert(BUDGET_MOST);
        match budget.checked_sub(1_000) {
            Some(left) => {
                *budget = left;
                true
            }
            None => false,
        }
    }
}

fn until(now: Instant, for_: Duration) -> Out {
    Out { until: now + for_, for_, trial: None }
}

/// The share of requests of one that is back for `since`, in thousandths.
fn share(since: Duration) -> u32 {
    let part = since.min(SPARED).as_millis() * 1_000 / SPARED.as_millis();
    u32::try_from(part).unwrap_or(1_000).max(SHARE_FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_http::failure::FailureKind;
    use proptest::prelude::*;

    fn id(server: &str) -> OriginId {
        OriginId { group: "www".into(), server: server.into() }
    }

    fn order(health: &mut Health, now: Instant) -> String {
        let origin = |server| OriginAddress {
            id: id(server),
            host: "127.0.0.1".into(),
            port: 80,
            tls: false,
        };
        let order = health.order(["a", "b", "c"].map(origin).to_vec(), now);
        order.iter().map(|origin| &*origin.id.server).collect()
    }

    fn refused() -> Failure {
        Failure::new(FailureKind::Refused, "a:80", "refused")
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_failure_puts_it_last_for_a_while() {
        let (mut health, now) = (Health::default(), Instant::now());
        assert!(health.failed(&id("a"), &refused(), now));
        assert!(!health.failed(&id("a"), &refused(), now));
        assert_eq!(order(&mut health, now), "bca");
        assert_eq!(health.admit(&id("a"), true, now), Ok(()));
        assert_eq!(order(&mut health, now + SUSPECT_FOR), "abc");
        assert!(health.answered(&id("a"), now));
        assert!(!health.answered(&id("a"), now));
        assert_eq!(order(&mut health, now), "abc");
    }

    #[test]
    fn out_a_trial_and_back_slowly() {
        let (mut health, now) = (Health::default(), Instant::now());
        for _ in 0..FAILURES {
            health.failed(&id("a"), &refused(), now);
        }
        let Err(Refused::Out(why)) = health.admit(&id("a"), true, now) else { panic!("asked") };
        assert_eq!(why.kind, FailureKind::Refused);
        assert_eq!(why.detail, "not asked: 5 requests in a row failed; refused");
        // A request that began before says nothing new.
        health.failed(&id("a"), &refused(), now);
        let then = now + OUT_FIRST;
        assert_eq!(order(&mut health, then), "abc");
        assert_eq!(health.admit(&id("a"), true, then), Ok(()), "the trial");
        assert_eq!(order(&mut health, then), "bca");
        assert!(health.admit(&id("a"), true, then).is_err(), "only one");
        health.failed(&id("a"), &refused(), then);
        assert!(health.admit(&id("a"), true, then + SECOND).is_err(), "twice as long");
        let later = then + 2 * SECOND;
        assert_eq!(health.admit(&id("a"), true, later), Ok(()));
        // Given up by its client: another may try.
        let last = later + TRIAL;
        assert_eq!(health.admit(&id("a"), true, last), Ok(()));
        assert!(health.answered(&id("a"), last));
        let first = |health: &mut Health, at: Instant| {
            (0..1_000).filter(|_| order(health, at).starts_with('a')).count()
        };
        assert_eq!(first(&mut health, last), 100);
        assert_eq!(first(&mut health, last + SPARED / 2), 500);
        assert_eq!(first(&mut health, last + SPARED), 1_000);
        assert!(!health.answered(&id("a"), last + SPARED));
        assert!(health.origins.is_empty());
    }

    #[test]
    fn attempts_are_paid_for() {
        let (mut health, group, now) = (Health::default(), id("a").group, Instant::now());
        let mut more = 0;
        for _ in 0..1_000 {
            health.earn(&group);
            more += u32::from(health.admit(&id("a"), false, now).is_ok());
        }
        assert_eq!(health.admit(&id("a"), false, now), Err(Refused::Budget));
        assert_eq!(health.admit(&id("a"), true, now), Ok(()));
        assert_eq!(more, 219, "a fifth, and what was saved up");
        for _ in 0..100 {
            health.earn(&group);
        }
        assert!(health.budgets.is_empty(), "a group that is well costs nothing");
    }

    proptest! {
        /// Whatever happens: nobody is lost from the order, nobody is out for longer than the
        /// most and a second trial at once is never given.
        #[test]
        fn always_a_way_back(steps in prop::collection::vec((0u8..4, 0u64..5_000), 1..200)) {
            let (mut health, mut now) = (Health::default(), Instant::now());
            let a = id("a");
            for (step, wait) in steps {
                now += Duration::from_millis(wait);
                match step {
                    0 => { health.answered(&a, now); }
                    1 | 2 => { health.failed(&a, &refused(), now); }
                    _ => {
                        let was_out = matches!(
                            health.origins.get(&a), Some(State::Failing { out: Some(_), .. })
                        );
                        if health.admit(&a, true, now).is_ok() && was_out {
                            prop_assert!(health.admit(&a, true, now).is_err());
                        }
                    }
                }
                let mut seen: Vec<char> = order(&mut health, now).chars().collect();
                seen.sort_unstable();
                prop_assert_eq!(seen, ['a', 'b', 'c']);
            }
            prop_assert!(health.admit(&a, true, now + OUT_MOST.max(TRIAL)).is_ok());
        }
    }
}
