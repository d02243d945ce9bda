//! Domain names in wire form, in lower case: equal names are equal octets.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use domain::base::name::Name as WireName;

/// The longest name in octets, with its final zero (RFC 1035 2.3.4).
const NAME_MAX: usize = 255;

/// A name that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a domain name")]
pub struct NameError(String);

/// An absolute domain name in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// The name in `octets`, which must be one whole uncompressed name.
    #[must_use]
    pub fn from_wire(octets: &[u8]) -> Option<Self> {
        let name = QName::read(octets)?;
        (name.as_wire().len() == octets.len()).then(|| Self(name.as_wire().into()))
    }

    /// The octets, with the final zero.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The name as a hostname is written: without the final dot.
    #[must_use]
    pub fn to_host(&self) -> String {
        let mut text = self.to_string();
        if text.len() > 1 {
            text.pop();
        }
        text
    }

    /// The name without its first label; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        parent(&self.0).map(|rest| Self(rest.into()))
    }

    /// Number of labels, the root not counted.
    #[must_use]
    pub fn labels(&self) -> usize {
        suffixes(&self.0).count() - 1
    }

    /// Whether the name is `other` or lies below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        suffixes(&self.0).any(|suffix| suffix == other.as_wire())
    }

    /// `label` in front of this name; `None` when a limit of RFC 1035 is passed.
    #[must_use]
    pub fn below(&self, label: &str) -> Option<Self> {
        let length = u8::try_from(label.len()).ok().filter(|n| (1..=63).contains(n))?;
        let mut octets = vec![length];
        octets.extend(label.bytes().map(|octet| octet.to_ascii_lowercase()));
        octets.extend_from_slice(&self.0);
        (octets.len() <= NAME_MAX).then(|| Self(octets.into()))
    }
}

/// The rest of a wire name after its first label; `None` for the root.
pub(crate) fn parent(wire: &[u8]) -> Option<&[u8]> {
    let length = usize::from(*wire.first()?);
    if length == 0 { None } else { wire.get(1 + length..) }
}

/// A wire name and each name above it, the root last.
pub fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(wire), |name| parent(name))
}

/// A name of octets that are one already, with its capitals.
pub(crate) fn show(wire: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match WireName::from_slice(wire) {
        Ok(name) => fmt::Display::fmt(&name.fmt_with_dot(), f),
        Err(_) => f.write_str("?"),
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = WireName::<Vec<u8>>::vec_from_str(text).map_err(|_| NameError(text.into()))?;
        Self::from_wire(name.as_slice()).ok_or_else(|| NameError(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.0, f)
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// A name of a question, in lower case, in a place of its own: reading it allocates nothing.
#[derive(Clone, Copy)]
pub struct QName {
    octets: [u8; NAME_MAX],
    length: u8,
}

impl QName {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self { octets: [0; NAME_MAX], length: 1 }
    }

    /// The uncompressed name that `octets` begin with; `None` when there is none.
    ///
    /// The name of a question is the first in its message, so a compression pointer there can
    /// only point at itself or into the header: it is refused like any other wrong label.
    #[must_use]
    pub fn read(octets: &[u8]) -> Option<Self> {
        Some(Self::lowered(octets.get(..Self::span(octets)?)?))
    }

    /// How many octets the uncompressed name takes that `octets` begin with; `None` when there is
    /// none.
    #[must_use]
    #[inline]
    pub fn span(octets: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let length = usize::from(*octets.get(at)?);
            at += 1 + length;
            if length > 63 || at > NAME_MAX {
                return None;
            }
            if length == 0 {
                return Some(at);
            }
        }
    }

    /// The name `wire`, whose form has been looked at; the root if it is too long.
    #[inline]
    pub(crate) fn lowered(wire: &[u8]) -> Self {
        let mut octets = [0; NAME_MAX];
        let (Some(place), Ok(length)) = (octets.get_mut(..wire.len()), u8::try_from(wire.len()))
        else {
            return Self::root();
        };
        place.copy_from_slice(wire);
        // Length octets are at most 63, below every letter: lowering the whole is safe.
        place.make_ascii_lowercase();
        Self { octets, length }
    }

    /// The labels in `front`, which has no final zero, before the name `rest`; `None` when that is
    /// no name (RFC 1035 2.3.4).
    #[must_use]
    pub fn join(front: &[u8], rest: &[u8]) -> Option<Self> {
        let length = front.len() + rest.len();
        let mut octets = [0; NAME_MAX];
        let place = octets.get_mut(..length)?;
        let (before, after) = place.split_at_mut_checked(front.len())?;
        before.copy_from_slice(front);
        after.copy_from_slice(rest);
        Self::read(place)
    }

    /// The octets, with the final zero.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or(&[0])
    }

    /// The name as a hostname is written: without the final dot. Every logged answer needs it, so
    /// names of letters and digits, nearly all there are, do without the general way.
    #[must_use]
    pub fn to_host(&self) -> Arc<str> {
        let mut text = [0; NAME_MAX];
        let short = self.plain_host(&mut text).and_then(|host| str::from_utf8(host).ok());
        short.map_or_else(|| self.to_name().to_host().into(), Arc::from)
    }

    /// The hostname in `text`, when nothing in it has to be escaped.
    fn plain_host<'t>(&self, text: &'t mut [u8; NAME_MAX]) -> Option<&'t [u8]> {
        let labels = self.as_wire().split_last()?.1;
        let text = text.get_mut(..labels.len().checked_sub(1)?)?;
        text.copy_from_slice(labels.get(1..)?);
        let mut at = usize::from(*labels.first()?);
        // Where a label's length stood is a dot now.
        while let Some(place) = text.get_mut(at) {
            at += 1 + usize::from(std::mem::replace(place, b'.'));
        }
        let plain = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        let dots = text.iter().filter(|octet| **octet == b'.').count();
        let others = text.iter().filter(|octet| !plain(octet)).count();
        // A dot inside a label is not one between labels.
        (others == dots && dots + 1 == self.labels()).then_some(text)
    }

    fn labels(&self) -> usize {
        suffixes(self.as_wire()).count() - 1
    }

    /// The same as a name of its own.
    #[must_use]
    pub fn to_name(&self) -> Name {
        Name(self.as_wire().into())
    }
}

impl fmt::Debug for QName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.as_wire(), f)
    }
}

impl fmt::Display for QName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.as_wire(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn text_and_wire() {
        let www = name("WWW.Example.");
        assert_eq!(www.as_wire(), b"\x03www\x07example\0");
        assert_eq!(www, name("www.example"));
        assert_eq!(www.to_string(), "www.example.");
        assert_eq!(www.to_host(), "www.example");
        assert_eq!(www.labels(), 2);
        assert_eq!(www.parent().unwrap(), name("example."));
        assert_eq!(Name::root().to_string(), ".");
        assert_eq!(Name::root().parent(), None);
        assert!(www.is_within(&name("example")) && www.is_within(&Name::root()));
        assert!(!name("wwwexample").is_within(&name("example")));
        assert_eq!(name("example").below("WWW"), Some(www));
        assert_eq!(name("example").below(""), None);
    }

    #[test]
    fn hosts() {
        let read = |wire: &[u8]| QName::read(wire).unwrap().to_host();
        let plain: [(&[u8], &str); 4] = [
            (b"\x03www\x07example\0", "www.example"),
            (b"\x04_dns\x03a-b\0", "_dns.a-b"),
            (b"\x01x\0", "x"),
            (b"\0", "."),
        ];
        for (wire, host) in plain {
            assert_eq!(&*read(wire), host);
        }
        // What has to be escaped, a dot inside a label, an octet that is no letter.
        let odd: [&[u8]; 4] =
            [b"\x03a.b\x01c\0", b"\x02a\\\0", b"\x01\xff\x01a\0", b"\x01*\x02a \0"];
        for wire in odd {
            assert_eq!(*read(wire), *Name::from_wire(wire).unwrap().to_host(), "{wire:?}");
        }
        // Every octet, in front of another label.
        for octet in 0..=255 {
            let wire = [1, octet, 1, b'a', 0];
            let name = QName::read(&wire).unwrap();
            assert_eq!(*name.to_host(), *name.to_name().to_host(), "{octet}");
        }
    }

    #[test]
    fn refused() {
        let long = [[63u8].as_slice(), &[b'a'; 63]].concat().repeat(4);
        let cases: [&[u8]; 6] = [b"", b"\x03ww", b"\x40", b"\xc0\x0c", b"\x03www", &long];
        for case in cases {
            assert!(QName::read(case).is_none(), "{case:?}");
        }
        assert!("a..b".parse::<Name>().is_err());
        assert!("x".repeat(64).parse::<Name>().is_err());
    }
}
