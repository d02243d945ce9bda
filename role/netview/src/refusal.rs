//! "No" in words: as a page for people, as problem+json (RFC 9457) for programs.

use askama::Template;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use popnet_wire::control::Problem;
use serde_json::json;

use crate::users::UsersError;

/// Why a request is not answered as asked.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: String,
    what: String,
    next: String,
    wait: Option<u64>,
    /// The asker is a program.
    api: bool,
    /// Where a person is sent to log in.
    login: Option<String>,
}

impl Refusal {
    fn new(status: StatusCode, code: &str, what: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            what: what.into(),
            next: String::new(),
            wait: None,
            api: false,
            login: None,
        }
    }

    /// There is no such thing, or not for these eyes: nobody learns which.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "W0404", "There is nothing here.")
    }

    /// The role does not allow it, on something that it may see.
    pub(crate) fn not_allowed(what: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "W0403", what)
    }

    /// Nobody is logged in; `back` is where to go afterwards.
    pub(crate) fn log_in(back: &str) -> Self {
        let mut no = Self::new(StatusCode::UNAUTHORIZED, "W0401", "Nobody is logged in.");
        no.login = Some(format!("/login?next={}", encode(back)));
        no
    }

    /// The request does not make sense.
    pub(crate) fn bad(what: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "W0400", what)
    }

    /// The request comes from another site, or carries no token of a form of ours.
    pub(crate) fn foreign(what: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "W0410", what)
    }

    /// Addressed to a name that is not ours.
    pub(crate) fn misdirected() -> Self {
        let what = "This address is not one of NetView's names.";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "W0421", what)
    }

    /// Too much at a time.
    pub(crate) fn busy(what: &str, wait: u64) -> Self {
        let mut no = Self::new(StatusCode::SERVICE_UNAVAILABLE, "W0503", what);
        no.wait = Some(wait);
        no
    }

    /// The same for a program.
    pub(crate) fn for_api(mut self, api: bool) -> Self {
        self.api = api;
        self
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let status = match problem.exit {
            3 => StatusCode::NOT_FOUND,
            4 => StatusCode::FORBIDDEN,
            5 => StatusCode::CONFLICT,
            _ => StatusCode::BAD_GATEWAY,
        };
        let mut no = Self::new(status, &problem.code, problem.what);
        no.next = problem.next;
        no
    }
}

impl From<UsersError> for Refusal {
    fn from(error: UsersError) -> Self {
        tracing::error!(%error, "the users' file fails");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "W0500", "The users' file fails.")
    }
}

impl From<askama::Error> for Refusal {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "a page cannot be written");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "W0502", "The page cannot be written.")
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Page<'a> {
    status: u16,
    title: &'a str,
    what: &'a str,
    next: &'a str,
    code: &'a str,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        if self.api {
            return self.problem_json(title);
        }
        if let Some(login) = &self.login {
            return Redirect::to(login).into_response();
        }
        let page = Page {
            status: self.status.as_u16(),
            title,
            what: &self.what,
            next: &self.next,
            code: &self.code,
        };
        let text = page.render().unwrap_or_else(|_| title.to_owned());
        let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
        with_wait((self.status, kind, text).into_response(), self.wait)
    }
}

impl Refusal {
    fn problem_json(self, title: &str) -> Response {
        let body = json!({
            "type": format!("urn:popnet:problem:{}", self.code),
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.what,
            "code": self.code,
            "next": self.next,
        });
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        with_wait(response, self.wait)
    }
}

fn with_wait(mut response: Response, wait: Option<u64>) -> Response {
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A path as a query value.
fn encode(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/-._~".contains(&octet);
    let print = |octet: u8| {
        if plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") }
    };
    text.bytes().map(print).collect()
}
