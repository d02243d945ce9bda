//! Who this node is towards others: its key, its certificate, and the one authority it trusts.
//! TLS 1.3 only, both sides show a certificate.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::hmac;
use popnet_terms::Timestamp;
use popnet_wire::control::Problem;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ServerConfig};
use sha2::{Digest, Sha256};

pub use crate::authority::{AUTHORITY_KEY, Authority};
use crate::trust::{Trust, not_after, provider};
pub use crate::trust::{hostname_in, words};

/// The node's certificate.
pub const NODE_PEM: &str = "node.pem";
/// The node's key.
pub const NODE_KEY: &str = "node.key";
/// The authority's certificate.
pub const AUTHORITY_PEM: &str = "authority.pem";

/// Nobody's key is longer.
const LONGEST: u64 = 64 << 10;

/// A key or certificate cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{path}: {why}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Others can read the key.
    #[error("{0}: other users of this machine may read this key")]
    Open(PathBuf),
    /// An authority is there already; a second would cut every node off.
    #[error("{0} holds an authority already")]
    Exists(PathBuf),
    /// No hostname.
    #[error("{0:?} cannot be a node's name; it is NODE.POP.DOMAIN")]
    Name(String),
    /// The node's certificate cannot be used.
    #[error("this node's certificate cannot be used: {0}")]
    Unusable(String),
    /// The library cannot make it.
    #[error("a key or certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

impl IdentityError {
    /// The error with its code and the remedy.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let (code, next) = match self {
            Self::Io { .. } => ("K01", "ask the operator for this node's certificate".to_owned()),
            Self::Damaged { .. } => ("K02", "have the certificate issued again".to_owned()),
            Self::Open(path) => ("K03", format!("chmod 600 {}", path.display())),
            Self::Exists(_) => ("K04", "use it, or choose another folder".to_owned()),
            Self::Name(_) => ("K05", String::new()),
            Self::Unusable(_) => ("K06", "have the certificate issued again".to_owned()),
            Self::Make(_) => ("K07", String::new()),
        };
        Problem::new(code, self.to_string(), next)
    }
}

/// This node's key and certificate, and the authority it trusts.
pub struct Identity {
    hostname: String,
    expires: Timestamp,
    chain: Vec<CertificateDer<'static>>,
    trust: Arc<Trust>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// Derives other secrets of this node: the same after every start with the same key.
    root: hmac::Key,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        f.debug_struct("Identity").field("hostname", &self.hostname).finish_non_exhaustive()
    }
}

impl Identity {
    /// The identity in `dir`: `node.pem`, `node.key`, `authority.pem`.
    ///
    /// # Errors
    /// A file is missing or damaged, the key is open to others, or the certificate has expired or
    /// is from another authority.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let certificate = load_certificate(&dir.join(NODE_PEM))?;
        let authority = load_certificate(&dir.join(AUTHORITY_PEM))?;
        let key_path = dir.join(NODE_KEY);
        let octets = read(&key_path)?;
        let mode = fs::metadata(&key_path).map_or(0o600, |meta| meta.permissions().mode());
        if mode & 0o077 != 0 {
            return Err(IdentityError::Open(key_path));
        }
        let key = PrivateKeyDer::from_pem_slice(&octets)
            .map_err(|error| IdentityError::Damaged { path: key_path, why: error.to_string() })?;
        Self::of(certificate, &key, authority)
    }

    pub(crate) fn of(
        certificate: CertificateDer<'static>,
        key: &PrivateKeyDer<'static>,
        authority: CertificateDer<'static>,
    ) -> Result<Self, IdentityError> {
        let unusable = IdentityError::Unusable;
        let hostname =
            hostname_in(&certificate).ok_or_else(|| unusable("it names no host".to_owned()))?;
        let expires = not_after(&certificate).unwrap_or_default();
        let trust = Trust::new(&authority).map_err(unusable)?;
        // The authority travels along so that a peer of another network can name it.
        let chain = vec![certificate, authority];
        check_own(&trust, &chain, &hostname)?;
        let server = server_config(&trust, &chain, key).map_err(unusable)?;
        let client = client_config(&trust, &chain, key).map_err(unusable)?;
        let (server, client) = (Arc::new(server), Arc::new(client));
        let root = hmac::Key::new(hmac::HMAC_SHA256, &Sha256::digest(key.secret_der()));
        Ok(Self { hostname, expires, chain, trust, server, client, root })
    }

    /// The name in the certificate.
    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// When the certificate ends.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// For accepting peers of our network, without a protocol name (ALPN).
    #[must_use]
    pub fn server_tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// For connecting to peers of our network, without a protocol name (ALPN).
    #[must_use]
    pub fn client_tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }

    /// The same as [`Self::server_tls`] for one protocol.
    #[must_use]
    pub fn server_tls_for(&self, protocol: &[u8]) -> ServerConfig {
        let mut config = (*self.server).clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }

    /// The same as [`Self::client_tls`] for one protocol.
    #[must_use]
    pub fn client_tls_for(&self, protocol: &[u8]) -> ClientConfig {
        let mut config = (*self.client).clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }

    /// A secret of this node for one purpose: the same as long as the node keeps its key, and
    /// telling nothing of the key or of the secrets for other purposes.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut secret = [0; 32];
        for (octet, from) in
            secret.iter_mut().zip(hmac::sign(&self.root, purpose.as_bytes()).as_ref())
        {
            *octet = *from;
        }
        secret
    }

    /// Whether the node's own certificate is still good.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self) -> Result<(), IdentityError> {
        check_own(&self.trust, &self.chain, &self.hostname)
    }
}

fn check_own(
    trust: &Trust,
    chain: &[CertificateDer<'static>],
    hostname: &str,
) -> Result<(), IdentityError> {
    let name =
        ServerName::try_from(hostname).map_err(|_| IdentityError::Name(hostname.to_owned()))?;
    let Some((own, above)) = chain.split_first() else {
        return Err(IdentityError::Unusable("there is none".to_owned()));
    };
    trust
        .verify_server_cert(own, above, &name, &[], UnixTime::now())
        .map(drop)
        .map_err(|error| IdentityError::Unusable(words(&error)))
}

fn server_config(
    trust: &Arc<Trust>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<ServerConfig, String> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(Arc::clone(trust) as _)
        .with_single_cert(chain.to_vec(), key.clone_key())
        .map_err(|error| error.to_string())
}

fn client_config(
    trust: &Arc<Trust>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<ClientConfig, String> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(trust) as _)
        .with_client_auth_cert(chain.to_vec(), key.clone_key())
        .map_err(|error| error.to_string())
}

/// A small file's octets.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    use io::Read;
    let mut octets = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_end(&mut octets))
        .map_err(|source| IdentityError::Io { path: path.to_owned(), source })?;
    Ok(octets)
}

fn load_certificate(path: &Path) -> Result<CertificateDer<'static>, IdentityError> {
    CertificateDer::from_pem_slice(&read(path)?)
        .map_err(|error| IdentityError::Damaged { path: path.to_owned(), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "edge1.fra1.cdn.example";

    #[test]
    fn issued_and_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let (safe, node) = (folder.path().join("authority"), folder.path().join("node"));
        let made = Authority::create(&safe, "lab").unwrap();
        let loaded = Authority::load(&safe).unwrap();
        assert_eq!((loaded.name(), loaded.fingerprint()), ("lab", made.fingerprint()));
        loaded.issue(HOST, &node).unwrap();
        let identity = Identity::load(&node).unwrap();
        assert_eq!(identity.hostname(), HOST);
        assert!(identity.expires() > crate::clock::now());
        identity.check().unwrap();
        for (path, mode) in [(&safe, 0o700), (&node, 0o700), (&node.join(NODE_KEY), 0o600)] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{path:?}");
        }
        assert!(matches!(Authority::create(&safe, "lab"), Err(IdentityError::Exists(_))));
    }

    #[test]
    fn refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1"), folder.path().join("2"));
        let first = Authority::create(&one, "lab").unwrap();
        let second = Authority::create(&two, "lab").unwrap();
        let node = folder.path().join("node");
        assert!(matches!(Identity::load(&node), Err(IdentityError::Io { .. })));

        first.issue(HOST, &node).unwrap();
        fs::copy(two.join(AUTHORITY_PEM), node.join(AUTHORITY_PEM)).unwrap();
        let said = Identity::load(&node).unwrap_err().to_string();
        assert!(said.contains("another authority"), "{said}");
        assert!(said.contains(&second.fingerprint()), "{said}");

        first.issue(HOST, &node).unwrap();
        fs::set_permissions(node.join(NODE_KEY), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Identity::load(&node), Err(IdentityError::Open(_))));

        first.issue(HOST, &node).unwrap();
        fs::write(node.join(NODE_PEM), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
        assert!(matches!(Identity::load(&node), Err(IdentityError::Damaged { .. })));
        for name in ["", "127.0.0.1", "plain", "bad host.example"] {
            assert!(first.issue(name, &node).is_err(), "{name:?}");
        }
    }

    #[test]
    fn derived_secrets_stay_and_differ() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("authority"), "lab").unwrap();
        let [one, two] = ["1", "2"].map(|name| folder.path().join(name));
        authority.issue(HOST, &one).unwrap();
        authority.issue(HOST, &two).unwrap();
        let load = |path| Identity::load(path).unwrap();
        assert_eq!(load(&one).derive("a"), load(&one).derive("a"), "after a restart");
        assert_ne!(load(&one).derive("a"), load(&one).derive("b"), "for another purpose");
        assert_ne!(load(&one).derive("a"), load(&two).derive("a"), "of another key");
    }

    #[test]
    fn junk_is_no_certificate() {
        for octets in [&[][..], &[0x30], &[0x30, 0x82, 0xff, 0xff, 1], &[0xff; 300]] {
            assert_eq!(hostname_in(octets), None);
        }
    }
}
