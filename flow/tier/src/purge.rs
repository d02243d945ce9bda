//! Purges (A2): what is stored, and what is on its way.

use popnet_cache::purge::Aim;
use popnet_terms::CacheReason;
use popnet_wire::purging::PurgeOrder;
use popnet_wire::sheet::CacheRules;

use crate::shelf::Shelf;
use crate::tier::Tier;
use crate::upstream::Upstream;

impl<S: Shelf, U: Upstream> Tier<S, U> {
    /// Carries out `order`; `rules` are those of the site it names. Says how many stored responses
    /// were counted. When it returns, no new answer shows what was purged.
    pub async fn purge(&self, order: &PurgeOrder, rules: Option<&CacheRules>) -> u64 {
        let aim = Aim::of(order, rules);
        {
            let _marking = self.storing.write().await;
            self.flights.purge(|flight| aim.hits_key(&flight.customer, &flight.site, &flight.key));
        }
        let touched = self.shelf.purge(&aim, order.kind).await;
        if touched > 0 {
            for key in aim.keys().unwrap_or_default() {
                self.absences.remember(&key, CacheReason::Purged, self.now());
            }
        }
        touched
    }
}
