//! Leave for scripts of other origins (the Fetch standard, section 3.3), given here so that one
//! stored response serves them all.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use popnet_wire::delivery::Cors;

use crate::judge::Facts;

/// Methods that need no leave.
const SAFE: [&str; 3] = ["GET", "HEAD", "POST"];

/// The fields of the answer to a browser's question whether a script may ask; `None`: it is no
/// such question. Who gets no leave is told nothing, and the browser does not ask.
pub(crate) fn preflight(cors: &Cors, facts: &Facts<'_>) -> Option<HeaderMap> {
    let origin = facts.fields.get(ORIGIN)?;
    let method = facts.fields.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    (*facts.method == Method::OPTIONS).then_some(())?;
    let mut fields = HeaderMap::new();
    vary(cors, &mut fields);
    let asks_method = method.to_str().unwrap_or_default();
    let has_method =
        SAFE.contains(&asks_method) || cors.methods.iter().any(|known| **known == *asks_method);
    let names = facts.fields.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let has_names =
        names.flat_map(|line| line.as_bytes().split(|octet| *octet == b',')).all(|name| {
            let name = name.trim_ascii();
            name.is_empty() || cors.headers.iter().any(|n| n.as_bytes().eq_ignore_ascii_case(name))
        });
    let Some(leave) = leave(cors, origin).filter(|_| has_method && has_names) else {
        return Some(fields);
    };
    fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, leave);
    let own = cors.methods.iter().map(AsRef::as_ref);
    let methods: Vec<&str> = SAFE.into_iter().chain(own).collect();
    list(&mut fields, ACCESS_CONTROL_ALLOW_METHODS, &methods);
    let headers: Vec<&str> = cors.headers.iter().map(AsRef::as_ref).collect();
    list(&mut fields, ACCESS_CONTROL_ALLOW_HEADERS, &headers);
    if cors.credentials {
        fields.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    if let Some(age) = cors.max_age {
        fields.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(age.0));
    }
    Some(fields)
}

/// Gives a response the leave for a script of `origin`, in place of what its origin server says.
pub(crate) fn give(cors: &Cors, origin: Option<&HeaderValue>, fields: &mut HeaderMap) {
    for name in [
        ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        ACCESS_CONTROL_EXPOSE_HEADERS,
    ] {
        fields.remove(name);
    }
    vary(cors, fields);
    let star = HeaderValue::from_static("*");
    let leave = if is_same_for_all(cors) {
        Some(star)
    } else {
        origin.and_then(|origin| leave(cors, origin))
    };
    let Some(leave) = leave else { return };
    fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, leave);
    let expose: Vec<&str> = cors.expose.iter().map(AsRef::as_ref).collect();
    list(fields, ACCESS_CONTROL_EXPOSE_HEADERS, &expose);
    if cors.credentials {
        fields.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

/// Whether everybody gets the same leave, so that no answer depends on who asks.
#[must_use]
pub fn is_same_for_all(cors: &Cors) -> bool {
    !cors.credentials && cors.origins.iter().any(|origin| **origin == *"*")
}

fn leave(cors: &Cors, origin: &HeaderValue) -> Option<HeaderValue> {
    if is_same_for_all(cors) {
        return Some(HeaderValue::from_static("*"));
    }
    let is_listed = cors.origins.iter().any(|known| known.as_bytes() == origin.as_bytes());
    is_listed.then(|| origin.clone())
}

fn vary(cors: &Cors, fields: &mut HeaderMap) {
    if !is_same_for_all(cors) {
        fields.append(VARY, HeaderValue::from_static("Origin"));
    }
}

fn list(fields: &mut HeaderMap, name: HeaderName, words: &[&str]) {
    if let Ok(value) = HeaderValue::try_from(words.join(", "))
        && !words.is_empty()
    {
        fields.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use popnet_terms::Seconds;

    use super::*;

    fn cors() -> Cors {
        Cors {
            origins: vec!["https://app.test".into()],
            methods: vec!["PUT".into()],
            headers: vec!["x-token".into()],
            expose: vec!["x-total".into()],
            credentials: true,
            max_age: Some(Seconds(600)),
        }
    }

    fn asked(cors: &Cors, origin: &str, method: &str, headers: &str) -> Option<HeaderMap> {
        let mut fields = HeaderMap::new();
        fields.insert(ORIGIN, origin.parse().unwrap());
        fields.insert(ACCESS_CONTROL_REQUEST_METHOD, method.parse().unwrap());
        fields.insert(ACCESS_CONTROL_REQUEST_HEADERS, headers.parse().unwrap());
        let facts = Facts {
            method: &Method::OPTIONS,
            tls: true,
            host: "www.acme.test",
            path_and_query: "/",
            client: None,
            fields: &fields,
        };
        assert_eq!(preflight(cors, &Facts { method: &Method::GET, ..facts }), None);
        preflight(cors, &facts)
    }

    #[test]
    fn leave_is_asked_for() {
        let given = asked(&cors(), "https://app.test", "PUT", "X-Token, ").unwrap();
        assert_eq!(given[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.test");
        assert_eq!(given[ACCESS_CONTROL_ALLOW_METHODS], "GET, HEAD, POST, PUT");
        assert_eq!(given[ACCESS_CONTROL_ALLOW_HEADERS], "x-token");
        assert_eq!(given[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(given[ACCESS_CONTROL_MAX_AGE], "600");
        assert_eq!(given[VARY], "Origin");
        for (origin, method, headers) in [
            ("https://app.test.evil", "PUT", ""),
            ("https://app.test", "DELETE", ""),
            ("https://app.test", "PUT", "x-token, x-other"),
        ] {
            let given = asked(&cors(), origin, method, headers).unwrap();
            assert_eq!(given.get(ACCESS_CONTROL_ALLOW_ORIGIN), None, "{origin} {method}");
            assert_eq!(given[VARY], "Origin");
        }
    }

    #[test]
    fn one_stored_response_serves_all_origins() {
        let mut fields = HeaderMap::new();
        fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://old.test"));
        let mut own = fields.clone();
        give(&cors(), Some(&HeaderValue::from_static("https://app.test")), &mut own);
        assert_eq!(own[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.test");
        assert_eq!(own[ACCESS_CONTROL_EXPOSE_HEADERS], "x-total");
        let mut other = fields.clone();
        give(&cors(), Some(&HeaderValue::from_static("https://old.test")), &mut other);
        assert_eq!(other.get(ACCESS_CONTROL_ALLOW_ORIGIN), None);
        assert_eq!(other[VARY], "Origin");
        let open = Cors { origins: vec!["*".into()], credentials: false, ..cors() };
        give(&open, None, &mut fields);
        assert_eq!(fields[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(fields.get(VARY), None);
    }
}
