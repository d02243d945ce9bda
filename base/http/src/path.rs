//! Paths as a server that resolves them would see them.

use std::borrow::Cow;

/// `path` (no query) with every percent-encoding read, dot segments resolved (RFC 3986 6.2.2) and
/// empty segments left out. Servers differ in what of this they do before they look for a
/// resource; who guards a path has to think of all of it.
///
/// ```
/// use popnet_field::path::resolved;
///
/// assert_eq!(resolved("/app//%2e%2e/%70rivate/x"), "/private/x");
/// assert_eq!(resolved("/app/page"), "/app/page");
/// ```
#[must_use]
pub fn resolved(path: &str) -> Cow<'_, str> {
    let is_plain = !path.contains(['%', '\\']) && !path.contains("//") && !path.contains("/.");
    if is_plain {
        return Cow::Borrowed(path);
    }
    let read = decoded(path.as_bytes());
    let text = String::from_utf8_lossy(&read).replace('\\', "/");
    let mut kept: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let is_folder = ["/", "/.", "/.."].iter().any(|end| text.ends_with(end));
    let mut whole = String::with_capacity(path.len());
    for segment in &kept {
        whole.push('/');
        whole.push_str(segment);
    }
    if is_folder || kept.is_empty() {
        whole.push('/');
    }
    Cow::Owned(whole)
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut read = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, others)) = rest.split_first() {
        let digit = |at: usize| others.get(at).and_then(|octet| char::from(*octet).to_digit(16));
        match (digit(0), digit(1)) {
            (Some(high), Some(low)) if *first == b'%' => {
                read.push(u8::try_from(high << 4 | low).unwrap_or(b'%'));
                rest = others.get(2..).unwrap_or_default();
            }
            _ => {
                read.push(*first);
                rest = others;
            }
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_the_same_place() {
        for way in [
            "/private/x",
            "/%70rivate/x",
            "/%50%52/../private/x",
            "/a/../private/x",
            "/a/%2e%2e/private/x",
            "/a/..%2fprivate%2Fx",
            "//private//x",
            "/./private/./x",
            "/../../private/x",
            "/a/..\\private\\x",
        ] {
            assert_eq!(resolved(way), "/private/x", "{way}");
        }
        for (way, expected) in [
            ("/", "/"),
            ("", ""),
            ("/a/", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/..", "/"),
            ("/100%", "/100%"),
            ("/%zz/%4", "/%zz/%4"),
            ("/%2570", "/%70"),
            ("/.well-known/x", "/.well-known/x"),
        ] {
            assert_eq!(resolved(way), expected, "{way}");
        }
    }
}
