//! Secondary keys (RFC 9111 4.1): which request fields a response was selected by.

use http::{HeaderMap, header};
use popnet_field::list;
use serde::{Deserialize, Serialize};

/// The request fields a stored response was selected by, each with its normalised value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Variant(Vec<(String, Option<Vec<u8>>)>);

/// The fields that `Vary` of a response names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Varies {
    /// On something no request shows: `*`.
    Star,
    /// On these fields, in lower case, sorted; often none.
    On(Vec<String>),
}

/// What a response varies on.
#[must_use]
pub fn varies(response: &HeaderMap) -> Varies {
    let mut names = list::names(response.get_all(header::VARY).iter().map(|v| v.as_bytes()));
    if names.iter().any(|name| name == "*") {
        return Varies::Star;
    }
    names.sort_unstable();
    Varies::On(names)
}

impl Variant {
    /// The variant of a `request` under a response that varies on `names`.
    #[must_use]
    pub fn of(request: &HeaderMap, names: &[String]) -> Self {
        let value = |name: &str| normalised(lines(request, name), name);
        Self(names.iter().map(|name| (name.clone(), value(name))).collect())
    }

    /// Whether `request` would have selected this variant.
    #[must_use]
    pub fn selects(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, value)| normalised(lines(request, name), name) == *value)
    }

    /// The same, whatever the field `other` says.
    pub(crate) fn selects_beside(&self, request: &HeaderMap, other: &str) -> bool {
        let same =
            |name: &str, value: &Option<Vec<u8>>| normalised(lines(request, name), name) == *value;
        self.0.iter().all(|(name, value)| name == other || same(name, value))
    }

    /// Whether `request` would have got this variant, whose content is in `language`, for that is
    /// the one language that it wants most (RFC 9110 12.5.4).
    pub(crate) fn selects_in_language(&self, request: &HeaderMap, language: &[u8]) -> bool {
        const NAME: &str = "accept-language";
        self.0.iter().any(|(name, _)| name == NAME)
            && self.selects_beside(request, NAME)
            && most_wanted(lines(request, NAME))
                .is_some_and(|most| most.eq_ignore_ascii_case(language.trim_ascii()))
    }

    /// The same by what `lines` gives of a field: its values, or `None` where that cannot be said.
    #[must_use]
    pub fn selects_by<'r>(&self, lines: impl Fn(&str) -> Option<Vec<&'r [u8]>>) -> bool {
        self.0.iter().all(|(name, value)| {
            lines(name).is_some_and(|lines| normalised(lines.into_iter(), name) == *value)
        })
    }

    /// The fields and their values, readable: `accept-encoding=gzip`.
    #[must_use]
    pub fn readable(&self) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| {
                let value = value.as_deref().map_or("".into(), String::from_utf8_lossy);
                format!("{name}={value}")
            })
            .collect();
        parts.join(" ")
    }

    pub(crate) fn weight(&self) -> usize {
        self.0
            .iter()
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len) + 64)
            .sum()
    }
}

fn lines<'r>(request: &'r HeaderMap, name: &str) -> impl Iterator<Item = &'r [u8]> {
    request.get_all(name).iter().map(|value| value.as_bytes())
}

/// The one member of the greatest weight (RFC 9110 12.4.2); `None` where there are several or where
/// it is `*`, or a weight is none.
fn most_wanted<'r>(lines: impl Iterator<Item = &'r [u8]>) -> Option<&'r [u8]> {
    let mut most: Option<(&[u8], u16)> = None;
    let mut is_shared = false;
    for member in lines.flat_map(list::members) {
        let mut parts = member.splitn(2, |octet| *octet == b';');
        let range = parts.next()?.trim_ascii();
        let weight = parts.next().map_or(Some(1_000), weight)?;
        match most {
            Some((_, other)) if other > weight => {}
            Some((_, other)) if other == weight => is_shared = true,
            Some(_) | None => (most, is_shared) = (Some((range, weight)), false),
        }
    }
    most.filter(|(range, weight)| !is_shared && *weight > 0 && *range != b"*")
        .map(|(range, _)| range)
}

/// `q=0.5` in thousandths (RFC 9110 12.4.2).
pub(crate) fn weight(text: &[u8]) -> Option<u16> {
    let text = text.trim_ascii();
    let number = text.strip_prefix(b"q=").or_else(|| text.strip_prefix(b"Q="))?;
    let (whole, rest) = number.split_first()?;
    let digits = match rest.split_first() {
        None => &[],
        Some((b'.', digits)) if digits.len() <= 3 => digits,
        Some(_) => return None,
    };
    let mut thousandths = 0;
    for place in 0..3 {
        let digit = digits.get(place).map_or(Some(0), |octet| match octet {
            b'0'..=b'9' => Some(u16::from(octet - b'0')),
            _ => None,
        })?;
        thousandths = thousandths * 10 + digit;
    }
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1_000),
        _ => None,
    }
}

/// A field's value without differences that mean nothing (4.1: combined lines, white space); for
/// codings and languages also order and case. `None`: the field is not there.
fn normalised<'r>(lines: impl Iterator<Item = &'r [u8]>, name: &str) -> Option<Vec<u8>> {
    let mut lines = lines.peekable();
    lines.peek()?;
    let mut members: Vec<Vec<u8>> = lines.flat_map(list::members).map(<[u8]>::to_vec).collect();
    if matches!(name, "accept-encoding" | "accept-language" | "accept-charset") {
        for member in &mut members {
            member.retain(|octet| !octet.is_ascii_whitespace());
            member.make_ascii_lowercase();
        }
        members.sort_unstable();
        members.dedup();
    }
    Some(members.join(&b", "[..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fields;

    fn check(vary: &str, first: &str, second: &str, same: bool) {
        let Varies::On(names) = varies(&fields(vary)) else { panic!("{vary}") };
        let variant = Variant::of(&fields(first), &names);
        assert!(variant.selects(&fields(first)));
        assert_eq!(variant.selects(&fields(second)), same, "{vary} | {first} | {second}");
    }

    #[test]
    fn by_language() {
        let check = |wanted: &str, more: &str, expected: bool| {
            let names = ["accept-language".to_owned(), "b".to_owned()];
            let variant = Variant::of(&fields("accept-language: en, de\nb: 1"), &names);
            let request = fields(&format!("accept-language: {wanted}\nb: {more}"));
            assert_eq!(variant.selects_in_language(&request, b"de"), expected, "{wanted} {more}");
        };
        check("fr;q=0.5, de;q=1.0", "1", true);
        check("DE, *;q=0.1", "1", true);
        check("fr;q=0.5, de;q=1.0", "2", false);
        check("fr, de", "1", false);
        check("fr;q=0.5, de;q=0.4", "1", false);
        check("*, de;q=0.9", "1", false);
        check("de-AT", "1", false);
        check("de;q=2", "1", false);
        check("fr;q=x, de", "1", false);
        check("de;q=0", "1", false);
        check("", "1", false);
        let variant = Variant::of(&fields("b: 1"), &["b".to_owned()]);
        assert!(!variant.selects_in_language(&fields("accept-language: de\nb: 1"), b"de"));
    }

    #[test]
    fn selecting() {
        check("", "a: 1", "a: 2", true);
        check("vary: a", "a: 1", "a: 1", true);
        check("vary: a", "a: 1", "a: 2", false);
        check("vary: a", "a: 1", "", false);
        check("vary: a", "", "a: 1", false);
        check("vary: a", "", "", true);
        check("vary: A, b", "a: 1\nb: 2", "b: 2\na: 1", true);
        check("vary: a\nvary: b", "a: 1", "a: 1\nb: 2", false);
        check("vary: a", "a: 1, 2", "a: 1\na: 2", true);
        check("vary: a", "a: 1,2", "a: 1 , 2", true);
        check(
            "vary: accept-encoding",
            "accept-encoding: gzip, br",
            "accept-encoding: BR,gzip",
            true,
        );
        check("vary: accept-encoding", "accept-encoding: gzip", "accept-encoding: gzip;q=0", false);
        assert_eq!(varies(&fields("vary: a, *")), Varies::Star);
    }
}
