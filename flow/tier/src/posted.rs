//! A POST whose answer may stand for later GETs (RFC 9110 9.3.3): handed to the one who asked and
//! kept on the shelf.

use std::sync::Arc;

use http::{HeaderMap, Method, Request};
use popnet_cache::key::Key;
use popnet_cache::reuse::Rule;
use popnet_cache::storable::{Arrived, Kept, Plan, storable_of_post};
use popnet_http::body::Body;
use popnet_wire::sheet::SiteSheet;

use crate::fill::Fill;
use crate::flight::Flight;
use crate::mission::Got;
use crate::shelf::{Shelf, Writer as _};
use crate::tier::Tier;
use crate::upstream::Upstream;

/// A POST on its way. It is among the flights from the start, so that a purge meanwhile keeps its
/// answer from being stored.
pub(crate) struct Posted<S: Shelf, U> {
    tier: Arc<Tier<S, U>>,
    site: Arc<SiteSheet>,
    rule: Rule,
    pub(crate) flight: Arc<Flight<S::Reader>>,
    /// The fields of the request.
    fields: HeaderMap,
}

impl<S: Shelf, U: Upstream> Posted<S, U> {
    /// `None` for any other method.
    pub(crate) fn of(
        tier: &Arc<Tier<S, U>>,
        (site, rule, key): (&Arc<SiteSheet>, Rule, &Key),
        request: &Request<Body>,
    ) -> Option<Self> {
        (request.method() == Method::POST && !rule.bypass).then(|| Self {
            tier: Arc::clone(tier),
            site: Arc::clone(site),
            rule,
            flight: tier.flights.alone(key, &site.site, &site.customer),
            fields: request.headers().clone(),
        })
    }

    /// The content of its answer, and whether it is being kept.
    pub(crate) async fn answered(self, got: &Got, content: Body) -> (Body, bool) {
        let (site, flight) = (&self.site, &self.flight);
        let entries = self.tier.shelf.find(&flight.key).await;
        let others = entries
            .iter()
            .filter(|entry| !entry.stored.is_part() && !entry.stored.selects(&self.fields));
        let arrived = Arrived {
            key: flight.key.clone(),
            request: &self.fields,
            status: got.status,
            fields: &got.fields,
            length: got.length,
            requested: got.requested,
            received: got.received,
            variants: u32::try_from(others.count()).unwrap_or(u32::MAX),
        };
        let kept = Kept { site, rule: self.rule };
        let Plan::Store(stored) = storable_of_post(&kept, &arrived) else {
            return (content, false);
        };
        let Ok(writer) = self.tier.shelf.begin((*stored).clone()).await else {
            return (content, false);
        };
        let fill = Arc::new(Fill::new(Arc::from(stored), writer.reader()));
        let Some(body) = fill.body(0..got.length.unwrap_or(u64::MAX)) else {
            return (content, false);
        };
        tokio::spawn(async move {
            let most = self.site.cache.max_object;
            self.tier.pump(&self.flight, &fill, writer, content, most).await;
        });
        (body, true)
    }
}

impl<S: Shelf, U> Drop for Posted<S, U> {
    fn drop(&mut self) {
        self.tier.flights.remove(&self.flight);
    }
}
