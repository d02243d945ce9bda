//! Values that several tests start from.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use popnet_terms::{Seconds, Timestamp};
use popnet_wire::sheet::{CacheRules, Masking, SetCookie, SiteSheet};

use crate::key::Key;
use crate::storable::{Arrived, Kept, Plan, storable};
use crate::stored::Stored;

/// Noon of some day, in seconds since 1970; its `Date` is [`NOON_DATE`].
pub(crate) const NOON: i64 = 1_700_049_600;
pub(crate) const NOON_DATE: &str = "Wed, 15 Nov 2023 12:00:00 GMT";

pub(crate) fn rules() -> CacheRules {
    CacheRules {
        default_ttl: Seconds(0),
        max_ttl: Seconds(30 * 86_400),
        heuristic: true,
        stale_while_revalidate: Seconds(0),
        stale_if_error: Seconds(0),
        obey: vec!["cdn-cache-control".into(), "cache-control".into(), "expires".into()],
        query_ignore: Vec::new(),
        query_sort: false,
        vary_limit: 8,
        set_cookie: SetCookie::Bypass,
        tags: vec!["surrogate-key".into(), "cache-tag".into()],
        max_object: 1 << 30,
    }
}

pub(crate) fn site() -> SiteSheet {
    SiteSheet {
        site: "a.test".into(),
        customer: "acme".into(),
        cache: rules(),
        paths: Vec::new(),
        origins: Vec::new(),
        client_ip: Masking::Full,
        certificate: None,
        delivery: Arc::default(),
    }
}

/// Fields from `name: value` lines.
pub(crate) fn fields(lines: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        fields.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.trim().parse().unwrap(),
        );
    }
    fields
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp((NOON + second) * 1_000_000)
}

/// The response with these lines, asked for and received at noon, if it may be stored.
pub(crate) fn stored(lines: &str) -> Option<Stored> {
    plan(&site(), "", 200, lines).ok()
}

pub(crate) fn plan(
    site: &SiteSheet,
    request: &str,
    status: u16,
    lines: &str,
) -> Result<Stored, popnet_terms::CacheReason> {
    arrived(site, request, status, lines, None)
}

pub(crate) fn arrived(
    site: &SiteSheet,
    request: &str,
    status: u16,
    lines: &str,
    length: Option<u64>,
) -> Result<Stored, popnet_terms::CacheReason> {
    let request = fields(request);
    let response = fields(&format!("date: {NOON_DATE}\n{lines}"));
    let kept = Kept { site, rule: crate::reuse::Rule::of(site, "/x") };
    let arrived = Arrived {
        key: Key::of("http", "a.test", "/x", &site.cache),
        request: &request,
        status: http::StatusCode::from_u16(status).unwrap(),
        fields: &response,
        length,
        requested: at(0),
        received: at(0),
        variants: 0,
    };
    match storable(&kept, &arrived) {
        Plan::Store(stored) => Ok(*stored),
        Plan::Pass(reason) => Err(reason),
    }
}

pub(crate) fn tags(list: &[&str]) -> Vec<Arc<str>> {
    list.iter().map(|&tag| tag.into()).collect()
}
