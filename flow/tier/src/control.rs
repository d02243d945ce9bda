//! A tier's role over its own socket: how it is, why a URL gets what it gets, purges.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use popnet_runtime::Published;
use popnet_runtime::link::{Handler, Peer, ReplySink};
use popnet_terms::{Micros, Role};
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::explaining::ExplainUrl;
use popnet_wire::purging::{Purge, PurgeReceipt, PurgeState, PurgeWhat};
use popnet_wire::status::RoleStatus;

use crate::shelf::Shelf;
use crate::sites::Sites;
use crate::tier::Tier;
use crate::upstream::Upstream;

/// What a role has done since it started.
#[derive(Debug, Default)]
pub struct Totals {
    /// Requests answered.
    pub requests: AtomicU64,
    /// Those answered from what is stored.
    pub hits: AtomicU64,
    /// Octets sent.
    pub bytes_out: AtomicU64,
}

/// Answers asks about a role that is a tier.
pub struct Control<S: Shelf, U> {
    /// Which role.
    pub role: Role,
    /// The tier.
    pub tier: Arc<Tier<S, U>>,
    /// The sites in force.
    pub sites: Arc<Published<Sites>>,
    /// Its counts.
    pub totals: Arc<Totals>,
}

impl<S: Shelf, U: Upstream> Handler for Control<S, U> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other ask is for others")]
    async fn answer(&self, _peer: Peer, ask: Ask, out: ReplySink) {
        let reply = match ask {
            Ask::RoleStatus => Reply::Role(self.status()),
            Ask::ExplainUrl(url) => self.explain(&url).await,
            Ask::Purge(purge) => self.purge(&purge).await,
            _ => return out.problem(Problem::not_mine(self.role)).await,
        };
        // Whoever asked may have gone; the work is done all the same.
        let _ = out.send(reply).await;
    }
}

impl<S: Shelf, U: Upstream> Control<S, U> {
    fn status(&self) -> RoleStatus {
        let usage = self.tier.shelf().usage();
        let totals = &self.totals;
        RoleStatus::Cache {
            role: self.role,
            requests: totals.requests.load(Ordering::Relaxed),
            hits: totals.hits.load(Ordering::Relaxed),
            bytes_out: totals.bytes_out.load(Ordering::Relaxed),
            objects: usage.objects,
            used: usage.used,
            capacity: usage.capacity,
            sheet: self.sites.load().epoch,
        }
    }

    async fn explain(&self, url: &ExplainUrl) -> Reply {
        let sites = self.sites.load_full();
        let site = sites.of_host(&url.host).map(|site| &**site);
        Reply::Url(self.tier.explain(url, site).await)
    }

    async fn purge(&self, purge: &Purge) -> Reply {
        let begun = Instant::now();
        let sites = self.sites.load_full();
        let site = match &purge.order.what {
            PurgeWhat::Url { site, .. }
            | PurgeWhat::Prefix { site, .. }
            | PurgeWhat::Site { site } => sites.named(site.as_str()),
            PurgeWhat::Tag { .. } => None,
        };
        let rules = site.map(|site| &site.cache);
        let objects = self.tier.purge(&purge.order, rules).await;
        let took = Micros(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
        let state = PurgeState::Applied { objects, took };
        let tier = self.tier.settings.kind;
        tracing::info!(purge = %purge.id, what = %purge.order.what, objects, tier, "purged");
        Reply::Receipts(vec![PurgeReceipt { node: self.tier.settings.node.clone(), state }])
    }
}
