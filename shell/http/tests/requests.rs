//! What a server does with requests as they arrive, octet for octet.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, header};
use popnet_http::body::Body;
use popnet_http::server::{self, Limits, Listener, Server, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Says method, target and content back; `/unread` leaves the content where it is, `/stream` gives
/// content of unknown length, `/slow` takes its time, `/short` less than it announces, `/long` more.
struct Mirror;

fn streamed(text: &'static str) -> Body {
    let pieces = text.as_bytes().chunks(3).map(|piece| Ok(http_body::Frame::data(piece.into())));
    Body::stream(http_body_util::StreamBody::new(futures_util::stream::iter(pieces)))
}

impl Service for Mirror {
    async fn answer(
        self: Arc<Self>,
        _client: server::Client,
        request: Request<Body>,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        let announced = |octets: u32| HeaderValue::from(octets);
        match head.uri.path() {
            "/unread" => return Response::new(Body::whole("unread")),
            "/stream" => return Response::new(streamed("streamed")),
            "/slow" => tokio::time::sleep(Duration::from_millis(100)).await,
            path @ ("/short" | "/long") => {
                let mut response = Response::new(streamed("four"));
                let length = if path == "/short" { 9 } else { 2 };
                response.headers_mut().insert(header::CONTENT_LENGTH, announced(length));
                return response;
            }
            _ => {}
        }
        match body.collect(1 << 20).await {
            Ok(octets) => {
                let text = String::from_utf8_lossy(&octets);
                Response::new(Body::whole(format!("{} {} [{text}]", head.method, head.uri)))
            }
            Err(failure) => {
                let mut response = Response::new(Body::whole(failure.detail));
                *response.status_mut() = StatusCode::BAD_REQUEST;
                response
            }
        }
    }
}

fn serve() -> (SocketAddr, Server, CancellationToken) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let workers = vec![vec![Listener::Tcp(socket)]];
    let limits = Limits { head: Duration::from_secs(1), ..Limits::default() };
    let server = Server::start("test", workers, limits, &Arc::new(Mirror), &shutdown).unwrap();
    (address, server, shutdown)
}

/// Everything that comes back on one connection for `pieces`, sent one after the other.
async fn said(address: SocketAddr, pieces: &[&str]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for piece in pieces {
        stream.write_all(piece.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), reading).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

fn contents(answer: &str) -> Vec<&str> {
    let heads = answer.split("HTTP/1.1 ").skip(1);
    heads.map(|one| one.split_once("\r\n\r\n").unwrap().1).collect()
}

#[tokio::test]
async fn one_after_the_other_on_one_connection() {
    let (address, _server, _shutdown) = serve();
    let together = "GET /a HTTP/1.1\r\nhost: a\r\n\r\n\
                    POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nfour\
                    POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
                    2\r\nfi\r\n2;x\r\nve\r\n0\r\nt: 1\r\n\r\n\
                    \r\nGET /d HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n\
                    GET /never HTTP/1.1\r\nhost: a\r\n\r\n";
    let expected = ["GET /a []", "POST /b [four]", "POST /c [five]", "GET /d []"];
    assert_eq!(contents(&said(address, &[together]).await), expected);
    // Wherever it is cut.
    for cut in (1..together.len()).step_by(7) {
        let (first, second) = together.split_at(cut);
        assert_eq!(contents(&said(address, &[first, second]).await), expected, "cut at {cut}");
    }
}

#[tokio::test]
async fn content_is_asked_for_when_it_is_wanted() {
    let (address, _server, _shutdown) = serve();
    let head = "PUT /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\
                expect: 100-continue\r\n\r\n";
    let answer = said(address, &[head, "four"]).await;
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("PUT /x [four]"), "{answer}");
    // Who sends it without waiting is not told to.
    let answer = said(address, &[&format!("{head}four")]).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    // Nobody wants it: no word of going on, and no further request on this connection.
    let head = head.replace("/x", "/unread").replace("connection: close\r\n", "");
    let answer = said(address, &[&head]).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("unread"), "{answer}");
}

#[tokio::test]
async fn content_that_nobody_wanted_does_not_become_a_request() {
    let (address, _server, _shutdown) = serve();
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let length = smuggled.len();
    let answer = said(
        address,
        &[
            &format!("POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"),
            smuggled,
            "GET /next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        ],
    )
    .await;
    assert_eq!(contents(&answer), ["unread", "GET /next []"]);
}

#[tokio::test]
async fn content_of_unknown_length() {
    let (address, _server, _shutdown) = serve();
    let answer = said(address, &["GET /stream HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"]);
    let answer = answer.await;
    assert!(answer.contains("\r\ntransfer-encoding: chunked\r\n"), "{answer}");
    assert!(answer.ends_with("3\r\nstr\r\n3\r\neam\r\n2\r\ned\r\n0\r\n\r\n"), "{answer}");
    // HTTP/1.0 knows no chunks: the end of the connection is the end.
    let answer = said(address, &["GET /stream HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"]).await;
    assert!(answer.ends_with("\r\n\r\nstreamed") && !answer.contains("chunked"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    // One that wants to go on is told that it may.
    let old = "GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n";
    let answer = said(address, &[old]).await;
    assert_eq!(contents(&answer), ["GET /a []", "GET /b []"]);
    assert_eq!(answer.matches("connection: keep-alive\r\n").count(), 1, "{answer}");
    let answer = said(address, &["HEAD /stream HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"]);
    let answer = answer.await;
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn content_that_is_not_what_was_announced_ends_the_connection() {
    let (address, _server, _shutdown) = serve();
    for (path, content) in [("/short", "four"), ("/long", "")] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        let answer = said(address, &[&request, &request]).await;
        assert_eq!(contents(&answer), [content], "{answer}");
    }
}

#[tokio::test]
async fn what_is_broken_is_refused_with_a_word() {
    let (address, _server, _shutdown) = serve();
    let cases = [
        ("GET / HTTP/1.1\nhost: a\n\n", "400", "CR LF"),
        ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", "400", "none of HTTP/1.1"),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\nx", "400", "no number"),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n",
            "400",
            "both",
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            "400",
            "no number",
        ),
        ("GET / HTTP/1.1\r\nhost: a\r\nHOST: a\r\n\r\n", "400", "more than one host"),
        ("GET / HTTP/3.0\r\nhost: a\r\n\r\n", "505", "version"),
        ("PUT / HTTP/1.1\r\nhost: a\r\nexpect: rain\r\ncontent-length: 1\r\n\r\n", "417", "100-"),
        ("GET / HTTP/1.1\r\nhost: a\r\n", "408", "in time"),
    ];
    for (request, status, word) in cases {
        let and_more = [request, "GET /more HTTP/1.1\r\nhost: a\r\n\r\n"];
        let pieces = if status == "408" { &and_more[..1] } else { &and_more[..] };
        let answer = said(address, pieces).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert!(answer.contains("connection: close") || word == "no number", "{answer}");
        assert!(answer.contains(word), "{request:?}: {answer}");
        assert!(!answer.contains("/more"), "{request:?}: {answer}");
    }
}

#[tokio::test]
async fn who_sends_no_more_still_gets_the_answers() {
    let (address, _server, _shutdown) = serve();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let requests = "GET /a HTTP/1.1\r\nhost: a\r\n\r\nGET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(requests.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(contents(&answer), ["GET /a []", "GET /slow []"]);
}

#[tokio::test]
async fn methods_and_targets_arrive_as_they_were_sent() {
    let (address, _server, _shutdown) = serve();
    for (line, told) in [
        ("OPTIONS *", "OPTIONS * []"),
        ("PURGE /a//b/../c?x=%2f", "PURGE /a//b/../c?x=%2f []"),
        ("GET http://b.test/x", "GET http://b.test/x []"),
    ] {
        let request = format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        assert_eq!(contents(&said(address, &[&request]).await), [told]);
    }
}

#[tokio::test]
async fn an_idle_connection_ends_with_the_server() {
    let (address, server, shutdown) = serve();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = [0; 1_024];
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    shutdown.cancel();
    assert_eq!(stream.read(&mut answer).await.unwrap(), 0);
    tokio::time::timeout(Duration::from_secs(2), server.wait()).await.unwrap();
}
