//! `Cache-Status` (RFC 9211) and `Proxy-Status` (RFC 9209): what became of a request here.

use sfv::{KeyRef, ListSerializer, RefBareItem, StringRef, TokenRef};

/// Why a request went forward, in the words of RFC 9211 2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// The cache was told not to handle it.
    Bypass,
    /// Its method has to go forward.
    Method,
    /// Nothing is stored for the URL.
    UriMiss,
    /// Something is stored for the URL, but not for such a request.
    VaryMiss,
    /// Something was stored, but not what the request's directives ask for.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored is a part only.
    Partial,
}

impl Forwarded {
    /// The word.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// One member of `Cache-Status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus<'a> {
    /// The cache's name, such as `mem.fra1`.
    pub cache: &'a str,
    /// Answered from store.
    pub hit: bool,
    /// Why it went forward.
    pub forwarded: Option<Forwarded>,
    /// The status that came back, where it differs from the one sent.
    pub forward_status: Option<u16>,
    /// The answer was stored.
    pub stored: bool,
    /// The request waited for another's answer.
    pub collapsed: bool,
    /// Remaining lifetime, negative when stale.
    pub ttl: Option<i64>,
    /// Our reason code.
    pub detail: Option<&'a str>,
}

impl CacheStatus<'_> {
    /// The member as text.
    #[must_use]
    pub fn print(&self) -> String {
        let mut list = ListSerializer::new();
        {
            let mut item = list.bare_item(name(self.cache));
            if self.hit {
                item = item.parameter(key("hit"), true);
            }
            if let Some(forwarded) = self.forwarded {
                item = item.parameter(key("fwd"), token(forwarded.token()));
            }
            if let Some(status) = self.forward_status {
                item = item.parameter(key("fwd-status"), sfv::Integer::from(status));
            }
            if self.stored {
                item = item.parameter(key("stored"), true);
            }
            if self.collapsed {
                item = item.parameter(key("collapsed"), true);
            }
            if let Some(ttl) = self.ttl {
                item = item.parameter(
                    key("ttl"),
                    sfv::Integer::try_from(ttl).unwrap_or(sfv::Integer::from(0)),
                );
            }
            if let Some(detail) = self.detail {
                let _ = item.parameter(key("detail"), token(detail));
            }
        }
        spaced(&list.finish().unwrap_or_default())
    }
}

/// One member of `Proxy-Status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyStatus<'a> {
    /// Who says so.
    pub proxy: &'a str,
    /// A proxy error type of RFC 9209 2.3.
    pub error: &'a str,
    /// Whom it was about to ask.
    pub next_hop: Option<&'a str>,
    /// More in words.
    pub details: Option<&'a str>,
}

impl ProxyStatus<'_> {
    /// The member as text.
    #[must_use]
    pub fn print(&self) -> String {
        let mut list = ListSerializer::new();
        {
            let mut item =
                list.bare_item(name(self.proxy)).parameter(key("error"), token(self.error));
            if let Some(next) = self.next_hop.and_then(|text| StringRef::from_str(text).ok()) {
                item = item.parameter(key("next-hop"), next);
            }
            if let Some(text) = self.details.and_then(|text| StringRef::from_str(text).ok()) {
                let _ = item.parameter(key("details"), text);
            }
        }
        spaced(&list.finish().unwrap_or_default())
    }
}

/// The same with a space after each semicolon outside strings, as the examples of RFC 9211 and
/// RFC 9209 have it and people read it more easily.
fn spaced(text: &str) -> String {
    let mut quoted = false;
    let mut escaped = false;
    let mut spaced = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        spaced.push(character);
        if escaped {
            escaped = false;
        } else if quoted && character == '\\' {
            escaped = true;
        } else if character == '"' {
            quoted = !quoted;
        } else if character == ';' && !quoted {
            spaced.push(' ');
        }
    }
    spaced
}

fn key(text: &'static str) -> &'static KeyRef {
    KeyRef::from_str(text).expect("parameter names here are keys")
}

/// A token where the text is one, else a string, else nothing of it.
fn name(text: &str) -> RefBareItem<'_> {
    match (TokenRef::from_str(text), StringRef::from_str(text)) {
        (Ok(token), _) => token.into(),
        (Err(_), Ok(string)) => string.into(),
        (Err(_), Err(_)) => false.into(),
    }
}

fn token(text: &str) -> RefBareItem<'_> {
    name(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_status() {
        let hit =
            CacheStatus { cache: "mem.nrt1", hit: true, ttl: Some(54), ..CacheStatus::default() };
        assert_eq!(hit.print(), "mem.nrt1; hit; ttl=54");
        let miss = CacheStatus {
            cache: "disk.nrt1",
            forwarded: Some(Forwarded::UriMiss),
            forward_status: Some(200),
            stored: true,
            collapsed: true,
            ttl: Some(-3),
            detail: Some("NEVER_SEEN"),
            ..CacheStatus::default()
        };
        let text =
            "disk.nrt1; fwd=uri-miss; fwd-status=200; stored; collapsed; ttl=-3; detail=NEVER_SEEN";
        assert_eq!(miss.print(), text);
    }

    #[test]
    fn proxy_status() {
        let status = ProxyStatus {
            proxy: "mem.nrt1",
            error: "connection_refused",
            next_hop: Some("127.0.0.1:80"),
            details: Some("say \"no\"; or"),
        };
        let text = r#"mem.nrt1; error=connection_refused; next-hop="127.0.0.1:80"; details="say \"no\"; or""#;
        assert_eq!(status.print(), text);
    }
}
