//! Whom we trust as an origin: the authorities of this machine, and those of one more file.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Where systems keep their authorities; the first that exists counts.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The file with further authorities, in the role's folder: for origins under a private one.
pub(crate) const EXTRA: &str = "origin-ca.pem";

/// TLS towards origins, certificates checked.
pub(crate) fn client_tls(role_dir: &Path) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    if let Some(system) = SYSTEM.iter().map(Path::new).find(|path| path.exists()) {
        add(&mut roots, system);
    }
    let extra = role_dir.join(EXTRA);
    if extra.exists() {
        add(&mut roots, &extra);
    }
    if roots.is_empty() {
        tracing::warn!("no authorities on this machine: origins with TLS cannot be verified");
    }
    let mut config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn add(roots: &mut RootCertStore, path: &Path) {
    match CertificateDer::pem_file_iter(path) {
        Ok(certificates) => {
            // One that does not parse is left out; the others count.
            let (_, left_out) = roots.add_parsable_certificates(certificates.flatten());
            if left_out > 0 {
                tracing::warn!(path = %path.display(), left_out, "authorities that do not parse");
            }
        }
        Err(error) => tracing::warn!(path = %path.display(), %error, "authorities not read"),
    }
}
