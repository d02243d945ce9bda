//! Single attempts against real servers on loopback that turn bad in every way that matters.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use popnet_config::network::{Expect, LatencyMethod};
use popnet_http::roots::Trust;
use popnet_netprobe::{http, resolver};
use popnet_probe::{Address, HttpJob, JobId, MeasureJob, Outcome, Turns, check};
use popnet_wire::probing::{Cause, Method};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

#[tokio::test]
async fn a_good_answer() {
    let content = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\npopnet-load: 0.12\r\npopnet-epoch: 7\r\n\r\nacme ok";
    let at = says(content).await;
    let mut job = job(at);
    job.load_field = Some("popnet-load".into());
    job.digest = Some((0, u64::MAX));
    let Outcome::Answered(answer) = http::attempt(&job, &nobody()).await else {
        panic!("no answer");
    };
    let digest = "c647fcf4d15eb1f0184fc6ae32cfa18b9b53be4d38e720f85869613df8cc9f64";
    let expect = Expect { body_contains: Some("acme".into()), ..Expect::default() };
    let checked = check(&expect, &answer);
    assert_eq!((checked.cause, checked.load), (Cause::Passed, Some(120)));
    assert_eq!(checked.epoch.map(|epoch| epoch.0), Some(7));
    assert!(answer.connect.0 > 0 && answer.total >= answer.connect);
    let right = Expect { body_sha256: Some(digest.into()), ..Expect::default() };
    assert_eq!(check(&right, &answer).cause, Cause::Passed);
    let wrong = Expect { body_sha256: Some(digest.replace('0', "f")), ..Expect::default() };
    assert_eq!(check(&wrong, &answer).cause, Cause::Content);
}

#[tokio::test]
async fn nobody_listens() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = closed.local_addr().unwrap();
    drop(closed);
    failure(at, Cause::Refused, "connection refused").await;
}

#[tokio::test]
async fn it_stalls() {
    let at = serve(|mut stream| async move {
        let mut buffer = [0; 1_024];
        while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    failure(at, Cause::Timeout, "no answer within 300 ms").await;
}

#[tokio::test]
async fn it_stalls_in_the_middle() {
    let at = serve(|mut stream| async move {
        let mut buffer = [0; 1_024];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nac").await;
        while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    failure(at, Cause::Timeout, "no answer within 300 ms").await;
}

#[tokio::test]
async fn it_lies_about_its_length() {
    let at = says("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nacme ok").await;
    failure(at, Cause::Protocol, "connection closed before the answer was whole").await;
}

#[tokio::test]
async fn it_speaks_something_else() {
    let at = says("220 mail.test ESMTP\r\n").await;
    failure(at, Cause::Protocol, "the answer is not HTTP").await;
}

#[tokio::test]
async fn it_hangs_up() {
    let at = serve(|mut stream| async move {
        let mut buffer = [0; 1_024];
        let _ = stream.read(&mut buffer).await;
    })
    .await;
    failure(at, Cause::Protocol, "connection closed before the answer was whole").await;
}

#[tokio::test]
async fn wrong_status_and_content_are_answers() {
    let at = says("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await;
    let Outcome::Answered(answer) = http::attempt(&job(at), &nobody()).await else {
        panic!("no answer");
    };
    assert_eq!(check(&Expect::default(), &answer).cause, Cause::Status);
    let at = says("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let Outcome::Answered(answer) = http::attempt(&job(at), &nobody()).await else {
        panic!("no answer");
    };
    let expect = Expect { body_contains: Some("acme".into()), ..Expect::default() };
    assert_eq!(check(&expect, &answer).cause, Cause::Content);
}

#[tokio::test]
async fn certificates_are_verified() {
    let made = rcgen::generate_simple_self_signed(["www.test".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let at = serve_tls(certificate.clone(), key.into()).await;
    let mut secure = job(at);
    secure.tls = true;
    let failed = outcome(&secure, &nobody()).await;
    assert_eq!(failed.0, Cause::Certificate, "{}", failed.1);
    let trust = Trust::of([certificate]);
    assert!(matches!(http::attempt(&secure, &trust).await, Outcome::Answered(_)));
    secure.host = "other.test".into();
    assert_eq!(outcome(&secure, &trust).await.0, Cause::Certificate);
    // Plain HTTP where TLS is expected is no question of certificates.
    let plain = says("HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n").await;
    let mut secure = job(plain);
    secure.tls = true;
    assert_eq!(outcome(&secure, &trust).await.0, Cause::Protocol);
}

#[tokio::test]
async fn a_resolver_answers() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        let mut count = 0;
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            count += 1;
            // A stray packet is no answer, and the second query is lost.
            let _ = socket.send_to(b"junk", from).await;
            if count == 2 {
                continue;
            }
            let mut answer = buffer[..length].to_vec();
            answer[2] |= 0x80;
            answer[3] = 5;
            let _ = socket.send_to(&answer, from).await;
        }
    });
    let burst = resolver::measure(&measure(at), at.port(), Turns::default()).await;
    assert_eq!(burst.method, Some(Method::DnsQuery));
    let answered: Vec<bool> = burst.rtts.iter().map(Option::is_some).collect();
    assert_eq!(answered, [true, false, true]);
}

#[tokio::test]
async fn a_resolver_that_is_silent_by_udp_is_asked_by_tcp() {
    // TCP is open, UDP silent, on the same port.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(at).await.unwrap();
    let burst = resolver::measure(&measure(at), at.port(), Turns::default()).await;
    assert_eq!(burst.method, Some(Method::Tcp53));
    assert_eq!(burst.rtts.iter().flatten().count(), 3);
    drop(socket);
}

#[tokio::test]
async fn nobody_answers() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    let mut job = measure(at);
    job.methods = vec![LatencyMethod::DnsQuery];
    let burst = resolver::measure(&job, at.port(), Turns::default()).await;
    assert_eq!((burst.method, burst.rtts), (None, vec![None; 3]));
}

/// What an agent may answer to a question for five values, in both versions, damaged in every
/// octet: the library that reads it never panics.
#[test]
fn no_snmp_reply_does_harm() {
    let reply = snmp_reply();
    assert!(snmp2::Pdu::from_bytes(&reply).is_ok_and(|mut pdu| pdu.varbinds.next().is_some()));
    let security = snmp2::v3::Security::new(b"popnet", b"a password");
    for at in 0..reply.len() {
        for octet in [0, 1, 0x02, 0x30, 0x7f, 0x80, 0x81, 0x84, 0x88, 0xa2, 0xff] {
            let mut damaged = reply.clone();
            damaged[at] = octet;
            for octets in [&damaged[..], &damaged[..at]] {
                read_snmp(octets, &security);
            }
        }
    }
}

fn read_snmp(octets: &[u8], security: &snmp2::v3::Security) {
    if let Ok(pdu) = snmp2::Pdu::from_bytes(octets) {
        assert!(pdu.varbinds.take(1_000).count() < 1_000, "it ends");
    }
    let mut security = security.clone();
    let _ = snmp2::Pdu::from_bytes_with_security(octets, Some(&mut security));
}

/// A version 2c response with laLoadInt.1 as an integer and memTotalReal as a counter.
fn snmp_reply() -> Vec<u8> {
    let part = |tag: u8, content: &[u8]| {
        [&[tag, u8::try_from(content.len()).unwrap()][..], content].concat()
    };
    let oid = [&[0x2b][..], &[6, 1, 4, 1, 0x8f, 0x65, 10, 1, 5, 1]].concat();
    let first = part(0x30, &[part(6, &oid), part(2, &[0x32])].concat());
    let second = part(0x30, &[part(6, &oid), part(0x41, &[0x7f, 1, 2, 3])].concat());
    let list = part(0x30, &[first, second].concat());
    let numbers = [part(2, &[1, 2, 3, 4]), part(2, &[0]), part(2, &[0])].concat();
    let pdu = part(0xa2, &[numbers, list].concat());
    part(0x30, &[part(2, &[1]), part(4, b"public"), pdu].concat())
}

#[test]
fn junk_is_no_message() {
    for length in 0..64_u8 {
        let junk: Vec<u8> = (0..length).map(|n| n.wrapping_mul(151).wrapping_add(length)).collect();
        assert!(popnet_netprobe::decode(&junk).is_err());
        assert!(!resolver::answers(&junk, 0x1234));
    }
    assert!(popnet_netprobe::decode(&[0xC2; 2_000]).is_err());
}

async fn failure(at: SocketAddr, cause: Cause, words: &str) {
    assert_eq!(outcome(&job(at), &nobody()).await, (cause, words.to_owned()));
}

async fn outcome(job: &HttpJob, trust: &Trust) -> (Cause, String) {
    let Outcome::Failed(failure) = http::attempt(job, trust).await else {
        panic!("it did not fail");
    };
    (failure.cause, failure.words.to_string())
}

fn job(at: SocketAddr) -> HttpJob {
    HttpJob {
        id: JobId(1),
        address: Address { host: at.ip().to_string().into(), port: at.port() },
        tls: false,
        method: "GET".into(),
        path: "/health".into(),
        host: "www.test".into(),
        timeout: Duration::from_millis(300),
        load_field: None,
        digest: None,
        keep: 64 << 10,
        certificate_days: None,
    }
}

fn measure(at: SocketAddr) -> MeasureJob {
    MeasureJob {
        id: JobId(1),
        resolver: at.ip(),
        methods: vec![LatencyMethod::DnsQuery, LatencyMethod::Tcp53],
        samples: 3,
        timeout: Duration::from_millis(150),
        asked: None,
    }
}

fn nobody() -> Trust {
    Trust::of([])
}

/// A server that answers every request with these octets and closes.
async fn says(octets: &'static str) -> SocketAddr {
    serve(move |mut stream| async move {
        let mut buffer = [0; 1_024];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(octets.as_bytes()).await;
        let _ = stream.shutdown().await;
    })
    .await
}

async fn serve<F>(conversation: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(conversation(stream));
        }
    });
    at
}

async fn serve_tls(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut buffer = [0; 1_024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}
