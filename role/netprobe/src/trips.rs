//! What the caches of this POP saw of the ways to their clients, asked for every ten seconds: over
//! their own socket on this machine, else over their node's control port. The probes go on without
//! it when no cache answers (P18).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use popnet_config::Held;
use popnet_config::network::Network;
use popnet_runtime::Context;
use popnet_runtime::link::{Link, LinkError};
use popnet_terms::{NodeName, Role};
use popnet_wire::control::{Ask, Reply};
use popnet_wire::trips::{TripsAsk, UNITS_MAX, UnitTrips};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often: as often as everything is reported again.
const EVERY: Duration = Duration::from_secs(10);

/// One cache's answer. A cache that takes longer is asked again the next time.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Answers of one cache a turn: a full table is read in one minute.
const PIECES: usize = 4;

/// Asks until the role ends or nobody listens to `out`.
pub(crate) async fn listen(
    context: Context,
    config: watch::Receiver<Arc<Held>>,
    out: mpsc::Sender<Vec<UnitTrips>>,
) {
    let mut known: BTreeMap<NodeName, TripsAsk> = BTreeMap::new();
    let mut turns = interval(EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            _ = turns.tick() => {}
        }
        let held = Arc::clone(&config.borrow());
        let caches: Vec<NodeName> = caches(&held.network, &context.node).collect();
        known.retain(|cache, _| caches.contains(cache));
        for cache in caches {
            let ask = known.entry(cache.clone()).or_default();
            for _ in 0..PIECES {
                let asked = timeout(ANSWER_MAX, one(&context, &held.network, &cache, *ask)).await;
                let units = match asked.unwrap_or(Err(LinkError::TimedOut(ANSWER_MAX))) {
                    Ok((next, units)) => {
                        *ask = next;
                        units
                    }
                    Err(error) => {
                        tracing::debug!(%cache, %error, "the ways to its clients are not known");
                        break;
                    }
                };
                let is_all = units.len() < UNITS_MAX;
                if !units.is_empty() && out.send(units).await.is_err() {
                    return;
                }
                if is_all {
                    break;
                }
            }
        }
    }
}

/// The caches of `me`'s POP.
fn caches<'a>(network: &'a Network, me: &NodeName) -> impl Iterator<Item = NodeName> + 'a {
    let pop = me.pop();
    let here =
        network.nodes().filter(move |(_, of, node)| **of == pop && node.runs(Role::Webcache));
    here.map(|(name, _, _)| name)
}

async fn one(
    context: &Context,
    network: &Network,
    cache: &NodeName,
    ask: TripsAsk,
) -> Result<(TripsAsk, Vec<UnitTrips>), LinkError> {
    let mut link = if *cache == context.node {
        Link::local(&context.role_socket(Role::Webcache)).await?
    } else {
        let nowhere = || LinkError::Unreachable("it has no control port".to_owned());
        let address = network.control_address(cache).ok_or_else(nowhere)?;
        Link::tls(address, &network.hostname(cache), &context.identity).await?
    };
    let Reply::Trips(told) = link.ask_one(&Ask::Trips(ask)).await? else {
        return Err(LinkError::Unexpected("the ways to clients"));
    };
    let mut units = told.units;
    units.truncate(UNITS_MAX);
    Ok((TripsAsk { boot: told.boot, after: told.upto }, units))
}
