//! Parts of content (206): kept for whoever asks for the same part, or for octets within it.
//!
//! A range that begins behind the first octet goes forward as it was asked for: who looks for a
//! place in a large file is not made to wait for all of it. The answer is kept beside what it
//! varies on by the range that brought it (RFC 9111 3.3), and is read from only where its length is
//! the one that its `Content-Range` tells. A range from the first octet on brings the whole, which
//! answers every later range.
//!
//! In a large file it is not the few octets asked for that go forward, but the whole slices that
//! they lie in: who reads on, or looks close by, finds them stored. A slice is one answer of the
//! origin, and one request is answered from one part, so that a file which changes between two of
//! them never mixes.
//!
//! Left out on purpose: putting parts together (3.4).

use std::ops::Range;

use http::{HeaderMap, HeaderValue, header};
use popnet_field::condition;
use popnet_field::range::{Asked, ContentRange, Part};

use crate::storable::Arrived;
use crate::stored::Stored;
use crate::vary::{Varies, varies};

/// Octets of the largest part that is kept, and kept parts of one URL: beyond that the whole is the
/// better thing to keep.
const OCTETS_MAX: u64 = 8 << 20;
pub(crate) const PARTS_MAX: u32 = 128;

/// Slices begin at multiples of this. What begins in the first one goes forward as it is: the file
/// may be a small one.
const SLICE: u64 = 1 << 20;

/// What begins no further behind what has arrived is waited for: at 10 Mbit/s it is there in three
/// seconds, and another request to the origin would bring it hardly sooner.
const NEAR: u64 = 4 << 20;

/// The one range that a GET with the fields `request` asks for, unconditionally.
fn asked(request: &HeaderMap) -> Option<Asked> {
    let mut lines = request.get_all(header::RANGE).iter();
    let asked = Asked::read(lines.next()?.to_str().ok()?)?;
    (lines.next().is_none() && !condition::is_conditional(request)).then_some(asked)
}

/// Whether a GET with these fields had better bring only what it asks for.
#[must_use]
pub fn is_wanted(request: &HeaderMap) -> bool {
    match asked(request) {
        None | Some(Asked::From(0) | Asked::FromTo(0, _)) => false,
        Some(Asked::From(_) | Asked::FromTo(..) | Asked::Last(_)) => true,
    }
}

/// The slices of a large file that bring what a GET with these fields asks for, as its `Range`;
/// `None` where that goes forward as it is.
#[must_use]
pub fn slices(request: &HeaderMap) -> Option<HeaderValue> {
    let Asked::FromTo(first, last) = asked(request)? else { return None };
    let start = first - first % SLICE;
    let end = last.checked_add(SLICE - last % SLICE)?;
    let range =
        (start > 0 && end - start <= OCTETS_MAX).then(|| format!("bytes={start}-{}", end - 1));
    range.and_then(|range| HeaderValue::try_from(range).ok())
}

/// Whether a GET with the fields `request` looks for a place so far behind the `arrived` octets of
/// a response under way, `length` octets long as far as is known, that it had better go forward
/// for it: who seeks in a film does not wait for all that lies before.
#[must_use]
pub fn is_far(request: &HeaderMap, arrived: u64, length: Option<u64>) -> bool {
    let start = match (asked(request), length) {
        (None, _) | (Some(Asked::Last(_)), None) => None,
        (Some(Asked::From(first) | Asked::FromTo(first, _)), None) => Some(first),
        (Some(asked), Some(length)) => match asked.within(length) {
            Part::Octets(octets) => Some(octets.start),
            Part::Unsatisfiable => None,
        },
    };
    start.is_some_and(|start| start.saturating_sub(arrived) > NEAR)
}

/// Of a 206 with `fields` that brought more than `request` asks for: the octets of its content
/// that were asked for, and the fields for these. `None` where they are not in it.
#[must_use]
pub fn cut(fields: &HeaderMap, request: &HeaderMap) -> Option<(Range<u64>, HeaderMap)> {
    let ContentRange { part: Some(part), length: Some(length) } = told(fields)? else {
        return None;
    };
    let Part::Octets(octets) = asked(request)?.within(length) else { return None };
    if octets.start < part.start || octets.end > part.end {
        return None;
    }
    let mut fields = fields.clone();
    let said = ContentRange { part: Some(octets.clone()), length: Some(length) }.print();
    fields.insert(header::CONTENT_RANGE, HeaderValue::try_from(said).ok()?);
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(octets.end - octets.start));
    Some((octets.start - part.start..octets.end - part.start, fields))
}

/// Whether a 206 is the answer to its own request, and small enough to be kept.
pub(crate) fn is_keepable(arrived: &Arrived<'_>) -> bool {
    let told = told(arrived.fields).is_some_and(|told| told.part.is_some());
    told && is_wanted(arrived.request) && arrived.length.is_some_and(|most| most <= OCTETS_MAX)
}

fn told(fields: &HeaderMap) -> Option<ContentRange> {
    let mut lines = fields.get_all(header::CONTENT_RANGE).iter();
    let told = ContentRange::read(lines.next()?.to_str().ok()?)?;
    lines.next().is_none().then_some(told)
}

/// Whether the part `stored` answers `request`, other fields aside: it is what the same question
/// brought, or the octets asked for are in it.
pub(crate) fn answers(stored: &Stored, request: &HeaderMap) -> bool {
    if asked(request).is_none() {
        return false;
    }
    stored.variant.selects(request)
        || stored.variant.selects_beside(request, "range") && within(stored, request).is_some()
}

/// The octets asked for, those of the part `stored`, and the length of the whole; `None` where the
/// former are not among the others, or that cannot be said.
pub(crate) fn within(
    stored: &Stored,
    request: &HeaderMap,
) -> Option<(Range<u64>, Range<u64>, u64)> {
    let ContentRange { part: Some(part), length: Some(length) } = told(&stored.fields.0)? else {
        return None;
    };
    let Varies::On(names) = varies(&stored.fields.0) else { return None };
    if stored.length != Some(part.end - part.start) || names.iter().any(|name| name == "range") {
        return None;
    }
    match asked(request)?.within(length) {
        Part::Octets(octets) if part.start <= octets.start && octets.end <= part.end => {
            Some((octets, part, length))
        }
        Part::Octets(_) | Part::Unsatisfiable => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve;
    use crate::testing::{arrived, fields, site};
    use http::Method;

    /// What a request for `range` with `more` gets from the part that `-5` brought.
    fn check(content_range: &str, length: u64, request: &str, expected: &str) {
        let lines = format!("cache-control: max-age=60\nvary: a\ncontent-range: {content_range}");
        let stored = arrived(&site(), "range: bytes=-5", 206, &lines, Some(length)).unwrap();
        let request = fields(request);
        let found = if stored.selects(&request) {
            let answer = serve::answer(&Method::GET, &request, &stored, stored.length);
            let told = answer.fields["content-range"].to_str().unwrap();
            let octets = answer.octets.unwrap();
            assert_eq!(answer.fields["content-length"], (octets.end - octets.start).to_string());
            format!("{} {octets:?} {told}", answer.status.as_u16())
        } else {
            "no".to_owned()
        };
        assert_eq!(found, expected, "{content_range} {request:?}");
    }

    #[test]
    fn answered_from_a_part() {
        let five = "bytes 5-9/10";
        check(five, 5, "range: bytes=-5", "206 0..5 bytes 5-9/10");
        check(five, 5, "range: bytes=6-8", "206 1..4 bytes 6-8/10");
        check(five, 5, "range: bytes=6-", "206 1..5 bytes 6-9/10");
        check(five, 5, "range: bytes=-1", "206 4..5 bytes 9-9/10");
        for other in [
            "",
            "range: bytes=4-8",
            "range: bytes=0-",
            "range: bytes=10-",
            "range: bytes=6-7,8-9",
            "range: bytes=6-8\nrange: bytes=6-8",
            "range: bytes=-5\na: 1",
            "range: bytes=6-8\na: 1",
            "range: bytes=-5\nif-none-match: \"a\"",
            "range: bytes=-5\nif-range: \"a\"",
        ] {
            check(five, 5, other, "no");
        }
        // What does not fit together is only for the same question.
        check("bytes 4-9/10", 5, "range: bytes=-5", "206 0..5 bytes 4-9/10");
        check("bytes 4-9/10", 5, "range: bytes=6-8", "no");
        check("bytes 5-9/*", 5, "range: bytes=6-8", "no");
        check("bytes 5-9/10\nvary: range", 5, "range: bytes=6-8", "no");
    }

    #[test]
    fn whole_slices() {
        let check = |range: &str, expected: &str| {
            let found = slices(&fields(&format!("range: bytes={range}")));
            let found = found.as_ref().map_or("", |value| value.to_str().unwrap());
            assert_eq!(found, expected, "{range}");
        };
        check("1048576-1048576", "bytes=1048576-2097151");
        check("2097151-2097151", "bytes=1048576-2097151");
        check("2097151-2097152", "bytes=1048576-3145727");
        check("1500000-9000000", "bytes=1048576-9437183");
        check("1500000-9500000", "");
        check("0-9", "");
        check("1048575-1048576", "");
        check("5000000-", "");
        check("-5", "");
        check("1500000-18446744073709551615", "");
        check("18446744073709551614-18446744073709551615", "");
        check("99999999999999999999-99999999999999999999", "");
        assert_eq!(slices(&fields("range: bytes=1500000-1500001\nif-range: \"a\"")), None);
    }

    #[test]
    fn what_is_far() {
        let check = |range: &str, arrived: u64, length: Option<u64>, far: bool| {
            let request = fields(&format!("range: bytes={range}"));
            assert_eq!(is_far(&request, arrived, length), far, "{range} {arrived} {length:?}");
        };
        check("9000000-", 0, None, true);
        check("9000000-9000009", 0, Some(10_000_000), true);
        check("9000000-", 5_000_000, None, false);
        check("4194304-", 0, None, false);
        check("4194305-", 0, None, true);
        check("-10", 0, Some(10_000_000), true);
        check("-10", 0, None, false);
        check("0-", 0, Some(10_000_000), false);
        check("9000000-", 0, Some(8_000_000), false);
        assert!(!is_far(&fields(""), 0, None));
        assert!(!is_far(&fields("range: bytes=9000000-\nif-range: \"a\""), 0, None));
    }

    #[test]
    fn cut_out_of_more() {
        let check = |content_range: &str, range: &str, expected: Option<(Range<u64>, &str)>| {
            let of = fields(&format!("etag: \"a\"\ncontent-range: {content_range}"));
            let found = cut(&of, &fields(&format!("range: bytes={range}")));
            let found = found.map(|(octets, fields)| {
                assert_eq!(fields["content-length"], (octets.end - octets.start).to_string());
                assert_eq!(fields["etag"], "\"a\"");
                (octets, fields["content-range"].to_str().unwrap().to_owned())
            });
            let expected = expected.map(|(octets, said)| (octets, said.to_owned()));
            assert_eq!(found, expected, "{content_range} {range}");
        };
        check("bytes 10-19/100", "12-14", Some((2..5, "bytes 12-14/100")));
        check("bytes 10-19/20", "12-99", Some((2..10, "bytes 12-19/20")));
        check("bytes 10-19/100", "12-20", None);
        check("bytes 10-19/100", "9-12", None);
        check("bytes 10-19/20", "30-40", None);
        check("bytes 10-19/*", "12-14", None);
        check("bytes */100", "12-14", None);
    }

    #[test]
    fn parts_that_are_kept() {
        let check = |request: &str, lines: &str, length: Option<u64>, kept: bool| {
            let lines = format!("cache-control: max-age=60\n{lines}");
            let found = arrived(&site(), request, 206, &lines, length);
            assert_eq!(found.is_ok(), kept, "{request} {lines}: {found:?}");
        };
        let five = "content-range: bytes 5-9/10";
        check("range: bytes=5-", five, Some(5), true);
        check("range: bytes=0-", five, Some(5), false);
        check("", five, Some(5), false);
        check("range: bytes=5-", five, None, false);
        check("range: bytes=5-", five, Some(OCTETS_MAX + 1), false);
        check("range: bytes=5-", "", Some(5), false);
        check("range: bytes=5-", "content-range: bytes */10", Some(5), false);
        check("range: bytes=5-\nif-range: \"a\"", five, Some(5), false);
        check("range: bytes=5-\ncache-control: no-store", five, Some(5), false);
    }
}
