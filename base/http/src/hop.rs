//! Fields that belong to one connection (RFC 9110 7.6.1) and to our own tiers.

use http::{HeaderMap, HeaderName, header};

use crate::list;

/// Takes away what belongs to the connection a message came over: `Connection` and every field it
/// names, and those that are known to be so without being named.
pub fn strip(fields: &mut HeaderMap) {
    if fields.contains_key(header::CONNECTION) {
        let named = list::names(fields.get_all(header::CONNECTION).iter().map(|v| v.as_bytes()));
        for name in named {
            // Naming these would only be an attempt to make us drop what a message needs.
            if !matches!(name.as_str(), "host" | "content-length" | "cache-control" | "*") {
                fields.remove(name.as_str());
            }
        }
    }
    for name in CONNECTION_FIELDS {
        fields.remove(name);
    }
}

// `Alt-Svc` is not one by its own RFC (7838), but other ways to an origin's port are none to ours.
const CONNECTION_FIELDS: [&str; 10] = [
    "alt-svc",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a field is one that only our tiers say to each other.
#[must_use]
pub fn is_internal(name: &HeaderName) -> bool {
    name.as_str().starts_with("popnet-")
}

/// Takes away every field whose name starts with `popnet-`: what our tiers tell each other is
/// nobody else's to say or to read. Returns what it took.
pub fn take_internal(fields: &mut HeaderMap) -> HeaderMap {
    let names: Vec<HeaderName> = fields.keys().filter(|name| is_internal(name)).cloned().collect();
    let mut taken = HeaderMap::new();
    for name in names {
        if let header::Entry::Occupied(entry) = fields.entry(&name) {
            for value in entry.remove_entry_mult().1 {
                taken.append(name.clone(), value);
            }
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripped() {
        let mut fields = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-one, close, cache-control"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("cache-control", "no-store"),
            ("te", "trailers"),
            ("popnet-a", "1"),
            ("popnet-b", "2"),
        ] {
            fields.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        fields.append("popnet-a", "3".parse().unwrap());
        assert_eq!(take_internal(&mut fields).len(), 3);
        strip(&mut fields);
        let mut left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["cache-control", "x-two"]);
    }
}
