//! What names gave, kept for their time to live, and beyond it while no name server answers. A
//! name is asked for once at a time, however many wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use popnet_dns::Name;

use crate::lookup::LookupError;
use crate::resolver::{Found, ServiceRecord};

/// Most names kept: a node's sites and customers.
const NAMES_MAX: usize = 4096;

/// After nobody answered, the next question for a name waits so long: requests must not each wait
/// for silent servers.
const SILENCE_KEPT: Duration = Duration::from_secs(5);

/// The same while nothing is known yet: a node that starts beside its name servers must not lose
/// seconds because it was quicker than they.
const SILENCE_AT_START: Duration = Duration::from_millis(250);

/// Services of one name.
pub(crate) type Services = Arc<Vec<ServiceRecord>>;

#[derive(Debug, Default)]
struct Known {
    services: Services,
    until: Option<Instant>,
}

type Place = Arc<tokio::sync::Mutex<Known>>;

/// Names and what they gave.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    names: Mutex<BTreeMap<Name, (Place, Instant)>>,
}

impl Memory {
    /// What `name` gives: from memory while it holds, else from `ask`; and when that fails, what
    /// was known before.
    pub(crate) async fn get<F>(&self, name: &Name, ask: F) -> Services
    where
        F: Future<Output = Result<Found, LookupError>>,
    {
        let place = self.place(name);
        let mut known = place.lock().await;
        if known.until.is_some_and(|until| Instant::now() < until) {
            return Arc::clone(&known.services);
        }
        match ask.await {
            Ok(found) => {
                known.until = Some(Instant::now() + found.ttl);
                known.services = Arc::new(found.records);
            }
            Err(error) => {
                tracing::warn!(%name, %error, "no name server answers; going on with what is known");
                let nothing = known.services.is_empty();
                let kept = if nothing { SILENCE_AT_START } else { SILENCE_KEPT };
                known.until = Some(Instant::now() + kept);
            }
        }
        Arc::clone(&known.services)
    }

    fn place(&self, name: &Name) -> Place {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((place, used)) = names.get_mut(name) {
            *used = now;
            return Arc::clone(place);
        }
        if names.len() >= NAMES_MAX {
            let oldest = names.iter().min_by_key(|(_, (_, used))| *used).map(|(n, _)| n.clone());
            if let Some(oldest) = oldest {
                names.remove(&oldest);
            }
        }
        let place = Place::default();
        names.insert(name.clone(), (Arc::clone(&place), now));
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn found(host: &str, ttl: Duration) -> Found {
        let record =
            ServiceRecord { priority: 1, host: host.into(), port: 1, addresses: Vec::new() };
        Found { records: vec![record], ttl }
    }

    #[tokio::test]
    async fn remembers_and_outlives_silence() {
        let memory = Memory::default();
        let name: Name = "store.fra1.cdn.test".parse().unwrap();
        let first = memory.get(&name, async { Ok(found("a", Duration::ZERO)) }).await;
        assert_eq!(first[0].host, "a");
        let silent = LookupError::Silent(SocketAddr::from(([127, 0, 0, 1], 53)));
        let kept = memory.get(&name, async { Err(silent) }).await;
        assert_eq!(kept, first, "what was known before");
        let asked = memory.get(&name, async { panic!("not while silence is remembered") }).await;
        assert_eq!(asked, first);
    }

    #[tokio::test]
    async fn is_bounded() {
        let memory = Memory::default();
        for n in 0..NAMES_MAX + 10 {
            let name: Name = format!("n{n}.test").parse().unwrap();
            memory.place(&name);
        }
        assert_eq!(memory.names.lock().unwrap().len(), NAMES_MAX);
    }
}
