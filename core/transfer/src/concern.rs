//! Which packets on the DNS port are ours to handle, told at a glance: nearly none are.

use popnet_dns::Rtype;

use crate::{ask, tsig};

/// Why a packet is no plain question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// It asks for a whole zone, or what changed in it.
    Transfer,
    /// It says that a zone has changed.
    Notify,
    /// It changes a zone.
    Update,
    /// A plain question, signed.
    Signed,
}

/// Looks at a packet. `None`: a plain question, or nothing at all.
#[must_use]
pub fn concern(packet: &[u8]) -> Option<Concern> {
    // What is shorter than a header has no number to be answered under.
    let [_, _, bits, ..] = *packet.first_chunk::<12>()?;
    match bits & 0xf8 {
        0 => {}
        0x20 => return Some(Concern::Notify),
        0x28 => return Some(Concern::Update),
        _ => return None,
    }
    let question = ask::question(packet);
    let [.., t0, t1, _, _] = question else { return None };
    let qtype = Rtype::from_int(u16::from_be_bytes([*t0, *t1]));
    if matches!(qtype, Rtype::AXFR | Rtype::IXFR) {
        return Some(Concern::Transfer);
    }
    let [n0, n1, r0, r1] = *packet.get(8..12)?.first_chunk::<4>()?;
    let rest = packet.get(12 + question.len()..)?;
    // Nothing behind the question, or EDNS alone: what everybody sends.
    let plain = matches!(([n0, n1, r0, r1], rest), ([0, 0, 0, 0], _))
        || matches!(([n0, n1, r0, r1], rest), ([0, 0, 0, 1], [0, 0, 41, ..]));
    (!plain && tsig::is_signed(packet)).then_some(Concern::Signed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use popnet_dns::{Rcode, build_query};

    use super::*;
    use crate::testing::{name, zone};
    use crate::{Algorithm, Key, Keys, notification, reply};

    #[test]
    fn each_kind() {
        let apex = name("example");
        let plain = build_query(1, &apex, Rtype::SOA, None);
        assert_eq!(concern(&plain), None);
        let key = Arc::new(Key::new(name("k"), Algorithm::Sha256, b"x"));
        let mut signed = plain.clone();
        tsig::sign(&mut signed, &key, 1);
        assert_eq!(concern(&signed), Some(Concern::Signed));
        assert_eq!(concern(&reply(&plain, Rcode::NOERROR)), None);
        let told = notification(1, &apex, &zone(1, &[]).soa().unwrap());
        assert_eq!(concern(&told), Some(Concern::Notify));
        assert_eq!(concern(&reply(&told, Rcode::NOERROR)), None, "an answer is no question");
        assert_eq!(concern(told.get(..11).unwrap()), None, "half a header");
        for (qtype, expected) in
            [(Rtype::AXFR, Some(Concern::Transfer)), (Rtype::IXFR, Some(Concern::Transfer))]
        {
            assert_eq!(concern(&build_query(1, &apex, qtype, None)), expected);
        }
        for cut in 0..signed.len() {
            // What is malformed is told so by whoever looks for the signature.
            if concern(&signed[..cut]) == Some(Concern::Signed) {
                let found = tsig::check(&mut signed[..cut].to_vec(), &Keys::default(), 1);
                assert_eq!(found.unwrap_err().word(), "FORMERR", "{cut}");
            }
        }
    }
}
