//! Denial of existence: the data of NSEC (RFC 4034 4) and NSEC3 records (RFC 5155 3).
//!
//! NSEC3 is made as RFC 9276 asks: SHA-1 once, no salt, and every name in the chain (no opt-out).

use domain::base::Name as WireName;
use domain::base::iana::Rtype;
use domain::dnssec::common::nsec3_default_hash;
use domain::rdata::dnssec::RtypeBitmap;
use popnet_dns::Name;
use serde::{Deserialize, Serialize};

/// How a zone says that something does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Denial {
    /// NSEC: the smallest and fastest; the zone's names can be listed.
    #[default]
    Nsec,
    /// NSEC3: names cannot simply be listed.
    Nsec3,
}

/// Octets of a hash.
const HASH: u8 = 20;

/// NSEC3PARAM and the head of NSEC3: SHA-1, no flags, no more iterations, no salt (RFC 9276 3.1).
pub(crate) const PARAMETERS: [u8; 5] = [1, 0, 0, 0, 0];

/// The data of an NSEC record: the owner after it, and the types at its own.
#[must_use]
pub fn nsec_at(next: &[u8], types: &[Rtype]) -> Vec<u8> {
    [next, &bitmap(types)].concat()
}

/// The data of an NSEC3 record: the hash after it, and the types at its own.
#[must_use]
pub fn nsec3_at(next: &[u8; 20], types: &[Rtype]) -> Vec<u8> {
    [PARAMETERS.as_slice(), &[HASH], next, &bitmap(types)].concat()
}

fn bitmap(types: &[Rtype]) -> Vec<u8> {
    let mut builder = RtypeBitmap::<Vec<u8>>::builder();
    for rtype in types {
        // A vector takes everything.
        let _ = builder.add(*rtype);
    }
    builder.finalize().as_octets().clone()
}

/// The hash of a name in lower case (RFC 5155 5).
#[must_use]
pub fn hash_of(wire: &[u8]) -> Option<[u8; 20]> {
    let name = WireName::from_slice(wire).ok()?;
    let hash = nsec3_default_hash::<_, Vec<u8>>(name).ok()?;
    <[u8; 20]>::try_from(hash.as_slice()).ok()
}

/// A hash as the label of its NSEC3 record: base 32 with the extended hex alphabet (RFC 4648 7).
#[must_use]
pub fn hash_label(hash: &[u8; 20]) -> String {
    domain::utils::base32::encode_string_hex(hash).to_ascii_lowercase()
}

/// The owner of the NSEC3 record of `hash`; `None` when the zone's name is too long.
#[must_use]
pub fn nsec3_owner(hash: &[u8; 20], apex: &Name) -> Option<Name> {
    apex.below(&hash_label(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of RFC 5155 appendix A is salted; this one was made by `ldns-nsec3-hash`.
    #[test]
    fn a_known_hash() {
        let hash = hash_of(b"\x07example\x04test\0").unwrap();
        assert_eq!(hash_label(&hash), "jbas736chung3bb701jkjdhqkqlhvug7");
        assert_eq!(hash_of(b"\x07example"), None);
    }

    /// The bitmap of RFC 4034 4.3, less its owner.
    #[test]
    fn the_bitmap_of_the_rfc() {
        let types = [Rtype::A, Rtype::MX, Rtype::RRSIG, Rtype::NSEC, Rtype::from_int(1234)];
        let next = b"\x04host\x07example\x03com\0";
        let nsec = nsec_at(next, &types);
        let mut expected = next.to_vec();
        expected.extend_from_slice(&[0, 6, 0x40, 1, 0, 0, 0, 3, 4, 0x1b]);
        expected.extend_from_slice(&[0; 26]);
        expected.push(0x20);
        assert_eq!(nsec, expected);
        assert!(nsec3_at(&[7; 20], &[]).ends_with(&[7; 20]));
    }
}
