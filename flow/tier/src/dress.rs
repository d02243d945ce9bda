//! The last touches to a head: `Age`, `Date`, `Via`, `Cache-Status`, and pages for errors.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};
use popnet_cache::status::{Facts, member};
use popnet_field::report::ProxyStatus;
use popnet_field::{chain, date};
use popnet_http::body::Body;
use popnet_http::failure::Failure;
use popnet_terms::Timestamp;

pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Adds what every answer carries.
pub(crate) fn dress(fields: &mut HeaderMap, facts: &Facts<'_>, age: Option<u32>, now: Timestamp) {
    if let Some(age) = age {
        fields.insert(header::AGE, HeaderValue::from(age));
    }
    if !fields.contains_key(header::DATE)
        && let Ok(value) = HeaderValue::try_from(date::print(now.unix_seconds()))
    {
        fields.insert(header::DATE, value);
    }
    add_via(fields, facts.cache);
    chain::append_to_list(fields, &CACHE_STATUS, &member(facts));
}

/// Hops inside a node speak HTTP/1.1, and so do we to the next tier.
pub(crate) fn add_via(fields: &mut HeaderMap, cache: &str) {
    chain::add_via(fields, Version::HTTP_11, cache);
}

/// The page for a request that failed here.
pub(crate) fn failed(name: &str, failure: &Failure) -> Response<Body> {
    let status = failure.kind.status();
    let what = match status {
        StatusCode::GATEWAY_TIMEOUT => "The server behind this cache did not answer in time.",
        StatusCode::BAD_REQUEST => "The request broke off.",
        _ => "The server behind this cache did not give a usable answer.",
    };
    let mut response = page(status, what);
    let told = ProxyStatus {
        proxy: name,
        error: failure.kind.token(),
        next_hop: Some(failure.next_hop.as_str()).filter(|text| !text.is_empty()),
        details: Some(&failure.detail),
    };
    chain::append_to_list(response.headers_mut(), &PROXY_STATUS, &told.print());
    response
}

/// A short page of our own, which nobody is to keep.
#[must_use]
pub fn page(status: StatusCode, what: &str) -> Response<Body> {
    let reason = status.canonical_reason().unwrap_or("");
    let text = format!("{} {reason}\n{what}\n", status.as_u16());
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
