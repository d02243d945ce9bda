//! Text forms of record types that the library knows only as octets: each is a row of fields, read
//! and written by the same row.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use domain::base::iana::Rtype;
use domain::utils::{base16, base64};

use super::Wrong;
use super::entry::{Token, cut};
use super::place::{read_location, show_location};
use crate::name::{Name, QName};

/// One field of a record's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// A number of so many octets.
    Number(u8),
    /// A number of two octets, or the word for a certificate's kind (RFC 4398 2.1).
    Kind,
    /// A number of one octet, or the word for a key's algorithm (RFC 4034 A.1).
    Algorithm,
    /// A string with its length before it.
    Text,
    /// The same, if there is one more.
    MaybeText,
    /// One or more of them.
    Texts,
    /// A string that fills the rest (RFC 7553 4.4).
    Target,
    Name,
    /// Any number of names.
    Names,
    /// The rest in hexadecimal digits; the flag: with `0x` before them and dots between.
    Hex {
        dotted: bool,
    },
    /// The rest in base64, a dash for nothing.
    Base64,
    Ip4,
    /// Four groups of four hexadecimal digits (RFC 6742 2.1.1).
    Quad,
    /// So many pairs of hexadecimal digits (RFC 7043 3.2).
    Eui(u8),
    /// A list of types (RFC 4034 4.1.2).
    Types,
    /// Address prefixes (RFC 3123).
    Prefixes,
    /// Where it is (RFC 1876).
    Location,
    /// Algorithm, identity tag and key of a host (RFC 8005).
    Host,
    /// Discovery, type and name of a relay (RFC 8777 4.3).
    Relay,
}

use Field::{
    Algorithm, Base64, Eui, Hex, Host, Ip4, Kind, Location, MaybeText, Name as Domain, Names,
    Number, Prefixes, Quad, Relay, Target, Text, Texts, Types,
};

/// The fields of a type.
fn fields(rtype: Rtype) -> Option<&'static [Field]> {
    Some(match rtype.to_int() {
        // AFSDB and RT (RFC 1183), KX (RFC 2230), LP (RFC 6742).
        18 | 21 | 36 | 107 => &[Number(2), Domain],
        // X25, ISDN (RFC 1183).
        19 => &[Text],
        20 => &[Text, MaybeText],
        // NSAP (RFC 1706).
        22 => &[Hex { dotted: true }],
        // KEY (RFC 2535 3.1), RKEY: as a DNSKEY.
        25 | 57 => &[Number(2), Number(1), Algorithm, Base64],
        // PX (RFC 2163).
        26 => &[Number(2), Domain, Domain],
        // GPOS (RFC 1712).
        27 => &[Text, Text, Text],
        29 => &[Location],
        // EID, NIMLOC.
        31 | 32 => &[Hex { dotted: false }],
        // CERT (RFC 4398).
        37 => &[Kind, Number(2), Algorithm, Base64],
        // SINK.
        40 => &[Number(1), Number(1), Number(1), Base64],
        42 => &[Prefixes],
        // DHCID (RFC 4701).
        49 => &[Base64],
        // SMIMEA (RFC 8162), as TLSA.
        53 => &[Number(1), Number(1), Number(1), Hex { dotted: false }],
        55 => &[Host, Names],
        // NINFO, SPF (RFC 7208), AVC, RESINFO (RFC 9606), WALLET: as TXT.
        56 | 99 | 258 | 261 | 262 => &[Texts],
        // TALINK.
        58 => &[Domain, Domain],
        // CSYNC (RFC 7477).
        62 => &[Number(4), Number(2), Types],
        // NID, L64; L32 (RFC 6742).
        104 | 106 => &[Number(2), Quad],
        105 => &[Number(2), Ip4],
        // EUI48, EUI64 (RFC 7043).
        108 => &[Eui(6)],
        109 => &[Eui(8)],
        256 => &[Number(2), Number(2), Target],
        // DOA.
        259 => &[Number(4), Number(4), Number(1), Text, Base64],
        260 => &[Relay],
        _ => return None,
    })
}

/// Words that stand for numbers of certificates' kinds (RFC 4398 2.1).
const KINDS: [(&str, u64); 10] = [
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];

/// Words that stand for numbers of algorithms (RFC 4034 A.1 and its registry).
const ALGORITHMS: [(&str, u64); 16] = [
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("ECC", 4),
    ("RSASHA1", 5),
    ("NSEC3DSA", 6),
    ("DSA-NSEC3-SHA1", 6),
    ("NSEC3RSASHA1", 7),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECCGOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
];

/// What a record of any type can hold.
const DATA_MAX: usize = 65_535;

/// Reads the data of a record whose type has a row here into `out`. `None`: it has none, or the
/// data is written as octets (RFC 3597 5).
pub(super) fn read(
    rtype: Rtype,
    rest: &[u8],
    after: &Token<'_>,
    origin: &QName,
    out: &mut Vec<u8>,
) -> Option<Result<(), Wrong>> {
    let fields = fields(rtype)?;
    let mut words = cut(rest, after.line, after.depth, usize::MAX).words;
    for word in words.iter_mut().filter(|word| word.line == after.line) {
        word.column = word.column.saturating_add(after.after());
    }
    if words.first().is_some_and(|word| word.text == b"\\#") {
        return None;
    }
    out.clear();
    Some(Scribe { words: words.iter(), after, origin, out }.all(fields))
}

struct Scribe<'a, 't> {
    words: std::slice::Iter<'a, Token<'t>>,
    /// The type's own word, for what is missing.
    after: &'a Token<'t>,
    origin: &'a QName,
    out: &'a mut Vec<u8>,
}

impl Scribe<'_, '_> {
    fn all(&mut self, fields: &[Field]) -> Result<(), Wrong> {
        for field in fields {
            self.field(*field)?;
            if self.out.len() > DATA_MAX {
                return Err(self.after.wrong("has more data than a record can hold"));
            }
        }
        self.words.next().map_or(Ok(()), |word| Err(word.wrong("is one word too many")))
    }

    fn field(&mut self, field: Field) -> Result<(), Wrong> {
        match field {
            Number(octets) => self.number(octets, &[]),
            Kind => self.number(2, &KINDS),
            Algorithm => self.number(1, &ALGORITHMS),
            Text => self.text(),
            MaybeText if self.words.as_slice().is_empty() => Ok(()),
            MaybeText => self.text(),
            Texts => {
                self.text()?;
                while !self.words.as_slice().is_empty() {
                    self.text()?;
                }
                Ok(())
            }
            Target => {
                let word = self.word()?;
                let text = plain(word)?;
                self.out.extend_from_slice(&text);
                Ok(())
            }
            Domain => self.name(),
            Names => {
                while !self.words.as_slice().is_empty() {
                    self.name()?;
                }
                Ok(())
            }
            Hex { dotted } => self.hex(dotted),
            Base64 => self.base64(),
            Ip4 => {
                let address: Ipv4Addr = self.parsed("is no IPv4 address")?;
                self.out.extend_from_slice(&address.octets());
                Ok(())
            }
            Quad => self.groups(4, 4, b':'),
            Eui(octets) => self.groups(usize::from(octets), 2, b'-'),
            Types => {
                let mut types = Vec::new();
                while !self.words.as_slice().is_empty() {
                    types.push(self.parsed::<Rtype>("is no record type")?.to_int());
                }
                bitmap(types, self.out);
                Ok(())
            }
            Prefixes => {
                while !self.words.as_slice().is_empty() {
                    self.prefix()?;
                }
                Ok(())
            }
            Location => {
                let place = read_location(&mut self.words, self.after)?;
                self.out.extend_from_slice(&place);
                Ok(())
            }
            Host => self.host(),
            Relay => self.relay(),
        }
    }

    fn word(&mut self) -> Result<&Token<'_>, Wrong> {
        self.words.next().ok_or_else(|| self.after.wrong("has too few words of data"))
    }

    fn parsed<T: FromStr>(&mut self, what: &str) -> Result<T, Wrong> {
        let word = self.word()?;
        let text = str::from_utf8(word.text).ok();
        text.and_then(|text| text.parse().ok()).ok_or_else(|| word.wrong(what))
    }

    fn number(&mut self, octets: u8, words: &[(&str, u64)]) -> Result<(), Wrong> {
        let word = self.word()?;
        let text = str::from_utf8(word.text).unwrap_or_default();
        let known = words.iter().find(|(known, _)| known.eq_ignore_ascii_case(text));
        let number = known.map(|(_, number)| *number).or_else(|| text.parse::<u64>().ok());
        let fits = |number: &u64| *number < 1 << (8 * u32::from(octets));
        let number = number.filter(fits);
        let number = number.ok_or_else(|| word.wrong("is no number that fits here"))?;
        let wide = number.to_be_bytes();
        self.out.extend_from_slice(wide.get(8 - usize::from(octets)..).unwrap_or_default());
        Ok(())
    }

    fn text(&mut self) -> Result<(), Wrong> {
        let word = self.word()?;
        let text = plain(word)?;
        let Ok(length) = u8::try_from(text.len()) else {
            return Err(word.wrong("is longer than 255 octets"));
        };
        self.out.push(length);
        self.out.extend_from_slice(&text);
        Ok(())
    }

    fn name(&mut self) -> Result<(), Wrong> {
        let origin = *self.origin;
        let name = self.word()?.name(&origin)?;
        self.out.extend_from_slice(name.as_wire());
        Ok(())
    }

    /// The words that are left, as one.
    fn rest(&mut self) -> Result<String, Wrong> {
        let mut all = String::new();
        for word in self.words.by_ref() {
            let text = str::from_utf8(word.text).map_err(|_| word.wrong("is no text"))?;
            all.push_str(text);
        }
        Ok(all)
    }

    fn hex(&mut self, dotted: bool) -> Result<(), Wrong> {
        let mut digits = self.rest()?;
        if dotted {
            let Some(bare) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) else {
                return Err(self.after.wrong("needs data that begins with 0x"));
            };
            digits = bare.replace('.', "");
        }
        let octets: Vec<u8> = base16::decode(&digits)
            .map_err(|_| self.after.wrong("needs data in hexadecimal digits"))?;
        self.out.extend_from_slice(&octets);
        Ok(())
    }

    fn base64(&mut self) -> Result<(), Wrong> {
        let text = self.rest()?;
        if text == "-" {
            return Ok(());
        }
        let octets: Vec<u8> =
            base64::decode(&text).map_err(|_| self.after.wrong("needs data in base64"))?;
        self.out.extend_from_slice(&octets);
        Ok(())
    }

    /// So many groups of at most so many hexadecimal digits.
    fn groups(&mut self, count: usize, digits: usize, between: u8) -> Result<(), Wrong> {
        let word = self.word()?;
        let text = str::from_utf8(word.text).unwrap_or_default();
        let groups: Vec<&str> = text.split(char::from(between)).collect();
        let wrong = || word.wrong(&format!("does not have {count} groups of {digits} digits"));
        if groups.len() != count {
            return Err(wrong());
        }
        let mut octets = Vec::with_capacity(count * digits / 2);
        for group in groups {
            let fits =
                group.len() <= digits && group.bytes().all(|digit| digit.is_ascii_hexdigit());
            let number = u16::from_str_radix(group, 16).ok().filter(|_| fits);
            let number = number.ok_or_else(wrong)?.to_be_bytes();
            octets.extend_from_slice(number.get(2 - digits / 2..).unwrap_or_default());
        }
        self.out.extend_from_slice(&octets);
        Ok(())
    }

    /// `[!]FAMILY:ADDRESS/LENGTH`; zero octets at the end stay away (RFC 3123 4).
    fn prefix(&mut self) -> Result<(), Wrong> {
        let word = self.word()?;
        let text = str::from_utf8(word.text).unwrap_or_default();
        let (not, bare) = text.strip_prefix('!').map_or((0, text), |bare| (0x80, bare));
        let parts = bare.split_once(':').and_then(|(family, rest)| {
            let (address, length) = rest.split_once('/')?;
            let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
            let octets = match (family, address) {
                ("1", IpAddr::V4(v4)) if length <= 32 => v4.octets().to_vec(),
                ("2", IpAddr::V6(v6)) if length <= 128 => v6.octets().to_vec(),
                _ => return None,
            };
            Some((family.parse::<u8>().ok()?, length, octets))
        });
        let Some((family, length, mut octets)) = parts else {
            return Err(word.wrong("is no prefix such as 1:192.0.2.0/24 or !2:2001:db8::/32"));
        };
        while octets.last() == Some(&0) {
            octets.pop();
        }
        let count = u8::try_from(octets.len()).unwrap_or(0);
        self.out.extend_from_slice(&[0, family, length, not | count]);
        self.out.extend_from_slice(&octets);
        Ok(())
    }

    fn host(&mut self) -> Result<(), Wrong> {
        let algorithm: u8 = self.parsed("is no algorithm's number")?;
        let tag = self.word()?;
        let octets = str::from_utf8(tag.text).ok();
        let octets = octets.and_then(|text| base16::decode::<Vec<u8>>(text).ok());
        let octets = octets.filter(|octets| (1..256).contains(&octets.len()));
        let tag = octets.ok_or_else(|| tag.wrong("is no identity tag in hexadecimal digits"))?;
        let key = self.word()?;
        let octets = str::from_utf8(key.text).ok();
        let octets = octets.and_then(|text| base64::decode::<Vec<u8>>(text).ok());
        let key = octets.ok_or_else(|| key.wrong("is no key in base64"))?;
        let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
        self.out.extend_from_slice(&[u8::try_from(tag.len()).unwrap_or(0), algorithm]);
        self.out.extend_from_slice(&length);
        self.out.extend_from_slice(&tag);
        self.out.extend_from_slice(&key);
        Ok(())
    }

    fn relay(&mut self) -> Result<(), Wrong> {
        let precedence: u8 = self.parsed("is no precedence: 0 to 255")?;
        let discovery: u8 = self.parsed("is no discovery flag: 0 or 1")?;
        let word = self.word()?;
        let kind = match (discovery, word.text) {
            (0 | 1, [kind @ b'0'..=b'3']) => kind - b'0',
            _ => return Err(word.wrong("is no relay's type: 0 to 3, after a flag of 0 or 1")),
        };
        self.out.extend_from_slice(&[precedence, (discovery << 7) | kind]);
        match kind {
            0 => {
                // RFC 8777 4.3.1: a dot stands where there is no relay.
                let _ = self.words.as_slice().first().is_some_and(|word| word.text == b".")
                    && self.words.next().is_some();
                Ok(())
            }
            1 => self.field(Ip4),
            2 => {
                let address: Ipv6Addr = self.parsed("is no IPv6 address")?;
                self.out.extend_from_slice(&address.octets());
                Ok(())
            }
            _ => self.name(),
        }
    }
}

/// A word without its quotes and escapes (RFC 1035 5.1).
fn plain(word: &Token<'_>) -> Result<Vec<u8>, Wrong> {
    let mut text = Vec::with_capacity(word.text.len());
    let mut rest = word.text;
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        match (octet, rest) {
            (b'"', _) => {}
            (b'\\', [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..]) => {
                let [a, b, c] = [a, b, c].map(|digit| u16::from(digit - b'0'));
                let Ok(octet) = u8::try_from(100 * a + 10 * b + c) else {
                    return Err(word.wrong("has an escape above \\255"));
                };
                text.push(octet);
                rest = after;
            }
            (b'\\', [escaped, after @ ..]) => {
                text.push(*escaped);
                rest = after;
            }
            (octet, _) => text.push(*octet),
        }
    }
    Ok(text)
}

/// The list of types (RFC 4034 4.1.2).
fn bitmap(mut types: Vec<u16>, out: &mut Vec<u8>) {
    types.sort_unstable();
    for window in types.chunk_by(|one, other| one >> 8 == other >> 8) {
        let mut bits = [0u8; 32];
        let mut length = 0;
        for rtype in window {
            let [_, low] = rtype.to_be_bytes();
            if let Some(octet) = bits.get_mut(usize::from(low / 8)) {
                *octet |= 0x80 >> (low % 8);
            }
            length = low / 8 + 1;
        }
        let number = window.first().map_or(0, |rtype| rtype.to_be_bytes()[0]);
        out.extend_from_slice(&[number, length]);
        out.extend_from_slice(bits.get(..usize::from(length)).unwrap_or_default());
    }
}

/// The data of a record whose type has a row here, as text. `None`: it has none, or the data is
/// not as the row says.
pub(super) fn show(rtype: Rtype, rdata: &[u8]) -> Option<String> {
    let mut reader = Reader { rest: rdata, text: String::new() };
    for field in fields(rtype)? {
        reader.field(*field)?;
    }
    reader.rest.is_empty().then(|| reader.text.trim_end().to_owned())
}

struct Reader<'a> {
    rest: &'a [u8],
    text: String,
}

impl Reader<'_> {
    fn field(&mut self, field: Field) -> Option<()> {
        match field {
            Number(octets) => self.number(octets),
            Kind => self.number(2),
            Algorithm => self.number(1),
            Text => self.string(),
            MaybeText if self.rest.is_empty() => Some(()),
            MaybeText => self.string(),
            Texts => {
                self.string()?;
                while !self.rest.is_empty() {
                    self.string()?;
                }
                Some(())
            }
            Target => {
                let text = std::mem::take(&mut self.rest);
                self.quoted(text);
                Some(())
            }
            Domain => self.name(),
            Names => {
                while !self.rest.is_empty() {
                    self.name()?;
                }
                Some(())
            }
            Hex { dotted } => {
                let octets = std::mem::take(&mut self.rest);
                let digits = base16::encode_string(octets);
                self.put(format_args!("{}{digits}", if dotted { "0x" } else { "" }))
            }
            Base64 => {
                let octets = std::mem::take(&mut self.rest);
                match octets {
                    [] => self.put(format_args!("-")),
                    _ => self.put(format_args!("{}", base64::encode_string(octets))),
                }
            }
            Ip4 => {
                let octets = *self.take(4)?.first_chunk::<4>()?;
                self.put(format_args!("{}", Ipv4Addr::from(octets)))
            }
            Quad => self.groups(8, 2, ":"),
            Eui(octets) => self.groups(usize::from(octets), 1, "-"),
            Types => self.types(),
            Prefixes => {
                while !self.rest.is_empty() {
                    self.prefix()?;
                }
                Some(())
            }
            Location => {
                let place = show_location(self.take(16)?)?;
                self.put(format_args!("{place}"))
            }
            Host => {
                let [length, algorithm, k0, k1] = *self.take(4)?.first_chunk::<4>()?;
                let tag = base16::encode_string(self.take(usize::from(length))?);
                let key = self.take(usize::from(u16::from_be_bytes([k0, k1])))?;
                let key = base64::encode_string(key);
                self.put(format_args!("{algorithm} {tag} {key}"))
            }
            Relay => self.relay(),
        }
    }

    fn put(&mut self, word: std::fmt::Arguments<'_>) -> Option<()> {
        write!(self.text, "{word} ").ok()
    }

    fn take(&mut self, octets: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(octets)?;
        self.rest = rest;
        Some(taken)
    }

    fn number(&mut self, octets: u8) -> Option<()> {
        let taken = self.take(octets.into())?;
        let number = taken.iter().fold(0u64, |number, octet| (number << 8) | u64::from(*octet));
        self.put(format_args!("{number}"))
    }

    fn string(&mut self) -> Option<()> {
        let (length, rest) = self.rest.split_first()?;
        let (text, rest) = rest.split_at_checked(usize::from(*length))?;
        self.rest = rest;
        self.quoted(text);
        Some(())
    }

    fn quoted(&mut self, text: &[u8]) {
        self.text.push('"');
        for octet in text {
            match octet {
                b'"' | b'\\' => self.text.extend(['\\', char::from(*octet)]),
                b' '..=b'~' => self.text.push(char::from(*octet)),
                other => drop(write!(self.text, "\\{other:03}")),
            }
        }
        self.text.push_str("\" ");
    }

    fn name(&mut self) -> Option<()> {
        let length = QName::span(self.rest)?;
        let name = Name::from_wire(self.take(length)?)?;
        self.put(format_args!("{name}"))
    }

    fn groups(&mut self, octets: usize, each: usize, between: &str) -> Option<()> {
        let groups = self.take(octets)?.chunks(each).map(|group| {
            group.iter().fold(String::new(), |text, octet| format!("{text}{octet:02x}"))
        });
        let groups: Vec<String> = groups.collect();
        self.put(format_args!("{}", groups.join(between)))
    }

    fn types(&mut self) -> Option<()> {
        while !self.rest.is_empty() {
            let [window, length] = *self.take(2)?.first_chunk::<2>()?;
            let bits = self.take(length.into())?.to_vec();
            for (at, bit) in bits.iter().enumerate().flat_map(|(at, octet)| {
                (0..8u16).filter(move |bit| octet & (0x80 >> bit) != 0).map(move |bit| (at, bit))
            }) {
                let low = u16::try_from(at).ok()?.checked_mul(8)?.checked_add(bit)?;
                let number = (u16::from(window) << 8).checked_add(low)?;
                self.put(format_args!("{}", Rtype::from_int(number)))?;
            }
        }
        Some(())
    }

    fn prefix(&mut self) -> Option<()> {
        let [zero, family, length, bits] = *self.take(4)?.first_chunk::<4>()?;
        let octets = self.take(usize::from(bits & 0x7f))?;
        let address = match (zero, family) {
            (0, 1) => IpAddr::from(padded::<4>(octets)?),
            (0, 2) => IpAddr::from(padded::<16>(octets)?),
            _ => return None,
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        if octets.last() == Some(&0) || length > most {
            return None;
        }
        let not = if bits & 0x80 == 0 { "" } else { "!" };
        self.put(format_args!("{not}{family}:{address}/{length}"))
    }

    fn relay(&mut self) -> Option<()> {
        let [precedence, bits] = *self.take(2)?.first_chunk::<2>()?;
        let (discovery, kind) = (bits >> 7, bits & 0x7f);
        self.put(format_args!("{precedence} {discovery} {kind}"))?;
        match kind {
            0 => self.put(format_args!(".")),
            1 => self.field(Ip4),
            2 => {
                let octets = *self.take(16)?.first_chunk::<16>()?;
                self.put(format_args!("{}", Ipv6Addr::from(octets)))
            }
            3 => self.name(),
            _ => None,
        }
    }
}

fn padded<const N: usize>(octets: &[u8]) -> Option<[u8; N]> {
    let mut all = [0; N];
    all.get_mut(..octets.len())?.copy_from_slice(octets);
    Some(all)
}
