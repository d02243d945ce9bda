//! Entity tags (RFC 9110 8.8.3) and lists of them.

/// An entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag {
    /// `W/`: two of the same tag are equivalent, not octet for octet equal.
    pub weak: bool,
    /// What stands between the quotes.
    pub opaque: Vec<u8>,
}

impl ETag {
    /// Reads one tag. Without quotes it is none, as the grammar has it.
    #[must_use]
    pub fn read(octets: &[u8]) -> Option<Self> {
        let octets = octets.trim_ascii();
        let (weak, rest) = match octets.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, octets),
        };
        let opaque = rest.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        if opaque.contains(&b'"') {
            return None;
        }
        Some(Self { weak, opaque: opaque.to_vec() })
    }

    /// Strong comparison (8.8.3.2): needed for ranges.
    #[must_use]
    pub fn equals_strongly(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison (8.8.3.2): enough for `If-None-Match`.
    #[must_use]
    pub fn equals_weakly(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

/// What `If-None-Match` or `If-Match` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`.
    Any,
    /// These; members that are no tags match nothing and are left out.
    These(Vec<ETag>),
}

impl Tags {
    /// Reads all lines of the field.
    pub fn read<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut tags = Vec::new();
        for line in lines {
            if line.trim_ascii() == b"*" {
                return Self::Any;
            }
            // Backslashes are ordinary characters inside a tag, so the list is not split as one of
            // quoted strings.
            tags.extend(split(line).filter_map(ETag::read));
        }
        Self::These(tags)
    }
}

fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |&octet| {
        quoted ^= octet == b'"';
        octet == b',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_compared() {
        let tag = |text: &str| ETag::read(text.as_bytes());
        let strong = tag("\"a\"").unwrap();
        let weak = tag("W/\"a\"").unwrap();
        assert!(strong.equals_strongly(&strong));
        assert!(!strong.equals_strongly(&weak) && strong.equals_weakly(&weak));
        for junk in ["a", "\"a", "w/\"a\"", "\"a\"b\"", "", "W/", "\""] {
            assert_eq!(tag(junk), None, "{junk}");
        }
    }

    #[test]
    fn lists() {
        let read = |line: &str| Tags::read([line.as_bytes()]);
        assert_eq!(read(" * "), Tags::Any);
        let Tags::These(tags) = read(r#""a,b" , W/"c", junk, "d\""#) else { panic!() };
        let opaque: Vec<_> = tags.iter().map(|tag| String::from_utf8_lossy(&tag.opaque)).collect();
        assert_eq!(opaque, ["a,b", "c", "d\\"]);
    }
}
