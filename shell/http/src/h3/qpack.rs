//! Field sections (RFC 9204 4.5) without the dynamic table: ours has no room (the setting's
//! default), so a section means the same whatever came before, none has to wait for another
//! stream, and a client cannot make us keep anything.

use bytes::{Buf, Bytes};
use httlib_huffman::{DecoderSpeed, decode, encode};

use super::table::TABLE;

/// What is counted for each field beside its octets (RFC 9114 4.2.2).
const FIELD: usize = 32;

/// Limits of a field section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    /// Octets of names and values, and 32 for each field.
    pub(super) octets: usize,
    /// Fields.
    pub(super) fields: usize,
}

/// Why a section is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It cannot be read.
    Unreadable,
    /// It is longer than the limits.
    TooLong,
}

/// Fields in their order.
pub(super) type Fields = Vec<(Bytes, Bytes)>;

/// Reads a section.
///
/// # Errors
/// It refers to what is not there, is cut, or is too long.
pub(super) fn read(section: &Bytes, most: Most) -> Result<Fields, Refused> {
    let mut rest = section.clone();
    // Required Insert Count and Base: without a dynamic table there is nothing to count.
    let (_, count) = integer(&mut rest, 8)?;
    integer(&mut rest, 7)?;
    if count != 0 {
        return Err(Refused::Unreadable);
    }
    let mut fields = Fields::new();
    let mut octets = 0_usize;
    while let Some(first) = rest.first().copied() {
        let (name, value) = match first {
            // Indexed, static.
            0xc0.. => {
                let (name, value) = entry(integer(&mut rest, 6)?.1)?;
                (Bytes::from_static(name.as_bytes()), Bytes::from_static(value.as_bytes()))
            }
            // Literal with the name of a static entry.
            0x50..=0x5f | 0x70..=0x7f => {
                let (name, _) = entry(integer(&mut rest, 4)?.1)?;
                (Bytes::from_static(name.as_bytes()), string(&mut rest, 7)?)
            }
            // Literal with a literal name.
            0x20..=0x3f => (string(&mut rest, 3)?, string(&mut rest, 7)?),
            // The dynamic table.
            _ => return Err(Refused::Unreadable),
        };
        octets = octets.saturating_add(name.len() + value.len() + FIELD);
        if octets > most.octets || fields.len() >= most.fields {
            return Err(Refused::TooLong);
        }
        fields.push((name, value));
    }
    Ok(fields)
}

fn entry(index: usize) -> Result<(&'static str, &'static str), Refused> {
    TABLE.get(index).copied().ok_or(Refused::Unreadable)
}

/// An integer with a prefix of `bits` (RFC 7541 5.1), and the bits before it.
fn integer(rest: &mut Bytes, bits: u32) -> Result<(u8, usize), Refused> {
    let first = rest.try_get_u8().map_err(|_| Refused::Unreadable)?;
    let full = u8::MAX >> (8 - bits);
    let mut value = usize::from(first & full);
    if first & full == full {
        let mut shift = 0;
        loop {
            let octet = rest.try_get_u8().map_err(|_| Refused::Unreadable)?;
            // Nothing that is counted here is as long as 28 bits say.
            if shift > 21 {
                return Err(Refused::Unreadable);
            }
            value += usize::from(octet & 0x7f) << shift;
            shift += 7;
            if octet & 0x80 == 0 {
                break;
            }
        }
    }
    Ok((first & !full, value))
}

/// A string whose length has a prefix of `bits`, with the Huffman flag before it.
fn string(rest: &mut Bytes, bits: u32) -> Result<Bytes, Refused> {
    let (flags, length) = integer(rest, bits)?;
    if length > rest.len() {
        return Err(Refused::Unreadable);
    }
    let octets = rest.split_to(length);
    if flags & (1 << bits) == 0 { Ok(octets) } else { unpacked(&octets) }
}

/// Takes the Huffman code off (RFC 7541 5.2). The library lets some wrong paddings pass; there is
/// one right form of each string, so it is compared with that.
fn unpacked(octets: &[u8]) -> Result<Bytes, Refused> {
    let mut plain = Vec::with_capacity(octets.len() * 2);
    decode(octets, &mut plain, DecoderSpeed::FourBits).map_err(|_| Refused::Unreadable)?;
    let mut again = Vec::with_capacity(octets.len());
    encode(&plain, &mut again).map_err(|_| Refused::Unreadable)?;
    if again == octets { Ok(plain.into()) } else { Err(Refused::Unreadable) }
}

/// Begins a section.
pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend([0, 0]);
}

/// Adds a field: as an entry of the static table, else its value, and its name when that is in no
/// entry either. Strings are sent plain: a few octets more, and no work a bit.
pub(super) fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let mut named = None;
    for (index, (known, content)) in TABLE.iter().enumerate() {
        if *known == name {
            if content.as_bytes() == value {
                return put_integer(out, 0xc0, 6, index);
            }
            named.get_or_insert(index);
        }
    }
    if let Some(index) = named {
        put_integer(out, 0x50, 4, index);
    } else {
        put_integer(out, 0x20, 3, name.len());
        out.extend(name.as_bytes());
    }
    put_integer(out, 0, 7, value.len());
    out.extend(value);
}

fn put_integer(out: &mut Vec<u8>, flags: u8, bits: u32, value: usize) {
    let full = u8::MAX >> (8 - bits);
    match u8::try_from(value) {
        Ok(small) if small < full => out.push(flags | small),
        _ => {
            out.push(flags | full);
            let mut left = value - usize::from(full);
            while left >= 0x80 {
                out.push(0x80 | u8::try_from(left & 0x7f).unwrap_or(0));
                left >>= 7;
            }
            out.push(u8::try_from(left).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = Most { octets: 1_000, fields: 4 };

    fn section(octets: &[u8]) -> Result<Vec<(String, String)>, Refused> {
        let fields = section_of(octets)?;
        let text = |octets: &Bytes| String::from_utf8(octets.to_vec()).unwrap();
        Ok(fields.iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    #[test]
    fn literal_with_a_known_name() {
        // RFC 9204 B.1.
        let octets = b"\x00\x00\x51\x0b/index.html";
        assert_eq!(section(octets).unwrap(), [(":path".to_owned(), "/index.html".to_owned())]);
    }

    #[test]
    fn huffman() {
        // RFC 7541 C.4.1 and C.6.1: the same strings.
        let host = b"\x00\x00\x50\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        let expected = [(":authority".to_owned(), "www.example.com".to_owned())];
        assert_eq!(section(host).unwrap(), expected);
        let mut padded = host.to_vec();
        *padded.last_mut().unwrap() = 0xfe;
        assert_eq!(section(&padded), Err(Refused::Unreadable));
        padded[3] += 1;
        *padded.last_mut().unwrap() = 0xff;
        padded.push(0xff);
        assert_eq!(section(&padded), Err(Refused::Unreadable), "a whole octet of padding");
    }

    #[test]
    fn what_is_written_is_read() {
        let fields: [(&str, &str); 4] = [
            (":status", "200"),
            ("content-length", "12"),
            ("x-own", ""),
            ("a-name-of-more-than-seven", &"v".repeat(300)),
        ];
        let mut out = Vec::new();
        begin(&mut out);
        for (name, value) in fields {
            put(&mut out, name, value.as_bytes());
        }
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(section(&out).unwrap(), fields);
    }

    #[test]
    fn refused() {
        let bad: [&[u8]; 8] = [
            &[],
            &[0],
            &[1, 0],
            // An index that is not in the table, and one that never ends.
            &[0, 0, 0xff, 0x80, 0x01],
            &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            // The dynamic table.
            &[0, 0, 0x80],
            &[0, 0, 0x10],
            // A string longer than the section.
            &[0, 0, 0x51, 0x05, b'a'],
        ];
        for octets in bad {
            assert_eq!(section(octets), Err(Refused::Unreadable), "{octets:?}");
        }
        assert_eq!(section(&[0, 0, 0xd1, 0xd1, 0xd1, 0xd1, 0xd1]), Err(Refused::TooLong));
        let long = [&[0, 0, 0x51, 0x7f, 0xd1, 0x07][..], &[b'/'; 1_000 + 104]].concat();
        assert_eq!(section(&long), Err(Refused::TooLong));
    }

    #[test]
    fn junk_is_refused_or_read() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let mut read_some = 0;
        for round in 0..ROUNDS {
            let length = round % 40;
            // A string in Huffman's code after a known name, for every other one.
            let mut octets = match u8::try_from(length) {
                Ok(length) if round % 2 == 0 => vec![0, 0, 0x51, 0x80 | length],
                _ => vec![0, 0],
            };
            octets.extend(std::iter::repeat_with(&mut next).flatten().take(length));
            read_some += usize::from(section_of(&octets).is_ok());
        }
        assert!(read_some > 10, "{read_some} of them were read");
    }

    const ROUNDS: usize = 20_000;

    fn section_of(octets: &[u8]) -> Result<Fields, Refused> {
        read(&Bytes::copy_from_slice(octets), MOST)
    }
}
