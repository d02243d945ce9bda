//! A zone's key pair, as BIND's tools keep it in two files.

use std::fmt;

use domain::base::Name as WireName;
use domain::base::iana::SecurityAlgorithm;
use domain::base::rdata::ComposeRecordData;
use domain::base::record::Record;
use domain::crypto::common::{DigestBuilder, DigestType};
use domain::crypto::sign::{GenerateParams, KeyPair, SecretKeyBytes, SignRaw, generate};
use domain::dnssec::common::{display_as_bind, parse_from_bind};
use domain::rdata::Dnskey;
use popnet_dns::Name;
use serde::{Deserialize, Serialize};

/// DNSKEY flags: zone key (RFC 4034 2.1.1).
const ZONE: u16 = 0x0100;
/// DNSKEY flags: secure entry point: parents and trust anchors name it.
const ENTRY: u16 = 0x0001;
/// DNSKEY flags: revoked (RFC 5011).
const REVOKED: u16 = 0x0080;
/// DS digest type SHA-256 (RFC 4509), the one that every validator must know (RFC 8624 3.3).
const SHA256: u8 = 2;

/// How keys sign. Both are what RFC 8624 3.1 recommends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// ECDSA P-256 with SHA-256 (RFC 6605), number 13.
    Ecdsap256sha256,
    /// Ed25519 (RFC 8080), number 15.
    Ed25519,
}

impl Algorithm {
    /// Its number in DNSKEY, DS and RRSIG records.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Ecdsap256sha256 => 13,
            Self::Ed25519 => 15,
        }
    }

    fn of(algorithm: SecurityAlgorithm) -> Option<Self> {
        match algorithm {
            SecurityAlgorithm::ECDSAP256SHA256 => Some(Self::Ecdsap256sha256),
            SecurityAlgorithm::ED25519 => Some(Self::Ed25519),
            _ => None,
        }
    }

    fn params(self) -> GenerateParams {
        match self {
            Self::Ecdsap256sha256 => GenerateParams::EcdsaP256Sha256,
            Self::Ed25519 => GenerateParams::Ed25519,
        }
    }
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The system gave no random octets, or the library refused.
    #[error("no key can be made: {0}")]
    Making(String),
    /// The `.key` file is no single DNSKEY record.
    #[error("the public file holds no single DNSKEY record")]
    Public,
    /// The `.private` file is not in BIND's form.
    #[error("the private file is not in BIND's private-key format: {0}")]
    Private(String),
    /// Both can be read, but do not belong together.
    #[error("the private and the public file do not belong together")]
    Pair,
    /// Neither ECDSA P-256 nor Ed25519.
    #[error("algorithm {0} is not one of ecdsap256sha256 and ed25519")]
    Algorithm(u8),
    /// The key may not sign a zone.
    #[error("the key is no zone key (flags {0}; 256 and 257 are)")]
    Flags(u16),
}

/// The two files of a key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFiles {
    /// Their common name, such as `Kexample.+013+12345`.
    pub stem: String,
    /// Content of `STEM.key`.
    pub public: String,
    /// Content of `STEM.private`.
    pub private: String,
}

impl fmt::Debug for KeyFiles {
    /// The secret stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFiles").field("stem", &self.stem).finish_non_exhaustive()
    }
}

/// A key pair of a zone.
pub struct Key {
    zone: Name,
    algorithm: Algorithm,
    pair: KeyPair,
    dnskey: Box<[u8]>,
    tag: u16,
    is_entry: bool,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stem())
    }
}

impl Key {
    /// A new pair for `zone`; `is_entry` says whether the parent is to name it.
    ///
    /// # Errors
    /// The system gives no random octets.
    pub fn generate(
        zone: &Name,
        algorithm: Algorithm,
        is_entry: bool,
    ) -> Result<(Self, KeyFiles), KeyError> {
        let flags = if is_entry { ZONE | ENTRY } else { ZONE };
        let made = generate(&algorithm.params(), flags);
        let (secret, dnskey) = made.map_err(|error| KeyError::Making(error.to_string()))?;
        let private = secret.display_as_bind().to_string();
        let key = Self::pair(zone.clone(), &secret, &dnskey)?;
        let owner = WireName::from_octets(zone.as_wire().to_vec()).map_err(|_| KeyError::Public)?;
        let record =
            Record::new(owner, domain::base::iana::Class::IN, domain::base::Ttl::ZERO, dnskey);
        let public = display_as_bind(&record).to_string();
        let files = KeyFiles { stem: key.stem(), public, private };
        Ok((key, files))
    }

    /// The pair whose files hold `public` and `private`.
    ///
    /// # Errors
    /// Says which file is wrong, and how.
    pub fn read(public: &str, private: &str) -> Result<Self, KeyError> {
        let record = parse_from_bind::<Vec<u8>>(public).map_err(|_| KeyError::Public)?;
        let zone = record.owner().as_slice().to_ascii_lowercase();
        let zone = Name::from_wire(&zone).ok_or(KeyError::Public)?;
        let secret = SecretKeyBytes::parse_from_bind(private);
        let secret = secret.map_err(|error| KeyError::Private(error.to_string()))?;
        Self::pair(zone, &secret, record.data())
    }

    fn pair(
        zone: Name,
        secret: &SecretKeyBytes,
        public: &Dnskey<Vec<u8>>,
    ) -> Result<Self, KeyError> {
        let number = public.algorithm();
        let algorithm = Algorithm::of(number).ok_or(KeyError::Algorithm(number.to_int()))?;
        if secret.algorithm() != number {
            return Err(KeyError::Pair);
        }
        // The library checks the length of what it knows only when it uses it.
        let length = match algorithm {
            Algorithm::Ecdsap256sha256 => 64,
            Algorithm::Ed25519 => 32,
        };
        if public.public_key().len() != length {
            return Err(KeyError::Public);
        }
        let flags = public.flags();
        if flags & ZONE == 0 || flags & REVOKED != 0 || public.protocol() != 3 {
            return Err(KeyError::Flags(flags));
        }
        let pair = KeyPair::from_bytes(secret, public).map_err(|_| KeyError::Pair)?;
        let mut dnskey = Vec::new();
        let _ = public.compose_rdata(&mut dnskey);
        let is_entry = flags & ENTRY != 0;
        Ok(Self { zone, algorithm, pair, dnskey: dnskey.into(), tag: public.key_tag(), is_entry })
    }

    /// The zone it signs.
    #[must_use]
    pub fn zone(&self) -> &Name {
        &self.zone
    }

    /// How it signs.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The number that signatures name it by (RFC 4034 appendix B). Two keys may share one.
    #[must_use]
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// Whether the parent is to name it (flags 257).
    #[must_use]
    pub fn is_entry(&self) -> bool {
        self.is_entry
    }

    /// The data of its DNSKEY record.
    #[must_use]
    pub fn dnskey(&self) -> &[u8] {
        &self.dnskey
    }

    /// The common name of its files.
    #[must_use]
    pub fn stem(&self) -> String {
        // A slash is a letter of some names (RFC 2317).
        let zone = self.zone.to_string().replace('/', "%2f");
        format!("K{zone}+{:03}+{:05}", self.algorithm.number(), self.tag)
    }

    /// The data of its DS record (RFC 4034 5.1.4), also that of its CDS record (RFC 7344 3.1).
    #[must_use]
    pub fn ds(&self) -> Vec<u8> {
        let mut digest = DigestBuilder::new(DigestType::Sha256);
        digest.update(self.zone.as_wire());
        digest.update(&self.dnskey);
        let mut ds = self.tag.to_be_bytes().to_vec();
        ds.extend_from_slice(&[self.algorithm.number(), SHA256]);
        ds.extend_from_slice(digest.finish().as_ref());
        ds
    }

    /// A signature over `data`; `None` when the library fails, which a key that was read does not.
    pub(crate) fn sign(&self, data: &[u8]) -> Option<Box<[u8]>> {
        Some(self.pair.sign_raw(data).ok()?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 6605 6.1, with its DS record's SHA-256 digest.
    #[test]
    fn the_example_of_rfc_6605() {
        let public = "example.net. 3600 IN DNSKEY 257 3 13 \
                      GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edb\
                      krSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==\n";
        let private = "Private-key-format: v1.2\nAlgorithm: 13 (ECDSAP256SHA256)\n\
                       PrivateKey: GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=\n";
        let key = Key::read(public, private).unwrap();
        assert_eq!((key.tag(), key.is_entry()), (55_648, true));
        assert_eq!(key.stem(), "Kexample.net.+013+55648");
        let text = popnet_dns::rdata_text(popnet_dns::Rtype::DS, &key.ds());
        let expected =
            "55648 13 2 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17";
        assert_eq!(
            text.to_lowercase().replacen(' ', "_", 3).replace(' ', "").replace('_', " "),
            expected
        );
        assert_eq!(Key::read("", private).unwrap_err(), KeyError::Public);
        assert!(matches!(Key::read(public, "x").unwrap_err(), KeyError::Private(_)));
        let other = private.replace("GU6S", "GU6T");
        assert_eq!(Key::read(public, &other).unwrap_err(), KeyError::Pair);
        let no_zone = public.replace("257", "1");
        assert_eq!(Key::read(&no_zone, private).unwrap_err(), KeyError::Flags(1));
    }

    #[test]
    fn made_and_read_again() {
        let zone: Name = "Example.test".parse().unwrap();
        for algorithm in [Algorithm::Ecdsap256sha256, Algorithm::Ed25519] {
            for is_entry in [true, false] {
                let (key, files) = Key::generate(&zone, algorithm, is_entry).unwrap();
                let again = Key::read(&files.public, &files.private).unwrap();
                assert_eq!(again.dnskey(), key.dnskey());
                assert_eq!((again.tag(), again.is_entry()), (key.tag(), is_entry));
                assert_eq!((again.zone(), again.algorithm()), (&zone, algorithm));
                assert_eq!(files.stem, key.stem());
                assert!(!format!("{files:?}{key:?}").contains("PrivateKey"));
            }
        }
    }

    #[test]
    fn junk_never_panics() {
        let zone: Name = "example.test".parse().unwrap();
        let (_, files) = Key::generate(&zone, Algorithm::Ed25519, true).unwrap();
        let mut state = 3u64;
        for _ in 0..2_000 {
            let mut texts = [files.public.clone().into_bytes(), files.private.clone().into_bytes()];
            for text in &mut texts {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (state >> 33) as usize % text.len();
                text[at] = state.to_be_bytes()[5] & 0x7f;
            }
            let [public, private] = texts.map(|text| String::from_utf8(text).unwrap());
            let _ = Key::read(&public, &private);
        }
    }
}
