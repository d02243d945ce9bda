//! The role's own socket: how it is, why a URL gets what it gets, purges.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use popnet_runtime::link::{Handler, Peer, ReplySink};
use popnet_terms::{Micros, NodeName, Role};
use popnet_tier::shelf::Shelf;
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::explaining::ExplainUrl;
use popnet_wire::purging::{Purge, PurgeReceipt, PurgeState, PurgeWhat};
use popnet_wire::status::RoleStatus;

use crate::serve::Front;

/// Answers asks about this role.
pub(crate) struct Control {
    pub(crate) node: NodeName,
    pub(crate) front: Arc<Front>,
}

impl Handler for Control {
    async fn answer(&self, _peer: Peer, ask: Ask, out: ReplySink) {
        let reply = match ask {
            Ask::RoleStatus => Reply::Role(self.status()),
            Ask::ExplainUrl(url) => self.explain(&url).await,
            Ask::Purge(purge) => self.purge(&purge).await,
            Ask::NodeStatus
            | Ask::Sheet(_)
            | Ask::Rollout(_)
            | Ask::PurgesSince(_)
            | Ask::ExplainDns(_)
            | Ask::Question(_)
            | Ask::At(..)
            | Ask::NetworkStatus
            | Ask::Push(_)
            | Ask::History { .. }
            | Ask::Version(_)
            | Ask::PurgeNetwork(_)
            | Ask::Reload => {
                let problem = Problem::new("N0006", "a webcache does not answer this", "");
                return out.problem(problem).await;
            }
        };
        // Whoever asked may have gone; the work is done all the same.
        let _ = out.send(reply).await;
    }
}

impl Control {
    fn status(&self) -> RoleStatus {
        let usage = self.front.tier.shelf().usage();
        let totals = &self.front.totals;
        RoleStatus::Cache {
            role: Role::Webcache,
            requests: totals.requests.load(Ordering::Relaxed),
            hits: totals.hits.load(Ordering::Relaxed),
            bytes_out: totals.bytes_out.load(Ordering::Relaxed),
            objects: usage.objects,
            used: usage.used,
            capacity: usage.capacity,
            sheet: self.front.sites.load().epoch,
        }
    }

    async fn explain(&self, url: &ExplainUrl) -> Reply {
        let sites = self.front.sites.load_full();
        let site = sites.of_host(&url.host).map(|site| &**site);
        Reply::Url(self.front.tier.explain(url, site).await)
    }

    async fn purge(&self, purge: &Purge) -> Reply {
        let begun = Instant::now();
        let sites = self.front.sites.load_full();
        let site = match &purge.order.what {
            PurgeWhat::Url { site, .. }
            | PurgeWhat::Prefix { site, .. }
            | PurgeWhat::Site { site } => sites.named(site.as_str()),
            PurgeWhat::Tag { .. } => None,
        };
        let rules = site.map(|site| &site.cache);
        let objects = self.front.tier.purge(&purge.order, rules).await;
        let took = Micros(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
        let state = PurgeState::Applied { objects, took };
        tracing::info!(purge = %purge.id, what = %purge.order.what, objects, "purged from memory");
        Reply::Receipts(vec![PurgeReceipt { node: self.node.clone(), state }])
    }
}
