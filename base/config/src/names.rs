//! Which texts are names in the DNS.

/// Longest label in octets (RFC 1035 2.3.4).
const LABEL_MAX: usize = 63;
/// Longest name as text without its final dot (RFC 1035 2.3.4: 255 octets on the wire).
const NAME_MAX: usize = 253;

/// Whether `text` is one label of a hostname in lower case: letters, digits and inner hyphens
/// (RFC 1123 2.1).
pub(crate) fn is_label(text: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    (1..=LABEL_MAX).contains(&text.len())
        && text.bytes().all(fits)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether `text` is a hostname in lower case without a final dot.
pub(crate) fn is_hostname(text: &str) -> bool {
    text.len() <= NAME_MAX && text.split('.').all(is_label)
}

/// Whether `text` may be a zone's name: a hostname, labels with `_` allowed (RFC 8552), and the
/// slashes of RFC 2317 delegations.
pub(crate) fn is_zone(text: &str) -> bool {
    let plain = text.replace(['_', '/'], "x");
    is_hostname(&plain)
}

/// Whether `text` is a key that also serves as a label: hyphens and inner underscores allowed.
pub(crate) fn is_key(text: &str) -> bool {
    !text.starts_with('_') && is_label(&text.replace('_', "x"))
}

/// `text` as a hostname, when only its spelling is wrong: capitals, a final dot, a scheme, a path.
pub(crate) fn respelt(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let text = text.strip_prefix("https://").or(text.strip_prefix("http://")).unwrap_or(&text);
    let host = text.split('/').next().unwrap_or(text).trim_end_matches('.').replace('_', "-");
    is_hostname(&host).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames() {
        for good in ["a", "www.example.net", "xn--bcher-kva.example", "1.2.3.a"] {
            assert!(is_hostname(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", ".", "a.", "A.b", "a..b", "-a", "a-", "a_b", "bücher.example", &long] {
            assert!(!is_hostname(bad), "{bad}");
        }
        assert!(is_zone("64/26.2.0.192.in-addr.arpa"));
        assert!(is_key("acme_www") && !is_key("_network"));
    }

    #[test]
    fn spellings() {
        assert_eq!(respelt("HTTPS://WWW.Example.net./x").as_deref(), Some("www.example.net"));
        assert_eq!(respelt("bücher.example"), None);
    }
}
