//! May this response be stored (RFC 9111 section 3), and as what?

use std::sync::Arc;

use http::{HeaderMap, HeaderName, StatusCode, header};
use popnet_field::cache_control::{CacheControl, SECONDS_MAX};
use popnet_field::{condition, date, hop};
use popnet_terms::{CacheReason, Timestamp};
use popnet_wire::sheet::{SetCookie, SiteSheet};

use crate::freshness::Policy;
use crate::invalidate::named;
use crate::key::Key;
use crate::part::{self, PARTS_MAX};
use crate::reuse::Rule;
use crate::stored::{Fields, Stored};
use crate::vary::{Variant, Varies, varies};

/// Longest tag, and most tags of one response: what is over is left out.
const TAG_OCTETS_MAX: usize = 1_024;
const TAGS_MAX: usize = 1_000;

/// Under which rules.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// The site.
    pub site: &'a SiteSheet,
    /// Its rule for the path.
    pub rule: Rule,
}

/// A response to a GET as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived<'a> {
    /// The request's key.
    pub key: Key,
    /// The request's fields.
    pub request: &'a HeaderMap,
    /// Status.
    pub status: StatusCode,
    /// The response's fields.
    pub fields: &'a HeaderMap,
    /// Announced length of its content.
    pub length: Option<u64>,
    /// When the request left.
    pub requested: Timestamp,
    /// When the head arrived.
    pub received: Timestamp,
    /// Variants of the key that are stored already, this request's own not among them; for a part,
    /// parts, else those that are none.
    pub variants: u32,
}

/// What to do with a response.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Store it so.
    Store(Box<Stored>),
    /// Pass it on only.
    Pass(CacheReason),
}

/// Whether `arrived` may be stored, with the one cause where it may not.
#[must_use]
pub fn storable(kept: &Kept<'_>, arrived: &Arrived<'_>) -> Plan {
    let rules = &kept.site.cache;
    let policy = Policy::of(arrived.status, arrived.fields, &rules.obey, arrived.received);
    if let Some(reason) = forbidden(kept, arrived, &policy) {
        return Plan::Pass(reason);
    }
    let mut names = match varies(arrived.fields) {
        Varies::Star => return Plan::Pass(CacheReason::RespVaryStar),
        Varies::On(names) => names,
    };
    let is_part = arrived.status == StatusCode::PARTIAL_CONTENT;
    if is_part && !names.iter().any(|name| name == "range") {
        names.push("range".to_owned());
        names.sort_unstable();
    }
    let most = if is_part { PARTS_MAX } else { rules.vary_limit.max(1) };
    if arrived.variants >= most {
        return Plan::Pass(CacheReason::RespVaryLimit);
    }
    if arrived.length.is_some_and(|length| length > rules.max_object) {
        return Plan::Pass(CacheReason::RespTooLarge);
    }
    // What is never fresh and cannot be validated would only take room.
    let lifetime = policy.lifetime(rules, kept.rule.default_ttl);
    let useful = lifetime.is_some_and(|lifetime| lifetime > 0) && !policy.no_cache;
    if !useful && !has_validator(arrived.fields) {
        return Plan::Pass(CacheReason::RespNoFreshness);
    }
    let fields = kept_fields(kept, arrived, &policy);
    Plan::Store(Box::new(Stored {
        key: arrived.key.clone(),
        site: kept.site.site.clone(),
        customer: kept.site.customer.clone(),
        variant: Variant::of(arrived.request, &names),
        status: arrived.status.as_u16(),
        requested: arrived.requested,
        received: arrived.received,
        tags: tags(&rules.tags, arrived.fields),
        came_aged: announced_age(arrived.fields),
        length: arrived.length,
        purged: false,
        policy,
        fields: Fields::owned(fields),
    }))
}

/// Whether the answer to a POST may be stored for later GETs: it says itself for how long, and that
/// its content is what a GET of the same URI would bring (RFC 9110 9.3.3, 8.7).
#[must_use]
pub fn storable_of_post(kept: &Kept<'_>, arrived: &Arrived<'_>) -> Plan {
    let rules = &kept.site.cache;
    let named = named(&arrived.key, arrived.fields, &header::CONTENT_LOCATION, rules);
    let stands_for_get = arrived.status == StatusCode::OK && named.as_ref() == Some(&arrived.key);
    match storable(kept, arrived) {
        Plan::Store(stored) if stands_for_get && stored.policy.explicit.is_some() => {
            Plan::Store(stored)
        }
        Plan::Store(_) => Plan::Pass(CacheReason::ReqMethod),
        pass @ Plan::Pass(_) => pass,
    }
}

fn forbidden(kept: &Kept<'_>, arrived: &Arrived<'_>, policy: &Policy) -> Option<CacheReason> {
    let request = CacheControl::read(values(arrived.request, &header::CACHE_CONTROL));
    if kept.rule.bypass {
        return Some(CacheReason::RuleBypass);
    }
    if request.no_store {
        return Some(CacheReason::ReqNoStore);
    }
    if policy.no_store {
        return Some(CacheReason::RespNoStore);
    }
    if policy.private {
        return Some(CacheReason::RespPrivate);
    }
    let explicit = policy.explicit.is_some() || policy.public;
    let is_answer = match arrived.status {
        StatusCode::PARTIAL_CONTENT => part::is_keepable(arrived),
        status => stands_alone(status),
    };
    if !is_answer || !(explicit || policy.may_default) {
        return Some(CacheReason::RespStatus);
    }
    // 3.5: must-revalidate, public and s-maxage open a response to requests with credentials.
    let opened = policy.public || policy.shared;
    if arrived.request.contains_key(header::AUTHORIZATION) && !opened {
        return Some(CacheReason::ReqAuthorization);
    }
    let cookie = arrived.fields.contains_key(header::SET_COOKIE)
        && !policy.withheld.iter().any(|name| name == "set-cookie");
    let refused = match kept.rule.set_cookie {
        SetCookie::Bypass => cookie,
        SetCookie::Strip => false,
        // 7.3: a cookie alone forbids nothing, but a guess or a site's default is no permission.
        SetCookie::Obey => cookie && policy.explicit.is_none(),
    };
    refused.then_some(CacheReason::RespSetCookie)
}

/// Whether a status can answer others than the one who asked. Parts are looked at elsewhere; 304,
/// 412, 416 and 417 answer preconditions, ranges and expectations, which are not part of a key; and
/// statuses beyond 599 mean nothing (RFC 9110 15). Unknown ones in between are kept when they say
/// for how long (RFC 9111 3).
fn stands_alone(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=599) && !matches!(status.as_u16(), 206 | 304 | 412 | 416 | 417)
}

fn has_validator(fields: &HeaderMap) -> bool {
    condition::tag_of(fields).is_some() || date::of(fields, &header::LAST_MODIFIED).is_some()
}

pub(crate) fn announced_age(fields: &HeaderMap) -> u32 {
    // 5.1: of several values the first counts; what is no number is ignored.
    let Some(text) = fields.get(header::AGE).and_then(|value| value.to_str().ok()) else {
        return 0;
    };
    let first = text.split(',').next().unwrap_or("").trim();
    if first.is_empty() || !first.bytes().all(|octet| octet.is_ascii_digit()) {
        return 0;
    }
    first.parse().unwrap_or(SECONDS_MAX).min(SECONDS_MAX)
}

fn kept_fields(kept: &Kept<'_>, arrived: &Arrived<'_>, policy: &Policy) -> HeaderMap {
    let mut fields = arrived.fields.clone();
    hop::strip(&mut fields);
    hop::take_internal(&mut fields);
    for name in &policy.withheld {
        fields.remove(name.as_str());
    }
    if kept.rule.set_cookie == SetCookie::Strip {
        fields.remove(header::SET_COOKIE);
    }
    // These speak of the exchange that is over, not of the response.
    for name in ["age", "cache-status", "proxy-status", "x-request-id", "server-timing"] {
        fields.remove(name);
    }
    if !fields.contains_key(header::DATE) {
        // RFC 9110 6.6.1: a recipient with a clock that stores a response without Date adds one.
        let now = date::print(arrived.received.unix_seconds());
        if let Ok(value) = now.parse() {
            fields.insert(header::DATE, value);
        }
    }
    fields
}

/// The tags in the fields named `names`: separated by white space or commas.
pub(crate) fn tags(names: &[Arc<str>], fields: &HeaderMap) -> Vec<Arc<str>> {
    let mut tags: Vec<Arc<str>> = Vec::new();
    for name in names {
        let Ok(name) = HeaderName::try_from(&**name) else { continue };
        for value in fields.get_all(&name) {
            let Ok(text) = value.to_str() else { continue };
            for tag in text.split([' ', '\t', ',']).filter(|tag| !tag.is_empty()) {
                if tags.len() < TAGS_MAX && tag.len() <= TAG_OCTETS_MAX {
                    tags.push(tag.into());
                }
            }
        }
    }
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// All lines of one field.
pub(crate) fn values<'a>(
    fields: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    fields.get_all(name).iter().map(|value| value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, fields, plan, site, tags as expected_tags};
    use popnet_terms::Seconds;

    fn check(request: &str, status: u16, lines: &str, expected: &str) {
        let found = match plan(&site(), request, status, lines) {
            Ok(_) => "stored",
            Err(reason) => reason.code(),
        };
        assert_eq!(found, expected, "{request} | {status} | {lines}");
    }

    #[test]
    fn section_3() {
        check("", 200, "cache-control: max-age=60", "stored");
        check("", 200, "etag: \"a\"", "stored");
        check("", 200, "cache-control: no-cache\netag: \"a\"", "stored");
        check("", 200, "", "RESP_NO_FRESHNESS");
        check("", 200, "cache-control: max-age=0", "RESP_NO_FRESHNESS");
        check("", 200, "cache-control: no-cache, max-age=60", "RESP_NO_FRESHNESS");
        check("", 200, "cache-control: no-store, max-age=60", "RESP_NO_STORE");
        check("", 200, "cache-control: no-store, must-understand, max-age=60", "stored");
        check("", 299, "cache-control: no-store, must-understand, max-age=60", "RESP_NO_STORE");
        check("", 200, "cache-control: private, max-age=60", "RESP_PRIVATE");
        check("", 200, "cache-control: private=\"x-a\", max-age=60", "stored");
        check("cache-control: no-store", 200, "cache-control: max-age=60", "REQ_NO_STORE");
        check("", 302, "cache-control: max-age=60", "stored");
        check("", 302, "etag: \"a\"", "RESP_STATUS");
        check("", 206, "cache-control: max-age=60", "RESP_STATUS");
        check("", 299, "cache-control: max-age=60", "stored");
        check("", 299, "cache-control: max-age=60, must-understand", "RESP_NO_STORE");
        check("", 299, "etag: \"a\"", "RESP_STATUS");
        for status in [304, 412, 416, 417, 600, 999] {
            check("", status, "cache-control: max-age=60", "RESP_STATUS");
        }
        check("", 500, "", "RESP_STATUS");
        check("", 503, "cache-control: max-age=60", "stored");
        check("", 200, "vary: *\ncache-control: max-age=60", "RESP_VARY_STAR");
        check("", 200, "set-cookie: a=b\ncache-control: max-age=60", "RESP_SET_COOKIE");
        check("", 200, "set-cookie: a=b\ncache-control: no-cache=set-cookie, max-age=60", "stored");
        check("authorization: x", 200, "cache-control: max-age=60", "REQ_AUTHORIZATION");
        check("authorization: x", 200, "cache-control: public, max-age=60", "stored");
        check("authorization: x", 200, "cache-control: s-maxage=60", "stored");
        check("authorization: x", 200, "cache-control: must-revalidate, max-age=60", "stored");
        let proxies = "cache-control: proxy-revalidate, max-age=60";
        check("authorization: x", 200, proxies, "REQ_AUTHORIZATION");
        check("", 200, "cdn-cache-control: max-age=60\ncache-control: no-store", "stored");
    }

    #[test]
    fn answers_to_a_post() {
        let site = site();
        let check = |status: u16, lines: &str, expected: bool| {
            let (request, response) = (HeaderMap::new(), fields(lines));
            let arrived = Arrived {
                key: Key::of("http", "a.test", "/x", &site.cache),
                request: &request,
                status: StatusCode::from_u16(status).unwrap(),
                fields: &response,
                length: None,
                requested: at(0),
                received: at(0),
                variants: 0,
            };
            let plan =
                storable_of_post(&Kept { site: &site, rule: Rule::of(&site, "/x") }, &arrived);
            assert_eq!(matches!(plan, Plan::Store(_)), expected, "{status} {lines}");
        };
        let lasting = "cache-control: max-age=60";
        for own in ["/x", "http://a.test/x", "x", "//A.test:80/x#y"] {
            check(200, &format!("{lasting}\ncontent-location: {own}"), true);
        }
        check(200, lasting, false);
        check(200, "content-location: /x\netag: \"a\"\ncache-control: public", false);
        check(201, &format!("{lasting}\ncontent-location: /x"), false);
        for other in ["/y", "http://b.test/x", "https://a.test/x", "/x?y"] {
            check(200, &format!("{lasting}\ncontent-location: {other}"), false);
        }
        check(200, &format!("{lasting}, private\ncontent-location: /x"), false);
    }

    #[test]
    fn rules_of_the_site() {
        let mut other = site();
        other.cache.set_cookie = SetCookie::Strip;
        let stored = plan(&other, "", 200, "set-cookie: a\ncache-control: max-age=6").unwrap();
        assert!(!stored.fields.0.contains_key("set-cookie"));
        other.cache.default_ttl = Seconds(5);
        assert!(plan(&other, "", 200, "").is_ok());
        assert!(plan(&other, "", 302, "").is_err());
        other.cache.set_cookie = SetCookie::Obey;
        let stored = plan(&other, "", 200, "set-cookie: a\ncache-control: max-age=6").unwrap();
        assert!(stored.fields.0.contains_key("set-cookie"));
        for silent in ["", "\ncache-control: public", "\netag: \"a\""] {
            let refused = plan(&other, "", 200, &format!("set-cookie: a{silent}"));
            assert_eq!(refused, Err(CacheReason::RespSetCookie), "{silent:?}");
        }
    }

    #[test]
    fn what_is_kept() {
        let lines = "cache-control: max-age=6, private=\"x-a\"\nx-a: 1\nage: 3\nconnection: x-b\n\
                     x-b: 2\nsurrogate-key: one two\ncache-tag: two,three\npopnet-x: 1\n\
                     cache-status: disk; hit";
        let stored = plan(&site(), "", 200, lines).unwrap();
        let mut names: Vec<_> = stored.fields.0.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["cache-control", "cache-tag", "date", "surrogate-key"]);
        assert_eq!(stored.tags, expected_tags(&["one", "three", "two"]));
        assert_eq!(stored.came_aged, 3);
        let written = postcard::to_stdvec(&stored).unwrap();
        assert_eq!(postcard::from_bytes::<Stored>(&written).unwrap(), stored);
    }
}
