//! Our client and server over real sockets, with peers that misbehave.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Request, Response, Version};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use popnet_http::body::Body;
use popnet_http::certificates::{Choose, load, server_config};
use popnet_http::client::{Client, Patience, Place};
use popnet_http::failure::{Failure, FailureKind};
use popnet_http::server::{self, Limits, Listener, Server, Service};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

fn impatient() -> Client {
    Client::new(Patience {
        connect: Duration::from_millis(300),
        first_octet: Duration::from_millis(300),
        stall: Duration::from_millis(300),
        ..Patience::default()
    })
}

fn get(path: &str) -> Request<Body> {
    let uri = format!("http://a.test{path}");
    Request::get(uri).header("host", "a.test").body(Body::empty()).unwrap()
}

fn place(address: SocketAddr) -> Place {
    Place::Tcp { host: address.ip().to_string().into(), port: address.port() }
}

/// A server that reads a head and then says just this; without `close` it goes silent.
async fn saying(words: &'static [u8], close: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4_096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(words).await;
                if !close {
                    let _ = stream.read(&mut head).await;
                }
            });
        }
    });
    address
}

async fn outcome(client: &Client, place: &Place) -> Result<Vec<u8>, Failure> {
    let response = client.send(place, get("/x")).await?;
    response.into_body().collect(1 << 20).await.map(|octets| octets.to_vec())
}

/// Whole answers that cannot be passed on.
const UNUSABLE: &[(&[u8], bool, FailureKind)] = &[
    (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        false,
        FailureKind::Protocol,
    ),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\nx", true, FailureKind::Protocol),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: X-GZIP;a=b\r\n\r\nx", true, FailureKind::Protocol),
    (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\nx",
        true,
        FailureKind::Protocol,
    ),
    (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: no-coding\r\ncontent-length: 1\r\n\r\nx",
        true,
        FailureKind::Protocol,
    ),
    (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nx",
        false,
        FailureKind::Protocol,
    ),
];

#[tokio::test]
async fn each_failure_has_its_name() {
    let client = impatient();
    let cases: &[(&'static [u8], bool, FailureKind)] = &[
        (b"", true, FailureKind::Terminated),
        (b"", false, FailureKind::ResponseTimeout),
        (b"HTTP/1.1 200", true, FailureKind::Terminated),
        (b"SMTP hello\r\n\r\n", true, FailureKind::Protocol),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", true, FailureKind::Protocol),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour", true, FailureKind::Incomplete),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour", false, FailureKind::ReadTimeout),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n",
            true,
            FailureKind::Incomplete,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nfour\r\n",
            true,
            FailureKind::Incomplete,
        ),
    ];
    for (words, close, expected) in cases.iter().chain(UNUSABLE) {
        let address = saying(words, *close).await;
        let failure = outcome(&client, &place(address)).await.unwrap_err();
        let shown = String::from_utf8_lossy(words);
        assert_eq!(failure.kind, *expected, "{shown:?} close {close}: {failure}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure = outcome(&client, &place(nobody)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(failure.kind.token(), "connection_refused");
    let missing = Place::Unix("/nonexistent/socket".into());
    assert_eq!(outcome(&client, &missing).await.unwrap_err().kind, FailureKind::Refused);
    let nowhere = Place::Tcp { host: "no-such-host.invalid".into(), port: 80 };
    let failure = outcome(&client, &nowhere).await.unwrap_err();
    assert!(matches!(failure.kind, FailureKind::Dns | FailureKind::ConnectTimeout), "{failure}");
}

#[tokio::test]
async fn a_place_has_so_many_requests_and_so_many_that_wait() {
    let place = place(saying(b"", false).await);
    let client = Client::new(Patience {
        connect: Duration::from_millis(300),
        first_octet: Duration::from_millis(600),
        exchanges: 1,
        waiting: 1,
        ..Patience::default()
    });
    let after = async |wait: u64| {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let begun = Instant::now();
        let failure = outcome(&client, &place).await.unwrap_err();
        (failure.kind, failure.detail, begun.elapsed())
    };
    let (asks, waits, is_refused) = tokio::join!(after(0), after(50), after(100));
    assert_eq!(asks.0, FailureKind::ResponseTimeout);
    assert_eq!(waits.0, FailureKind::Overload);
    assert_eq!(waits.1, "1 requests at once, none ended in time");
    assert_eq!(is_refused.0, FailureKind::Overload);
    assert_eq!(is_refused.1, "1 requests at once, 1 more are waiting");
    assert!(is_refused.2 < Duration::from_millis(100), "{:?}", is_refused.2);
    // Whoever gave up has left the queue.
    assert_eq!(after(700).await.0, FailureKind::ResponseTimeout);
}

#[tokio::test]
async fn a_word_that_names_no_transfer_coding_changes_nothing() {
    let client = impatient();
    for words in [
        &b"HTTP/1.1 200 OK\r\ntransfer-encoding: no-coding\r\n\r\nfour"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nfour",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n",
    ] {
        let address = saying(words, true).await;
        assert_eq!(outcome(&client, &place(address)).await.unwrap(), b"four");
    }
}

#[tokio::test]
async fn connections_are_used_again_and_a_closed_one_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut head = [0; 4_096];
                // Three requests a connection, then it closes without a word.
                for _ in 0..3 {
                    if !matches!(stream.read(&mut head).await, Ok(1..)) {
                        return;
                    }
                    let _ =
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            });
        }
    });
    let client = impatient();
    for _ in 0..9 {
        assert_eq!(outcome(&client, &place(address)).await.unwrap(), b"ok");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

/// Says back what it was sent.
struct Echo;

impl Service for Echo {
    async fn answer(
        self: Arc<Self>,
        client: server::Client,
        request: Request<Body>,
    ) -> Response<Body> {
        let version = request.version();
        let tls = client.tls;
        match request.into_body().collect(1 << 20).await {
            Ok(octets) => {
                let mut response = Response::new(Body::whole(octets));
                let said = format!("{version:?} tls={tls}");
                response.headers_mut().insert("x-seen", said.parse().unwrap());
                response
            }
            Err(failure) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = failure.kind.status();
                response
            }
        }
    }
}

fn serve(listener: Listener, limits: Limits) -> (Server, CancellationToken) {
    let shutdown = CancellationToken::new();
    let workers = vec![vec![listener]];
    let server = Server::start("test", workers, limits, &Arc::new(Echo), &shutdown).unwrap();
    (server, shutdown)
}

fn bound() -> (std::net::TcpListener, SocketAddr) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn content_streams_through_and_the_server_ends() {
    let (socket, address) = bound();
    let (server, shutdown) = serve(Listener::Tcp(socket), Limits::default());
    let client = impatient();
    let mut request = get("/echo").map(|_| Body::whole(vec![5u8; 500_000]));
    *request.method_mut() = http::Method::POST;
    let response = client.send(&place(address), request).await.unwrap();
    assert_eq!(response.headers()["x-seen"], "HTTP/1.1 tls=false");
    assert_eq!(response.into_body().collect(1 << 20).await.unwrap().len(), 500_000);
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), server.wait()).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

/// Content that comes a piece at a time.
fn dripping(pieces: u32, pause: Duration) -> Body {
    let stream = futures_util::stream::unfold(0, move |number| async move {
        tokio::time::sleep(pause).await;
        let piece = http_body::Frame::data(bytes::Bytes::from_static(b"x"));
        (number < pieces).then_some((Ok(piece), number + 1))
    });
    Body::stream(http_body_util::StreamBody::new(stream))
}

#[tokio::test]
async fn a_long_upload_is_no_late_answer() {
    let (socket, address) = bound();
    let _running = serve(Listener::Tcp(socket), Limits::default());
    let client = impatient();
    let mut request = get("/echo").map(|_| dripping(8, Duration::from_millis(100)));
    *request.method_mut() = http::Method::PUT;
    let response = client.send(&place(address), request).await.unwrap();
    assert_eq!(response.into_body().collect(100).await.unwrap(), "xxxxxxxx");
    // Of unknown length, it goes with a GET too.
    let request = get("/echo").map(|_| dripping(2, Duration::ZERO));
    let response = client.send(&place(address), request).await.unwrap();
    assert_eq!(response.into_body().collect(100).await.unwrap(), "xx");
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let (socket, address) = bound();
    let limits = Limits {
        head: Duration::from_millis(300),
        stall: Duration::from_millis(300),
        ..Limits::default()
    };
    let _running = serve(Listener::Tcp(socket), limits);
    for words in [
        "GET / HTTP/1.1\r\nhost: a",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nfour",
        "",
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        let begun = Instant::now();
        let mut answer = Vec::new();
        let all = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(Duration::from_secs(5), all).await.expect(words);
        assert!(begun.elapsed() < Duration::from_secs(3), "{words}");
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{words}");
    }
}

#[tokio::test]
async fn heads_too_large_or_ambiguous_are_refused() {
    let (socket, address) = bound();
    let _running = serve(Listener::Tcp(socket), Limits::default());
    let fields = "x: y\r\n".repeat(500);
    let long = "z".repeat(100_000);
    for request in [
        format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"),
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx".into(),
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n".into(),
        "GET / HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n".into(),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let all = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(Duration::from_secs(5), all).await.unwrap();
        let line = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
        let shown = &request[..request.len().min(60)];
        assert!(line.is_empty() || line.starts_with("HTTP/1.1 4"), "{shown:?}: {line}");
    }
}

/// Sends without end, and notes when its content is let go.
struct Endless(Arc<AtomicUsize>);

struct Flood(Arc<AtomicUsize>);

impl http_body::Body for Flood {
    type Data = bytes::Bytes;
    type Error = Failure;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Failure>>> {
        let piece = bytes::Bytes::from_static(&[0; 16_384]);
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Service for Endless {
    async fn answer(
        self: Arc<Self>,
        _client: server::Client,
        _request: Request<Body>,
    ) -> Response<Body> {
        Response::new(Body::stream(Flood(Arc::clone(&self.0))))
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let (socket, address) = bound();
    let limits = Limits { stall: Duration::from_millis(300), ..Limits::default() };
    let gone = Arc::<AtomicUsize>::default();
    let shutdown = CancellationToken::new();
    let service = Arc::new(Endless(Arc::clone(&gone)));
    let workers = vec![vec![Listener::Tcp(socket)]];
    let _server = Server::start("test", workers, limits, &service, &shutdown).unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    for _ in 0..300 {
        if gone.load(Ordering::SeqCst) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still sending after three seconds");
}

struct Always(Arc<CertifiedKey>);

impl Choose for Always {
    fn choose(&self, _name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn http2_and_1_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let issued = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&chain, issued.cert.pem()).unwrap();
    std::fs::write(&key, issued.signing_key.serialize_pem()).unwrap();
    let (socket, address) = bound();
    let config = server_config(Always(load(&chain, &key).unwrap()));
    let _running = serve(Listener::Tls(socket, config), Limits::default());

    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&chain).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trusting = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = |name: &str, config: rustls::ClientConfig| Place::Tls {
        host: "127.0.0.1".into(),
        port: address.port(),
        name: name.into(),
        config: Arc::new(config),
    };
    let one = tls("a.test", trusting.clone());
    let response = impatient().send(&one, get("/")).await.unwrap();
    assert_eq!(response.headers()["x-seen"], "HTTP/1.1 tls=true");
    let failure = impatient().send(&tls("b.test", trusting.clone()), get("/")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Tls, "{failure}");

    let mut two = trusting;
    two.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    let stream =
        tokio_rustls::TlsConnector::from(Arc::new(two)).connect(name, stream).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://a.test/")
        .version(Version::HTTP_2)
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.headers()["x-seen"], "HTTP/2.0 tls=true");
}
