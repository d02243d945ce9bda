//! Why an exchange with a next hop failed (RFC 9209 section 2.3).

use std::error::Error as StdError;
use std::io;

use http::StatusCode;

/// A failed exchange.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail} ({next_hop})", kind.token())]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// Whom it was with; empty when nobody could be found.
    pub next_hop: String,
    /// In words.
    pub detail: String,
}

/// Kinds of failure, each a proxy error type of RFC 9209.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// There is nobody to ask.
    NoServer,
    /// The name of the next hop has no address.
    Dns,
    /// It refused the connection.
    Refused,
    /// No way there.
    Unroutable,
    /// It did not accept in time.
    ConnectTimeout,
    /// All allowed connections to it are in use.
    Overload,
    /// TLS could not be agreed on, or its certificate is not right.
    Tls,
    /// It broke the connection before an answer.
    Terminated,
    /// No first octet in time.
    ResponseTimeout,
    /// It stalled in the middle.
    ReadTimeout,
    /// The content ended before its end.
    Incomplete,
    /// What it said is not HTTP.
    Protocol,
    /// The client broke off its own request.
    Request,
    /// The content broke off here.
    Internal,
}

impl FailureKind {
    /// The error type's name.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::NoServer => "destination_unavailable",
            Self::Dns => "dns_error",
            Self::Refused => "connection_refused",
            Self::Unroutable => "destination_ip_unroutable",
            Self::ConnectTimeout => "connection_timeout",
            Self::Overload => "connection_limit_reached",
            Self::Tls => "tls_protocol_error",
            Self::Terminated => "connection_terminated",
            Self::ResponseTimeout => "http_response_timeout",
            Self::ReadTimeout => "connection_read_timeout",
            Self::Incomplete => "http_response_incomplete",
            Self::Protocol => "http_protocol_error",
            Self::Request => "http_request_error",
            Self::Internal => "proxy_internal_error",
        }
    }

    /// The status that a client gets.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::ConnectTimeout | Self::ResponseTimeout | Self::ReadTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Overload => StatusCode::SERVICE_UNAVAILABLE,
            Self::Request => StatusCode::BAD_REQUEST,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoServer
            | Self::Dns
            | Self::Refused
            | Self::Unroutable
            | Self::Tls
            | Self::Terminated
            | Self::Incomplete
            | Self::Protocol => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether the next hop certainly did not act on the request, so that another may be asked.
    #[must_use]
    pub fn is_before_request(self) -> bool {
        matches!(
            self,
            Self::NoServer
                | Self::Dns
                | Self::Refused
                | Self::Unroutable
                | Self::ConnectTimeout
                | Self::Overload
                | Self::Tls
        )
    }
}

impl Failure {
    /// A failure with `next_hop`.
    #[must_use]
    pub fn new(kind: FailureKind, next_hop: &str, detail: impl Into<String>) -> Self {
        Self { kind, next_hop: next_hop.to_owned(), detail: detail.into() }
    }

    /// What a connection attempt's error means.
    #[must_use]
    pub fn of_connect(error: &io::Error, next_hop: &str) -> Self {
        use io::ErrorKind as Kind;
        let is = |kinds: &[Kind]| kinds.contains(&error.kind());
        let kind = if is(&[Kind::ConnectionRefused, Kind::NotFound]) {
            FailureKind::Refused
        } else if is(&[Kind::TimedOut]) {
            FailureKind::ConnectTimeout
        } else if is(&[Kind::ConnectionReset, Kind::UnexpectedEof, Kind::BrokenPipe]) {
            FailureKind::Terminated
        } else if is(&[Kind::HostUnreachable, Kind::NetworkUnreachable, Kind::AddrNotAvailable]) {
            FailureKind::Unroutable
        } else if is(&[Kind::InvalidData]) {
            FailureKind::Tls
        } else {
            // What is left of connecting is finding the name's address.
            FailureKind::Dns
        };
        Self::new(kind, next_hop, error.to_string())
    }

    /// What hyper's error means.
    #[must_use]
    pub fn of_exchange(error: &hyper::Error, next_hop: &str) -> Self {
        let kind = if error.is_user() || error.is_body_write_aborted() {
            FailureKind::Request
        } else if error.is_timeout() {
            FailureKind::ResponseTimeout
        } else if error.is_parse() || error.is_parse_too_large() {
            FailureKind::Protocol
        } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            FailureKind::Terminated
        } else {
            match io_source(error).map(io::Error::kind) {
                Some(io::ErrorKind::TimedOut) => FailureKind::ReadTimeout,
                Some(io::ErrorKind::InvalidData) => FailureKind::Tls,
                Some(_) => FailureKind::Terminated,
                None => FailureKind::Protocol,
            }
        };
        Self::new(kind, next_hop, innermost(error))
    }

    /// What hyper's error in the middle of content means.
    #[must_use]
    pub fn of_content(error: &hyper::Error, next_hop: &str) -> Self {
        let found = Self::of_exchange(error, next_hop);
        match found.kind {
            // A short body, whether by a clean end or by a reset, is the same to who waits for it.
            FailureKind::Terminated | FailureKind::Request => {
                Self { kind: FailureKind::Incomplete, ..found }
            }
            FailureKind::NoServer
            | FailureKind::Dns
            | FailureKind::Refused
            | FailureKind::Unroutable
            | FailureKind::ConnectTimeout
            | FailureKind::Overload
            | FailureKind::Tls
            | FailureKind::ResponseTimeout
            | FailureKind::ReadTimeout
            | FailureKind::Incomplete
            | FailureKind::Protocol
            | FailureKind::Internal => found,
        }
    }
}

fn io_source(error: &hyper::Error) -> Option<&io::Error> {
    let mut source = StdError::source(error);
    while let Some(inner) = source {
        if let Some(found) = inner.downcast_ref() {
            return Some(found);
        }
        source = inner.source();
    }
    None
}

/// The last error of the chain says what happened; those around it only where.
fn innermost(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = StdError::source(error);
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}
