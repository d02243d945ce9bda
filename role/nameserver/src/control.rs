//! The role's own socket: how it is, and why an answer is what it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use popnet_runtime::link::{Handler, Peer, ReplySink};
use popnet_terms::Role;
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::status::RoleStatus;

use crate::shared::Shared;
use crate::transfer::orders;
use crate::{moves, why};

/// Answers what the node's configuration daemon hands on.
pub(crate) struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn status(&self) -> RoleStatus {
        let counters = &self.shared.counters;
        RoleStatus::Nameserver {
            queries: counters.queries.load(Ordering::Relaxed),
            steered: counters.steered.load(Ordering::Relaxed),
            dropped: counters.dropped(),
            targets: self.shared.view.load().status(),
        }
    }
}

impl Handler for Control {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other ask is for others")]
    async fn answer(&self, _peer: Peer, ask: Ask, out: ReplySink) {
        let reply = match ask {
            Ask::RoleStatus => Reply::Role(self.status()),
            Ask::ExplainDns(ask) => match why::explain(&self.shared, &ask) {
                Ok((Some(view), story)) => Reply::DnsInView { view, story },
                Ok((None, story)) => Reply::Dns(story),
                Err(problem) => Reply::Problem(problem),
            },
            Ask::Inquire(inquiry) => match why::inquire(&self.shared, inquiry).await {
                Ok(told) => Reply::Explained(Box::new(told)),
                Err(problem) => Reply::Problem(problem),
            },
            Ask::Moves(text) => match moves::moves(&self.shared, text).await {
                Ok(moves) => Reply::Moves(Box::new(moves)),
                Err(problem) => Reply::Problem(problem),
            },
            Ask::Zone(ask) => {
                orders::carry_out(&self.shared, &ask).await.unwrap_or_else(Reply::Problem)
            }
            Ask::DnsCounts => Reply::DnsCounts(Box::new(self.shared.counts())),
            _ => Reply::Problem(Problem::not_mine(Role::Nameserver)),
        };
        let _ = out.send(reply).await;
    }
}
