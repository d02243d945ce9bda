//! Denial of existence: the data of NSEC (RFC 4034 4) and NSEC3 records (RFC 5155 3).
//!
//! NSEC3 is made as RFC 9276 asks: SHA-1 once, no salt, and every name in the chain (no opt-out).

use domain::base::iana::Rtype;
use popnet_dns::{NSEC3_HASH, Name, nsec3_hash, nsec3_label, type_bitmap};
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
    /// Nothing in the zone: whoever answers makes an NSEC record for each question (RFC 9824).
    Compact,
}

/// Octets of a hash.
const HASH: u8 = 20;

/// NSEC3PARAM and the head of NSEC3: SHA-1, no flags, no more iterations, no salt (RFC 9276 3.1).
pub(crate) const PARAMETERS: [u8; 5] = [1, 0, 0, 0, 0];

/// The data of an NSEC record: the owner after it, and the types at its own.
#[must_use]
pub fn nsec_at(next: &[u8], types: &[Rtype]) -> Vec<u8> {
    [next, &type_bitmap(types.iter().copied())].concat()
}

/// The data of an NSEC3 record: the hash after it, and the types at its own.
#[must_use]
pub fn nsec3_at(next: &[u8; 20], types: &[Rtype]) -> Vec<u8> {
    let types = type_bitmap(types.iter().copied());
    [PARAMETERS.as_slice(), &[HASH], next, &types].concat()
}

/// The hash of a whole name in lower case, by these parameters.
#[must_use]
pub fn hash_of(wire: &[u8]) -> [u8; NSEC3_HASH] {
    nsec3_hash(wire, 0, &[])
}

/// The owner of the NSEC3 record of `hash`; `None` when the zone's name is too long.
#[must_use]
pub fn nsec3_owner(hash: &[u8; 20], apex: &Name) -> Option<Name> {
    let label = nsec3_label(hash);
    Name::from_wire(&[label.as_slice(), apex.as_wire()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

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
