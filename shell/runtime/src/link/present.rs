//! A role's own socket where the role has nothing to say but that it is there.

use popnet_terms::Role;
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::status::RoleStatus;

use super::{Handler, Peer, ReplySink};

/// Answers how this role is, and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Present(pub Role);

impl Handler for Present {
    async fn answer(&self, _peer: Peer, ask: Ask, out: ReplySink) {
        let Self(role) = *self;
        if ask != Ask::RoleStatus {
            return out.problem(Problem::not_mine(role)).await;
        }
        // An asker that has gone needs no answer.
        let _ = out.send(Reply::Role(RoleStatus::up(role))).await;
    }
}
