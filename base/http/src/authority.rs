//! Hosts with an optional port, as `Host` and URIs have them.

use std::net::Ipv6Addr;

/// A host in lower case, without a final dot, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Name, IPv4 address, or IPv6 address in brackets.
    pub host: String,
    /// Port, when one is given.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads `host[:port]`. `None` for anything that is not a plain host: user information, empty
    /// names, characters that no host has.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (host, port) = if text.starts_with('[') {
            let end = text.find(']')? + 1;
            let (host, rest) = text.split_at_checked(end)?;
            let address = host.strip_prefix('[')?.strip_suffix(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            match rest.strip_prefix(':') {
                Some(port) => (host, port),
                None if rest.is_empty() => (host, ""),
                None => return None,
            }
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, port),
                None => (text, ""),
            }
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let fits = host.starts_with('[') || host.bytes().all(is_name_octet);
        let hollow = host.starts_with('.') || host.ends_with('.') || host.contains("..");
        if host.is_empty() || host.len() > 253 || !fits || hollow {
            return None;
        }
        let port = match port {
            "" => None,
            digits if digits.bytes().all(|octet| octet.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            _ => return None,
        };
        Some(Self { host: host.to_ascii_lowercase(), port })
    }
}

fn is_name_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        type Case = (&'static str, Option<(&'static str, Option<u16>)>);
        let cases: &[Case] = &[
            ("A.Test", Some(("a.test", None))),
            ("a.test.:80", Some(("a.test", Some(80)))),
            ("a.test:", Some(("a.test", None))),
            ("[::1]:8080", Some(("[::1]", Some(8080)))),
            ("127.0.0.1:1", Some(("127.0.0.1", Some(1)))),
            ("", None),
            (":80", None),
            (".", None),
            ("a.test..", None),
            ("a..test", None),
            ("user@host", None),
            ("a b", None),
            ("a/b", None),
            ("host:+80", None),
            ("host:99999", None),
            ("[::1", None),
            ("[zz]:1", None),
            ("[::1]x", None),
        ];
        for (text, expected) in cases {
            let found = Authority::read(text);
            let found = found.as_ref().map(|it| (it.host.as_str(), it.port));
            assert_eq!(found, *expected, "{text}");
        }
    }
}
