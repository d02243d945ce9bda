//! Stories of the control conversation: who is let in, what is refused, and in which words.
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a story that goes wrong fails the test"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use popnet_runtime::Authority;
use popnet_runtime::bind;
use popnet_runtime::link::{
    Handler, Link, LinkError, Peer, ReplySink, Served, decode_ask, decode_reply, serve_local,
    serve_tls,
};
use popnet_terms::Role;
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::frame::{Conversation, encode_stream, take_frame};
use popnet_wire::status::RoleStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

const SERVER: &str = "ns1.iad1.cdn.example";
const CLIENT: &str = "edge1.fra1.cdn.example";

/// Says who asks; counts to three for a history; refuses to reload.
struct Echo;

impl Handler for Echo {
    async fn answer(&self, peer: Peer, ask: Ask, out: ReplySink) {
        match ask {
            Ask::History { limit } => {
                for _ in 0..limit {
                    let _ = out.send(Reply::Versions(Vec::new())).await;
                }
            }
            Ask::Reload => out.problem(Problem::new("N0100", "not here", "")).await,
            ask => {
                assert_eq!(ask, Ask::RoleStatus);
                let why = match peer {
                    Peer::Local => "local".into(),
                    Peer::Node { hostname } => hostname,
                };
                let plain = RoleStatus::Plain { role: Role::Master, up: true, why };
                let _ = out.send(Reply::Role(plain)).await;
            }
        }
    }
}

struct Scene {
    authority: Authority,
    address: SocketAddr,
    served: Served,
    shutdown: CancellationToken,
    _folder: tempfile::TempDir,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(folder.path(), "lab").unwrap();
    let listener = bind::tcp("127.0.0.1:0".parse().unwrap(), false).unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let identity = authority.identity(SERVER).unwrap();
    let served = serve_tls(listener, &identity, Arc::new(Echo), shutdown.clone()).unwrap();
    Scene { authority, address, served, shutdown, _folder: folder }
}

fn who(reply: Reply) -> String {
    match reply {
        Reply::Role(RoleStatus::Plain { why, .. }) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within 5 s");
}

#[tokio::test]
async fn several_asks_on_one_conversation() {
    let scene = scene();
    let identity = scene.authority.identity(CLIENT).unwrap();
    let mut link = Link::tls(scene.address, SERVER, &identity).await.unwrap();
    assert_eq!(who(link.ask_one(&Ask::RoleStatus).await.unwrap()), CLIENT);
    let mut replies = link.ask(&Ask::History { limit: 40 }).await.unwrap();
    let mut count = 0;
    while replies.next().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 40);
    let error = link.ask_one(&Ask::Reload).await.unwrap_err();
    assert!(matches!(error, LinkError::Problem(ref p) if &*p.code == "N0100"), "{error}");
    assert_eq!(who(link.ask_one(&Ask::RoleStatus).await.unwrap()), CLIENT);
    let _ = link.ask(&Ask::RoleStatus).await.unwrap();
    let error = link.ask_one(&Ask::RoleStatus).await.unwrap_err();
    assert!(matches!(error, LinkError::Unexpected(_)), "left unread: {error}");

    scene.shutdown.cancel();
    scene.served.wait().await;
}

#[tokio::test]
async fn another_authority_is_refused_by_both_sides() {
    let scene = scene();
    let folder = tempfile::tempdir().unwrap();
    let other = Authority::create(folder.path(), "lab").unwrap();
    let stranger = other.identity(CLIENT).unwrap();
    let error = Link::tls(scene.address, SERVER, &stranger).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains(&other.fingerprint()), "{said}");
    assert!(said.contains(&scene.authority.fingerprint()), "{said}");
    let counters = scene.served.counters();
    until("counted", || counters.untrusted.load(Ordering::Relaxed) == 1).await;

    // Without any certificate the server ends the conversation.
    let mut config = (*scene.authority.identity(CLIENT).unwrap().client_tls()).clone();
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    config.alpn_protocols = vec![b"popnet-control/1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(scene.address).await.unwrap();
    if let Ok(mut stream) = connector.connect(SERVER.try_into().unwrap(), stream).await {
        let mut octet = [0];
        assert!(!matches!(stream.read(&mut octet).await, Ok(1)), "nothing is answered");
    }
    until("counted", || counters.untrusted.load(Ordering::Relaxed) == 2).await;
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn another_node_at_the_address() {
    let scene = scene();
    let identity = scene.authority.identity(CLIENT).unwrap();
    let error = Link::tls(scene.address, "ns9.iad1.cdn.example", &identity).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains(SERVER) && said.contains("ns9.iad1"), "{said}");
}

#[tokio::test]
async fn nobody_there() {
    let scene = scene();
    let identity = scene.authority.identity(CLIENT).unwrap();
    scene.shutdown.cancel();
    scene.served.wait().await;
    let error = Link::tls(scene.address, SERVER, &identity).await.unwrap_err();
    assert_eq!(error.to_string(), "connection refused");
}

#[tokio::test]
async fn octets_that_are_no_tls() {
    let scene = scene();
    let mut stream = TcpStream::connect(scene.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    let counters = scene.served.counters();
    until("counted", || counters.untrusted.load(Ordering::Relaxed) == 1).await;
    let identity = scene.authority.identity(CLIENT).unwrap();
    let mut link = Link::tls(scene.address, SERVER, &identity).await.unwrap();
    assert_eq!(who(link.ask_one(&Ask::RoleStatus).await.unwrap()), CLIENT);
}

#[tokio::test]
async fn junk_ends_a_local_conversation_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    // Longer than a socket's path may be.
    let deep = folder.path().join("d".repeat(90)).join("e".repeat(40));
    std::fs::create_dir_all(&deep).unwrap();
    let path = deep.join("admin.sock");
    let shutdown = CancellationToken::new();
    let served = serve_local(&path, Arc::new(Echo), shutdown.clone()).unwrap();
    assert!(serve_local(&path, Arc::new(Echo), shutdown.clone()).is_err(), "taken");

    let mut link = Link::local(&path).await.unwrap();
    assert_eq!(who(link.ask_one(&Ask::RoleStatus).await.unwrap()), "local");

    let short = folder.path().join("s.sock");
    let other = serve_local(&short, Arc::new(Echo), shutdown.clone()).unwrap();
    for junk in [&b"\x00\x00\x00\x04junk"[..], b"\xff\xff\xff\xffmuch", b"\x00\x00\x00\x00"] {
        let mut raw = tokio::net::UnixStream::connect(&short).await.unwrap();
        raw.write_all(junk).await.unwrap();
        let mut rest = Vec::new();
        raw.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    }
    assert_eq!(other.counters().junk.load(Ordering::Relaxed), 3);

    shutdown.cancel();
    served.wait().await;
    other.wait().await;
    assert!(!path.exists(), "the socket goes with its server");
    std::fs::write(&path, "").unwrap();
    let again = serve_local(&path, Arc::new(Echo), CancellationToken::new());
    assert!(again.is_ok(), "a socket that nobody serves is replaced");
}

#[test]
fn any_octets_decode_or_are_refused() {
    let octets = encode_stream(Conversation::Control, &Ask::History { limit: 7 });
    let mut buffer = BytesMut::from(&octets[..]);
    let frame = take_frame(&mut buffer).unwrap().unwrap();
    assert_eq!(decode_ask(&frame), Ok(Ask::History { limit: 7 }));
    for at in 0..frame.len() {
        for bit in 0..8 {
            let mut bent = frame.to_vec();
            bent[at] ^= 1 << bit;
            let _ = decode_ask(&bent);
            let _ = decode_reply(&bent);
        }
    }
    let mut seed = 7u32;
    for length in 0..2000usize {
        let junk: Vec<u8> = [0xC1, 1]
            .into_iter()
            .chain((0..length % 97).map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed.to_be_bytes()[0]
            }))
            .collect();
        let _ = decode_ask(&junk);
        let _ = decode_reply(&junk);
    }
}
