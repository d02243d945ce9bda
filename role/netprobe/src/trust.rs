//! Whom we trust as an origin when a probe speaks TLS: the authorities of this machine, and those
//! in one more file for origins under a private one.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, version};

/// Where systems keep their authorities in one file; the first that exists counts.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The file with further authorities, in the role's folder.
const EXTRA: &str = "origin-ca.pem";

/// TLS towards origins, with certificates verified.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// What this machine trusts, and `origin-ca.pem` in `folder`.
    #[must_use]
    pub fn load(folder: &Path) -> Self {
        let system = BUNDLES.iter().map(Path::new).find(|path| path.exists());
        let extra = folder.join(EXTRA);
        let extra = extra.exists().then_some(extra.as_path());
        let files = system.into_iter().chain(extra);
        let certificates: Vec<CertificateDer<'static>> = files.flat_map(read).collect();
        if certificates.is_empty() {
            tracing::info!("no authorities on this machine: no origin's certificate will verify");
        }
        Self::of(certificates)
    }

    /// Only these authorities. One that does not parse is left out.
    #[must_use]
    pub fn of(authorities: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions = [&version::TLS13, &version::TLS12];
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .expect("the provider speaks TLS 1.3 and 1.2")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

fn read(path: &Path) -> Vec<CertificateDer<'static>> {
    match CertificateDer::pem_file_iter(path) {
        Ok(certificates) => certificates.flatten().collect(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "authorities cannot be read");
            Vec::new()
        }
    }
}
