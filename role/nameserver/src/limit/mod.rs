//! Who is answered and how often, as the configuration says now; and the secret of the cookies.

mod secrets;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use popnet_config::Held;
use popnet_config::network::{Dns, RateLimit};
use popnet_guard::{Access, Gate, Limits, Rates, Secrets};
use popnet_runtime::{Context, clock};
use popnet_terms::{NodeName, Role, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::shared::Shared;
use crate::tap::Tap;

pub use secrets::{parse as parse_cookie_secrets, parse_shared as parse_shared_cookie_secrets};

/// How often the age of the cookies' secret is looked at, or the file of shared ones.
const SECRET_SLOT: Duration = Duration::from_mins(5);

/// What stands before the answers. Built aside, published whole.
#[derive(Debug, Default)]
pub(crate) struct Shield {
    pub(crate) gate: Gate,
    pub(crate) proxies: Access,
    pub(crate) require_cookie: bool,
    /// How long a connection without a question stays.
    pub(crate) idle: Duration,
    pub(crate) rates: Option<Arc<Rates>>,
    /// Who wants copies.
    pub(crate) tap: Option<Arc<Tap>>,
}

impl Shield {
    /// What `held` says. Counts go on where the limits stay as they were in `before`.
    pub(crate) fn build(held: &Held, before: Option<&Self>, tap: Option<Arc<Tap>>) -> Self {
        let dns = &held.network.dns;
        let limits = dns.rate_limit.as_ref().map(limits);
        let same = |rates: &&Arc<Rates>| limits.as_ref() == Some(rates.limits());
        let kept = before.and_then(|shield| shield.rates.as_ref()).filter(same).cloned();
        Self {
            gate: Gate::build(&held.network),
            proxies: Access::of(&dns.proxies),
            require_cookie: dns.require_cookie,
            idle: idle(dns),
            rates: kept.or_else(|| limits.map(|limits| Arc::new(Rates::new(limits, seed())))),
            tap,
        }
    }
}

/// How long a connection without a question stays. At least a second: below that, nobody's
/// question would arrive in time.
pub(crate) fn idle(dns: &Dns) -> Duration {
    Duration::from_micros(dns.tcp.idle().0).max(Duration::from_secs(1))
}

fn limits(said: &RateLimit) -> Limits {
    Limits {
        responses: said.responses,
        nodata: said.nodata.or(said.responses),
        nxdomains: said.nxdomains.or(said.responses),
        referrals: said.referrals.or(said.responses),
        errors: said.errors.or(said.responses),
        all: said.all,
        slip: said.slip(),
        ipv4_prefix: said.ipv4_prefix(),
        ipv6_prefix: said.ipv6_prefix(),
        exempt: Access::of(&said.exempt),
    }
}

/// Who wants copies, says `held`.
pub(crate) fn tap(
    held: &Held,
    node: &NodeName,
    folder: &Path,
    before: Option<&Arc<Tap>>,
) -> Option<Arc<Tap>> {
    Tap::follow(&held.network.dns, node, folder, before)
}

/// Without random octets buckets are where others may guess them: worse, but no reason to stop.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| clock::now().0.unsigned_abs())
}

/// The secrets of cookies to begin with. `Err`: the machine gives no random octets.
pub(crate) fn first_secrets(
    folder: &Path,
    held: &Held,
    now: Timestamp,
) -> Result<Secrets, getrandom::Error> {
    match shared_secrets(held, now) {
        Some(Ok(secrets)) => Ok(secrets),
        Some(Err(())) | None => secrets::load(folder, now),
    }
}

/// The shared secrets, when the configuration names a file of them. `Err`: said in the log.
fn shared_secrets(held: &Held, now: Timestamp) -> Option<Result<Secrets, ()>> {
    let path = held.base_dir.join(held.network.dns.cookie_secret_file.as_ref()?);
    let read = secrets::read_shared(&path, now);
    Some(read.map_err(|why| {
        let file = path.display();
        tracing::error!(
            "dns.cookie_secret_file: {file}: {why}; the secrets in force stay; next: write one \
             or two lines of 32 hexadecimal digits there (openssl rand -hex 16), then reload"
        );
    }))
}

/// Whose the secrets in force are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Ours,
    Shared,
}

/// Brings the secrets to what `held` and the time want; gives whose they are then.
fn follow_secrets(
    folder: &Path,
    held: &Held,
    shared: &Shared,
    whose: Whose,
    now: Timestamp,
) -> Whose {
    let known = shared.secrets.load_full();
    match (shared_secrets(held, now), whose) {
        (Some(Ok(next)), _) => {
            if (&next.current, &next.previous) != (&known.current, &known.previous) {
                shared.secrets.store(Arc::new(next));
            }
            Whose::Shared
        }
        // Nobody but the operator changes those that are shared.
        (Some(Err(())), Whose::Shared) => Whose::Shared,
        (None, Whose::Shared) => match secrets::load(folder, now) {
            Ok(ours) => {
                shared.secrets.store(Arc::new(ours));
                Whose::Ours
            }
            Err(error) => {
                tracing::error!(%error, "no random octets: the shared secret of cookies stays");
                Whose::Shared
            }
        },
        (Some(Err(())) | None, Whose::Ours) => {
            if known.is_due(now) {
                let next = secrets::rotate(folder, (*known).clone(), now);
                shared.secrets.store(Arc::new(next));
            }
            Whose::Ours
        }
    }
}

/// Follows the configuration, and changes the cookies' secret when it is time.
pub(crate) fn start(
    context: &Context,
    mut config: watch::Receiver<Arc<Held>>,
    shared: Arc<Shared>,
) -> JoinHandle<()> {
    let shutdown = context.shutdown.clone();
    let folder = context.role_dir(Role::Nameserver);
    let node = context.node.clone();
    tokio::spawn(async move {
        let mut followed = true;
        // Corrected at once: the first look is due now.
        let mut whose = Whose::Ours;
        let mut looks = interval(SECRET_SLOT);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = config.changed(), if followed => {
                    followed = changed.is_ok();
                    let held = Arc::clone(&config.borrow_and_update());
                    let known = shared.shield.load_full();
                    let tap = tap(&held, &node, &folder, known.tap.as_ref());
                    shared.shield.store(Arc::new(Shield::build(&held, Some(&known), tap)));
                    whose = follow_secrets(&folder, &held, &shared, whose, clock::now());
                }
                _ = looks.tick() => {
                    let held = Arc::clone(&config.borrow());
                    whose = follow_secrets(&folder, &held, &shared, whose, clock::now());
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(text: &str) -> Held {
        let text = format!(
            "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n\
             [pops.lab.nodes.ns1]\nroles = [\"nameserver\"]\naddress = [\"127.0.0.1\"]\n{text}"
        );
        let network = match popnet_config::load(&text, "popnet.toml") {
            Ok(loaded) => loaded.network,
            Err(found) => panic!("{}", popnet_config::render(&found, &text, "popnet.toml")),
        };
        Held {
            epoch: popnet_wire::rollout::Epoch(1),
            digest: popnet_wire::rollout::Digest::default(),
            network,
            base_dir: ".".into(),
        }
    }

    #[test]
    fn counts_survive_a_push_that_changes_nothing_about_them() {
        let limited = held("[dns.rate_limit]\nresponses = \"20/s\"\nerrors = \"5/s\"\n");
        let first = Shield::build(&limited, None, None);
        let rates = first.rates.clone().unwrap();
        assert_eq!(rates.limits().nodata, rates.limits().responses);
        assert_ne!(rates.limits().errors, rates.limits().responses);
        let again = Shield::build(&limited, Some(&first), None);
        assert!(Arc::ptr_eq(&rates, again.rates.as_ref().unwrap()));
        let other =
            Shield::build(&held("[dns.rate_limit]\nresponses = \"9/s\"\n"), Some(&again), None);
        assert!(!Arc::ptr_eq(&rates, other.rates.as_ref().unwrap()));
        let none = Shield::build(&held(""), Some(&other), None);
        assert!(none.rates.is_none());
        assert_eq!(none.idle, Duration::from_secs(10));
    }
}
