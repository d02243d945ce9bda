//! Who is answered and how often, as the configuration says now; and the secret of the cookies.

mod secrets;

use std::sync::Arc;
use std::time::Duration;

use popnet_config::Held;
use popnet_config::network::{Dns, RateLimit};
use popnet_guard::{Access, Gate, Limits, Rates};
use popnet_runtime::{Context, clock};
use popnet_terms::Role;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::shared::Shared;

pub(crate) use secrets::load as load_secrets;
pub use secrets::parse as parse_cookie_secrets;

/// How often the age of the cookies' secret is looked at.
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
}

impl Shield {
    /// Whether nothing here asks who is asking: then everybody gets the same answer to the same
    /// question without a cookie.
    pub(crate) fn is_open(&self) -> bool {
        self.gate.is_open() && self.rates.is_none()
    }

    /// What `held` says. Counts go on where the limits stay as they were in `before`.
    pub(crate) fn build(held: &Held, before: Option<&Self>) -> Self {
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

/// Without random octets buckets are where others may guess them: worse, but no reason to stop.
fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| clock::now().0.unsigned_abs())
}

/// Follows the configuration, and changes the cookies' secret when it is time.
pub(crate) fn start(
    context: &Context,
    mut config: watch::Receiver<Arc<Held>>,
    shared: Arc<Shared>,
) -> JoinHandle<()> {
    let shutdown = context.shutdown.clone();
    let folder = context.role_dir(Role::Nameserver);
    tokio::spawn(async move {
        let mut followed = true;
        let mut looks = interval(SECRET_SLOT);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = config.changed(), if followed => {
                    followed = changed.is_ok();
                    let held = Arc::clone(&config.borrow_and_update());
                    let next = Shield::build(&held, Some(&shared.shield.load()));
                    shared.shield.store(Arc::new(next));
                }
                _ = looks.tick() => {
                    let now = clock::now();
                    if shared.secrets.load().is_due(now) {
                        let secrets = (*shared.secrets.load_full()).clone();
                        shared.secrets.store(Arc::new(secrets::rotate(&folder, secrets, now)));
                    }
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
        let first = Shield::build(&limited, None);
        let rates = first.rates.clone().unwrap();
        assert_eq!(rates.limits().nodata, rates.limits().responses);
        assert_ne!(rates.limits().errors, rates.limits().responses);
        let again = Shield::build(&limited, Some(&first));
        assert!(Arc::ptr_eq(&rates, again.rates.as_ref().unwrap()));
        let other = Shield::build(&held("[dns.rate_limit]\nresponses = \"9/s\"\n"), Some(&again));
        assert!(!Arc::ptr_eq(&rates, other.rates.as_ref().unwrap()));
        let none = Shield::build(&held(""), Some(&other));
        assert!(none.rates.is_none());
        assert_eq!(none.idle, Duration::from_secs(10));
    }
}
