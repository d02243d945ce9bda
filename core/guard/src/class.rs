//! What kind of answer some octets are: floods of one kind are limited together.

use popnet_dns::{Rcode, suffixes};

const HEADER: usize = 12;

/// The kind of an answer, with the name that stands for all answers like it: whoever makes up names
/// below a zone gets answers of one class, not one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class<'a> {
    /// Records, or a cut answer: name, type and class of the question.
    Answer(&'a [u8]),
    /// The name has no such records: its zone.
    NoData(&'a [u8]),
    /// No such name: the zone.
    NxDomain(&'a [u8]),
    /// Others know: the cut.
    Referral(&'a [u8]),
    /// Any error.
    Error,
}

/// The class of a response as this program writes them: the question first, and the owner in the
/// authority section compressed against it. Octets of another form are an [`Class::Error`].
#[must_use]
pub fn class_of(response: &[u8]) -> Class<'_> {
    let Some([_, _, bits, more, _, asked, a0, a1, n0, n1, _, _]) = response.first_chunk::<HEADER>()
    else {
        return Class::Error;
    };
    let Some(question) = (*asked == 1).then(|| question(response)).flatten() else {
        return Class::Error;
    };
    let answers = u16::from_be_bytes([*a0, *a1]);
    let authority = u16::from_be_bytes([*n0, *n1]);
    let zone = || {
        if authority == 0 { &[] } else { owner_after(response, question).unwrap_or_default() }
    };
    match (u16::from(more & 0xf), bits & 0x04 != 0) {
        (code, _) if code == Rcode::NXDOMAIN.to_int() => Class::NxDomain(zone()),
        (code, _) if code != Rcode::NOERROR.to_int() => Class::Error,
        _ if answers > 0 || bits & 0x02 != 0 => Class::Answer(question),
        (_, true) => Class::NoData(zone()),
        (_, false) => Class::Referral(zone()),
    }
}

/// Name, type and class of the question.
fn question(response: &[u8]) -> Option<&[u8]> {
    let octets = response.get(HEADER..)?;
    let mut at = 0;
    loop {
        match usize::from(*octets.get(at)?) {
            0 => return octets.get(..at + 5),
            length @ 1..=63 => at += 1 + length,
            64.. => return None,
        }
    }
}

/// The owner of the first record: a part of the question's name, or nothing.
fn owner_after<'a>(response: &'a [u8], question: &'a [u8]) -> Option<&'a [u8]> {
    let [high, low] = *response.get(HEADER + question.len()..)?.first_chunk::<2>()?;
    if high < 0xc0 {
        return None;
    }
    let offset = usize::from(u16::from_be_bytes([high & 0x3f, low])).checked_sub(HEADER)?;
    let name = question.get(..question.len().checked_sub(4)?)?;
    let wanted = name.get(offset..)?;
    // Only where a label begins: what else a pointer may say is not ours.
    suffixes(name).find(|suffix| suffix.len() == wanted.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_dns::{Flags, Name, Owner, Rtype, Section, Writer};

    fn response(make: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = vec![0; 512];
        let question = [&wire("a.b.test")[..], &[0, 1, 0, 1]].concat();
        let mut writer = Writer::start(&mut out, 512, 7, Flags::default(), &question, None);
        make(&mut writer);
        let length = writer.finish();
        out.truncate(length);
        out
    }

    fn wire(name: &str) -> Vec<u8> {
        name.parse::<Name>().unwrap().as_wire().to_vec()
    }

    fn soa(writer: &mut Writer<'_>, owner: &str) {
        let owner = wire(owner);
        writer.record(Section::Authority, Owner::Name(&owner), Rtype::TXT, 1, &[1, b'x']).unwrap();
    }

    #[test]
    fn classes() {
        let made = response(|writer| {
            writer.record(Section::Answer, Owner::Question, Rtype::A, 1, &[1, 2, 3, 4]).unwrap();
        });
        let question = [&wire("a.b.test")[..], &[0, 1, 0, 1]].concat();
        assert_eq!(class_of(&made), Class::Answer(&question));
        let made = response(|writer| {
            writer.authoritative();
            soa(writer, "b.test");
        });
        assert_eq!(class_of(&made), Class::NoData(&wire("b.test")));
        let made = response(|writer| {
            writer.rcode(Rcode::NXDOMAIN);
            soa(writer, "test");
        });
        assert_eq!(class_of(&made), Class::NxDomain(&wire("test")));
        let made = response(|writer| soa(writer, "b.test"));
        assert_eq!(class_of(&made), Class::Referral(&wire("b.test")));
        let made = response(|writer| writer.rcode(Rcode::REFUSED));
        assert_eq!(class_of(&made), Class::Error);
        let made = response(|writer| writer.truncate(&question));
        assert_eq!(class_of(&made), Class::Answer(&question));
        // A zone that is no part of the question.
        let made = response(|writer| {
            writer.rcode(Rcode::NXDOMAIN);
            soa(writer, "example");
        });
        assert_eq!(class_of(&made), Class::NxDomain(&[]));
    }

    #[test]
    fn junk_never_panics() {
        let mut made = response(|writer| soa(writer, "b.test"));
        let mut state = 5u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = usize::try_from(state >> 33).unwrap() % made.len();
            made[at] = state.to_be_bytes()[3];
            let _ = class_of(&made);
            let _ = class_of(&made[..at]);
        }
    }
}
