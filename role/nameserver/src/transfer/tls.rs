//! Who is who over TLS (RFC 9103): primaries that are asked, and askers that show a certificate.
//! Nobody is believed for an address alone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    version,
};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::shared::Shared;

/// A handshake: two round trips of the farthest primary, with losses.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Files of authorities are of some kilobytes.
const FILE_MAX: u64 = 1 << 20;

/// The authorities whose certificates count.
#[derive(Clone, Debug)]
pub(crate) struct Authorities {
    servers: Arc<WebPkiServerVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
}

/// By what a primary is known, and what it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsRule {
    pub(crate) name: Option<String>,
    pub(crate) pins: Vec<[u8; 32]>,
    /// Chain and key of our own.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
}

/// What somebody showed in a handshake, whose key it has.
#[derive(Debug)]
pub(crate) struct Shown(Vec<CertificateDer<'static>>);

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The SHA-256 of a certificate's public key.
fn pin_of(certificate: &CertificateDer<'_>) -> Result<[u8; 32], Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    Ok(Sha256::digest(parsed.subject_public_key_info()).into())
}

impl Authorities {
    /// Reads a file of certificates.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
        if length > FILE_MAX {
            return Err(format!("{length} octets are too many for authorities"));
        }
        let mut roots = RootCertStore::empty();
        let all = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
        for certificate in all {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let roots = Arc::new(roots);
        let servers = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider());
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider());
        Ok(Self {
            servers: servers.build().map_err(|error| error.to_string())?,
            clients: clients.build().map_err(|error| error.to_string())?,
        })
    }
}

impl Shown {
    /// What a client showed, if anything.
    pub(crate) fn of(chain: Option<&[CertificateDer<'_>]>) -> Option<Arc<Self>> {
        let chain = chain.filter(|chain| !chain.is_empty())?;
        let owned = chain.iter().map(|certificate| certificate.clone().into_owned());
        Some(Arc::new(Self(owned.collect())))
    }

    pub(super) fn pin(&self) -> Option<[u8; 32]> {
        pin_of(self.0.first()?).ok()
    }

    /// Whether one of `authorities` says now that this is `name`.
    pub(super) fn is_for(&self, name: &str, authorities: &Authorities) -> bool {
        let Some((own, rest)) = self.0.split_first() else { return false };
        let (Ok(parsed), Ok(name)) = (ParsedCertificate::try_from(own), ServerName::try_from(name))
        else {
            return false;
        };
        verify_server_name(&parsed, &name).is_ok()
            && authorities.clients.verify_client_cert(own, rest, UnixTime::now()).is_ok()
    }
}

/// Connects to a primary and makes sure that it is who it should be.
pub(super) async fn connect(
    at: SocketAddr,
    rule: &TlsRule,
    authorities: Option<Arc<Authorities>>,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, String> {
    let name = match &rule.name {
        Some(name) => ServerName::try_from(name.clone()).map_err(|error| error.to_string())?,
        None => ServerName::from(at.ip()),
    };
    let expect = Expect { rule: rule.clone(), name: name.clone(), authorities };
    let own = rule.own.clone();
    let config = tokio::task::spawn_blocking(move || config(expect, own));
    let config = config.await.map_err(|error| error.to_string())??;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let connected = timeout(HANDSHAKE_MAX, connecting).await;
    let stream = connected.map_err(|_| "no TLS handshake within 5 s".to_owned())?;
    stream.map_err(|error| format!("TLS: {error}"))
}

/// Files are read for each connection: whoever renews a certificate need not tell us.
fn config(expect: Expect, own: Option<(PathBuf, PathBuf)>) -> Result<ClientConfig, String> {
    // RFC 9103 7.1: TLS 1.3 and nothing older.
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(expect));
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let pair = popnet_http::certificates::load(&chain, &key);
            let pair = SingleCertAndKey::from(pair.map_err(|error| error.to_string())?);
            builder.with_client_cert_resolver(Arc::new(pair))
        }
    };
    config.alpn_protocols = vec![b"dot".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Takes a primary for who it is by its public key, by its name, or both (RFC 8310).
#[derive(Debug)]
struct Expect {
    rule: TlsRule,
    name: ServerName<'static>,
    authorities: Option<Arc<Authorities>>,
}

impl ServerCertVerifier for Expect {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let TlsRule { name, pins, .. } = &self.rule;
        if name.is_none() && pins.is_empty() {
            return Err(Error::General("nothing says who the primary is".into()));
        }
        let pin = pin_of(own)?;
        if !pins.is_empty() && !pins.contains(&pin) {
            let pin = BASE64.encode(&pin);
            return Err(Error::General(format!("its public key, {pin}, is none of the pins")));
        }
        if name.is_some() {
            let none = || Error::General("the authorities of dns.transfer_ca are not here".into());
            let servers = &self.authorities.as_ref().ok_or_else(none)?.servers;
            return servers.verify_server_cert(own, rest, &self.name, ocsp, now);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Asks clients for a certificate where one could be of use, and makes sure that its key is
/// theirs. What it is good for the access lists of zones say: whoever shows none, or one that
/// nobody knows, is served as any client is.
#[derive(Debug)]
pub(crate) struct Asking {
    shared: Arc<Shared>,
    schemes: rustls::crypto::WebPkiSupportedAlgorithms,
}

impl Asking {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let schemes = aws_lc_rs::default_provider().signature_verification_algorithms;
        Self { shared: Arc::clone(shared), schemes }
    }
}

impl ClientCertVerifier for Asking {
    fn offer_client_auth(&self) -> bool {
        self.shared.transfers.book.load().asks_certificates
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        _rest: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        ParsedCertificate::try_from(own).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.supported_schemes()
    }
}
