//! A query read in place: what is asked, or with which code it is refused, or why silence is the
//! right answer.

use domain::base::iana::{Class, Opcode, OptRcode as Rcode, Rtype};

use crate::edns::{self, Edns};
use crate::name::QName;

const HEADER: usize = 12;

/// Stands among the types of a name to say that there is no such name (RFC 9824 2).
pub const NXNAME: Rtype = Rtype::from_int(128);

/// RFC 9824 9: the extended error for types that nobody may ask for.
const INVALID_QUERY_TYPE: u16 = 30;

/// What a packet on the DNS port is.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack for one packet; a box would cost"
)]
pub enum Parsed<'a> {
    /// A question that can be looked up.
    Query(Query<'a>),
    /// Something to be refused.
    Refuse(Refusal<'a>),
    /// Nothing to answer.
    Drop(Dropped),
}

/// Why a packet gets no answer: answering could start a loop or help a forger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Shorter than a header.
    Short,
    /// A response, not a query.
    Response,
}

/// The header bits of a query that matter to its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The four bits of the operation.
    pub opcode: u8,
    /// RD, copied into the response.
    pub recursion_desired: bool,
    /// CD, copied into the response (RFC 4035 3.1.6).
    pub checking_disabled: bool,
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Its number.
    pub id: u16,
    /// Header bits.
    pub flags: Flags,
    /// The question section as it came, capitals included: it goes back so.
    pub question: &'a [u8],
    /// The name, in lower case.
    pub qname: QName,
    /// The type.
    pub qtype: Rtype,
    /// The class.
    pub qclass: Class,
    /// EDNS, when the query has it.
    pub edns: Option<Edns>,
}

/// A refusal, with what is needed to write it.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The query's number.
    pub id: u16,
    /// Header bits.
    pub flags: Flags,
    /// The question, when it could be read.
    pub question: &'a [u8],
    /// With which code.
    pub rcode: Rcode,
    /// Whether the response carries EDNS.
    pub edns: bool,
    /// An extended error (RFC 8914), where it has EDNS.
    pub extended_error: Option<u16>,
}

/// Reads one packet.
#[must_use]
pub fn parse_query(packet: &[u8]) -> Parsed<'_> {
    let Some(head) = packet.first_chunk::<HEADER>() else { return Parsed::Drop(Dropped::Short) };
    let [i0, i1, bits, more, q0, q1, a0, a1, n0, n1, r0, r1] = *head;
    if bits & 0x80 != 0 {
        return Parsed::Drop(Dropped::Response);
    }
    let flags = Flags {
        opcode: (bits >> 3) & 0xf,
        recursion_desired: bits & 1 != 0,
        checking_disabled: more & 0x10 != 0,
    };
    let id = u16::from_be_bytes([i0, i1]);
    let refusal = Refusal {
        id,
        flags,
        question: &[],
        rcode: Rcode::FORMERR,
        edns: false,
        extended_error: None,
    };
    if Opcode::from_int(flags.opcode) != Opcode::QUERY {
        return Parsed::Refuse(Refusal { rcode: Rcode::NOTIMP, ..refusal });
    }
    // RFC 9619: one question; and a query answers nothing.
    if u16::from_be_bytes([q0, q1]) != 1 || u16::from_be_bytes([a0, a1]) != 0 {
        return Parsed::Refuse(refusal);
    }
    let Some((name, qtype, qclass, question)) = question(packet) else {
        return Parsed::Refuse(refusal);
    };
    let refusal = Refusal { question, ..refusal };
    let records =
        usize::from(u16::from_be_bytes([n0, n1])) + usize::from(u16::from_be_bytes([r0, r1]));
    let rest = packet.get(HEADER + question.len()..).unwrap_or_default();
    let Some(edns) = find_opt(rest, records) else { return Parsed::Refuse(refusal) };
    if edns.is_some_and(|edns| edns.version != 0) {
        return Parsed::Refuse(Refusal { rcode: Rcode::BADVERS, edns: true, ..refusal });
    }
    // Neither OPT (RFC 6891 6.1.1) nor NXNAME (RFC 9824 3.5) is a type to ask for.
    let extended_error = (qtype == NXNAME).then_some(INVALID_QUERY_TYPE);
    if extended_error.is_some() || qtype == Rtype::OPT {
        return Parsed::Refuse(Refusal { edns: edns.is_some(), extended_error, ..refusal });
    }
    // Copied only here, to where it stays.
    let qname = QName::lowered(name);
    Parsed::Query(Query { id, flags, question, qname, qtype, qclass, edns })
}

/// The name, the type and the class, and the whole question that they are in.
fn question(packet: &[u8]) -> Option<(&[u8], Rtype, Class, &[u8])> {
    let octets = packet.get(HEADER..)?;
    let (name, rest) = octets.split_at_checked(QName::span(octets)?)?;
    let [t0, t1, c0, c1] = *rest.first_chunk::<4>()?;
    let qtype = Rtype::from_int(u16::from_be_bytes([t0, t1]));
    let qclass = Class::from_int(u16::from_be_bytes([c0, c1]));
    Some((name, qtype, qclass, octets.get(..name.len() + 4)?))
}

/// Walks the records after the question. `None`: malformed; `Some(None)`: fine, without EDNS.
fn find_opt(mut octets: &[u8], records: usize) -> Option<Option<Edns>> {
    let mut found = None;
    for _ in 0..records {
        let (root, after_name) = skip_name(octets)?;
        let [t0, t1, c0, c1, s0, s1, s2, s3, l0, l1, rest @ ..] = after_name else { return None };
        let rdata = rest.get(..usize::from(u16::from_be_bytes([*l0, *l1])))?;
        octets = rest.get(rdata.len()..)?;
        if u16::from_be_bytes([*t0, *t1]) == Rtype::OPT.to_int() {
            // RFC 6891 6.1.1: one OPT record, owned by the root.
            if found.is_some() || !root {
                return None;
            }
            let class = u16::from_be_bytes([*c0, *c1]);
            let ttl = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
            found = Some(edns::parse_opt(class, ttl, rdata)?);
        }
    }
    octets.is_empty().then_some(found)
}

/// Steps over a name, compressed or not; says whether it was the root.
fn skip_name(octets: &[u8]) -> Option<(bool, &[u8])> {
    let mut at = 0usize;
    loop {
        match *octets.get(at)? {
            0 => return Some((at == 0, octets.get(at + 1..)?)),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. => return Some((false, octets.get(at + 2..)?)),
            64..=0xbf => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::build_query;

    fn code(packet: &[u8]) -> String {
        match parse_query(packet) {
            Parsed::Query(query) => format!("{} {}", query.qname, query.qtype),
            Parsed::Refuse(refusal) => refusal.rcode.to_string(),
            Parsed::Drop(why) => format!("{why:?}"),
        }
    }

    #[test]
    fn good_and_bad() {
        let good = build_query(7, &"WWW.Example".parse().unwrap(), Rtype::A, None);
        assert_eq!(code(&good), "www.example. A");
        assert_eq!(code(&good[..11]), "Short");
        let with = |at: usize, value: u8| {
            let mut packet = good.clone();
            packet[at] = value;
            packet
        };
        assert_eq!(code(&with(2, 0x80)), "Response");
        assert_eq!(code(&with(2, 4 << 3)), "NOTIMP");
        assert_eq!(code(&with(5, 2)), "FORMERR");
        assert_eq!(code(&with(5, 0)), "FORMERR");
        assert_eq!(code(&with(7, 1)), "FORMERR");
        assert_eq!(code(&with(11, 2)), "FORMERR");
        assert_eq!(code(&with(12, 0xc0)), "FORMERR");
        let opt = good.len() - 11;
        assert_eq!(code(&with(opt + 6, 1)), "BADVERS");
        assert_eq!(code(&with(opt + 10, 1)), "FORMERR");
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(code(&longer), "FORMERR");
        for cut in 12..good.len() {
            assert_eq!(code(&good[..cut]), "FORMERR", "{cut}");
        }
    }

    #[test]
    fn no_types_to_ask_for() {
        let name = "www.example".parse().unwrap();
        for (qtype, told) in [(NXNAME, Some(30)), (Rtype::OPT, None)] {
            let packet = build_query(7, &name, qtype, None);
            let Parsed::Refuse(refusal) = parse_query(&packet) else { panic!("{qtype}") };
            assert_eq!((refusal.rcode, refusal.edns), (Rcode::FORMERR, true));
            assert_eq!(refusal.extended_error, told);
        }
    }

    #[test]
    fn junk_never_panics() {
        let mut state = 1u64;
        let seed = build_query(
            7,
            &"a.b.example".parse().unwrap(),
            Rtype::AAAA,
            Some("192.0.2.0/24".parse().unwrap()),
        );
        for _ in 0..20_000 {
            let mut packet = seed.clone();
            for _ in 0..4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (state >> 33) as usize % packet.len();
                packet[at] = state.to_be_bytes()[5];
            }
            let _ = code(&packet);
            let _ = code(&packet[..(state >> 40) as usize % packet.len()]);
        }
    }
}
