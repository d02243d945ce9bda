//! Certificates for clients: PEM files, chosen by the name a client asks for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or holds no PEM of the right kind.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Key and chain do not fit, or the key's kind is not supported.
    #[error("{} does not fit {}: {why}", key.display(), chain.display())]
    Pair {
        /// The chain.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        why: String,
    },
}

/// Reads a chain and its key.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn load(chain: &Path, key: &Path) -> Result<Arc<CertifiedKey>, CertificateError> {
    let file = |path: &Path, why: &dyn fmt::Display| CertificateError::File {
        path: path.to_owned(),
        why: why.to_string(),
    };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect)
        .map_err(|error| file(chain, &error))?;
    if certificates.is_empty() {
        return Err(file(chain, &"no certificate in it"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, &error))?;
    CertifiedKey::from_der(certificates, secret, &aws_lc_rs::default_provider())
        .map(Arc::new)
        .map_err(|error| CertificateError::Pair {
            chain: chain.to_owned(),
            key: key.to_owned(),
            why: error.to_string(),
        })
}

/// Chooses a certificate for the server name of a handshake, or for none.
pub trait Choose: Send + Sync + 'static {
    /// The certificate; `None` refuses the handshake.
    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>>;
}

struct Chooser<C>(C);

impl<C> fmt::Debug for Chooser<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chooser")
    }
}

impl<C: Choose> ResolvesServerCert for Chooser<C> {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.choose(hello.server_name())
    }
}

/// TLS 1.2 and 1.3 for clients, with HTTP/2 and HTTP/1.1 by ALPN.
///
/// # Panics
/// Never: the built-in provider supports both versions.
#[must_use]
pub fn server_config(choose: impl Choose) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Chooser(choose)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
