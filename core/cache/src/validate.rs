//! Validation (RFC 9111 4.3): the conditional request, and what its answer changes.

use http::{HeaderMap, HeaderName, StatusCode, header};
use popnet_field::condition::{self, CONDITIONS};
use popnet_field::{date, hop};
use popnet_terms::Timestamp;
use popnet_wire::sheet::SetCookie;

use crate::freshness::Policy;
use crate::storable::{Kept, announced_age, tags};
use crate::stored::{Fields, Stored};
use crate::vary::varies;

/// Takes a client's own preconditions and ranges off a request: the next tier is asked for the
/// whole, or about what is stored here.
pub fn make_plain(request: &mut HeaderMap) {
    for name in CONDITIONS {
        request.remove(name);
    }
    request.remove(header::RANGE);
}

/// Makes `request` a question about `stored` (4.3.1). `false`: it has no validator, so the whole is
/// asked for.
pub fn make_conditional(request: &mut HeaderMap, stored: &Stored) -> bool {
    make_plain(request);
    let fields = &stored.fields.0;
    let tag = fields.get(header::ETAG).filter(|_| condition::tag_of(fields).is_some());
    let modified = fields
        .get(header::LAST_MODIFIED)
        .filter(|_| date::of(fields, &header::LAST_MODIFIED).is_some());
    if let Some(tag) = tag {
        request.insert(header::IF_NONE_MATCH, tag.clone());
    }
    if let Some(modified) = modified {
        request.insert(header::IF_MODIFIED_SINCE, modified.clone());
    }
    tag.is_some() || modified.is_some()
}

/// Fields of a 304 that do not replace stored ones (3.2): they describe the message or how the
/// stored content is to be read. A 304 from here leaves them out.
pub(crate) const OF_CONTENT: [HeaderName; 5] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
];

/// The stored response after a 304 with `fields` (4.3.4). `None` when it cannot stay: the 304 is
/// about another representation, or what it says would have kept the response out of the store or
/// under another variant.
#[must_use]
pub fn freshened(
    stored: &Stored,
    fields: &HeaderMap,
    kept: &Kept<'_>,
    requested: Timestamp,
    received: Timestamp,
) -> Option<Stored> {
    let rules = &kept.site.cache;
    let mut news = fields.clone();
    hop::strip(&mut news);
    hop::take_internal(&mut news);
    if !is_about(stored, &news) {
        return None;
    }
    let came_aged = announced_age(&news);
    for name in OF_CONTENT {
        news.remove(name);
    }
    for name in ["age", "cache-status", "proxy-status", "x-request-id", "server-timing"] {
        news.remove(name);
    }
    if kept.rule.set_cookie != SetCookie::Obey {
        // Where a cookie is not stored with a response, it does not come in by the back door.
        news.remove(header::SET_COOKIE);
    }
    let mut whole = stored.fields.0.clone();
    replace(&mut whole, news);
    if !fields.contains_key(header::DATE)
        && let Ok(value) = date::print(received.unix_seconds()).parse()
    {
        whole.insert(header::DATE, value);
    }
    let status = StatusCode::from_u16(stored.status).ok()?;
    let policy = Policy::of(status, &whole, &rules.obey, received);
    if policy.no_store || policy.private || varies(&whole) != varies(&stored.fields.0) {
        return None;
    }
    if whole.contains_key(header::SET_COOKIE) && policy.explicit.is_none() {
        return None;
    }
    for name in &policy.withheld {
        whole.remove(name.as_str());
    }
    Some(Stored {
        policy,
        tags: tags(&rules.tags, &whole),
        fields: Fields::owned(whole),
        requested,
        received,
        came_aged,
        purged: false,
        ..stored.clone()
    })
}

/// Whether a 304 with the fields `news` confirms `stored`: the tags are the same, or else, where
/// not both have one, the dates.
fn is_about(stored: &Stored, news: &HeaderMap) -> bool {
    let own = &stored.fields.0;
    if let (Some(own), Some(told)) = (condition::tag_of(own), condition::tag_of(news)) {
        return own.equals_weakly(&told);
    }
    let own = date::of(own, &header::LAST_MODIFIED);
    let told = date::of(news, &header::LAST_MODIFIED);
    own.is_none() || told.is_none() || own == told
}

/// Puts `news` into `whole`, each name with all its values in place of the old ones.
fn replace(whole: &mut HeaderMap, news: HeaderMap) {
    let mut seen = None;
    for (name, value) in news {
        // A map hands a name over once, and then only further values of the same name.
        if let Some(name) = name {
            whole.insert(name.clone(), value);
            seen = Some(name);
        } else if let Some(name) = &seen {
            whole.append(name.clone(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freshness::age;
    use crate::reuse::Rule;
    use crate::testing::{at, fields, site, stored};

    fn after_304(old: &Stored, lines: &str, set_cookie: SetCookie) -> Option<Stored> {
        let site = site();
        let rule = Rule { set_cookie, ..Rule::of(&site, "/x") };
        freshened(old, &fields(lines), &Kept { site: &site, rule }, at(10), at(11))
    }

    #[test]
    fn questions() {
        let response = "etag: \"a\"\nlast-modified: Wed, 15 Nov 2023 11:50:00 GMT";
        let mut request = fields("if-none-match: \"z\"\nrange: bytes=0-1\naccept: */*");
        assert!(make_conditional(&mut request, &stored(response).unwrap()));
        assert_eq!(request["if-none-match"], "\"a\"");
        assert_eq!(request["if-modified-since"], "Wed, 15 Nov 2023 11:50:00 GMT");
        assert!(!request.contains_key("range") && request.contains_key("accept"));
        let nothing = stored("cache-control: max-age=6").unwrap();
        assert!(!make_conditional(&mut HeaderMap::new(), &nothing));
    }

    #[test]
    fn answers() {
        let old =
            stored("etag: \"a\"\ncache-control: max-age=1\ncontent-length: 7\nx-a: 1\nx-b: 2");
        let news = "etag: \"a\"\ncache-control: max-age=100\nx-a: 3\nx-a: 4\ncontent-length: 0";
        let new = after_304(&old.unwrap(), news, SetCookie::Bypass).unwrap();
        let lines: Vec<_> = new.fields.0.get_all("x-a").iter().collect();
        assert_eq!(lines, ["3", "4"]);
        assert_eq!(new.fields.0["content-length"], "7");
        assert_eq!(new.fields.0["x-b"], "2");
        assert_eq!(new.policy.explicit, Some(100));
        assert_eq!(age(&new, at(20)), 10);
    }

    #[test]
    fn what_a_304_ends() {
        let old = "etag: \"a\"\nlast-modified: Wed, 15 Nov 2023 11:50:00 GMT\n\
                   cache-control: max-age=1\nvary: x-b";
        let old = stored(old).unwrap();
        for (lines, stays) in [
            ("", true),
            ("etag: W/\"a\"", true),
            ("etag: \"a\"\nvary: X-B", true),
            ("last-modified: Wed, 15 Nov 2023 11:50:00 GMT", true),
            ("etag: \"b\"", false),
            ("etag: W/\"b\"", false),
            ("last-modified: Wed, 15 Nov 2023 11:51:00 GMT", false),
            ("cache-control: no-store", false),
            ("cache-control: private, max-age=60", false),
            ("vary: x-b, x-c", false),
            ("vary: *", false),
        ] {
            let news = after_304(&old, lines, SetCookie::Bypass);
            assert_eq!(news.is_some(), stays, "{lines}");
        }
    }

    #[test]
    fn what_a_304_changes() {
        let old = stored("cache-control: max-age=1\nx-a: 1\nsurrogate-key: one\ncontent-type: a/b");
        let news = "cache-control: max-age=60, private=\"x-a\"\nx-a: 2\nage: 99999999999\n\
                    surrogate-key: two\ncontent-type: c/d\ncontent-encoding: gzip";
        let new = after_304(&old.unwrap(), news, SetCookie::Bypass).unwrap();
        assert!(
            !new.fields.0.contains_key("x-a") && !new.fields.0.contains_key("content-encoding")
        );
        assert_eq!(new.came_aged, popnet_field::cache_control::SECONDS_MAX);
        assert_eq!(new.tags, crate::testing::tags(&["two"]));
        assert_eq!(new.fields.0["content-type"], "c/d");
    }

    #[test]
    fn cookies_of_a_304() {
        let old = stored("cache-control: max-age=1\netag: \"a\"").unwrap();
        for (rule, cookie) in
            [(SetCookie::Bypass, false), (SetCookie::Strip, false), (SetCookie::Obey, true)]
        {
            let new = after_304(&old, "set-cookie: a=b", rule).unwrap();
            assert_eq!(new.fields.0.contains_key("set-cookie"), cookie, "{rule:?}");
        }
        let undated = stored("etag: \"a\"").unwrap();
        assert_eq!(after_304(&undated, "set-cookie: a=b", SetCookie::Obey), None);
    }
}
