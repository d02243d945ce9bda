//! This node's own word: what the daemon knows, and what each role says over its socket.

use std::sync::Arc;
use std::time::Duration;

use popnet_runtime::link::{Link, LinkError};
use popnet_terms::Role;
use popnet_wire::control::{Ask, Reply};
use popnet_wire::rollout::{Digest, Epoch};
use popnet_wire::status::{NodeStatus, RoleStatus};
use tokio::task::JoinSet;

use crate::daemon::Daemon;

/// A role that takes longer is not well.
const ROLE_MAX: Duration = Duration::from_millis(500);

/// Asks every role at once.
pub(crate) async fn node_status(daemon: &Daemon) -> NodeStatus {
    let mut asking = JoinSet::new();
    let roles = daemon.roles();
    for (place, role) in roles.iter().copied().enumerate() {
        let socket = daemon.context.role_socket(role);
        asking.spawn(async move {
            if role == Role::Master {
                // The daemon that answers is the master.
                return (place, RoleStatus::Plain { role, up: true, why: "".into() });
            }
            let ask = async { Link::local(&socket).await?.ask_one(&Ask::RoleStatus).await };
            let said = tokio::time::timeout(ROLE_MAX, ask).await;
            let status = match said.unwrap_or(Err(LinkError::TimedOut(ROLE_MAX))) {
                Ok(Reply::Role(status)) => status,
                Ok(_) => down(role, "answers another question"),
                Err(error) => down(role, &error.to_string()),
            };
            (place, status)
        });
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

fn down(role: Role, why: &str) -> RoleStatus {
    RoleStatus::Plain { role, up: false, why: why.into() }
}
