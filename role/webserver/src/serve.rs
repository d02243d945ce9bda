//! Requests of WebCaches: finds the site, hands the request to the tier, tells what became of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri, header};
use popnet_field::hop;
use popnet_http::body::Body;
use popnet_http::server::{Client, Service};
use popnet_runtime::Published;
use popnet_tier::control::Totals;
use popnet_tier::sites::Sites;
use popnet_tier::{Ask, Tier, inside, page};

use crate::disk::DiskShelf;
use crate::origins::Origins;

/// Answers WebCaches.
pub(crate) struct Store {
    pub(crate) tier: Arc<Tier<DiskShelf, Origins>>,
    pub(crate) sites: Arc<Published<Sites>>,
    pub(crate) totals: Arc<Totals>,
}

impl Service for Store {
    async fn answer(
        self: Arc<Self>,
        _client: Client,
        mut request: Request<Body>,
    ) -> Response<Body> {
        self.totals.requests.fetch_add(1, Ordering::Relaxed);
        let told = hop::take_internal(request.headers_mut());
        let https = told.get(inside::SCHEME).is_some_and(|scheme| scheme == "https");
        let Some(uri) = absolute(&request, https) else {
            return page(StatusCode::BAD_REQUEST, "The request names no host that can be read.");
        };
        let site = {
            let sites = self.sites.load();
            match sites.of_host(uri.host().unwrap_or_default()) {
                Some(site) => Arc::clone(site),
                None if sites.epoch.0 == 0 => {
                    return page(StatusCode::SERVICE_UNAVAILABLE, "No role sheet yet.");
                }
                None => return page(StatusCode::MISDIRECTED_REQUEST, "No site of that name."),
            }
        };
        *request.uri_mut() = uri;
        let answer = self.tier.serve(Ask { site, request }).await;
        let outcome = answer.outcome;
        if outcome.result.is_hit() {
            self.totals.hits.fetch_add(1, Ordering::Relaxed);
        }
        let mut response = answer.response;
        inside::tell(response.headers_mut(), &outcome);
        for origin in outcome.inside.get_all(inside::ORIGIN) {
            response.headers_mut().append(inside::ORIGIN, origin.clone());
        }
        let totals = Arc::clone(&self.totals);
        let add = move |octets| {
            totals.bytes_out.fetch_add(octets, Ordering::Relaxed);
        };
        response.map(|body| body.counted(add))
    }
}

/// The URI with scheme and host in lower case, without port; `None` when there is no host.
fn absolute(request: &Request<Body>, https: bool) -> Option<Uri> {
    if *request.method() == Method::CONNECT {
        return None;
    }
    // RFC 9112 3.2.2: an absolute target counts more than the Host field.
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => Authority::try_from(request.headers().get(header::HOST)?.as_bytes()).ok()?,
    };
    let host = authority.host().to_ascii_lowercase();
    let path = request.uri().path_and_query().cloned();
    Uri::builder()
        .scheme(if https { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(host.trim_end_matches('.'))
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, host: Option<&str>, https: bool, expected: Option<&str>) {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = target.parse().unwrap();
        if let Some(host) = host {
            request.headers_mut().insert(header::HOST, host.parse().unwrap());
        }
        let found = absolute(&request, https).map(|uri| uri.to_string());
        assert_eq!(found.as_deref(), expected, "{target} {host:?}");
    }

    #[test]
    fn hosts() {
        check("/a?b", Some("A.test"), false, Some("http://a.test/a?b"));
        check("/a", Some("a.test:8080"), true, Some("https://a.test/a"));
        check("/", Some("a.test."), false, Some("http://a.test/"));
        check("http://b.test:81/x", Some("a.test"), false, Some("http://b.test/x"));
        check("/", Some("[::1]:80"), false, Some("http://[::1]/"));
        check("/", None, false, None);
        check("/", Some(""), false, None);
        check("/", Some("a b"), false, None);
    }
}
