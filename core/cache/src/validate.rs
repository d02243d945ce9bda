//! Validation (RFC 9111 4.3): the conditional request, and what its answer changes.

use http::{HeaderMap, StatusCode, header};
use popnet_field::condition::{self, CONDITIONS};
use popnet_field::{date, hop};
use popnet_terms::Timestamp;
use popnet_wire::sheet::SiteSheet;

use crate::freshness::Policy;
use crate::stored::{Fields, Stored};

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

/// Fields of a 304 that do not replace stored ones (3.2): they describe the message or the stored
/// content.
const KEPT: [header::HeaderName; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_RANGE, header::CONTENT_TYPE];

/// The stored response after a 304 with `fields` (4.3.4). `None` when the 304 is about another
/// representation: its strong tag differs from the stored one.
#[must_use]
pub fn freshened(
    stored: &Stored,
    fields: &HeaderMap,
    site: &SiteSheet,
    requested: Timestamp,
    received: Timestamp,
) -> Option<Stored> {
    let mut news = fields.clone();
    hop::strip(&mut news);
    hop::take_internal(&mut news);
    let own = condition::tag_of(&stored.fields.0);
    let told = condition::tag_of(&news);
    if let (Some(own), Some(told)) = (&own, &told)
        && !told.weak
        && !own.weak
        && own.opaque != told.opaque
    {
        return None;
    }
    let came_aged = news
        .get(header::AGE)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .unwrap_or(0);
    for name in KEPT {
        news.remove(name);
    }
    for name in
        ["age", "cache-status", "proxy-status", "x-request-id", "server-timing", "set-cookie"]
    {
        news.remove(name);
    }
    let mut whole = stored.fields.0.clone();
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
    if !fields.contains_key(header::DATE)
        && let Ok(value) = date::print(received.unix_seconds()).parse()
    {
        whole.insert(header::DATE, value);
    }
    let status = StatusCode::from_u16(stored.status).ok()?;
    let policy = Policy::of(status, &whole, &site.cache.obey, received);
    Some(Stored {
        policy,
        fields: Fields(whole),
        requested,
        received,
        came_aged,
        purged: false,
        ..stored.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freshness::age;
    use crate::testing::{at, fields, site, stored};

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
        let news =
            fields("etag: \"a\"\ncache-control: max-age=100\nx-a: 3\nx-a: 4\ncontent-length: 0");
        let new = freshened(&old.unwrap(), &news, &site(), at(10), at(11)).unwrap();
        let lines: Vec<_> = new.fields.0.get_all("x-a").iter().collect();
        assert_eq!(lines, ["3", "4"]);
        assert_eq!(new.fields.0["content-length"], "7");
        assert_eq!(new.fields.0["x-b"], "2");
        assert_eq!(new.policy.explicit, Some(100));
        assert_eq!(age(&new, at(20)), 10);
        let other = fields("etag: \"b\"");
        assert_eq!(freshened(&new, &other, &site(), at(10), at(11)), None);
    }
}
