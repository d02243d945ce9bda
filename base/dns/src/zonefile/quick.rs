//! Plain lines of the commonest types, read in one go: large zones consist of them. Whatever is
//! out of the ordinary, mistakes included, is left to the reader proper.

use std::net::{Ipv4Addr, Ipv6Addr};

use domain::base::iana::Rtype;

use super::reader::Context;
use crate::name::QName;
use crate::ttl::parse_ttl;

/// Owner, TTL, class, type and two words of data.
const WORDS: usize = 6;

/// A record whose data was put into the caller's buffer and whose owner into the context.
pub(super) struct Quick {
    pub(super) rtype: Rtype,
    pub(super) ttl: u32,
    /// Octets of the line, its end included.
    pub(super) octets: usize,
}

/// The record on the first line of `text`; `None` when the line is anything else. Then the
/// context stands as it stood.
pub(super) fn record(text: &[u8], context: &mut Context, rdata: &mut Vec<u8>) -> Option<Quick> {
    let mut words: [&[u8]; WORDS] = [&[]; WORDS];
    let (count, octets) = split(text, &mut words)?;
    let mut words = words.get(..count)?;
    let mut owner = None;
    if !matches!(text.first()?, b' ' | b'\t') {
        let (first, rest) = words.split_first()?;
        if *first == b"@" {
            owner = Some(context.origin);
        } else {
            rdata.clear();
            name(first, &context.origin, rdata)?;
            owner = Some(QName::read(rdata)?);
        }
        words = rest;
    }
    let mut own_ttl = None;
    let rtype = loop {
        let (word, rest) = words.split_first()?;
        words = rest;
        if word.first()?.is_ascii_digit() {
            own_ttl = Some(parse_ttl(word).filter(|_| own_ttl.is_none())?);
        } else if !word.eq_ignore_ascii_case(b"IN") {
            break rtype(word)?;
        }
    };
    let ttl = context.ttl(own_ttl)?;
    rdata.clear();
    match (rtype, words) {
        (Rtype::A, [word]) => {
            rdata.extend_from_slice(&Ipv4Addr::parse_ascii_word(word)?.octets());
        }
        (Rtype::AAAA, [word]) => {
            rdata.extend_from_slice(&Ipv6Addr::parse_ascii_word(word)?.octets());
        }
        (Rtype::NS | Rtype::CNAME | Rtype::PTR, [word]) => name(word, &context.origin, rdata)?,
        (Rtype::MX, [preference, word]) => {
            let preference: u16 = str::from_utf8(preference).ok()?.parse().ok()?;
            rdata.extend_from_slice(&preference.to_be_bytes());
            name(word, &context.origin, rdata)?;
        }
        _ => return None,
    }
    if let Some(owner) = owner {
        context.owner = Some(owner);
    }
    context.owner?;
    Some(Quick { rtype, ttl, octets })
}

/// Splits the first line at its blanks; `None` when it has a character with a meaning of its own,
/// or more words than a plain line.
fn split<'t>(text: &'t [u8], words: &mut [&'t [u8]; WORDS]) -> Option<(usize, usize)> {
    let (mut count, mut start) = (0, None);
    for (at, octet) in text.iter().enumerate() {
        match octet {
            b' ' | b'\t' | b'\r' | b'\n' => {
                if let Some(start) = start.take() {
                    *words.get_mut(count)? = text.get(start..at)?;
                    count += 1;
                }
                if *octet == b'\n' {
                    return Some((count, at + 1));
                }
            }
            b'(' | b')' | b'"' | b';' | b'\\' | b'$' => return None,
            _ if start.is_none() => start = Some(at),
            _ => {}
        }
    }
    // A last line without an end is rare enough for the reader proper.
    None
}

fn rtype(word: &[u8]) -> Option<Rtype> {
    let known = [
        (b"A".as_slice(), Rtype::A),
        (b"AAAA", Rtype::AAAA),
        (b"NS", Rtype::NS),
        (b"CNAME", Rtype::CNAME),
        (b"PTR", Rtype::PTR),
        (b"MX", Rtype::MX),
    ];
    known.iter().find(|(text, _)| text.eq_ignore_ascii_case(word)).map(|(_, rtype)| *rtype)
}

/// Appends the wire form of a name without escapes.
fn name(text: &[u8], origin: &QName, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    if text == b"@" {
        out.extend_from_slice(origin.as_wire());
        return Some(());
    }
    let (labels, rest): (_, &[u8]) = match text.strip_suffix(b".") {
        Some(labels) => (labels, &[0]),
        None => (text, origin.as_wire()),
    };
    for label in labels.split(|octet| *octet == b'.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        // What is not plain ASCII has rules of its own.
        if !label.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        out.push(length);
        out.extend_from_slice(label);
    }
    out.extend_from_slice(rest);
    (out.len() - start <= 255).then_some(())
}

/// An address from the octets of a word.
trait ParseWord: Sized {
    fn parse_ascii_word(word: &[u8]) -> Option<Self>;
}

impl<T: std::str::FromStr> ParseWord for T {
    fn parse_ascii_word(word: &[u8]) -> Option<Self> {
        str::from_utf8(word).ok()?.parse().ok()
    }
}
