//! A request's head: where it ends and what it says (RFC 9112 sections 2 to 6). What two parsers
//! could read in two ways is refused, and ends the connection.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) what: &'static str,
}

const fn bad(what: &'static str) -> Refused {
    Refused { status: StatusCode::BAD_REQUEST, what }
}

const TOO_LARGE: Refused = Refused {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    what: "The request's head is too large.",
};

const TOO_LONG: Refused =
    Refused { status: StatusCode::URI_TOO_LONG, what: "The request's target is too long." };

/// Fields of a head at most; `Limits::fields` is not above it.
pub(crate) const FIELDS_MAX: usize = 128;

/// Looks for the end of a head that arrives little by little, at each octet once.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Octets looked at.
    seen: usize,
    /// Where the line that is being looked at begins.
    line: usize,
    lines: usize,
}

impl Scan {
    pub(crate) fn is_at_start(&self) -> bool {
        self.line == 0
    }

    /// Where the head at the front of `input` ends, once all of it is there.
    pub(crate) fn find(
        &mut self,
        input: &[u8],
        most: usize,
        fields: usize,
    ) -> Result<Option<usize>, Refused> {
        while let Some(rest) = input.get(self.seen..)
            && let Some(offset) = memchr::memchr(b'\n', rest)
        {
            let at = self.seen + offset;
            // RFC 9112 2.2 lets a recipient take LF alone; one that does and one that does not see
            // two different requests.
            if at.checked_sub(1).and_then(|before| input.get(before)) != Some(&b'\r') {
                return Err(bad("A line of the request's head does not end with CR LF."));
            }
            let is_last = at == self.line + 1;
            self.lines += 1;
            (self.seen, self.line) = (at + 1, at + 1);
            if self.seen > most || self.lines > fields + 2 {
                return Err(TOO_LARGE);
            }
            if is_last {
                return Ok(Some(at + 1));
            }
        }
        self.seen = input.len();
        match input.len() > most {
            true if self.lines == 0 => Err(TOO_LONG),
            true => Err(TOO_LARGE),
            false => Ok(None),
        }
    }
}

/// A head, read in place.
#[derive(Debug)]
pub struct Head<'a> {
    /// Its method, as it came.
    pub method: &'a str,
    /// Its target, as it came.
    pub target: &'a str,
    /// Its fields in their order, names as they came, values without white space around them.
    pub fields: &'a [httparse::Header<'a>],
    is_old: bool,
    octets: &'a [u8],
}

/// How long a request's content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Known(u64),
    Chunked,
}

/// Room for the fields of a head.
pub(crate) type Room<'a> = [MaybeUninit<httparse::Header<'a>>; FIELDS_MAX];

impl<'a> Head<'a> {
    /// Reads `octets`, which are a whole head.
    pub(crate) fn read(octets: &'a [u8], room: &'a mut Room<'a>) -> Result<Self, Refused> {
        let mut request = httparse::Request::new(&mut []);
        let parsed = request.parse_with_uninit_headers(octets, room);
        match parsed {
            Ok(httparse::Status::Complete(end)) if end == octets.len() => {}
            Ok(_) => return Err(bad("The request's head ends in an odd place.")),
            Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
            Err(httparse::Error::Version) if names_version(octets) => {
                let status = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
                return Err(Refused { status, what: "This version of HTTP is not spoken here." });
            }
            Err(_) => return Err(bad("The request's head is none of HTTP/1.1.")),
        }
        let (Some(method), Some(target), Some(version)) =
            (request.method, request.path, request.version)
        else {
            return Err(bad("The request's first line is incomplete."));
        };
        Ok(Self { method, target, fields: request.headers, is_old: version == 0, octets })
    }

    /// The values of the fields called `name`.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let named = self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    }

    /// The length of the content that follows; `None` where none does (RFC 9112 6.3). Two answers
    /// to that question are none.
    pub(crate) fn length(&self) -> Result<Option<Length>, Refused> {
        let mut codings = self.all("transfer-encoding").flat_map(|line| line.split(|o| *o == b','));
        let mut lengths = self.all("content-length");
        let last = codings.by_ref().last();
        let length = lengths.next();
        if lengths.next().is_some() {
            return Err(bad("The request has more than one Content-Length."));
        }
        match (last, length) {
            (None, None) => Ok(None),
            (None, Some(digits)) => match number(digits) {
                Some(0) => Ok(None),
                Some(length) => Ok(Some(Length::Known(length))),
                None => Err(bad("The request's Content-Length is no number.")),
            },
            (Some(_), Some(_)) => {
                Err(bad("The request has both Transfer-Encoding and Content-Length."))
            }
            (Some(_), None) if self.is_old => Err(bad("HTTP/1.0 has no Transfer-Encoding.")),
            (Some(last), None) if last.trim_ascii().eq_ignore_ascii_case(b"chunked") => {
                Ok(Some(Length::Chunked))
            }
            (Some(_), None) => Err(bad("The request's last transfer coding is not chunked.")),
        }
    }

    /// Refuses a head that names more than one host (RFC 9112 3.2): the next proxy might have taken
    /// the other one, so nothing that follows on this connection is believed either.
    pub(crate) fn check_host(&self) -> Result<(), Refused> {
        match self.all("host").nth(1) {
            None => Ok(()),
            Some(_) => Err(bad("The request names more than one host.")),
        }
    }

    /// Whether the client waits to be told that its content is wanted (RFC 9110 10.1.1).
    pub(crate) fn expects_continue(&self) -> Result<bool, Refused> {
        let mut expects = false;
        for value in self.all("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                let status = StatusCode::EXPECTATION_FAILED;
                return Err(Refused { status, what: "Only 100-continue can be expected here." });
            }
            expects = !self.is_old;
        }
        Ok(expects)
    }

    /// Whether nothing in it says how the exchange goes on: HTTP/1.1, no content, and the
    /// connection stays.
    pub(crate) fn is_plain(&self) -> bool {
        let mut fields = self.fields.iter();
        !self.is_old
            && fields.all(|field| match field.name.len() {
                6 => !field.name.eq_ignore_ascii_case("expect"),
                10 if field.name.eq_ignore_ascii_case("connection") => {
                    field.value.eq_ignore_ascii_case(b"keep-alive")
                }
                14 => !field.name.eq_ignore_ascii_case("content-length"),
                17 => !field.name.eq_ignore_ascii_case("transfer-encoding"),
                _ => true,
            })
    }

    /// The same as a request of its own, whose parts share one copy of the octets.
    pub(crate) fn to_request(&self) -> Result<Request<()>, Refused> {
        let octets = Bytes::copy_from_slice(self.octets);
        let part = |part: &[u8]| {
            let at = (part.as_ptr() as usize).saturating_sub(self.octets.as_ptr() as usize);
            octets.slice(at.min(octets.len())..at.saturating_add(part.len()).min(octets.len()))
        };
        let method = Method::from_bytes(self.method.as_bytes());
        let target = Uri::from_maybe_shared(part(self.target.as_bytes()));
        let mut fields = HeaderMap::with_capacity(self.fields.len());
        for field in self.fields {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            let value = HeaderValue::from_maybe_shared(part(field.value));
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(bad("A field of the request cannot be read."));
            };
            if fields.try_append(name, value).is_err() {
                return Err(TOO_LARGE);
            }
        }
        let mut request = Request::new(());
        *request.method_mut() = method.map_err(|_| bad("The request's method is none."))?;
        *request.uri_mut() = target.map_err(|_| bad("The request's target cannot be read."))?;
        *request.version_mut() = if self.is_old { Version::HTTP_10 } else { Version::HTTP_11 };
        *request.headers_mut() = fields;
        Ok(request)
    }
}

/// Whether the first line of a head ends with a version of HTTP (RFC 9112 2.3).
fn names_version(octets: &[u8]) -> bool {
    let line = octets.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let mut words = line.split(|octet| *octet == b' ').skip(2);
    let version = [words.next(), words.next()];
    matches!(version, [Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']), None])
}

/// A number in digits alone: no sign, no list, no white space; below 10^18.
fn number(digits: &[u8]) -> Option<u64> {
    if !(1..=18).contains(&digits.len()) {
        return None;
    }
    let add =
        |sum: u64, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'));
    digits.iter().try_fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Result<Option<usize>, Refused> {
        Scan::default().find(text.as_bytes(), 64, 4)
    }

    /// The same, octet by octet.
    fn scan_slowly(text: &str) -> Result<Option<usize>, Refused> {
        let mut scan = Scan::default();
        let mut ends = (1..=text.len()).map(|end| scan.find(&text.as_bytes()[..end], 64, 4));
        ends.find(|found| *found != Ok(None)).unwrap_or(Ok(None))
    }

    #[test]
    fn ends() {
        assert_eq!(scan("GET / HTTP/1.1\r\nhost: a\r\n\r\nrest"), Ok(Some(27)));
        assert_eq!(scan("GET / HTTP/1.1\r\nhost: a\r\n"), Ok(None));
        assert_eq!(scan("GET / HTTP/1.1\nhost: a\n\n").unwrap_err().status, 400);
        assert_eq!(scan("GET / HTTP/1.1\r\nhost: a\n\r\n").unwrap_err().status, 400);
        assert_eq!(scan("\n").unwrap_err().status, 400);
        for text in ["GET / HTTP/1.1\r\nhost: a\r\n\r\nrest", "GET / HTTP/1.1\r\na\n", "\r\n"] {
            assert_eq!(scan(text), scan_slowly(text), "{text:?}");
        }
        assert_eq!(scan(&"a".repeat(65)).unwrap_err().status, 414);
        assert_eq!(scan(&format!("GET / HTTP/1.1\r\n{}", "a".repeat(64))).unwrap_err(), TOO_LARGE);
        assert_eq!(scan("GET / HTTP/1.1\r\na:\r\na:\r\na:\r\na:\r\n\r\n"), Ok(Some(34)));
        assert_eq!(
            scan("GET / HTTP/1.1\r\na:\r\na:\r\na:\r\na:\r\na:\r\n\r\n").unwrap_err(),
            TOO_LARGE
        );
    }

    fn read(text: &str) -> Result<(String, Option<Length>, bool), Refused> {
        let mut room = [MaybeUninit::uninit(); FIELDS_MAX];
        let head = Head::read(text.as_bytes(), &mut room)?;
        let request = head.to_request()?;
        let told = format!("{} {} {:?}", request.method(), request.uri(), request.version());
        Ok((told, head.length()?, head.expects_continue()?))
    }

    fn status(text: &str) -> u16 {
        read(text).map_or_else(|refused| refused.status.as_u16(), |_| 200)
    }

    #[test]
    fn lengths() {
        let of = |fields: &str| {
            read(&format!("POST /a HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).map(|found| found.1)
        };
        assert_eq!(of(""), Ok(None));
        assert_eq!(of("content-length: 0\r\n"), Ok(None));
        assert_eq!(of("Content-Length: 12\r\n"), Ok(Some(Length::Known(12))));
        assert_eq!(of("transfer-encoding: Chunked\r\n"), Ok(Some(Length::Chunked)));
        assert_eq!(of("transfer-encoding: gzip, chunked\r\n"), Ok(Some(Length::Chunked)));
        for fields in [
            "content-length: 5, 5\r\n",
            "content-length: 5\r\ncontent-length: 5\r\n",
            "content-length: +5\r\n",
            "content-length: -5\r\n",
            "content-length: 0x5\r\n",
            "content-length: 5 5\r\n",
            "content-length:\r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 0\r\n",
            "transfer-encoding: chunked, gzip\r\n",
            "transfer-encoding: chunked,\r\n",
            "transfer-encoding:\r\n",
            "transfer-encoding: \u{b}chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        ] {
            assert_eq!(of(fields).unwrap_err().status, 400, "{fields:?}");
        }
        assert_eq!(status("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n"), 400);
    }

    #[test]
    fn first_lines() {
        assert_eq!(read("GET /a?b HTTP/1.0\r\n\r\n").unwrap().0, "GET /a?b HTTP/1.0");
        assert_eq!(read("OPTIONS * HTTP/1.1\r\n\r\n").unwrap().0, "OPTIONS * HTTP/1.1");
        assert_eq!(read("GET http://a/b HTTP/1.1\r\n\r\n").unwrap().0, "GET http://a/b HTTP/1.1");
        for text in [
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 \r\n\r\n",
            " GET / HTTP/1.1\r\n\r\n",
            "GET\t/ HTTP/1.1\r\n\r\n",
            "GET / http/1.1\r\n\r\n",
            "GET /\r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "G(T / HTTP/1.1\r\n\r\n",
            "GET /\u{1} HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(status(text), 400, "{text:?}");
        }
        assert_eq!(status("GET / HTTP/2.0\r\n\r\n"), 505);
        assert_eq!(status("GET / HTTP/1.2\r\n\r\n"), 505);
    }

    #[test]
    fn fields() {
        for text in
            ["a : b", "a\t: b", " a: b", "a: b\r\n c", "a b: c", ": b", "a", "a: \0", "a: b\rc"]
        {
            assert_eq!(status(&format!("GET / HTTP/1.1\r\n{text}\r\n\r\n")), 400, "{text:?}");
        }
        assert_eq!(status("GET / HTTP/1.1\r\na: \u{e4}\tb\r\n\r\n"), 200);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(129))), 431);
        assert!(read("PUT / HTTP/1.1\r\nexpect: 100-Continue\r\n\r\n").unwrap().2);
        assert!(!read("PUT / HTTP/1.0\r\nexpect: 100-continue\r\n\r\n").unwrap().2);
        assert_eq!(status("PUT / HTTP/1.1\r\nexpect: 200-ok\r\n\r\n"), 417);
    }
}
