//! The questions of transfers and notifications, and plain answers to what comes in.

use domain::base::iana::Class;
use popnet_dns::{Name, Rcode, Rtype};

use crate::record::Rr;

const HEADER: usize = 12;

/// A question for `qtype` at `apex`; for differences with the SOA record that the asker has
/// (RFC 1995 3).
#[must_use]
pub fn ask(id: u16, apex: &Name, qtype: Rtype, have: Option<&Rr>) -> Vec<u8> {
    let have = have.filter(|_| qtype == Rtype::IXFR);
    let mut out = head(id, 0, apex, qtype, [0, u16::from(have.is_some())]);
    out.extend(have.iter().flat_map(|soa| record(soa)));
    out
}

/// A notification that `apex` has this SOA record (RFC 1996 3).
#[must_use]
pub fn notification(id: u16, apex: &Name, soa: &Rr) -> Vec<u8> {
    // Opcode 4, AA.
    let mut out = head(id, 0x2400, apex, Rtype::SOA, [1, 0]);
    out.extend(record(soa));
    out
}

fn head(id: u16, bits: u16, apex: &Name, qtype: Rtype, [answers, authority]: [u16; 2]) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    for number in [id, bits, 1, answers, authority, 0] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(apex.as_wire());
    out.extend_from_slice(&qtype.to_int().to_be_bytes());
    out.extend_from_slice(&Class::IN.to_int().to_be_bytes());
    out
}

fn record(record: &Rr) -> Vec<u8> {
    let mut out = record.owner.as_wire().to_vec();
    out.extend_from_slice(&record.rtype.to_int().to_be_bytes());
    out.extend_from_slice(&Class::IN.to_int().to_be_bytes());
    out.extend_from_slice(&record.ttl.to_be_bytes());
    out.extend_from_slice(&u16::try_from(record.rdata.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&record.rdata);
    out
}

/// An answer of nothing but a code to `request`, of whatever operation, with its question.
#[must_use]
pub fn reply(request: &[u8], code: Rcode) -> Vec<u8> {
    let question = question(request);
    let [i0, i1, bits, ..] = request.first_chunk::<HEADER>().copied().unwrap_or_default();
    // QR, the operation and RD as they came; AA to a notification (RFC 1996 4.7).
    let authoritative = if bits & 0x78 == 4 << 3 { 0x04 } else { 0 };
    let code = u8::try_from(code.to_int() & 0xf).unwrap_or(2);
    let count = u8::from(!question.is_empty());
    let mut out = vec![i0, i1, 0x80 | (bits & 0x79) | authoritative, code];
    out.extend_from_slice(&[0, count, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(question);
    out
}

/// The octets of the question of `message`; empty when it has not exactly one.
pub(crate) fn question(message: &[u8]) -> &[u8] {
    if message.get(4..6) != Some(&[0, 1]) {
        return &[];
    }
    let rest = message.get(HEADER..).unwrap_or_default();
    let name = popnet_dns::QName::span(rest);
    name.and_then(|length| rest.get(..length + 4)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Incoming;
    use crate::serial::Serial;
    use crate::testing::{name, zone};

    #[test]
    fn questions_can_be_read() {
        let soa = zone(7, &[]).soa().unwrap();
        let apex = name("example");
        let asked = Incoming::parse(&ask(3, &apex, Rtype::IXFR, Some(&soa))).unwrap();
        assert_eq!((asked.id, asked.opcode, asked.base(&apex)), (3, 0, Some(Serial(7))));
        let whole = Incoming::parse(&ask(3, &apex, Rtype::AXFR, Some(&soa))).unwrap();
        assert_eq!(whole.base(&apex), None);
        let told = Incoming::parse(&notification(4, &apex, &soa)).unwrap();
        assert_eq!((told.opcode, told.soas().next().unwrap().1.serial), (4, Serial(7)));
        let answer = reply(&notification(4, &apex, &soa), Rcode::NOERROR);
        let read = Incoming::parse(&answer).unwrap();
        assert!(read.is_response && read.opcode == 4 && read.question == told.question);
        assert_eq!(answer[2] & 0x04, 0x04);
        for cut in 0..answer.len() {
            let short = reply(&answer[..cut], Rcode::FORMERR);
            assert!(short.len() >= HEADER && short.len() <= answer.len());
        }
    }
}
