//! A response's head as it is written, and how its content is framed (RFC 9112 section 6).

use http::response::Parts;
use http::{Method, Version, header};
use http_body::Body as _;

use super::output::Output;
use crate::body::Body;
use crate::measure::{Framing, may_have_content};

/// How the end of a response's content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framed {
    /// There is none.
    Without,
    Length(u64),
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

impl Framed {
    /// Of a response to a request with `framing`.
    pub(crate) fn of(parts: &Parts, body: &Body, framing: &Framing) -> Self {
        if framing.method == Method::HEAD || !may_have_content(parts.status) {
            return Self::Without;
        }
        let said = parts.headers.get(header::CONTENT_LENGTH);
        let said = said.and_then(|value| value.to_str().ok()?.parse().ok());
        match said.or_else(|| body.size_hint().exact()) {
            Some(length) => Self::Length(length),
            None if framing.version == Version::HTTP_11 => Self::Chunked,
            None => Self::UntilClose,
        }
    }
}

/// Writes a head; `close` when the connection ends with the response.
pub(crate) fn write_head(out: &mut Output, parts: &Parts, framed: Framed, close: bool) {
    out.begin(parts.status, &parts.headers);
    match framed {
        Framed::Length(length) if !parts.headers.contains_key(header::CONTENT_LENGTH) => {
            out.add(format!("content-length: {length}\r\n").as_bytes());
        }
        Framed::Chunked if !parts.headers.contains_key(header::TRANSFER_ENCODING) => {
            out.add(b"transfer-encoding: chunked\r\n");
        }
        Framed::Without | Framed::Length(_) | Framed::Chunked | Framed::UntilClose => {}
    }
    if close && !parts.headers.contains_key(header::CONNECTION) {
        out.add(b"connection: close\r\n");
    }
    out.add(b"\r\n");
}
