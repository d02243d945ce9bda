//! `Range` and `Content-Range` (RFC 9110 section 14): one range of octets. Several ranges are
//! answered with the whole, which 14.2 allows.

use std::ops::Range;

/// One range as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// From this octet to that one, both within.
    FromTo(u64, u64),
    /// From this octet on.
    From(u64),
    /// So many octets at the end.
    Last(u64),
}

/// What an asked range is of a representation of known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These octets: 206.
    Octets(Range<u64>),
    /// There is nothing there: 416.
    Unsatisfiable,
}

impl Asked {
    /// Reads a `Range` field. `None`: not octets, several ranges or no range: ignore the field.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (unit, set) = text.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = set.trim().split_once('-')?;
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Some(Self::FromTo(first, last)),
            (Some(first), None) if last.is_empty() => Some(Self::From(first)),
            (None, Some(count)) if first.is_empty() => Some(Self::Last(count)),
            (Some(_) | None, Some(_) | None) => None,
        }
    }

    /// The range within `length` octets.
    #[must_use]
    pub fn within(self, length: u64) -> Part {
        let part = match self {
            Self::FromTo(first, last) => first..length.min(last.saturating_add(1)),
            Self::From(first) => first..length,
            Self::Last(count) => length.saturating_sub(count)..length,
        };
        if part.start < part.end { Part::Octets(part) } else { Part::Unsatisfiable }
    }
}

fn number(text: &str) -> Option<u64> {
    // `parse` alone would take a sign.
    (!text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()))
        .then(|| text.parse().unwrap_or(u64::MAX))
}

/// A `Content-Range` field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// Which octets; `None` in answer to what cannot be satisfied.
    pub part: Option<Range<u64>>,
    /// Of how many; `None` where it is not known.
    pub length: Option<u64>,
}

impl ContentRange {
    /// Reads the field; `None` when it is no such thing.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (part, length) = rest.trim().split_once('/')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let length = if length == "*" { None } else { Some(number(length)?) };
        let part = match part.split_once('-') {
            None if part == "*" => None,
            None => return None,
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last && length.is_none_or(|length| last < length)).then_some(())?;
                Some(first..last.saturating_add(1))
            }
        };
        Some(Self { part, length })
    }

    /// Prints the field.
    #[must_use]
    pub fn print(&self) -> String {
        let length = self.length.map_or_else(|| "*".to_owned(), |length| length.to_string());
        match &self.part {
            Some(part) => format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1)),
            None => format!("bytes */{length}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked() {
        let cases: &[(&str, Option<Part>)] = &[
            ("bytes=0-4", Some(Part::Octets(0..5))),
            ("bytes=2-", Some(Part::Octets(2..10))),
            ("bytes=-3", Some(Part::Octets(7..10))),
            ("bytes=-30", Some(Part::Octets(0..10))),
            ("Bytes=5-99999999999999999999", Some(Part::Octets(5..10))),
            ("bytes=10-", Some(Part::Unsatisfiable)),
            ("bytes=-0", Some(Part::Unsatisfiable)),
            ("bytes=4-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("bytes=-", None),
            ("bytes=", None),
            ("lines=1-2", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Asked::read(text).map(|asked| asked.within(10)), *expected, "{text}");
        }
    }

    #[test]
    fn content_ranges() {
        for text in ["bytes 0-4/10", "bytes 0-4/*", "bytes */10"] {
            assert_eq!(ContentRange::read(text).unwrap().print(), text);
        }
        for text in ["bytes 4-2/10", "bytes 0-10/10", "bytes x/10", "bytes", "items 0-1/2"] {
            assert_eq!(ContentRange::read(text), None, "{text}");
        }
    }
}
