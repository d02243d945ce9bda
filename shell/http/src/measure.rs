//! How many octets heads take on the wire.
//!
//! For HTTP/1.1 a response head is counted exactly as it is written: status line, fields, empty
//! line. Chunk framing is not counted: what is billed is heads and content. For HTTP/2 and 3,
//! where fields are compressed by what the connection has carried before, the same response costs
//! the same as over HTTP/1.1. A request head is counted as its shortest HTTP/1.1 form.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;

use crate::body::Body;
use crate::server::Head;

/// What decides how a response's head ends up on the wire.
#[derive(Clone, Debug)]
pub struct Framing {
    /// The request's version.
    pub version: Version,
    /// The request's method.
    pub method: Method,
    /// The connection ends with this response.
    pub close: bool,
}

impl Framing {
    /// Of a request; `draining` when the server takes no more requests.
    #[must_use]
    pub fn of<B>(request: &Request<B>, draining: bool) -> Self {
        let version = request.version();
        let asked = request.headers().get_all(header::CONNECTION);
        let asks = |word: &str| {
            asked
                .iter()
                .filter_map(|value| value.to_str().ok())
                .any(|line| line.split(',').any(|token| token.trim().eq_ignore_ascii_case(word)))
        };
        let close = match version {
            Version::HTTP_09 | Version::HTTP_10 => !asks("keep-alive"),
            _ => asks("close"),
        };
        Self { version, method: request.method().clone(), close: close || draining }
    }

    /// Puts everything about framing into the head that would else be added on the way out, and
    /// says how many octets the head takes.
    pub fn settle(&self, response: &mut Response<Body>) -> u64 {
        let status = response.status();
        let length = response.body().size_hint().exact();
        let fields = response.headers_mut();
        fields.remove(header::TRANSFER_ENCODING);
        fields.remove(header::CONNECTION);
        let mut chunked = false;
        if !may_have_content(status) {
            fields.remove(header::CONTENT_LENGTH);
        } else if self.method != Method::HEAD {
            match length {
                Some(length) => {
                    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                }
                None => chunked = !fields.contains_key(header::CONTENT_LENGTH),
            }
        }
        let old = matches!(self.version, Version::HTTP_09 | Version::HTTP_10);
        let first = matches!(self.version, Version::HTTP_09 | Version::HTTP_10 | Version::HTTP_11);
        // To an HTTP/1.0 client, content of unknown length ends with the connection.
        if first && (self.close || (old && chunked)) {
            fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
        } else if old {
            fields.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        }
        let reason = status.canonical_reason().unwrap_or("");
        let line = "HTTP/1.1 200 ".len() + reason.len() + 2;
        let framing = if chunked && !old { "transfer-encoding: chunked\r\n".len() } else { 0 };
        octets(line + framing + fields_len(response.headers()) + 2)
    }
}

/// The octets of a request's head.
#[must_use]
pub fn request_head<B>(request: &Request<B>) -> u64 {
    let target = match request.version() {
        Version::HTTP_09 | Version::HTTP_10 | Version::HTTP_11 => request.uri().to_string().len(),
        _ => {
            // The authority stands in the URI instead of a field.
            let host = request.uri().authority().map_or(0, |host| host.as_str().len() + 8);
            request.uri().path_and_query().map_or(1, |path| path.as_str().len()) + host
        }
    };
    let line = request.method().as_str().len() + 1 + target + " HTTP/1.1\r\n".len();
    octets(line + fields_len(request.headers()) + 2)
}

/// The octets of a request's head, read in place, as [`request_head`] counts them.
#[must_use]
pub fn head_octets(head: &Head<'_>) -> u64 {
    let line = head.method.len() + 1 + head.target.len() + " HTTP/1.1\r\n".len();
    let fields = head.fields.iter().map(|field| field.name.len() + field.value.len() + 4);
    octets(line + fields.sum::<usize>() + 2)
}

fn fields_len(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn octets(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Whether a response with `status` has content (RFC 9110 6.4.1).
pub(crate) fn may_have_content(status: StatusCode) -> bool {
    !(status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED)
}
