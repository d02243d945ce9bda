//! Comma-separated lists (RFC 9110 5.6.1) with quoted strings.

/// The members of one field line: split at commas outside quotes, trimmed, empty ones left out.
pub fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    Members { rest: Some(line) }.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

struct Members<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Members<'a> {
    fn cut(&mut self, rest: &'a [u8], place: usize) -> &'a [u8] {
        let (member, after) = rest.split_at(place);
        self.rest = after.get(1..);
        member
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut quoted = false;
        let mut escaped = false;
        let mut inside = None;
        for (place, octet) in rest.iter().enumerate() {
            match octet {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => (quoted, inside) = (!quoted, None),
                b',' if quoted => inside = inside.or(Some(place)),
                b',' => return Some(self.cut(rest, place)),
                _ => {}
            }
        }
        // A quote that is never closed holds nothing together: what stands behind it still counts.
        if let Some(place) = inside.filter(|_| quoted) {
            return Some(self.cut(rest, place));
        }
        self.rest = None;
        Some(rest)
    }
}

/// Field names in lower case, in order, each once: the content of `Vary` or `Connection`. A `*`
/// stays as it is; what is no field name is left out.
pub fn names<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for member in lines.into_iter().flat_map(members) {
        let Ok(text) = std::str::from_utf8(member) else { continue };
        if text != "*" && http::HeaderName::from_bytes(member).is_err() {
            continue;
        }
        let name = text.to_ascii_lowercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A token or quoted string as text: quotes and escapes taken off. `None` where a quote is left
/// open or octets are no text.
#[must_use]
pub fn unquote(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let Some(inner) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let inner = inner.strip_suffix('"')?;
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        plain.push(if character == '\\' { characters.next()? } else { character });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_quote_hides_nothing() {
        let all: Vec<&[u8]> = members(b"a=1, \", no-store, b").collect();
        assert_eq!(all, [&b"a=1"[..], b"\"", b"no-store", b"b"]);
    }

    #[test]
    fn split() {
        let line = br#"a, "b, \" c" ,, d="e,f""#;
        let found: Vec<_> = members(line).map(|m| String::from_utf8_lossy(m)).collect();
        assert_eq!(found, ["a", r#""b, \" c""#, r#"d="e,f""#]);
        assert_eq!(
            names([b"Accept, accept ,*".as_slice(), b"x y, Cookie"]),
            ["accept", "*", "cookie"]
        );
        assert_eq!(unquote(br#""a\"b""#).as_deref(), Some("a\"b"));
        assert_eq!(unquote(b"\"open"), None);
    }
}
