//! The network's own certificate authority: made once, kept by the operator, trusted by every
//! node and by nobody else.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::clock;
use crate::files::{create_private_dir, write_atomic};
use crate::identity::{AUTHORITY_PEM, Identity, IdentityError, NODE_KEY, NODE_PEM, read};
use crate::trust::{common_name, fingerprint};

/// The authority's key, in the operator's folder only.
pub const AUTHORITY_KEY: &str = "authority.key";

const DAY: Duration = Duration::from_hours(24);
/// Nodes' certificates.
const NODE_DAYS: u32 = 365;
/// The authority's own.
const AUTHORITY_DAYS: u32 = 3650;
/// Machines' clocks differ; a new certificate is valid a little before it is made.
const SKEW: Duration = Duration::from_hours(1);

/// The network's authority, with its key.
pub struct Authority {
    name: String,
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        f.debug_struct("Authority").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes the authority of network `name` and keeps it in `dir` (0700; its key 0600).
    ///
    /// # Errors
    /// `dir` has an authority already, or cannot be written.
    pub fn create(dir: &Path, name: &str) -> Result<Self, IdentityError> {
        let certificate_path = dir.join(AUTHORITY_PEM);
        if certificate_path.exists() || dir.join(AUTHORITY_KEY).exists() {
            return Err(IdentityError::Exists(dir.to_owned()));
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let made = authority_params(name)?.self_signed(&key)?;
        let io = |source| IdentityError::Io { path: dir.to_owned(), source };
        create_private_dir(dir).map_err(io)?;
        write_atomic(&dir.join(AUTHORITY_KEY), key.serialize_pem().as_bytes()).map_err(io)?;
        write_atomic(&certificate_path, made.pem().as_bytes()).map_err(io)?;
        Ok(Self { name: name.to_owned(), certificate: made.der().clone(), pem: made.pem(), key })
    }

    /// The authority kept in `dir`.
    ///
    /// # Errors
    /// Files missing, unreadable, or not an authority.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(AUTHORITY_PEM);
        let pem = String::from_utf8_lossy(&read(&path)?).into_owned();
        let damaged = |why: String| IdentityError::Damaged { path: path.clone(), why };
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| damaged(error.to_string()))?;
        let name = common_name(&certificate)
            .ok_or_else(|| damaged("the authority has no name".to_owned()))?;
        let key_path = dir.join(AUTHORITY_KEY);
        let key = String::from_utf8_lossy(&read(&key_path)?).into_owned();
        let key = KeyPair::from_pem(&key)
            .map_err(|error| IdentityError::Damaged { path: key_path, why: error.to_string() })?;
        Ok(Self { name, certificate, pem, key })
    }

    /// The network's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Start of the certificate's SHA-256, as error messages name it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.certificate)
    }

    /// Makes a key and a certificate for `hostname` and writes `node.pem`, `node.key` and
    /// `authority.pem` into `out_dir` (0700; files 0600), over what was there.
    ///
    /// # Errors
    /// `hostname` is no name, or `out_dir` cannot be written.
    pub fn issue(&self, hostname: &str, out_dir: &Path) -> Result<(), IdentityError> {
        let (certificate, key) = self.sign(hostname)?;
        let io = |source| IdentityError::Io { path: out_dir.to_owned(), source };
        create_private_dir(out_dir).map_err(io)?;
        write_atomic(&out_dir.join(AUTHORITY_PEM), self.pem.as_bytes()).map_err(io)?;
        write_atomic(&out_dir.join(NODE_KEY), key.serialize_pem().as_bytes()).map_err(io)?;
        write_atomic(&out_dir.join(NODE_PEM), certificate.pem().as_bytes()).map_err(io)
    }

    /// An identity for `hostname` that lives in memory only.
    ///
    /// # Errors
    /// `hostname` is no name.
    pub fn identity(&self, hostname: &str) -> Result<Arc<Identity>, IdentityError> {
        let (certificate, key) = self.sign(hostname)?;
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Identity::of(certificate.der().clone(), &key, self.certificate.clone()).map(Arc::new)
    }

    fn sign(&self, hostname: &str) -> Result<(rcgen::Certificate, KeyPair), IdentityError> {
        let named = hostname.contains('.')
            && matches!(ServerName::try_from(hostname), Ok(ServerName::DnsName(_)));
        if !named {
            return Err(IdentityError::Name(hostname.to_owned()));
        }
        let mut params = CertificateParams::new([hostname.to_owned()])
            .map_err(|_| IdentityError::Name(hostname.to_owned()))?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, hostname);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, NODE_DAYS);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let authority = authority_params(&self.name)?;
        let made = params.signed_by(&key, &Issuer::from_params(&authority, &self.key))?;
        Ok((made, key))
    }
}

/// Subject and usage of the authority of network `name`; the same every time, because nodes'
/// certificates name their issuer by it.
fn authority_params(name: &str) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::new([])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "popnet authority");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, AUTHORITY_DAYS);
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, days: u32) {
    let seconds = u64::try_from(clock::now().unix_seconds()).unwrap_or(0);
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = now - SKEW;
    params.not_after = now + DAY * days;
}
