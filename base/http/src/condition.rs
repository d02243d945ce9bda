//! Preconditions of GET and HEAD (RFC 9110 section 13), evaluated against a representation.

use http::{HeaderMap, header};

use crate::date;
use crate::etag::{ETag, Tags};

/// What the preconditions of a request say about a representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// Send it.
    Send,
    /// The client has it: 304.
    NotModified,
}

/// Whether the client that sent `request` has the representation with the fields `response`.
///
/// `If-Match` and `If-Unmodified-Since` are for the origin: a cache may ignore them (13.1.1).
/// `received` is used where there is no `Last-Modified` (RFC 9111 4.3.2): the `Date`, else the time
/// of receipt.
#[must_use]
pub fn evaluate(request: &HeaderMap, response: &HeaderMap, received: i64) -> Met {
    if request.contains_key(header::IF_NONE_MATCH) {
        // 13.1.3: with If-None-Match there, If-Modified-Since is ignored.
        let asked = Tags::read(request.get_all(header::IF_NONE_MATCH).iter().map(|v| v.as_bytes()));
        let has = match asked {
            Tags::Any => true,
            Tags::These(tags) => {
                tag_of(response).is_some_and(|own| tags.iter().any(|tag| tag.equals_weakly(&own)))
            }
        };
        return if has { Met::NotModified } else { Met::Send };
    }
    let Some(since) = date::of(request, &header::IF_MODIFIED_SINCE) else { return Met::Send };
    let modified = match response.contains_key(header::LAST_MODIFIED) {
        true => date::of(response, &header::LAST_MODIFIED),
        false => Some(date::of(response, &header::DATE).unwrap_or(received)),
    };
    match modified {
        Some(modified) if modified <= since => Met::NotModified,
        Some(_) | None => Met::Send,
    }
}

/// Whether a `Range` counts in view of `If-Range` (13.1.5): it must be the very same
/// representation.
#[must_use]
pub fn range_applies(request: &HeaderMap, response: &HeaderMap) -> bool {
    let Some(condition) = request.get(header::IF_RANGE) else { return true };
    let condition = condition.as_bytes();
    if let Some(tag) = ETag::read(condition) {
        return tag_of(response).is_some_and(|own| own.equals_strongly(&tag));
    }
    let Some(asked) = std::str::from_utf8(condition).ok().and_then(date::read) else {
        return false;
    };
    // 8.8.2.2: a date is a strong validator only when it is at least a second older than `Date`.
    let modified = date::of(response, &header::LAST_MODIFIED);
    let made = date::of(response, &header::DATE);
    modified == Some(asked) && made.is_some_and(|made| made > asked)
}

/// The tag of a response.
#[must_use]
pub fn tag_of(response: &HeaderMap) -> Option<ETag> {
    response.get(header::ETAG).and_then(|value| ETag::read(value.as_bytes()))
}

/// Whether a request carries any precondition at all.
#[must_use]
pub fn is_conditional(request: &HeaderMap) -> bool {
    CONDITIONS.iter().any(|name| request.contains_key(name))
}

/// Every field that makes a request conditional.
pub const CONDITIONS: [header::HeaderName; 5] = [
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_MATCH,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn preconditions() {
        const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        const NEW: &str = "Mon, 07 Nov 1994 08:49:37 GMT";
        let response = [("etag", "\"a\""), ("last-modified", OLD), ("date", NEW)];
        let cases: &[(&[(&'static str, &str)], Met)] = &[
            (&[], Met::Send),
            (&[("if-none-match", "\"a\"")], Met::NotModified),
            (&[("if-none-match", "W/\"a\"")], Met::NotModified),
            (&[("if-none-match", "\"b\", \"a\"")], Met::NotModified),
            (&[("if-none-match", "*")], Met::NotModified),
            (&[("if-none-match", "\"b\"")], Met::Send),
            (&[("if-none-match", "\"b\""), ("if-modified-since", NEW)], Met::Send),
            (&[("if-modified-since", OLD)], Met::NotModified),
            (&[("if-modified-since", "Sat, 05 Nov 1994 08:49:37 GMT")], Met::Send),
            (&[("if-modified-since", "yesterday")], Met::Send),
        ];
        for (request, expected) in cases {
            assert_eq!(evaluate(&fields(request), &fields(&response), 0), *expected, "{request:?}");
        }
        let ranges: &[(&[(&'static str, &str)], bool)] = &[
            (&[], true),
            (&[("if-range", "\"a\"")], true),
            (&[("if-range", "W/\"a\"")], false),
            (&[("if-range", "\"b\"")], false),
            (&[("if-range", OLD)], true),
            (&[("if-range", NEW)], false),
            (&[("if-range", "junk")], false),
        ];
        for (request, expected) in ranges {
            assert_eq!(
                range_applies(&fields(request), &fields(&response)),
                *expected,
                "{request:?}"
            );
        }
    }
}
