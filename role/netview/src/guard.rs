//! What every request passes before a route sees it, and every response on its way out: names that
//! are ours, writes from our own pages only, and headers that keep the browser strict.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::refusal::Refusal;

/// Nothing but our own script, style and events; no frame around us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      img-src 'self' data:; connect-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// The way in and out.
pub(crate) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let api = request.uri().path().starts_with("/api/");
    let asset = request.uri().path().starts_with("/assets/");
    let mut response = match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(no) => no.for_api(api).into_response(),
    };
    harden(response.headers_mut(), asset);
    response
}

fn check(app: &App, request: &Request) -> Result<(), Refusal> {
    let host = host(request).ok_or_else(Refusal::misdirected)?;
    if !is_ours(&host, &app.shared.domain) {
        return Err(Refusal::misdirected());
    }
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if safe || same_origin(request.headers()) {
        Ok(())
    } else {
        Err(Refusal::foreign("The request comes from another site."))
    }
}

fn host(request: &Request) -> Option<String> {
    let named = request.uri().host().map(str::to_owned);
    let field = request.headers().get(header::HOST).and_then(|field| field.to_str().ok());
    named
        .or_else(|| field.map(|field| without_port(field).to_owned()))
        .map(|host| host.to_ascii_lowercase())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// Names against DNS rebinding: an attacker can point a name of its own at us, so only names that
/// nobody else can own pass: addresses, `localhost`, and our own zone.
fn is_ours(host: &str, domain: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let below = |zone: &str| {
        host.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    bare.parse::<std::net::IpAddr>().is_ok()
        || below("localhost")
        || (!domain.is_empty() && below(&domain.to_ascii_lowercase()))
}

/// The browser's own word where a write comes from. Both fields missing: not a browser, so nobody's
/// cookie is abused.
fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    if let Some(site) = text(&HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin" || site == "none";
    }
    match (text(&header::ORIGIN), text(&header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, at)| at.eq_ignore_ascii_case(host))
        }
        (Some(_), None) => false,
    }
}

fn harden(headers: &mut HeaderMap, asset: bool) {
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::REFERRER_POLICY, "same-origin");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(header::CACHE_CONTROL, if asset { "max-age=86400" } else { "no-store" });
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::{is_ours, same_origin, without_port};

    #[test]
    fn hosts() {
        for host in [
            "127.0.0.1",
            "[::1]",
            "192.0.2.9",
            "localhost",
            "a.localhost",
            "cdn.test",
            "netview.cdn.test",
        ] {
            assert!(is_ours(host, "cdn.test"), "{host}");
        }
        for host in ["evil.test", "cdn.test.evil.test", "xcdn.test", "xlocalhost", ""] {
            assert!(!is_ours(host, "cdn.test"), "{host}");
        }
        assert!(!is_ours("anything", ""));
        assert_eq!(without_port("[::1]:7600"), "[::1]");
        assert_eq!(without_port("localhost:7600"), "localhost");
        assert_eq!(without_port("[::1]"), "[::1]");
    }

    #[test]
    fn origins() {
        let check = |fields: &[(&str, &str)], want: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(same_origin(&headers), want, "{fields:?}");
        };
        check(&[("sec-fetch-site", "same-origin")], true);
        check(&[("sec-fetch-site", "none")], true);
        check(&[("sec-fetch-site", "same-site")], false);
        check(
            &[("sec-fetch-site", "cross-site"), ("origin", "http://a:1"), ("host", "a:1")],
            false,
        );
        check(&[("origin", "http://a:1"), ("host", "a:1")], true);
        check(&[("origin", "http://evil"), ("host", "a:1")], false);
        check(&[("origin", "null"), ("host", "a:1")], false);
        check(&[("host", "a:1")], true);
    }
}
