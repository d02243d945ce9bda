//! Origins that failed just now: asked last for a while, so that not every miss waits for them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use popnet_terms::OriginId;
use popnet_wire::sheet::OriginAddress;

/// How long a failure counts. Name servers learn of it from probes within about as long.
const SUSPECT_FOR: Duration = Duration::from_secs(10);

/// Which origins failed, and until when that counts.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    failed: Mutex<BTreeMap<OriginId, Instant>>,
}

impl Suspects {
    fn failed(&self) -> MutexGuard<'_, BTreeMap<OriginId, Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same order, with suspects behind the others.
    pub(crate) fn last(&self, mut order: Vec<OriginAddress>, now: Instant) -> Vec<OriginAddress> {
        let failed = self.failed();
        if !failed.is_empty() {
            order.sort_by_key(|origin| failed.get(&origin.id).is_some_and(|until| now < *until));
        }
        order
    }

    /// An origin failed; says whether that is news.
    pub(crate) fn failed_now(&self, origin: &OriginId, now: Instant) -> bool {
        self.failed().insert(origin.clone(), now + SUSPECT_FOR).is_none()
    }

    /// An origin answered; says whether that is news.
    pub(crate) fn answered(&self, origin: &OriginId) -> bool {
        let mut failed = self.failed();
        !failed.is_empty() && failed.remove(origin).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_the_others_for_a_while() {
        let origin = |server: &str| OriginAddress {
            id: OriginId { group: "www".into(), server: server.into() },
            host: "127.0.0.1".into(),
            port: 80,
            tls: false,
        };
        let order = vec![origin("a"), origin("b"), origin("c")];
        let ids = |order: Vec<OriginAddress>| -> Vec<String> {
            order.into_iter().map(|origin| origin.id.server.to_string()).collect()
        };
        let suspects = Suspects::default();
        let now = Instant::now();
        assert!(suspects.failed_now(&origin("a").id, now));
        assert!(!suspects.failed_now(&origin("a").id, now));
        assert_eq!(ids(suspects.last(order.clone(), now)), ["b", "c", "a"]);
        assert_eq!(ids(suspects.last(order.clone(), now + SUSPECT_FOR)), ["a", "b", "c"]);
        assert!(suspects.answered(&origin("a").id));
        assert!(!suspects.answered(&origin("a").id));
        assert_eq!(ids(suspects.last(order, now)), ["a", "b", "c"]);
    }
}
