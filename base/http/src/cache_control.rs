//! `Cache-Control` of requests and responses (RFC 9111 5.2) and its targeted form, such as
//! `CDN-Cache-Control` (RFC 9213).

use crate::list;

/// The longest lifetime that is told apart (RFC 9111 1.2.2: "at least 2^31").
pub const SECONDS_MAX: u32 = 1 << 31;

/// How far a directive that may name fields reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// The directive is not there.
    #[default]
    Absent,
    /// The whole response.
    Whole,
    /// These fields only, in lower case.
    Fields(Vec<String>),
}

impl Reach {
    /// Whether the whole response is meant.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Whole)
    }

    fn add(&mut self, argument: Option<&[u8]>) {
        let named = argument
            .and_then(list::unquote)
            .map(|text| list::names([text.as_bytes()]))
            .unwrap_or_default();
        // Without field names, or with ones that cannot be read, the careful meaning is the whole.
        if named.is_empty() || self.is_whole() {
            *self = Self::Whole;
        } else if let Self::Fields(fields) = self {
            fields.extend(named);
        } else {
            *self = Self::Fields(named);
        }
    }
}

/// Directives that are known here; all others are left out (RFC 9111 5.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`.
    pub no_cache: Reach,
    /// `private`.
    pub private: Reach,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `no-transform`.
    pub no_transform: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// `only-if-cached`, of requests.
    pub only_if_cached: bool,
    /// `max-age` in seconds; what is no number counts as 0.
    pub max_age: Option<u32>,
    /// `s-maxage` in seconds; likewise.
    pub s_maxage: Option<u32>,
    /// `stale-while-revalidate` in seconds (RFC 5861).
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error` in seconds (RFC 5861).
    pub stale_if_error: Option<u32>,
    /// `max-stale` of requests; without a value, as long as can be.
    pub max_stale: Option<u32>,
    /// `min-fresh` of requests.
    pub min_fresh: Option<u32>,
    /// Whether there was any directive at all.
    pub present: bool,
}

impl CacheControl {
    /// Reads all lines of a `Cache-Control` field.
    pub fn read<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut control = Self::default();
        for member in lines.into_iter().flat_map(list::members) {
            let (name, argument) = match member.iter().position(|&octet| octet == b'=') {
                Some(place) => (member.get(..place).unwrap_or(b""), member.get(place + 1..)),
                None => (member, None),
            };
            control.present = true;
            control.take(&name.to_ascii_lowercase(), argument);
        }
        control
    }

    /// Reads all lines of a targeted field, which is a dictionary (RFC 9213 2.1). `None` when it is
    /// empty or does not parse: then it counts as absent.
    pub fn read_targeted<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let joined = lines.into_iter().collect::<Vec<_>>().join(&b", "[..]);
        let members: sfv::Dictionary = sfv::Parser::new(&joined).parse().ok()?;
        let mut control = Self::default();
        for (name, value) in &members {
            let sfv::ListEntry::Item(item) = value else { continue };
            // A value of a type that the directive does not have leaves the directive out.
            match &item.bare_item {
                sfv::BareItem::Boolean(true) => control.take(name.as_str().as_bytes(), None),
                sfv::BareItem::Integer(number) => {
                    let number = i64::from(*number).max(0).to_string();
                    if is_timed(name.as_str().as_bytes()) {
                        control.take(name.as_str().as_bytes(), Some(number.as_bytes()));
                    }
                }
                sfv::BareItem::String(text) => {
                    if !is_timed(name.as_str().as_bytes()) {
                        control.take(name.as_str().as_bytes(), Some(text.as_str().as_bytes()));
                    }
                }
                sfv::BareItem::Boolean(false)
                | sfv::BareItem::Decimal(_)
                | sfv::BareItem::ByteSequence(_)
                | sfv::BareItem::Token(_)
                | sfv::BareItem::Date(_)
                | sfv::BareItem::DisplayString(_) => continue,
            }
            control.present = true;
        }
        control.present.then_some(control)
    }

    fn take(&mut self, name: &[u8], argument: Option<&[u8]>) {
        match name {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache.add(argument),
            b"private" => self.private.add(argument),
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"no-transform" => self.no_transform = true,
            b"immutable" => self.immutable = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"max-age" => first(&mut self.max_age, lifetime(argument)),
            b"s-maxage" => first(&mut self.s_maxage, lifetime(argument)),
            b"min-fresh" => first(&mut self.min_fresh, lifetime(argument)),
            b"stale-while-revalidate" => {
                first(&mut self.stale_while_revalidate, lifetime(argument));
            }
            b"stale-if-error" => first(&mut self.stale_if_error, lifetime(argument)),
            b"max-stale" => {
                first(&mut self.max_stale, argument.map_or(SECONDS_MAX, |_| lifetime(argument)))
            }
            _ => {}
        }
    }
}

fn is_timed(name: &[u8]) -> bool {
    matches!(name, b"max-age" | b"s-maxage" | b"stale-while-revalidate" | b"stale-if-error")
}

/// RFC 9111 4.2.1: of several values the first is used.
fn first(place: &mut Option<u32>, value: u32) {
    place.get_or_insert(value);
}

/// RFC 9111 1.2.2 and 4.2.1: too large is 2^31, and what is no number is not fresh.
fn lifetime(argument: Option<&[u8]>) -> u32 {
    let Some(text) = argument.and_then(list::unquote) else { return 0 };
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return 0;
    }
    text.parse::<u32>().map_or(SECONDS_MAX, |seconds| seconds.min(SECONDS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> CacheControl {
        CacheControl::read([line.as_bytes()])
    }

    #[test]
    fn lifetimes() {
        for (line, expected) in [
            ("max-age=60", Some(60)),
            ("MAX-AGE=60", Some(60)),
            ("max-age=\"60\"", Some(60)),
            ("max-age=60, max-age=5", Some(60)),
            ("max-age=1e3", Some(0)),
            ("max-age=-1", Some(0)),
            ("max-age", Some(0)),
            ("max-age=", Some(0)),
            ("max-age=99999999999", Some(SECONDS_MAX)),
            ("x-max-age=60", None),
            ("private, max-age=60", Some(60)),
        ] {
            assert_eq!(read(line).max_age, expected, "{line}");
        }
        assert_eq!(read("max-stale").max_stale, Some(SECONDS_MAX));
        assert_eq!(read("max-stale=3").max_stale, Some(3));
    }

    #[test]
    fn reaches() {
        assert_eq!(read("no-cache").no_cache, Reach::Whole);
        let named = Reach::Fields(vec!["set-cookie".into(), "x-a".into()]);
        assert_eq!(read(r#"no-cache="Set-Cookie, X-A""#).no_cache, named);
        assert_eq!(read(r#"private="", a"#).private, Reach::Whole);
        assert_eq!(read(r#"private="x-a", private"#).private, Reach::Whole);
    }

    #[test]
    fn targeted() {
        let read = |line: &str| CacheControl::read_targeted([line.as_bytes()]);
        assert_eq!(read("max-age=60").unwrap().max_age, Some(60));
        assert!(read("no-store").unwrap().no_store);
        assert!(!read("max-age=60, no-store=?0").unwrap().no_store);
        for junk in ["", "max-age==", "MAX-AGE=1", "max-age=60;;"] {
            assert_eq!(read(junk), None, "{junk}");
        }
        assert_eq!(read("max-age=\"60\", public").unwrap().max_age, None);
    }
}
