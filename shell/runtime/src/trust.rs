//! Whom a node believes: certificates of its own network's authority and of nobody else, with
//! words for every way in which that fails.

use std::fmt;
use std::sync::Arc;

use popnet_terms::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, DistinguishedName, Error,
    OtherError, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// The cryptography in use, passed by hand so that no process-wide default is needed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The first sixteen hexadecimal digits of a certificate's SHA-256: enough to compare by eye.
#[must_use]
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    Sha256::digest(certificate).iter().take(8).map(|octet| format!("{octet:02x}")).collect()
}

/// The hostname that a certificate is for: its first DNS name. Takes any octets.
#[must_use]
pub fn hostname_in(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| {
        if let GeneralName::DNSName(text) = name { Some(text.to_ascii_lowercase()) } else { None }
    })
}

/// When a certificate ends to be valid. Takes any octets.
#[must_use]
pub(crate) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    Some(Timestamp(parsed.validity().not_after.timestamp().saturating_mul(1_000_000)))
}

/// The common name of a certificate's subject. Takes any octets.
pub(crate) fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    parsed.subject().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}

/// A peer whose certificate comes from another authority.
struct Stranger {
    ours: String,
    theirs: String,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its certificate is from another authority ({}); this node trusts {} only",
            self.theirs, self.ours
        )
    }
}

// QUIC hands certificate errors on in their debug form.
impl fmt::Debug for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Stranger {}

/// The verifier of both sides: the library's rules, our words.
#[derive(Debug)]
pub(crate) struct Trust {
    authority: String,
    servers: Arc<WebPkiServerVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl Trust {
    /// Trusts what `authority` issued.
    ///
    /// # Errors
    /// The certificate cannot be an authority.
    pub(crate) fn new(authority: &CertificateDer<'static>) -> Result<Arc<Self>, String> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).map_err(|error| words(&error))?;
        let roots = Arc::new(roots);
        let servers = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider())
            .build()
            .map_err(|error| error.to_string())?;
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Arc::new(Self { authority: fingerprint(authority), servers, clients }))
    }

    /// Names both authorities where the library only says that the issuer is unknown. Two networks
    /// of one name have authorities of one name, so a wrong signature means the same.
    fn explain(&self, error: Error, chain: &[CertificateDer<'_>]) -> Error {
        let strange = matches!(
            error,
            Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            )
        );
        if !strange {
            return error;
        }
        let theirs = chain.last().map_or_else(|| "unknown".to_owned(), fingerprint);
        let stranger = Stranger { ours: self.authority.clone(), theirs };
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(stranger))))
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.servers
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|error| self.explain(error, intermediates))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.servers.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.servers.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.servers.supported_verify_schemes()
    }
}

impl ClientCertVerifier for Trust {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.clients
            .verify_client_cert(end_entity, intermediates, now)
            .map_err(|error| self.explain(error, intermediates))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}

/// A TLS error for a person: what is wrong with whose certificate, or with the clock.
#[must_use]
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's own list grows")]
pub fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(bad) => match bad {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired, or this machine's clock is ahead".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet: this machine's clock is behind".to_owned()
            }
            CertificateError::NotValidForNameContext { expected, presented } => format!(
                "it is another node: its certificate is for {}, not for {}",
                presented.join(", "),
                expected.to_str()
            ),
            CertificateError::Other(OtherError(other)) => other.to_string(),
            other => format!("its certificate is refused: {other}"),
        },
        Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateExpired => {
                "it calls this node's certificate expired (or its clock is ahead)".to_owned()
            }
            AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError => {
                "it does not accept this node's certificate: another network's authority".to_owned()
            }
            AlertDescription::CertificateRequired => {
                "it wants a certificate of its network".to_owned()
            }
            AlertDescription::NoApplicationProtocol => {
                "it speaks another protocol on this port".to_owned()
            }
            other => format!("it ended the TLS handshake: {other:?}"),
        },
        Error::NoCertificatesPresented => "it showed no certificate".to_owned(),
        other => format!("no TLS 1.3 conversation: {other}"),
    }
}
