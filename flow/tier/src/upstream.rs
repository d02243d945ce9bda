//! The way to the next tier: the POP's disk tier for a WebCache, an origin for a WebServer.

use std::future::Future;
use std::sync::Arc;

use http::{Request, Response};
use popnet_http::body::Body;
use popnet_http::failure::Failure;
use popnet_wire::sheet::SiteSheet;

/// Where a tier forwards to. It may try several servers; what it returns is final.
///
/// The request has an absolute URI with the site's host (no port), a `Host` field, no hop-by-hop
/// fields. Response fields named `popnet-*` are shown in the outcome and never stored or sent on.
/// A body that ends early or stalls must end in an error, never in a clean end.
pub trait Upstream: Send + Sync + 'static {
    /// Asks the next tier.
    fn fetch(
        &self,
        site: &Arc<SiteSheet>,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Body>, Failure>> + Send;
}
