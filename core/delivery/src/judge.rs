//! May this request be served (networks, pages that embed, TLS), or is it answered here?

use std::net::IpAddr;

use http::{HeaderMap, Method, StatusCode, Uri, header};
use ipnet::IpNet;
use popnet_terms::CacheReason;
use popnet_wire::delivery::Delivery;

use crate::cors;

/// What a request is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its method.
    pub method: &'a Method,
    /// It came with TLS.
    pub tls: bool,
    /// In lower case, without port.
    pub host: &'a str,
    /// The path and the query as they were sent.
    pub path_and_query: &'a str,
    /// Who asks, as far as that is known.
    pub client: Option<IpAddr>,
    /// Its fields.
    pub fields: &'a HeaderMap,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is served.
    Serve,
    /// It is answered here, and goes no further.
    Answer(Box<Answer>),
}

/// An answer made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Why.
    pub reason: CacheReason,
    /// What a person reads; empty where nobody does.
    pub what: String,
    /// Its own fields.
    pub fields: HeaderMap,
}

impl Answer {
    fn refusal(reason: CacheReason, what: String) -> Verdict {
        let (status, fields) = (StatusCode::FORBIDDEN, HeaderMap::new());
        Verdict::Answer(Box::new(Self { status, reason, what, fields }))
    }
}

/// What becomes of the request, but for how often its client asks.
#[must_use]
pub fn judge(delivery: &Delivery, facts: &Facts<'_>) -> Verdict {
    if let Some(what) = shut_out(delivery, facts.client).or_else(|| embedded(delivery, facts)) {
        return Answer::refusal(CacheReason::AccessDenied, what);
    }
    if delivery.https && !facts.tls {
        return redirect(facts);
    }
    if let Some(fields) = delivery.cors.as_ref().and_then(|cors| cors::preflight(cors, facts)) {
        let (status, what) = (StatusCode::NO_CONTENT, String::new());
        let reason = CacheReason::CorsPreflight;
        return Verdict::Answer(Box::new(Answer { status, reason, what, fields }));
    }
    Verdict::Serve
}

/// Why a client may not be served for where it is.
fn shut_out(delivery: &Delivery, client: Option<IpAddr>) -> Option<String> {
    let client = client.map(|client| client.to_canonical());
    let is_in = |list: &[IpNet]| {
        client.is_some_and(|client| list.iter().any(|network| network.contains(&client)))
    };
    let is_out = is_in(&delivery.deny) || (!delivery.allow.is_empty() && !is_in(&delivery.allow));
    is_out.then(|| "The site does not serve your network.".to_owned())
}

/// Why the page that embeds the content may not. Who sends no `Referer` is served: browsers may
/// leave it out.
fn embedded(delivery: &Delivery, facts: &Facts<'_>) -> Option<String> {
    if delivery.referrers.is_empty() {
        return None;
    }
    let referrer = facts.fields.get(header::REFERER)?;
    let page: Option<Uri> = referrer.to_str().ok().and_then(|text| text.parse().ok());
    let host = page.as_ref().and_then(Uri::host).unwrap_or_default().to_ascii_lowercase();
    let is_listed = |listed: &str| match listed.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')),
        None => host == *listed,
    };
    let admits = host == facts.host || delivery.referrers.iter().any(|listed| is_listed(listed));
    (!admits).then(|| format!("The site's content is not for pages of {host:?}."))
}

/// The same URL with TLS. Status 308, so that the method stays what it is (RFC 9110 15.4.9).
fn redirect(facts: &Facts<'_>) -> Verdict {
    let path = if facts.path_and_query == "*" { "" } else { facts.path_and_query };
    let location = format!("https://{}{path}", facts.host);
    let mut fields = HeaderMap::new();
    if let Ok(location) = location.parse() {
        fields.insert(header::LOCATION, location);
    }
    Verdict::Answer(Box::new(Answer {
        status: StatusCode::PERMANENT_REDIRECT,
        reason: CacheReason::HttpsOnly,
        what: format!("This site is served with TLS only: {location}"),
        fields,
    }))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn status(delivery: &Delivery, tls: bool, client: &str, referrer: Option<&str>) -> u16 {
        let mut fields = HeaderMap::new();
        if let Some(referrer) = referrer {
            fields.insert(header::REFERER, HeaderValue::from_str(referrer).unwrap());
        }
        let facts = Facts {
            method: &Method::GET,
            tls,
            host: "www.acme.test",
            path_and_query: "/a?b=c",
            client: client.parse().ok(),
            fields: &fields,
        };
        match judge(delivery, &facts) {
            Verdict::Serve => 200,
            Verdict::Answer(answer) => {
                if let Some(location) = answer.fields.get(header::LOCATION) {
                    assert_eq!(location, "https://www.acme.test/a?b=c");
                }
                answer.status.as_u16()
            }
        }
    }

    #[test]
    fn networks() {
        let delivery = Delivery {
            allow: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            deny: vec!["192.0.2.66/32".parse().unwrap()],
            ..Delivery::default()
        };
        for (client, expected) in [
            ("192.0.2.1", 200),
            ("::ffff:192.0.2.1", 200),
            ("192.0.2.66", 403),
            ("::ffff:192.0.2.66", 403),
            ("2001:db8::1", 200),
            ("198.51.100.1", 403),
            ("not known", 403),
        ] {
            assert_eq!(status(&delivery, false, client, None), expected, "{client}");
        }
        let open = Delivery { allow: Vec::new(), ..delivery };
        assert_eq!(status(&open, false, "not known", None), 200);
    }

    #[test]
    fn pages() {
        let delivery = Delivery {
            referrers: vec!["*.acme.test".into(), "shop.example".into()],
            ..Delivery::default()
        };
        for (page, expected) in [
            (None, 200),
            (Some("https://www.acme.test/x"), 200),
            (Some("https://a.b.ACME.test:8443/x?y"), 200),
            (Some("http://shop.example/"), 200),
            (Some("https://acme.test/"), 403),
            (Some("https://evil-acme.test/"), 403),
            (Some("https://shop.example.evil.test/"), 403),
            (Some("nonsense with blanks"), 403),
            (Some(""), 403),
        ] {
            assert_eq!(status(&delivery, false, "192.0.2.1", page), expected, "{page:?}");
        }
    }

    #[test]
    fn with_tls_only() {
        let delivery = Delivery { https: true, ..Delivery::default() };
        assert_eq!(status(&delivery, false, "192.0.2.1", None), 308);
        assert_eq!(status(&delivery, true, "192.0.2.1", None), 200);
    }
}
