//! The head that answers a request from store: 200 (or the stored status), 206, 304 or 416.

use std::ops::Range;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use popnet_field::condition::{self, Met};
use popnet_field::range::{Asked, ContentRange, Part};
use popnet_wire::delivery::Coding;

use crate::coding;
use crate::part;
use crate::stored::Stored;
use crate::validate::OF_CONTENT;

/// The answer's status, and which octets of the stored content follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Its fields, without `Age`, `Via` and `Cache-Status`, which the caller knows.
    pub fields: HeaderMap,
    /// Octets of the content to send; `None`: no content at all (304, 416, HEAD).
    pub octets: Option<Range<u64>>,
}

/// Answers `request` with `stored`. `length` is its content's length; while it is not known, ranges
/// are answered with the whole.
#[must_use]
pub fn answer(
    method: &Method,
    request: &HeaderMap,
    stored: &Stored,
    length: Option<u64>,
) -> Answer {
    let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let whole = &stored.fields.0;
    // RFC 9110 13.2.1: preconditions are for answers that would be 2xx.
    if status == StatusCode::OK {
        let received = stored.received.unix_seconds();
        if condition::evaluate(request, whole, received) == Met::NotModified {
            return not_modified(whole.clone());
        }
        if method == Method::GET
            && let Some(part) = part_of(request, whole, length)
        {
            return partial(whole, &part, length.unwrap_or(0));
        }
    }
    if method == Method::GET
        && stored.is_part()
        && length == stored.length
        && let Some((octets, part, length)) = part::within(stored, request)
    {
        let mut answer = partial(whole, &Part::Octets(octets.clone()), length);
        answer.octets = Some(octets.start - part.start..octets.end - part.start);
        return answer;
    }
    let mut fields = whole.clone();
    set_length(&mut fields, status, length);
    let sends = method != Method::HEAD && may_have_content(status);
    Answer { status, fields, octets: sends.then_some(0..length.unwrap_or(u64::MAX)) }
}

/// Answers `request` with `stored`, which is whole, in a `coding`; `length` is that of its content
/// in it, which is not needed for a client that has it. Ranges of it are not given.
#[must_use]
pub fn coded(
    method: &Method,
    request: &HeaderMap,
    stored: &Stored,
    coding: Coding,
    length: Option<u64>,
) -> Answer {
    let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut fields = stored.fields.0.clone();
    coding::dress(&mut fields, coding);
    let received = stored.received.unix_seconds();
    if condition::evaluate(request, &fields, received) == Met::NotModified {
        return not_modified(fields);
    }
    set_length(&mut fields, status, length);
    let sends = *method != Method::HEAD;
    Answer { status, fields, octets: sends.then_some(0..length.unwrap_or(u64::MAX)) }
}

fn part_of(request: &HeaderMap, stored: &HeaderMap, length: Option<u64>) -> Option<Part> {
    let mut lines = request.get_all(header::RANGE).iter();
    let asked = Asked::read(lines.next()?.to_str().ok()?)?;
    if lines.next().is_some() || !condition::range_applies(request, stored) {
        return None;
    }
    Some(asked.within(length?))
}

/// A 304 carries what the one who asks puts into its own store (RFC 9111 3.2): any field may have
/// changed since, so all that do not belong to the content (RFC 9110 15.4.5).
fn not_modified(mut fields: HeaderMap) -> Answer {
    for name in OF_CONTENT {
        fields.remove(name);
    }
    Answer { status: StatusCode::NOT_MODIFIED, fields, octets: None }
}

fn partial(whole: &HeaderMap, part: &Part, length: u64) -> Answer {
    let mut fields = whole.clone();
    let (status, octets) = match part {
        Part::Octets(octets) => (StatusCode::PARTIAL_CONTENT, Some(octets.clone())),
        Part::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, None),
    };
    let said = ContentRange { part: octets.clone(), length: Some(length) };
    if let Ok(value) = HeaderValue::try_from(said.print()) {
        fields.insert(header::CONTENT_RANGE, value);
    }
    let sent = octets.as_ref().map_or(0, |octets| octets.end - octets.start);
    set_length(&mut fields, status, Some(sent));
    if octets.is_none() {
        // Nothing of the representation is sent, so nothing may be said of it.
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::ETAG] {
            fields.remove(name);
        }
        fields.remove(header::LAST_MODIFIED);
    }
    Answer { status, fields, octets }
}

fn set_length(fields: &mut HeaderMap, status: StatusCode, length: Option<u64>) {
    match length {
        Some(length) if may_have_content(status) => {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        Some(_) | None => {
            fields.remove(header::CONTENT_LENGTH);
        }
    }
}

/// RFC 9110 6.4.1: 204 and 304 never have content, and 1xx are never final.
#[must_use]
pub fn may_have_content(status: StatusCode) -> bool {
    !(status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fields, stored};

    fn check(method: &str, request: &str, expected: &str) {
        let stored = stored("etag: \"a\"\ncontent-type: text/plain\ncontent-length: 10").unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = answer(&method, &fields(request), &stored, Some(10));
        let field = |name: &str| {
            answer.fields.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned()
        };
        let found = format!(
            "{} {:?} length {} range {}",
            answer.status.as_u16(),
            answer.octets,
            field("content-length"),
            field("content-range")
        );
        assert_eq!(found, expected, "{method} {request}");
    }

    #[test]
    fn heads_of_codings() {
        let check = |method: &str, request: &str, length: Option<u64>, expected: &str| {
            let stored = stored("etag: \"a\"\ncontent-type: text/plain\ncontent-length: 10");
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = fields(request);
            let answer = coded(&method, &request, &stored.unwrap(), Coding::Br, length);
            let field = |name: &str| {
                answer.fields.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned()
            };
            let found = format!(
                "{} {:?} length {} {} {} {}",
                answer.status.as_u16(),
                answer.octets,
                field("content-length"),
                field("content-encoding"),
                field("etag"),
                field("vary")
            );
            assert_eq!(found, expected, "{method} {request:?}");
        };
        let whole = "length 4 br \"a~br\" Accept-Encoding";
        check("GET", "", Some(4), &format!("200 Some(0..4) {whole}"));
        check("HEAD", "", Some(4), &format!("200 None {whole}"));
        let same = "304 None length - - \"a~br\" Accept-Encoding";
        check("GET", "if-none-match: \"a~br\"", None, same);
        check("HEAD", "if-none-match: \"a~br\"", Some(4), same);
    }

    #[test]
    fn heads() {
        check("GET", "", "200 Some(0..10) length 10 range -");
        check("HEAD", "", "200 None length 10 range -");
        check("GET", "if-none-match: \"a\"", "304 None length - range -");
        check("HEAD", "if-none-match: \"a\"", "304 None length - range -");
        check("GET", "range: bytes=2-4", "206 Some(2..5) length 3 range bytes 2-4/10");
        check("HEAD", "range: bytes=2-4", "200 None length 10 range -");
        check("GET", "range: bytes=10-", "416 None length 0 range bytes */10");
        check("GET", "range: bytes=0-1,3-4", "200 Some(0..10) length 10 range -");
        check("GET", "range: bytes=2-4\nif-range: \"b\"", "200 Some(0..10) length 10 range -");
        check(
            "GET",
            "range: bytes=2-4\nif-range: \"a\"",
            "206 Some(2..5) length 3 range bytes 2-4/10",
        );
        check("GET", "range: bytes=2-4\nif-none-match: \"a\"", "304 None length - range -");
    }
}
