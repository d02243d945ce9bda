//! Certificates that change while clients are connected.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

mod world;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use world::{Reaction, World, sheet, site};

/// Believes every certificate: the tests look at it themselves.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn config(protocol: &[u8]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

type Connection = StreamOwned<ClientConnection, TcpStream>;

fn connect(https: SocketAddr, name: &str) -> std::io::Result<Connection> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let client = ClientConnection::new(Arc::new(config(b"http/1.1")), name).unwrap();
    let stream = TcpStream::connect(https)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut connection = StreamOwned::new(client, stream);
    while connection.conn.is_handshaking() {
        connection.conn.complete_io(&mut connection.sock)?;
    }
    Ok(connection)
}

fn shown(connection: &Connection) -> CertificateDer<'static> {
    connection.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

fn get(connection: &mut Connection) -> String {
    connection.write_all(b"GET /page HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    let mut answer = vec![0; 4_096];
    let length = connection.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

async fn shown_by_quic(https: SocketAddr) -> CertificateDer<'static> {
    let tls = QuicClientConfig::try_from(config(b"h3")).unwrap();
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    let connection = endpoint.connect(https, "a.test").unwrap().await.unwrap();
    let shown = connection.peer_identity().unwrap();
    shown.downcast::<Vec<CertificateDer<'static>>>().unwrap()[0].clone()
}

/// Waits until a new connection sees `wanted`.
async fn until_shown(https: SocketAddr, name: &str, wanted: &CertificateDer<'static>) {
    for _ in 0..100 {
        if connect(https, name).is_ok_and(|connection| shown(&connection) == *wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not shown within ten seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_to_the_next_client() {
    let mut world = World::new(1 << 20, |_| Reaction::ok("", "content")).await;
    let mut held = connect(world.https, "a.test").unwrap();
    let before = shown(&held);
    assert!(get(&mut held).starts_with("HTTP/1.1 200"));
    assert_eq!(shown_by_quic(world.https).await, before);
    let after = world.renew("renewed.test");
    until_shown(world.https, "a.test", &after).await;
    assert_eq!(shown_by_quic(world.https).await, after);
    // Who was there before stays.
    assert!(get(&mut held).starts_with("HTTP/1.1 200"));
    assert_eq!(shown(&held), before);
    world.shutdown.cancel();
    world.running.take().unwrap().wait().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_comes_later_has_the_networks_certificate() {
    let mut world = World::new(1 << 20, |_| Reaction::ok("", "content")).await;
    let usual = shown(&connect(world.https, "c.test").unwrap());
    let folder = world.state_dir().join("certificates");
    std::fs::create_dir_all(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["c.test".to_owned()]).unwrap();
    let both = made.signing_key.serialize_pem() + &made.cert.pem();
    std::fs::write(folder.join("shop.pem"), both).unwrap();
    let mut later = site("c.test");
    later.certificate = Some("shop".into());
    let sheet = sheet(8, vec![site("a.test"), later]);
    world.directory.replace(sheet, Vec::new(), Default::default());
    until_shown(world.https, "c.test", made.cert.der()).await;
    assert_eq!(shown(&connect(world.https, "a.test").unwrap()), usual);
    world.shutdown.cancel();
    world.running.take().unwrap().wait().await;
}
