//! A node that missed a push asks above for what is in force: at its start, every few seconds, and
//! at once when a commit comes for something it does not have.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use popnet_terms::Role;
use popnet_wire::control::{Ask, Reply};
use popnet_wire::rollout::{Down, Epoch, Up, Version};

use crate::daemon::Daemon;
use crate::push::Pushes;
use crate::reading::Judge;
use crate::way::Way;

/// Between two looks of a node that has a configuration.
const LOOK: Duration = Duration::from_secs(3);
/// Between two looks of a node that has none.
const LOOK_FIRST: Duration = Duration::from_millis(500);
/// Time for one answer, a whole configuration at most.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Runs until shutdown.
pub(crate) async fn keep_up(daemon: Arc<Daemon>) {
    let Some(pushes) = &daemon.pushes else { return };
    let mut round = 0;
    let mut unfit = None;
    loop {
        look(&daemon, pushes, round, &mut unfit).await;
        round += 1;
        let pause = if daemon.held().is_some() { LOOK } else { LOOK_FIRST };
        tokio::select! {
            () = daemon.context.shutdown.cancelled() => return,
            () = daemon.hurry.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Asks the first that answers, starting with another one each time; a master asks every other
/// master, since nobody is above it.
async fn look(daemon: &Daemon, pushes: &Pushes, round: usize, unfit: &mut Option<Epoch>) {
    let (ways, all) = sources(daemon);
    let count = ways.len();
    for way in ways.iter().cycle().skip(round % count.max(1)).take(count) {
        let have = pushes.epoch();
        let ask = Ask::Rollout(Down::Newer(have));
        match way.ask_one(&daemon.context.identity, &ask, ANSWER_MAX).await {
            Ok(Reply::Rollout(Up::Current(Some(version)))) if version.epoch > have => {
                adopt(daemon, pushes, way, version, unfit).await;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(from = way.hostname, %error, "cannot ask for the configuration");
                continue;
            }
        }
        if !all {
            return;
        }
    }
}

async fn adopt(
    daemon: &Daemon,
    pushes: &Pushes,
    way: &Way,
    version: Version,
    unfit: &mut Option<Epoch>,
) {
    // What is in force above was allowed there: this node's older list of masters does not count.
    let judge = Judge { me: daemon.me(), base_dir: &daemon.base_dir, held: None };
    match judge.judge(&version) {
        Ok(_) => {
            tracing::info!(version = %version.epoch, from = way.hostname, "catching up");
            pushes.newer(version).await;
        }
        Err(why) if *unfit != Some(version.epoch) => {
            *unfit = Some(version.epoch);
            tracing::error!(version = %version.epoch, "this node stays behind: {why}");
        }
        Err(_) => {}
    }
}

/// Whom to ask: parent, parents by this node's own word, masters; and whether all of them.
fn sources(daemon: &Daemon) -> (Vec<Way>, bool) {
    let mut ways = Vec::new();
    let mut all = false;
    if let Some(held) = daemon.held() {
        let network = &held.network;
        let me = daemon.me();
        let masters = network
            .masters
            .allow
            .iter()
            .filter(|name| network.node(name).is_some_and(|node| node.runs(Role::Master)));
        let names = network.parent(me).into_iter().chain(masters).filter(|name| *name != me);
        ways.extend(names.filter_map(|name| Way::to(network, name)));
        all = daemon.is_master(network);
    }
    ways.extend(daemon.parent_ways());
    let mut seen = BTreeSet::new();
    ways.retain(|way| seen.insert(way.hostname.clone()));
    (ways, all)
}
