//! Hashed names (RFC 5155 5).

use domain::crypto::common::{DigestBuilder, DigestType};

/// Octets of a hash (SHA-1, the only algorithm that there is).
pub const NSEC3_HASH: usize = 20;

/// A hash as the label of its NSEC3 record: a length octet and 32 letters.
pub type Nsec3Label = [u8; 33];

/// The hash of a whole name in lower case, with so many further iterations.
#[must_use]
pub fn nsec3_hash(name: &[u8], iterations: u16, salt: &[u8]) -> [u8; NSEC3_HASH] {
    let mut hash = once(name, salt);
    for _ in 0..iterations {
        hash = once(&hash, salt);
    }
    hash
}

fn once(octets: &[u8], salt: &[u8]) -> [u8; NSEC3_HASH] {
    let mut digest = DigestBuilder::new(DigestType::Sha1);
    digest.update(octets);
    digest.update(salt);
    let digest = digest.finish();
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// The label of a hash: base 32 with the extended hex alphabet (RFC 4648 7), in lower case.
#[must_use]
pub fn nsec3_label(hash: &[u8; NSEC3_HASH]) -> Nsec3Label {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut label = [32; 33];
    let letters = label.iter_mut().skip(1);
    for (at, letter) in letters.enumerate() {
        // Five bits from bit 5 × at on: they lie in at most two octets.
        let (octet, shift) = (at * 5 / 8, at * 5 % 8);
        let two = [octet, octet + 1].map(|at| hash.get(at).copied().unwrap_or(0));
        let bits = (u16::from_be_bytes(two) >> (11 - shift)) & 31;
        *letter = LETTERS.get(usize::from(bits)).copied().unwrap_or(b'0');
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of RFC 5155 appendix A: salt AABBCCDD, twelve further iterations.
    #[test]
    fn the_names_of_the_rfc() {
        for (name, expected) in [
            (b"\x07example\0".as_slice(), "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            (b"\x01a\x07example\0", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            (b"\x02ai\x07example\0", "gjeqe526plbf1g8mklp59enfd789njgi"),
            (b"\x01*\x01w\x07example\0", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
        ] {
            let label = nsec3_label(&nsec3_hash(name, 12, &[0xaa, 0xbb, 0xcc, 0xdd]));
            assert_eq!(label[0], 32);
            assert_eq!(std::str::from_utf8(&label[1..]).unwrap(), expected);
        }
        // By `ldns-nsec3-hash -t 0`.
        let label = nsec3_label(&nsec3_hash(b"\x07example\x04test\0", 0, &[]));
        assert_eq!(&label[1..], b"jbas736chung3bb701jkjdhqkqlhvug7");
    }
}
