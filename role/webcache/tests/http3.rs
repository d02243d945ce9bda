//! The same pages over HTTP/3, and how clients hear of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod world;

use std::process::Command;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http::{Request, Response};
use quinn::Endpoint;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use world::{Reaction, World};

/// Believes every certificate: the lab signs its own.
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

type Sender = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;

async fn connect(world: &World) -> (Endpoint, quinn::Connection) {
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(world.https, "a.test").unwrap().await.unwrap();
    (endpoint, connection)
}

async fn client(world: &World) -> (Endpoint, Sender) {
    let (endpoint, connection) = connect(world).await;
    let (mut driver, sender) =
        h3::client::new(h3_quinn::Connection::new(connection)).await.unwrap();
    tokio::spawn(async move { driver.wait_idle().await });
    (endpoint, sender)
}

async fn ask(sender: &mut Sender, request: Request<()>, content: &[u8]) -> (Response<()>, Vec<u8>) {
    let mut stream = sender.send_request(request).await.unwrap();
    if !content.is_empty() {
        stream.send_data(Bytes::copy_from_slice(content)).await.unwrap();
    }
    stream.finish().await.unwrap();
    let response = stream.recv_response().await.unwrap();
    let mut octets = Vec::new();
    while let Some(mut piece) = stream.recv_data().await.unwrap() {
        octets.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    (response, octets)
}

fn get(path: &str) -> http::request::Builder {
    Request::get(format!("https://a.test{path}"))
}

fn field<'a>(response: &'a Response<()>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_over_http3() {
    let world = World::new(1 << 20, |seen| match seen.line.split(' ').next() {
        Some("POST") => Reaction::ok("", seen.content.clone()),
        _ => Reaction::ok("cache-control: max-age=60\r\netag: \"e\"\r\n", vec![b'p'; 100_000]),
    })
    .await;
    let (_endpoint, mut sender) = client(&world).await;
    let (response, octets) = ask(&mut sender, get("/p").body(()).unwrap(), b"").await;
    assert_eq!((response.status().as_u16(), octets.len()), (200, 100_000));
    assert_eq!(world.last_seen().field("x-forwarded-proto"), Some("https"));
    let (response, octets) = ask(&mut sender, get("/p").body(()).unwrap(), b"").await;
    assert_eq!((response.status().as_u16(), octets.len()), (200, 100_000));
    assert!(field(&response, "cache-status").contains("hit"), "{response:?}");
    assert!(!response.headers().contains_key("alt-svc"), "it is here already");
    let known = get("/p").header("if-none-match", "\"e\"").body(()).unwrap();
    let (response, octets) = ask(&mut sender, known, b"").await;
    assert_eq!((response.status().as_u16(), octets.len()), (304, 0));
    let part = get("/p").header("range", "bytes=10-19").body(()).unwrap();
    let (response, octets) = ask(&mut sender, part, b"").await;
    assert_eq!((response.status().as_u16(), octets.len()), (206, 10));
    let head = Request::head("https://a.test/p").body(()).unwrap();
    let (response, octets) = ask(&mut sender, head, b"").await;
    assert_eq!((response.status().as_u16(), octets.len()), (200, 0));
    assert!(!response.headers().contains_key("content-length"), "clients hold it against us");
    assert_eq!(world.asked(), 1);
    let sent = vec![b's'; 300_000];
    let post = Request::post("https://a.test/q").header("content-length", "300000");
    let post = post.body(()).unwrap();
    let (response, octets) = ask(&mut sender, post, &sent).await;
    assert_eq!(response.status().as_u16(), 200);
    assert!(octets == sent, "{} octets came back", octets.len());
    let nobodys = Request::get("https://c.test/").body(()).unwrap();
    assert_eq!(ask(&mut sender, nobodys, b"").await.0.status().as_u16(), 421);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_hear_of_it() {
    let origins = "cache-control: max-age=60\r\nalt-svc: h3=\":1\"\r\n";
    let world = World::new(1 << 20, move |_| Reaction::ok(origins, "page")).await;
    let ours = format!("alt-svc: h3=\":{}\"; ma=86400", world.https.port());
    // The second time from memory, which is another way.
    for version in ["--http2", "--http1.1", "--http1.1"] {
        let told = curl(&["-k", version, &format!("https://{}/", world.https)]);
        let lines: Vec<_> = told.lines().filter(|line| line.starts_with("alt-svc")).collect();
        assert_eq!(lines, [&ours], "{version}: {told}");
    }
    for _ in 0..2 {
        let told = curl(&[&format!("http://{}/", world.http)]);
        assert!(told.contains("page") && !told.contains("alt-svc"), "{told}");
    }
}

/// RFC 9114 4.1: interim responses are field sections of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_come_before_the_answer() {
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
    let world = World::new(1 << 20, move |_| {
        let mut reaction = Reaction::ok("cache-control: no-store\r\n", "page");
        reaction.head = format!("{hint}{}", reaction.head);
        reaction
    })
    .await;
    let (_endpoint, connection) = connect(&world).await;
    let (mut stream, mut answer) = connection.open_bi().await.unwrap();
    // GET https://a.test/ in entries of the static table.
    stream.write_all(b"\x01\x0d\0\0\xd1\xd7\x50\x06a.test\xc1").await.unwrap();
    stream.finish().unwrap();
    let octets = answer.read_to_end(1 << 16).await.unwrap();
    // 103 is entry 24, 200 the next.
    assert_eq!(octets.get(2..5), Some(&[0, 0, 0xd8][..]), "{octets:?}");
    let at = |wanted: &[u8]| octets.windows(wanted.len()).position(|window| window == wanted);
    let (hint, status) = (at(b"</a.css>").unwrap(), at(&[0, 0, 0xd9]).unwrap());
    assert!(hint < status && status < at(b"page").unwrap(), "{octets:?}");
}

fn curl(arguments: &[&str]) -> String {
    let curl = Command::new("curl")
        .args(["-s", "-i", "-m", "5", "-H", "Host: a.test"])
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(curl.stdout).unwrap().to_ascii_lowercase()
}
