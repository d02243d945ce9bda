//! What a master does for the whole network: ask everybody how they are, purge everywhere.

use std::sync::Arc;
use std::time::Duration;

use popnet_config::Held;
use popnet_runtime::clock;
use popnet_runtime::link::ReplySink;
use popnet_terms::NodeName;
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::purging::{Purge, PurgeOrder, PurgeReceipt, PurgeState};
use popnet_wire::status::{NetworkStatus, NodeStatus};
use tokio::task::JoinSet;

use crate::daemon::Daemon;
use crate::purges::{self, NODE_MAX};
use crate::status::node_status;
use crate::way::Way;

/// A node that takes longer is shown as not reached.
const STATUS_MAX: Duration = Duration::from_secs(1);

/// Asks every configured node at once.
pub(crate) async fn status(daemon: &Arc<Daemon>, held: &Held) -> NetworkStatus {
    let mut asking = JoinSet::new();
    for (place, (name, _, node)) in held.network.nodes().enumerate() {
        let (daemon, way) = (Arc::clone(daemon), Way::to(&held.network, &name));
        let roles = node.roles.clone();
        asking.spawn(async move {
            let said = one_status(&daemon, &name, way).await;
            (place, (name, roles, said))
        });
    }
    let mut nodes = asking.join_all().await;
    nodes.sort_by_key(|(place, _)| *place);
    NetworkStatus {
        network: Arc::from(held.network.network.name.as_str()),
        epoch: held.epoch,
        at: clock::now(),
        nodes: nodes.into_iter().map(|(_, node)| node).collect(),
    }
}

async fn one_status(
    daemon: &Daemon,
    name: &NodeName,
    way: Option<Way>,
) -> Result<NodeStatus, String> {
    if name == daemon.me() {
        return Ok(node_status(daemon).await);
    }
    let way = way.ok_or_else(|| "has no control address".to_owned())?;
    match way.ask_one(&daemon.context.identity, &Ask::NodeStatus, STATUS_MAX).await {
        Ok(Reply::Node(status)) => Ok(*status),
        Ok(_) => Err("answers another question".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Numbers `order`, keeps it, tells every node concerned, and hands on each receipt as it comes.
/// A node that is not reached asks for it when it is back; the order itself never fails for that.
pub(crate) async fn purge(
    daemon: &Arc<Daemon>,
    held: &Held,
    order: PurgeOrder,
    out: &ReplySink,
) -> Result<(), Problem> {
    let network = &held.network;
    purges::check_order(network, &order)?;
    let Some(book) = daemon.book.as_ref().filter(|_| network.relay_root() == Some(daemon.me()))
    else {
        let keeper = network.relay_root().map_or("a master", NodeName::as_str);
        let what = format!("purges are numbered by {keeper}");
        let next = match (&daemon.file, network.relay_root()) {
            (Some(_), None) => {
                format!("give {} the role \"master\" and name it in masters.allow", daemon.me())
            }
            _ => format!("ask {keeper}"),
        };
        return Err(Problem::new("N0032", what, next).with_exit(4));
    };
    let purge = book.add(order).map_err(|error| {
        Problem::new("N0033", format!("the purge cannot be written down: {error}"), "")
    })?;
    tracing::info!(purge = %purge.id, what = %purge.order.what, actor = &*purge.order.actor, "purge");
    let _ = out.send(Reply::PurgeStarted(purge.clone())).await;
    let mut telling = JoinSet::new();
    for node in purges::targets(network, &purge.order) {
        let (daemon, way) = (Arc::clone(daemon), Way::to(network, &node));
        let purge = purge.clone();
        telling.spawn(async move { tell_one(&daemon, node, way, purge).await });
    }
    while let Some(told) = telling.join_next().await {
        if let Ok(receipt) = told {
            // Whoever gave the order may have gone; every node is told all the same.
            let _ = out.send(Reply::Receipts(vec![receipt])).await;
        }
    }
    Ok(())
}

async fn tell_one(daemon: &Daemon, node: NodeName, way: Option<Way>, purge: Purge) -> PurgeReceipt {
    if node == *daemon.me() {
        return purges::apply(daemon, &purge).await;
    }
    let said = match way {
        None => Err("has no control address".to_owned()),
        Some(way) => way
            .ask_one(&daemon.context.identity, &Ask::Purge(purge), NODE_MAX)
            .await
            .map_err(|error| error.to_string()),
    };
    match said {
        Ok(Reply::Receipts(receipts)) => {
            let own = receipts.into_iter().find(|receipt| receipt.node == node);
            let silent = PurgeState::Unreachable("gave no receipt".to_owned());
            own.unwrap_or(PurgeReceipt { node, state: silent })
        }
        Ok(_) => {
            let state = PurgeState::Unreachable("answered another question".to_owned());
            PurgeReceipt { node, state }
        }
        Err(why) => PurgeReceipt { node, state: PurgeState::Unreachable(why) },
    }
}
