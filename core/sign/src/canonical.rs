//! Canonical form and order (RFC 4034 6).

use std::borrow::Cow;

use domain::base::iana::Rtype;
use domain::base::name::ParsedName;
use domain::base::rdata::{ComposeRecordData, ParseAnyRecordData};
use domain::dep::octseq::Parser;
use domain::rdata::AllRecordData;
use popnet_dns::suffixes;

/// A name as octets that compare as RFC 4034 6.1 orders names; those of names below it begin with
/// them. `wire` is in lower case.
#[must_use]
pub fn canonical_order(wire: &[u8]) -> Vec<u8> {
    let labels: Vec<&[u8]> = suffixes(wire)
        .filter_map(|rest| {
            let (length, label) = rest.split_first()?;
            label.get(..usize::from(*length)).filter(|label| !label.is_empty())
        })
        .collect();
    let mut key = Vec::with_capacity(wire.len() + 4);
    for label in labels.iter().rev() {
        for octet in *label {
            // 0 ends a label, so that a label sorts before those that it begins.
            match octet {
                0 => key.extend_from_slice(&[1, 1]),
                1 => key.extend_from_slice(&[1, 2]),
                other => key.push(*other),
            }
        }
        key.push(0);
    }
    key
}

/// A record's data with the names in it in lower case, for the types of RFC 4034 6.2 (less NSEC
/// and, which is moot here, RRSIG: RFC 6840 5.1). Data that does not parse stays as it is.
#[must_use]
pub fn canonical_rdata(rtype: Rtype, rdata: &[u8]) -> Cow<'_, [u8]> {
    let has_names = matches!(
        rtype,
        Rtype::NS
            | Rtype::MD
            | Rtype::MF
            | Rtype::CNAME
            | Rtype::SOA
            | Rtype::MB
            | Rtype::MG
            | Rtype::MR
            | Rtype::PTR
            | Rtype::MINFO
            | Rtype::MX
            | Rtype::RP
            | Rtype::AFSDB
            | Rtype::RT
            | Rtype::PX
            | Rtype::NAPTR
            | Rtype::KX
            | Rtype::SRV
            | Rtype::DNAME
    );
    if !has_names || !rdata.iter().any(u8::is_ascii_uppercase) {
        return Cow::Borrowed(rdata);
    }
    let lowered = match rtype {
        // The library knows these three only as opaque data: two octets, then names.
        Rtype::AFSDB | Rtype::RT | Rtype::KX => lower_names(rdata, 2),
        Rtype::PX => lower_names(rdata, 2),
        Rtype::RP => lower_names(rdata, 0),
        _ => compose(rtype, rdata),
    };
    lowered.map_or(Cow::Borrowed(rdata), Cow::Owned)
}

fn compose(rtype: Rtype, rdata: &[u8]) -> Option<Vec<u8>> {
    let mut parser = Parser::from_ref(rdata);
    let data = AllRecordData::<&[u8], ParsedName<&[u8]>>::parse_any_rdata(rtype, &mut parser);
    let mut composed = Vec::with_capacity(rdata.len());
    data.ok()?.compose_canonical_rdata(&mut composed).ok()?;
    Some(composed)
}

/// Lowers the names that follow `head` octets and fill the rest.
fn lower_names(rdata: &[u8], head: usize) -> Option<Vec<u8>> {
    let mut lowered = rdata.get(..head)?.to_vec();
    let mut rest = rdata.get(head..)?;
    while !rest.is_empty() {
        let name = popnet_dns::QName::read(rest)?;
        lowered.extend_from_slice(name.as_wire());
        rest = rest.get(name.as_wire().len()..)?;
    }
    Some(lowered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use popnet_dns::Name;

    /// The list of RFC 4034 6.1.
    #[test]
    fn the_order_of_the_rfc() {
        let names: Vec<Name> = [
            "example",
            "a.example",
            "yljkjljk.a.example",
            "Z.a.example",
            "zABC.a.EXAMPLE",
            "z.example",
            "\\001.z.example",
            "*.z.example",
            "\\200.z.example",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        let mut sorted = names.clone();
        sorted.reverse();
        sorted.sort_by_key(|name| canonical_order(name.as_wire()));
        assert_eq!(sorted, names);
        let (above, below) = (canonical_order(b"\x01a\0"), canonical_order(b"\x01\x00\x01a\0"));
        assert!(below.starts_with(&above) && below > above);
        assert!(canonical_order(b"\x02aa\0") > below);
    }

    #[test]
    fn names_in_data_are_lowered() {
        let mx = b"\x00\x0a\x04Mail\x07Example\0";
        assert_eq!(&*canonical_rdata(Rtype::MX, mx), b"\x00\x0a\x04mail\x07example\0");
        assert_eq!(&*canonical_rdata(Rtype::AFSDB, mx), b"\x00\x0a\x04mail\x07example\0");
        assert_eq!(&*canonical_rdata(Rtype::TXT, b"\x02AB"), b"\x02AB");
        let svcb = b"\x00\x01\x04Mail\x07Example\0";
        assert_eq!(&*canonical_rdata(Rtype::SVCB, svcb), svcb);
        assert_eq!(&*canonical_rdata(Rtype::RP, b"\x01A\0\x01B\0"), b"\x01a\0\x01b\0");
        assert_eq!(&*canonical_rdata(Rtype::MX, b"A"), b"A");
        let naptr = b"\x00\x01\x00\x02\x01S\x01X\x00\x01A\0";
        assert_eq!(
            &*canonical_rdata(Rtype::NAPTR, naptr),
            b"\x00\x01\x00\x02\x01S\x01X\x00\x01a\0"
        );
    }
}
