//! This node's own word: what the daemon knows, and what each role says over its socket.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use popnet_runtime::link::{Link, LinkError};
use popnet_terms::Role;
use popnet_wire::control::{Ask, Reply};
use popnet_wire::rollout::{Digest, Epoch};
use popnet_wire::status::{NodeStatus, RoleStatus};
use tokio::task::JoinSet;

use crate::daemon::Daemon;

/// What is said of a role that runs without being asked to.
const LEFT_OVER: &str = "still runs, and the configuration gives it to this node no more; next, there: end `popnet run` \
     and start it again";

/// A role that takes longer is not well.
const ROLE_MAX: Duration = Duration::from_millis(500);

/// Asks every role at once: those that the node is to run, and those that it was to run before. A
/// push takes a role away, but the process goes on until somebody starts it again.
pub(crate) async fn node_status(daemon: &Daemon) -> NodeStatus {
    let mut asking = JoinSet::new();
    let roles = daemon.roles();
    for (place, role) in roles.iter().copied().enumerate() {
        let socket = daemon.context.role_socket(role);
        asking.spawn(async move { (place, one_role(role, &socket).await) });
    }
    for role in Role::ALL.into_iter().filter(|role| !roles.contains(role)) {
        // Nearly always there is no socket, which costs one look at the folder.
        if Link::local(&daemon.context.role_socket(role)).await.is_ok() {
            let status = RoleStatus::down(role, LEFT_OVER);
            asking.spawn(async move { (usize::MAX, status) });
        }
    }
    let mut said = asking.join_all().await;
    said.sort_by_key(|(place, _)| *place);
    let held = daemon.held();
    NodeStatus {
        node: daemon.me().clone(),
        version: Arc::from(env!("CARGO_PKG_VERSION")),
        pid: std::process::id(),
        started: daemon.started,
        epoch: held.as_ref().map_or(Epoch(0), |held| held.epoch),
        digest: held.as_ref().map_or_else(Digest::default, |held| held.digest),
        purge: daemon.last_purge.get(),
        purged: *daemon.purged.borrow(),
        roles: said.into_iter().map(|(_, status)| status).collect(),
    }
}

async fn one_role(role: Role, socket: &Path) -> RoleStatus {
    if role == Role::Master {
        // The daemon that answers is the master.
        return RoleStatus::up(role);
    }
    let ask = async { Link::local(socket).await?.ask_one(&Ask::RoleStatus).await };
    let said = tokio::time::timeout(ROLE_MAX, ask).await;
    match said.unwrap_or(Err(LinkError::TimedOut(ROLE_MAX))) {
        Ok(Reply::Role(status)) => status,
        Ok(_) => RoleStatus::down(role, "answers another question"),
        Err(error) => RoleStatus::down(role, &error.to_string()),
    }
}
