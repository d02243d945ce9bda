//! The role's own socket, by which the configuration daemon sees that it is there.

use std::sync::Arc;

use popnet_runtime::context::{Context, StartError};
use popnet_runtime::link::{Handler, Peer, ReplySink, serve_local};
use popnet_terms::Role;
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::status::RoleStatus;
use tokio_util::task::TaskTracker;

struct Present;

impl Handler for Present {
    async fn answer(&self, _peer: Peer, ask: Ask, out: ReplySink) {
        if ask == Ask::RoleStatus {
            let well = RoleStatus::Plain { role: Role::Netview, up: true, why: "".into() };
            // An asker that has gone needs no answer.
            let _ = out.send(Reply::Role(well)).await;
        } else {
            out.problem(Problem::new("N0025", "NetView answers no such question", "")).await;
        }
    }
}

/// Serves the socket until the context's shutdown.
pub(crate) fn serve(context: &Context, tasks: &TaskTracker) -> Result<(), StartError> {
    let path = context.role_socket(Role::Netview);
    let served = serve_local(&path, Arc::new(Present), context.shutdown.clone())?;
    tasks.spawn(served.wait());
    Ok(())
}
