//! One signature over one RRset (RFC 4034 3.1.8.1).

use domain::base::iana::Rtype;
use popnet_dns::suffixes;
use popnet_terms::{Seconds, Timestamp};

use crate::canonical::canonical_rdata;
use crate::key::Key;

/// Why there is no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// No key signs the zone's records.
    #[error("no key signs zone {0}")]
    NoKey(String),
    /// No SOA record.
    #[error("zone {0} has no SOA record")]
    NoSoa(String),
    /// A key of another zone.
    #[error("{key} is no key of zone {zone}")]
    Foreign {
        /// The key.
        key: String,
        /// The zone.
        zone: String,
    },
    /// The library does not sign with a key that it read.
    #[error("{0} does not sign")]
    Broken(String),
    /// A name has no room for the label of its hash (RFC 5155 3).
    #[error("zone {0} has too long a name for NSEC3")]
    Long(String),
}

/// From when to when a signature holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From.
    pub from: Timestamp,
    /// Until.
    pub until: Timestamp,
}

impl Window {
    /// As it stands in records: seconds modulo 2^32 (RFC 4034 3.1.5).
    fn octets(self) -> [[u8; 4]; 2] {
        [self.until, self.from].map(|at| wire_seconds(at).to_be_bytes())
    }
}

/// Seconds since 1970 modulo 2^32.
pub(crate) fn wire_seconds(at: Timestamp) -> u32 {
    u32::try_from(at.unix_seconds().rem_euclid(1 << 32)).unwrap_or(0)
}

/// The data of the RRSIG record that `key` makes over the RRset of `owner` and `rtype`. `ttl` is
/// the one that the signature names: an answer may carry a lower one (RFC 4035 5.3.3). `owner` is
/// in lower case; where it begins with `*`, the signature holds for what the wildcard makes, too.
///
/// # Errors
/// The key does not sign.
pub fn sign_set<'a>(
    key: &Key,
    owner: &[u8],
    rtype: Rtype,
    ttl: Seconds,
    records: impl IntoIterator<Item = &'a [u8]>,
    window: Window,
) -> Result<Box<[u8]>, SignError> {
    let mut records: Vec<_> =
        records.into_iter().map(|rdata| canonical_rdata(rtype, rdata)).collect();
    records.sort_unstable();
    records.dedup();
    let [until, from] = window.octets();
    let kind = rtype.to_int().to_be_bytes();
    let ttl = ttl.0.to_be_bytes();
    let mut data = Vec::with_capacity(512);
    data.extend_from_slice(&kind);
    data.extend_from_slice(&[key.algorithm().number(), labels(owner)]);
    for part in [ttl, until, from] {
        data.extend_from_slice(&part);
    }
    data.extend_from_slice(&key.tag().to_be_bytes());
    data.extend_from_slice(key.zone().as_wire());
    let head = data.len();
    for rdata in &records {
        data.extend_from_slice(owner);
        data.extend_from_slice(&kind);
        data.extend_from_slice(&[0, 1]);
        data.extend_from_slice(&ttl);
        let length = u16::try_from(rdata.len()).unwrap_or(u16::MAX);
        data.extend_from_slice(&length.to_be_bytes());
        data.extend_from_slice(rdata);
    }
    let signature = key.sign(&data).ok_or_else(|| SignError::Broken(key.stem()))?;
    data.truncate(head);
    data.extend_from_slice(&signature);
    Ok(data.into())
}

/// RFC 4034 3.1.3: neither the root nor a leading `*` counts.
fn labels(owner: &[u8]) -> u8 {
    let wild = usize::from(owner.starts_with(b"\x01*"));
    u8::try_from(suffixes(owner).count().saturating_sub(1 + wild)).unwrap_or(0)
}

/// What the fixed part of an RRSIG's data says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RrsigHead {
    /// The type it covers.
    pub covered: Rtype,
    /// The number of its algorithm.
    pub algorithm: u8,
    /// Labels of its owner.
    pub labels: u8,
    /// The TTL that was signed.
    pub ttl: u32,
    /// Until when it holds, seconds modulo 2^32.
    pub until: u32,
    /// From when it holds, seconds modulo 2^32.
    pub from: u32,
    /// Its key's tag.
    pub tag: u16,
}

impl RrsigHead {
    /// Reads the head of `rdata`; `None` when it is too short.
    #[must_use]
    pub fn read(rdata: &[u8]) -> Option<Self> {
        let [t0, t1, algorithm, labels, rest @ ..] = *rdata.first_chunk::<18>()?;
        let (ttl, rest) = rest.split_first_chunk::<4>()?;
        let (until, rest) = rest.split_first_chunk::<4>()?;
        let (from, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            covered: Rtype::from_int(u16::from_be_bytes([t0, t1])),
            algorithm,
            labels,
            ttl: u32::from_be_bytes(*ttl),
            until: u32::from_be_bytes(*until),
            from: u32::from_be_bytes(*from),
            tag: u16::from_be_bytes(*rest.first_chunk::<2>()?),
        })
    }

    /// Seconds from `now` until it ends; less than 0 when it has ended (RFC 1982).
    #[must_use]
    pub fn left(&self, now: Timestamp) -> i64 {
        i64::from(self.until.wrapping_sub(wire_seconds(now)).cast_signed())
    }

    /// Whether it holds already at `now`.
    #[must_use]
    pub fn has_begun(&self, now: Timestamp) -> bool {
        wire_seconds(now).wrapping_sub(self.from).cast_signed() >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Algorithm;
    use domain::base::name::Name as WireName;
    use domain::base::rdata::ParseRecordData;
    use domain::crypto::common::PublicKey;
    use domain::dep::octseq::Parser;
    use domain::rdata::Dnskey;

    fn verify(key: &Key, rrsig: &[u8], owner: &[u8], records: &[&[u8]]) -> bool {
        let name = WireName::from_slice(key.zone().as_wire()).unwrap();
        let head = 18 + name.as_slice().len();
        let mut data = rrsig[..head].to_vec();
        for rdata in records {
            data.extend_from_slice(owner);
            data.extend_from_slice(&rrsig[..2]);
            data.extend_from_slice(&[0, 1]);
            data.extend_from_slice(&rrsig[4..8]);
            data.extend_from_slice(&u16::try_from(rdata.len()).unwrap().to_be_bytes());
            data.extend_from_slice(rdata);
        }
        let mut parser = Parser::from_ref(key.dnskey());
        let dnskey = Dnskey::parse_rdata(Rtype::DNSKEY, &mut parser).unwrap().unwrap();
        PublicKey::from_dnskey(&dnskey).unwrap().verify(&data, &rrsig[head..]).is_ok()
    }

    #[test]
    fn the_library_accepts_what_we_sign() {
        let zone = "example.test".parse().unwrap();
        let owner = b"\x01*\x07example\x04test\0";
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        let window = Window { from: at(1_000), until: at((1 << 32) + 5) };
        for algorithm in [Algorithm::Ecdsap256sha256, Algorithm::Ed25519] {
            let (key, _) = Key::generate(&zone, algorithm, true).unwrap();
            let records: [&[u8]; 3] = [&[192, 0, 2, 9], &[192, 0, 2, 1], &[192, 0, 2, 9]];
            let rrsig = sign_set(&key, owner, Rtype::A, Seconds(300), records, window).unwrap();
            assert!(verify(&key, &rrsig, owner, &[records[1], records[0]]));
            assert!(!verify(&key, &rrsig, owner, &records));
            let head = RrsigHead::read(&rrsig).unwrap();
            let expected = RrsigHead {
                covered: Rtype::A,
                algorithm: algorithm.number(),
                labels: 2,
                ttl: 300,
                until: 5,
                from: 1_000,
                tag: key.tag(),
            };
            assert_eq!(head, expected);
            assert_eq!(head.left(at((1 << 32) - 5)), 10);
            assert_eq!(head.left(at((1 << 32) + 6)), -1);
            assert!(head.has_begun(at(1_000)) && !head.has_begun(at(999)));
        }
        assert_eq!(RrsigHead::read(&[0; 17]), None);
    }
}
