//! Whom we trust as an origin that speaks TLS: the authorities of this machine, and those in one
//! more file for origins under a private one.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
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

/// TLS towards origins, HTTP/1.1 inside, with certificates verified. Clones are the same.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// What this machine trusts, and `origin-ca.pem` in `role_dir`. Reads files.
    #[must_use]
    pub fn load(role_dir: &Path) -> Self {
        let system = BUNDLES.iter().map(Path::new).find(|path| path.exists());
        let extra = role_dir.join(EXTRA);
        let extra = extra.exists().then_some(extra.as_path());
        Self::with(system.into_iter().chain(extra))
    }

    /// The authorities in these files. What cannot be read is left out, and said.
    fn with<'a>(files: impl Iterator<Item = &'a Path>) -> Self {
        let mut roots = RootCertStore::empty();
        for path in files {
            add(&mut roots, path);
        }
        if roots.is_empty() {
            tracing::info!("no authorities on this machine: no origin's certificate will verify");
        }
        Self::in_store(roots)
    }

    /// Only these authorities. One that does not parse is left out.
    #[must_use]
    pub fn of(authorities: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        Self::in_store(roots)
    }

    fn in_store(roots: RootCertStore) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .expect("the provider speaks TLS 1.3 and 1.2")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    /// For connecting.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

fn add(roots: &mut RootCertStore, path: &Path) {
    let unreadable = |error: &pem::Error| {
        tracing::warn!(path = %path.display(), %error, "authorities cannot be read");
    };
    let certificates = match CertificateDer::pem_file_iter(path) {
        Ok(certificates) => certificates,
        Err(error) => return unreadable(&error),
    };
    let mut left_out = 0;
    for certificate in certificates {
        match certificate.map(|certificate| roots.add(certificate)) {
            Ok(Ok(())) => {}
            // One that does not parse is left out; the others count.
            Ok(Err(_)) | Err(pem::Error::Base64Decode(_)) => left_out += 1,
            // After any other trouble the rest cannot be found, or is not there.
            Err(error) => return unreadable(&error),
        }
    }
    if left_out > 0 {
        tracing::warn!(path = %path.display(), left_out, "authorities that do not parse");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConnection, ServerConfig, ServerConnection};

    use super::*;

    struct Origin {
        pem: String,
        server: Arc<ServerConfig>,
    }

    fn origin() -> Origin {
        let made = rcgen::generate_simple_self_signed(["www.test".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Origin { pem: made.cert.pem(), server: Arc::new(server) }
    }

    /// Whether a handshake over memory succeeds.
    fn trusts(trust: &Trust, origin: &Origin) -> bool {
        let name = ServerName::try_from("www.test").unwrap();
        let mut client = ClientConnection::new(trust.config(), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(&origin.server)).unwrap();
        for _ in 0..10 {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            if server.process_new_packets().is_err() {
                return false;
            }
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            if client.process_new_packets().is_err() {
                return false;
            }
        }
        client.writer().write_all(b"ok").unwrap();
        !client.is_handshaking()
            && !server.is_handshaking()
            && server.reader().read(&mut []).is_ok()
    }

    #[test]
    fn the_further_file_counts_and_its_junk_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (known, unknown) = (origin(), origin());
        let alone = Trust::load(folder.path());
        assert!(!trusts(&alone, &known));
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let file = folder.path().join(EXTRA);
        std::fs::write(&file, format!("of ours:\n{junk}{}", known.pem)).unwrap();
        let both = Trust::load(folder.path());
        assert!(trusts(&both, &known) && !trusts(&both, &unknown));
        for octets in [&b""[..], b"-----BEGIN CERTIFICATE-----\n!!", &[0xff; 400]] {
            std::fs::write(&file, octets).unwrap();
            assert!(!trusts(&Trust::load(folder.path()), &known));
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(!trusts(&Trust::load(folder.path()), &known), "a folder by that name");
        assert!(!trusts(&Trust::of([]), &known));
    }
}
