//! Content codings that are made here (RFC 9110 8.4, 12.5.3): which one a request gets of a stored
//! response, and how the head of that representation differs. Making them is for others.
//!
//! Content is stored once, as it came. Nothing that came in a coding is ever decoded.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use popnet_field::cache_control::CacheControl;
use popnet_field::etag::{ETag, Tags};
use popnet_field::{chain, list};
use popnet_terms::CodingReason;
use popnet_wire::delivery::{Coding, Compression};

use crate::accepted::Accepted;
use crate::storable::values;
use crate::stored::Stored;

/// The content types that are compressed when a site names none: texts, and what is as loose.
const USUAL: [&str; 20] = [
    "text/*",
    "*+json",
    "*+xml",
    "*+text",
    "application/javascript",
    "application/x-javascript",
    "application/ecmascript",
    "application/json",
    "application/x-ndjson",
    "application/xml",
    "application/rtf",
    "application/wasm",
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
];

/// Fields that say something of the very octets, which a coding would make untrue, or that sign
/// what would change (RFC 9530, RFC 9421).
const SEALS: [HeaderName; 5] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("signature"),
];

/// `Cache-Control` for caches like this one (RFC 9213).
const FOR_US: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The most that a coding may be of what it codes, in hundredths: above it, sparing so little is
/// not worth a client's work.
pub const GAIN_MAX_PERCENT: u64 = 95;

/// What is sent of a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The content as it came.
    AsItCame {
        /// Why.
        reason: CodingReason,
        /// Another request may get another representation, so the answer says `Vary`.
        varies: bool,
    },
    /// This coding where it has been made, else the content as it came, which varies.
    Coded(Coding),
    /// The client has it in this coding, of which nothing but the head is sent: 304.
    Held(Coding),
}

impl Choice {
    /// What is sent of `stored` to `request`, under the rules of its site.
    #[must_use]
    pub fn of(
        method: &Method,
        request: &HeaderMap,
        stored: &Stored,
        rules: Option<&Compression>,
    ) -> Self {
        let as_it_came = |reason, varies| Self::AsItCame { reason, varies };
        let rules = match fitness(stored, rules) {
            Ok(rules) => rules,
            Err(reason) => return as_it_came(reason, false),
        };
        if CacheControl::read(values(request, &header::CACHE_CONTROL)).no_transform {
            return as_it_came(CodingReason::NoTransform, true);
        }
        let accepted = Accepted::read(values(request, &header::ACCEPT_ENCODING));
        match held(request, stored, |coding| {
            rules.codings.contains(&coding) && accepted.takes(coding)
        }) {
            Some(Held::AsItCame) if accepted.takes_identity() => {
                return as_it_came(CodingReason::ClientHasIt, true);
            }
            Some(Held::Coded(coding)) => return Self::Held(coding),
            Some(Held::AsItCame) | None => {}
        }
        if *method == Method::GET && request.contains_key(header::RANGE) {
            return as_it_came(CodingReason::Range, true);
        }
        match accepted.best(&rules.codings) {
            Some(coding) => Self::Coded(coding),
            None => as_it_came(CodingReason::NotAccepted, true),
        }
    }
}

/// Whether `stored` may be sent in a coding that is made here, to anybody; with the rules by which.
///
/// # Errors
/// It goes out as it came, for this reason.
pub fn fitness<'r>(
    stored: &Stored,
    rules: Option<&'r Compression>,
) -> Result<&'r Compression, CodingReason> {
    let rules = rules.ok_or(CodingReason::RuleOff)?;
    let fields = &stored.fields.0;
    if stored.status != 200 {
        return Err(CodingReason::Status);
    }
    if fields.contains_key(header::CONTENT_ENCODING) {
        return Err(CodingReason::CodedByOrigin);
    }
    if !is_of(fields, rules) {
        return Err(CodingReason::ContentType);
    }
    if SEALS.iter().any(|name| fields.contains_key(name)) {
        return Err(CodingReason::Sealed);
    }
    let forbids = |name| CacheControl::read(values(fields, name)).no_transform;
    if forbids(&header::CACHE_CONTROL) || forbids(&FOR_US) {
        return Err(CodingReason::NoTransform);
    }
    match stored.length {
        Some(length) if length < rules.min => Err(CodingReason::TooSmall),
        Some(length) if length > rules.max => Err(CodingReason::TooLarge),
        // Its length is known when it has arrived; until then it may turn out to fit.
        Some(_) | None => Ok(rules),
    }
}

fn is_of(fields: &HeaderMap, rules: &Compression) -> bool {
    let Some(value) = fields.get(header::CONTENT_TYPE) else { return false };
    let kind = value.as_bytes().split(|octet| *octet == b';').next().unwrap_or_default();
    let kind = kind.trim_ascii();
    match &rules.types {
        Some(types) => types.iter().any(|pattern| is_kind(kind, pattern)),
        None => USUAL.iter().any(|pattern| is_kind(kind, pattern)),
    }
}

/// Whether the type `kind` is one of `pattern`: `text/html`, `text/*` or `*+json`.
fn is_kind(kind: &[u8], pattern: &str) -> bool {
    let pattern = pattern.as_bytes();
    if let Some(end) = pattern.strip_prefix(b"*") {
        let start = kind.len().saturating_sub(end.len());
        return kind.get(start..).is_some_and(|found| found.eq_ignore_ascii_case(end));
    }
    match pattern.strip_suffix(b"*") {
        Some(start) => {
            kind.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start))
        }
        None => kind.eq_ignore_ascii_case(pattern),
    }
}

/// Which representation of a stored response a client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    AsItCame,
    Coded(Coding),
}

/// The representation of `stored` that `request` names in `If-None-Match`, be it made here just now
/// or not: its content would be the same, and nothing of it is sent. As it came before any coding,
/// those in the order of [`Coding::ALL`].
fn held(request: &HeaderMap, stored: &Stored, may: impl Fn(Coding) -> bool) -> Option<Held> {
    let mut lines = values(request, &header::IF_NONE_MATCH).peekable();
    lines.peek()?;
    let own = ETag::read(stored.fields.0.get(header::ETAG)?.as_bytes())?;
    let Tags::These(tags) = Tags::read(lines) else { return None };
    if tags.iter().any(|tag| tag.equals_weakly(&own)) {
        return Some(Held::AsItCame);
    }
    // A weak tag is the same for every coding, and has been looked at.
    let has = |coding: &Coding| {
        !own.weak && tags.iter().any(|tag| is_marked(&tag.opaque, &own.opaque, *coding))
    };
    Coding::ALL.into_iter().filter(|coding| may(*coding)).find(has).map(Held::Coded)
}

/// Between a tag and the name of a coding. Octets of other coding need another strong tag (RFC 9110
/// 8.8.3.3).
const MARK: &[u8] = b"~";

fn is_marked(tag: &[u8], own: &[u8], coding: Coding) -> bool {
    let rest = tag.strip_prefix(own).and_then(|rest| rest.strip_prefix(MARK));
    rest == Some(coding.name().as_bytes())
}

/// Takes our marks off the tags in `If-Match` of a request that goes forward: the origin knows
/// content as it sent it.
pub fn unmark(request: &mut HeaderMap) {
    let Tags::These(tags) = Tags::read(values(request, &header::IF_MATCH)) else { return };
    let plain = |tag: &ETag| {
        let unmarked =
            |coding: Coding| tag.opaque.strip_suffix(coding.name().as_bytes())?.strip_suffix(MARK);
        Coding::ALL.into_iter().find_map(unmarked).filter(|_| !tag.weak).map(<[u8]>::to_vec)
    };
    if !tags.iter().any(|tag| plain(tag).is_some()) {
        return;
    }
    let tags: Vec<Vec<u8>> = tags
        .into_iter()
        .map(|tag| {
            let opaque = plain(&tag).unwrap_or(tag.opaque);
            [if tag.weak { b"W/\"" } else { &b"\""[..] }, &opaque, b"\""].concat()
        })
        .collect();
    if let Ok(value) = HeaderValue::from_bytes(&tags.join(&b", "[..])) {
        request.insert(header::IF_MATCH, value);
    }
}

/// Says in `fields` that other requests may get another coding.
pub fn vary(fields: &mut HeaderMap) {
    let named = list::names(values(fields, &header::VARY));
    if !named.iter().any(|name| name == "accept-encoding" || name == "*") {
        chain::append_to_list(fields, &header::VARY, "Accept-Encoding");
    }
}

/// Makes the `fields` of content as it came those of the same in `coding`, but for its length.
pub fn dress(fields: &mut HeaderMap, coding: Coding) {
    vary(fields);
    fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    // Ranges are of content as it came only.
    fields.remove(header::ACCEPT_RANGES);
    let own = fields.get(header::ETAG).and_then(|value| ETag::read(value.as_bytes()));
    if let Some(own) = own.filter(|own| !own.weak) {
        let marked = [b"\"", &*own.opaque, MARK, coding.name().as_bytes(), b"\""].concat();
        if let Ok(value) = HeaderValue::from_bytes(&marked) {
            fields.insert(header::ETAG, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{arrived, fields, site};

    const PAGE: &str =
        "content-type: text/html; charset=utf-8\netag: \"a\"\ncache-control: max-age=9";

    fn rules() -> Compression {
        Compression { codings: Coding::ALL.to_vec(), types: None, min: 100, max: 1_000 }
    }

    fn stored(lines: &str, length: Option<u64>) -> Stored {
        arrived(&site(), "", 200, lines, length).unwrap()
    }

    fn choice(method: &Method, request: &str, stored: &Stored) -> String {
        match Choice::of(method, &fields(request), stored, Some(&rules())) {
            Choice::AsItCame { reason, varies } => {
                format!("{reason}{}", if varies { ", varies" } else { "" })
            }
            Choice::Coded(coding) => coding.name().to_owned(),
            Choice::Held(coding) => format!("has {}", coding.name()),
        }
    }

    #[test]
    fn what_fits() {
        let check = |lines: &str, length: Option<u64>, expected: &str| {
            let stored = stored(&format!("cache-control: max-age=9\n{lines}"), length);
            let found = choice(&Method::GET, "accept-encoding: br", &stored);
            assert_eq!(found, expected, "{lines} {length:?}");
        };
        check("content-type: text/html", Some(100), "br");
        check("content-type: text/html", Some(1_000), "br");
        check("content-type: text/html", None, "br");
        check("content-type: text/html", Some(99), "CODING_TOO_SMALL");
        check("content-type: text/html", Some(1_001), "CODING_TOO_LARGE");
        check("content-type: Image/SVG+xml", Some(500), "br");
        check("content-type: application/ld+JSON ; a=b", Some(500), "br");
        for other in ["image/png", "video/mp4", "application/zip", "font/woff2", "text", "+jso"] {
            check(&format!("content-type: {other}"), Some(500), "CODING_CONTENT_TYPE");
        }
        check("", Some(500), "CODING_CONTENT_TYPE");
        let page = "content-type: text/css";
        check(&format!("{page}\ncontent-encoding: gzip"), Some(500), "CODED_BY_ORIGIN");
        check(&format!("{page}\ncontent-encoding: unheard-of"), Some(500), "CODED_BY_ORIGIN");
        for seal in ["content-digest", "repr-digest", "content-md5", "signature", "digest"] {
            check(&format!("{page}\n{seal}: x"), Some(500), "CODING_SEALED");
        }
        check(&format!("{page}\ncache-control: no-transform"), Some(500), "CODING_NO_TRANSFORM");
        let targeted = format!("{page}\ncdn-cache-control: max-age=9, no-transform");
        check(&targeted, Some(500), "CODING_NO_TRANSFORM");
    }

    #[test]
    fn statuses_and_rules() {
        let lines = "content-type: text/html\ncache-control: max-age=9";
        let missing = arrived(&site(), "", 404, lines, Some(500)).unwrap();
        assert_eq!(fitness(&missing, Some(&rules())), Err(CodingReason::Status));
        let page = stored(lines, Some(500));
        assert_eq!(fitness(&page, None), Err(CodingReason::RuleOff));
        let types = Some(vec!["text/css".into(), "image/*".into()]);
        let own = Compression { types, ..rules() };
        assert_eq!(fitness(&page, Some(&own)), Err(CodingReason::ContentType));
        let image = stored("content-type: image/png\ncache-control: max-age=9", Some(500));
        assert_eq!(fitness(&image, Some(&own)), Ok(&own));
    }

    #[test]
    fn what_is_sent() {
        let page = stored(PAGE, Some(500));
        let check = |request: &str, expected: &str| {
            assert_eq!(choice(&Method::GET, request, &page), expected, "{request}");
        };
        check("", "CODING_NOT_ACCEPTED, varies");
        check("accept-encoding: gzip, br", "br");
        check("accept-encoding: gzip\ncache-control: no-transform", "CODING_NO_TRANSFORM, varies");
        check("accept-encoding: gzip\nrange: bytes=0-9", "CODING_RANGE, varies");
        // What the client has is what it is told about, whatever it would get otherwise.
        check("accept-encoding: gzip, br\nif-none-match: \"a~gzip\"", "has gzip");
        check("accept-encoding: gzip, br\nif-none-match: W/\"a~gzip\"", "has gzip");
        check("accept-encoding: gzip\nif-none-match: \"b\", \"a\"", "CODING_CLIENT_HAS_IT, varies");
        check("accept-encoding: gzip\nif-none-match: \"a~br\"", "gzip");
        check("if-none-match: \"a~gzip\"", "CODING_NOT_ACCEPTED, varies");
        check("accept-encoding: gzip\nif-none-match: \"b~gzip\"", "gzip");
        check("accept-encoding: gzip\nif-none-match: \"agzip\"", "gzip");
        check("accept-encoding: gzip\nif-none-match: *", "gzip");
        check("accept-encoding: gzip, identity;q=0\nif-none-match: \"a\"", "gzip");
        let get = "accept-encoding: gzip\nrange: bytes=0-9";
        assert_eq!(choice(&Method::HEAD, get, &page), "gzip", "RFC 9110 14.2");
        let weak = stored("content-type: text/a\netag: W/\"a\"", Some(500));
        let request = "accept-encoding: gzip\nif-none-match: W/\"a\"";
        assert_eq!(choice(&Method::GET, request, &weak), "CODING_CLIENT_HAS_IT, varies");
        let request = "accept-encoding: gzip\nif-none-match: W/\"a~gzip\"";
        assert_eq!(choice(&Method::GET, request, &weak), "gzip");
    }

    #[test]
    fn heads() {
        let check = |lines: &str, expected: &str| {
            let mut found = fields(lines);
            dress(&mut found, Coding::Gzip);
            assert_eq!(found, fields(&format!("{expected}\ncontent-encoding: gzip")), "{lines}");
        };
        check("etag: \"a\"", "etag: \"a~gzip\"\nvary: Accept-Encoding");
        check("etag: W/\"a\"", "etag: W/\"a\"\nvary: Accept-Encoding");
        check("etag: junk\nvary: accept-ENCODING", "etag: junk\nvary: accept-ENCODING");
        check("vary: Origin\nvary: Cookie", "vary: Origin, Cookie, Accept-Encoding");
        check("vary: *", "vary: *");
        let modified = "last-modified: Wed, 15 Nov 2023 11:50:00 GMT";
        check(
            &format!("accept-ranges: bytes\n{modified}"),
            &format!("vary: Accept-Encoding\n{modified}"),
        );
    }

    #[test]
    fn tags_that_go_forward() {
        let check = |came: &str, expected: &str| {
            let mut found = fields(came);
            unmark(&mut found);
            assert_eq!(found, fields(expected), "{came}");
        };
        check("if-match: \"a~gzip\"", "if-match: \"a\"");
        check("if-match: \"a~br\", W/\"b~br\", \"c\"", "if-match: \"a\", W/\"b~br\", \"c\"");
        for same in ["if-match: \"a\",  \"b\"", "if-match: *", "if-none-match: \"a~br\"", ""] {
            check(same, same);
        }
    }
}
