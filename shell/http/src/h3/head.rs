//! Heads of requests and responses (RFC 9114 4.2, 4.3).

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header};

use super::qpack::{self, Fields};

/// Fields of a connection, which have no place here (RFC 9114 4.2).
const OF_CONNECTIONS: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// A request's head, and how long its content says that it is.
#[derive(Debug)]
pub(super) struct Asked {
    /// The head.
    pub(super) head: Request<()>,
    /// Content-Length.
    pub(super) length: Option<u64>,
}

/// Fields before the others.
#[derive(Default)]
struct Pseudo {
    method: Option<Bytes>,
    scheme: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Bytes>,
}

impl Pseudo {
    fn set(&mut self, name: &[u8], value: Bytes) -> Option<()> {
        let place = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            _ => return None,
        };
        place.replace(value).is_none().then_some(())
    }
}

/// Makes a request of its fields; `None` when it is malformed (RFC 9114 4.1.2).
#[must_use]
pub(super) fn request(fields: Fields) -> Option<Asked> {
    let mut pseudo = Pseudo::default();
    let mut map = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        if name.starts_with(b":") {
            if !map.is_empty() {
                return None;
            }
            pseudo.set(&name, value)?;
        } else {
            add(&mut map, &name, value)?;
        }
    }
    let length = length(&map)?;
    let method = Method::from_bytes(pseudo.method.as_ref()?).ok()?;
    let authority = match pseudo.authority {
        Some(authority) => Some(Authority::from_maybe_shared(authority).ok()?),
        None => None,
    };
    let uri = if method == Method::CONNECT {
        if pseudo.scheme.is_some() || pseudo.path.is_some() {
            return None;
        }
        Uri::from(authority?)
    } else {
        target(&mut map, &method, &pseudo.scheme?, authority, pseudo.path?)?
    };
    let mut head = Request::new(());
    *head.method_mut() = method;
    *head.uri_mut() = uri;
    *head.version_mut() = Version::HTTP_3;
    *head.headers_mut() = map;
    Some(Asked { head, length })
}

/// The URI that is asked for. Host and `:authority` may both be there, and then say the same
/// (RFC 9114 4.3.1); only one goes on.
fn target(
    map: &mut HeaderMap,
    method: &Method,
    scheme: &[u8],
    authority: Option<Authority>,
    path: Bytes,
) -> Option<Uri> {
    let scheme = Scheme::try_from(scheme).ok()?;
    let host = match single(map, &header::HOST)? {
        Some(host) => Some(Authority::try_from(host.as_bytes()).ok()?),
        None => None,
    };
    let authority = match (authority, host) {
        (Some(authority), Some(host)) if authority != host => return None,
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => return None,
    };
    map.remove(header::HOST);
    if &path[..] == b"*" && *method == Method::OPTIONS {
        let host = HeaderValue::from_str(authority.as_str()).ok()?;
        map.insert(header::HOST, host);
        return Some(Uri::from_static("*"));
    }
    // The library would leave a fragment out without a word.
    if !path.starts_with(b"/") || path.contains(&b'#') {
        return None;
    }
    let path = PathAndQuery::from_maybe_shared(path).ok()?;
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()
}

fn add(map: &mut HeaderMap, name: &[u8], value: Bytes) -> Option<()> {
    // What it takes is in lower case, as it has to be.
    let name = HeaderName::from_lowercase(name).ok()?;
    let padded = value.trim_ascii().len() != value.len();
    let te = name == header::TE && &value[..] != b"trailers";
    if padded || te || OF_CONNECTIONS.contains(&name.as_str()) {
        return None;
    }
    map.try_append(name, HeaderValue::from_maybe_shared(value).ok()?).ok()?;
    Some(())
}

/// The field's only line; `None` when there are several.
fn single<'a>(map: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a HeaderValue>> {
    let mut lines = map.get_all(name).iter();
    let line = lines.next();
    lines.next().is_none().then_some(line)
}

/// Content-Length; `None` when it is there and no length (RFC 9110 8.6).
fn length(map: &HeaderMap) -> Option<Option<u64>> {
    let Some(line) = single(map, &header::CONTENT_LENGTH)? else { return Some(None) };
    let digits = line.to_str().ok()?;
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Some)
}

/// Whether a section may come after the content.
#[must_use]
pub(super) fn may_trail(fields: Fields) -> bool {
    let mut map = HeaderMap::with_capacity(fields.len());
    fields.into_iter().all(|(name, value)| add(&mut map, &name, value).is_some())
}

/// A response's field section.
pub(super) fn response(status: StatusCode, fields: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    qpack::begin(&mut out);
    qpack::put(&mut out, ":status", status.as_str().as_bytes());
    put_all(&mut out, fields);
    out
}

/// A section after the content.
pub(super) fn trailers(fields: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    qpack::begin(&mut out);
    put_all(&mut out, fields);
    out
}

fn put_all(out: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        if !OF_CONNECTIONS.contains(&name.as_str()) {
            qpack::put(out, name.as_str(), value.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> Fields {
        let octets = |text: &'static str| Bytes::from_static(text.as_bytes());
        lines.iter().map(|(name, value)| (octets(name), octets(value))).collect()
    }

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/x?y")];

    fn with(more: &[(&'static str, &'static str)]) -> Option<Asked> {
        request(fields(&[&GET[..], more].concat()))
    }

    #[test]
    fn plain() {
        let asked = with(&[("host", "a.test"), ("te", "trailers"), ("content-length", "7")]);
        let asked = asked.unwrap();
        assert_eq!(asked.head.uri(), "https://a.test/x?y");
        assert_eq!(asked.head.version(), Version::HTTP_3);
        assert_eq!(asked.length, Some(7));
        assert!(!asked.head.headers().contains_key("host"));
        let [method, scheme, _, path] = GET;
        let asked = request(fields(&[method, scheme, path, ("host", "b.test")])).unwrap();
        assert_eq!(asked.head.uri(), "https://b.test/x?y");
    }

    #[test]
    fn forms_of_targets() {
        let [_, scheme, authority, _] = GET;
        let all = request(fields(&[(":method", "OPTIONS"), scheme, authority, (":path", "*")]));
        let all = all.unwrap().head;
        assert_eq!((all.uri().path(), &all.headers()["host"]), ("*", &"a.test".parse().unwrap()));
        let connect = request(fields(&[(":method", "CONNECT"), (":authority", "a.test:443")]));
        assert_eq!(connect.unwrap().head.uri(), "a.test:443");
        assert!(request(fields(&[(":method", "CONNECT"), authority, scheme])).is_none());
        for path in ["", "x", "*", "http://b.test/", "/a#b", "/a b"] {
            let [method, scheme, authority, _] = GET;
            let found = request(fields(&[method, scheme, authority, (":path", path)]));
            assert!(found.is_none(), "{path}");
        }
    }

    #[test]
    fn malformed() {
        for missing in [0, 1, 2, 3] {
            let mut lines = GET.to_vec();
            lines.remove(missing);
            assert!(request(fields(&lines)).is_none(), "{missing}");
        }
        let bad = [
            (":method", "GET"),
            (":status", "200"),
            (":protocol", "websocket"),
            ("Upper", "x"),
            ("", "x"),
            ("a b", "x"),
            ("x", "a\r\nb"),
            ("x", " a"),
            ("x", "a\t"),
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip"),
            ("host", "b.test"),
            ("content-length", "+1"),
            ("content-length", ""),
            ("content-length", "99999999999999999999"),
        ];
        for line in bad {
            assert!(with(&[line]).is_none(), "{line:?}");
        }
        assert!(with(&[("x", "y"), (":path", "/")]).is_none());
        assert!(with(&[("content-length", "1"), ("content-length", "1")]).is_none());
    }

    #[test]
    fn after_the_content() {
        assert!(may_trail(fields(&[("x-sum", "1")])));
        assert!(!may_trail(fields(&[(":path", "/")])));
    }
}
