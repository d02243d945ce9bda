//! HTTP/3: what breaks its rules ends with the error that the RFCs name, what keeps them works.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::StreamBody;
use popnet_http::body::Body;
use popnet_http::certificates::{Choose, server_config};
use popnet_http::server::{self, Limits, Listener, Server, Service};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, EndpointConfig, VarInt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Says method, target and content back. `/endless` has no end, `/trailed` ends with a trailer,
/// `/broken` breaks off, `/slow` takes its time, `/unread` leaves the content where it is.
#[derive(Default)]
struct Mirror {
    /// Endless answers that are being read.
    endless: AtomicUsize,
    trips: AtomicUsize,
}

struct Reading(Arc<Mirror>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.endless.fetch_sub(1, Ordering::Relaxed);
    }
}

fn failure() -> popnet_http::failure::Failure {
    let kind = popnet_http::failure::FailureKind::Internal;
    popnet_http::failure::Failure::new(kind, "", "broken off")
}

impl Service for Mirror {
    async fn answer(
        self: Arc<Self>,
        client: server::Client,
        request: Request<Body>,
    ) -> Response<Body> {
        assert!(client.tls && request.version() == Version::HTTP_3);
        let (head, body) = request.into_parts();
        let stream = |pieces: Vec<Result<Frame<Bytes>, _>>| {
            Response::new(Body::stream(StreamBody::new(futures_util::stream::iter(pieces))))
        };
        match head.uri.path() {
            "/unread" => return Response::new(Body::whole("unread")),
            "/slow" => tokio::time::sleep(Duration::from_millis(300)).await,
            "/endless" => {
                self.endless.fetch_add(1, Ordering::Relaxed);
                let reading = Reading(Arc::clone(&self));
                let pieces = futures_util::stream::repeat_with(move || {
                    let _ = &reading;
                    Ok(Frame::data(Bytes::from_static(&[b'x'; 16 << 10])))
                });
                return Response::new(Body::stream(StreamBody::new(pieces)));
            }
            "/trailed" => {
                let mut fields = HeaderMap::new();
                fields.insert("x-sum", HeaderValue::from_static("7"));
                let data = Frame::data(Bytes::from_static(b"data"));
                return stream(vec![Ok(data), Ok(Frame::trailers(fields))]);
            }
            "/sized" => {
                let mut response = stream(vec![Ok(Frame::data(Bytes::from_static(b"sized")))]);
                let headers = response.headers_mut();
                headers.insert("content-length", HeaderValue::from_static("5"));
                return response;
            }
            "/broken" => {
                return stream(vec![Ok(Frame::data(Bytes::from_static(b"data"))), Err(failure())]);
            }
            _ => {}
        }
        match body.collect(8 << 20).await {
            Ok(octets) if octets.len() > 100 => Response::new(Body::whole(octets)),
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

    fn parted(&self, _: SocketAddr, trip: &dyn Fn() -> Option<popnet_terms::Trip>) {
        let trip = trip().unwrap();
        assert!(trip.least <= trip.smoothed && trip.sent > 0);
        self.trips.fetch_add(1, Ordering::Relaxed);
    }
}

struct Only(Arc<CertifiedKey>);

impl Choose for Only {
    fn choose(&self, _: Option<&str>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

struct Lab {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    mirror: Arc<Mirror>,
    server: Server,
    shutdown: CancellationToken,
}

fn lab() -> Lab {
    lab_with(Limits::default())
}

fn lab_with(limits: Limits) -> Lab {
    let issued = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let certificate = issued.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let pair = CertifiedKey::from_der(vec![certificate.clone()], key, &provider).unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let tls = server_config(Only(Arc::new(pair)));
    let workers = vec![vec![Listener::Quic(socket, tls, EndpointConfig::default())]];
    let mirror = Arc::<Mirror>::default();
    let shutdown = CancellationToken::new();
    let server = Server::start("test", workers, limits, &mirror, &shutdown).unwrap();
    Lab { address, certificate, mirror, server, shutdown }
}

impl Lab {
    /// A client that speaks QUIC and leaves HTTP to the test.
    async fn connect(&self) -> (Endpoint, Connection) {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(config);
        let connection = endpoint.connect(self.address, "a.test").unwrap().await.unwrap();
        (endpoint, connection)
    }

    /// How the server ends what `steps` begin.
    async fn ends(&self, steps: &[Step]) -> Option<u64> {
        let (_endpoint, connection) = self.connect().await;
        let mut kept = Vec::new();
        let mut last = None;
        for step in steps {
            match step {
                OneWay(octets, end) => {
                    let mut stream = connection.open_uni().await.unwrap();
                    // The connection may be over before everything is sent.
                    let _ = stream.write_all(octets).await;
                    if *end {
                        let _ = stream.finish();
                    }
                    kept.push(stream);
                }
                Ask(octets, end) => {
                    let (mut stream, answer) = connection.open_bi().await.unwrap();
                    let _ = stream.write_all(octets).await;
                    if *end {
                        let _ = stream.finish();
                    }
                    kept.push(stream);
                    last = Some(answer);
                }
            }
        }
        let closed = closed(&connection);
        let reset = async {
            match last {
                Some(mut answer) => match answer.read_to_end(1 << 20).await {
                    Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => {
                        code.into_inner()
                    }
                    _ => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        let either = async {
            tokio::select! { code = closed => code, code = reset => code }
        };
        timeout(Duration::from_secs(2), either).await.ok()
    }
}

/// The code that the server closes the connection with.
async fn closed(connection: &Connection) -> u64 {
    let error = connection.closed().await;
    let ConnectionError::ApplicationClosed(closed) = error else { panic!("{error}") };
    closed.error_code.into_inner()
}

enum Step {
    OneWay(Vec<u8>, bool),
    Request(Vec<u8>, bool),
}
use Step::{OneWay, Request as Ask};

fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 1 << 14, "two octets of length");
    let length = u16::try_from(content.len()).unwrap() | 0x4000;
    [&[kind][..], &length.to_be_bytes(), content].concat()
}

/// A field section of plain literals.
fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = vec![0, 0];
    for (name, value) in fields {
        assert!(value.len() < 127);
        match u8::try_from(name.len()).unwrap() {
            short @ 0..7 => out.push(0x20 | short),
            long => out.extend([0x27, long - 7]),
        }
        out.extend(name.as_bytes());
        out.push(u8::try_from(value.len()).unwrap());
        out.extend(value.as_bytes());
    }
    out
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/x")];

fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(1, &section(fields))
}

fn settled() -> Step {
    OneWay([&[0][..], &frame(4, b"")].concat(), false)
}

fn control(more: &[u8]) -> Step {
    OneWay([&[0][..], &frame(4, b""), more].concat(), false)
}

#[tokio::test]
async fn errors_of_requests() {
    let lab = lab();
    let more = |field| head(&[&GET[..], &[field]].concat());
    let late = [&GET[..3], &[("a", "b")], &GET[3..]].concat();
    let post = [&[(":method", "POST")], &GET[1..], &[("content-length", "5")]].concat();
    let trailed =
        |last: Vec<u8>| [head(&GET), frame(0, b"abc"), head(&[("t", "1")]), last].concat();
    // What is sent, whether the stream ends there, and the code of RFC 9114 or 9204.
    let cases = [
        ("content first", [frame(0, b"x"), head(&GET)].concat(), true, 0x105),
        ("CANCEL_PUSH", frame(3, &[0]), false, 0x105),
        ("SETTINGS", frame(4, b""), false, 0x105),
        ("PUSH_PROMISE", frame(5, &[0]), false, 0x105),
        ("GOAWAY", frame(7, &[0]), false, 0x105),
        ("MAX_PUSH_ID", frame(13, &[0]), false, 0x105),
        ("PING of HTTP/2", frame(6, b"12345678"), false, 0x105),
        ("content after trailers", trailed(frame(0, b"x")), true, 0x105),
        ("trailers twice", trailed(head(&[("t", "1")])), true, 0x105),
        ("cut head", vec![1, 50, 0, 0], true, 0x106),
        ("cut content", [head(&GET), vec![0, 5, b'x']].concat(), true, 0x106),
        ("cut length", vec![1, 0x40], true, 0x106),
        ("no such entry", frame(1, b"\0\0\xff\x80\x01"), true, 0x200),
        ("the dynamic table", frame(1, b"\x02\0\x80"), true, 0x200),
        ("nothing at all", vec![], true, 0x10d),
        ("method twice", more((":method", "GET")), true, 0x10e),
        ("no path", head(&GET[..3]), true, 0x10e),
        ("status", more((":status", "200")), true, 0x10e),
        ("late path", head(&late), true, 0x10e),
        ("upper case", more(("Abc", "b")), true, 0x10e),
        ("connection", more(("connection", "close")), true, 0x10e),
        ("transfer-encoding", more(("transfer-encoding", "chunked")), true, 0x10e),
        ("short content", [head(&post), frame(0, b"abc")].concat(), true, 0x10e),
        ("long content", [head(&post), frame(0, b"abcdef")].concat(), false, 0x10e),
        ("path after the content", [head(&GET), frame(0, b"x"), head(&GET)].concat(), true, 0x10e),
    ];
    for (name, octets, end, code) in cases {
        let found = lab.ends(&[settled(), Ask(octets, end)]).await;
        assert_eq!(found, Some(code), "{name}: {found:x?}");
    }
}

#[tokio::test]
async fn errors_of_streams_in_one_direction() {
    let lab = lab();
    let cases = [
        ("two control streams", vec![settled(), settled()], 0x103),
        ("two streams to the decoder", vec![OneWay(vec![2], false), OneWay(vec![2], false)], 0x103),
        ("a push", vec![OneWay(vec![1, 0], false)], 0x103),
        ("control ends", vec![OneWay([&[0][..], &frame(4, b"")].concat(), true)], 0x104),
        ("instructions end", vec![OneWay(vec![2], true)], 0x104),
        ("acknowledgements end", vec![OneWay(vec![3], true)], 0x104),
        ("no settings", vec![OneWay([&[0][..], &frame(13, &[1])].concat(), false)], 0x10a),
        ("content", vec![control(&frame(0, b"x"))], 0x105),
        ("head", vec![control(&head(&GET))], 0x105),
        ("settings twice", vec![control(&frame(4, b""))], 0x105),
        ("PING of HTTP/2", vec![control(&frame(6, b"12345678"))], 0x105),
        ("a long GOAWAY", vec![control(&frame(7, &[0xc0, 0, 0, 0, 0, 0, 0, 0, 0]))], 0x106),
        ("an empty GOAWAY", vec![control(&frame(7, b""))], 0x106),
        ("many settings", vec![OneWay(vec![0, 4, 0x80, 1, 0, 0], false)], 0x107),
        ("lowered", vec![control(&[frame(13, &[5]), frame(13, &[1])].concat())], 0x108),
        ("no such push", vec![control(&frame(3, &[0]))], 0x108),
        (
            "a setting twice",
            vec![OneWay([&[0][..], &frame(4, &[6, 9, 6, 9])].concat(), false)],
            0x109,
        ),
        (
            "a setting of HTTP/2",
            vec![OneWay([&[0][..], &frame(4, &[2, 0])].concat(), false)],
            0x109,
        ),
        ("room in the table", vec![OneWay(b"\x02\x3f\xff\xff\xff\x7f".to_vec(), false)], 0x201),
        ("a new entry", vec![OneWay(b"\x02\xc0\x01a".to_vec(), false)], 0x201),
        ("no increment", vec![OneWay(vec![3, 0], false)], 0x202),
        ("an increment", vec![OneWay(vec![3, 1], false)], 0x202),
        ("an acknowledgement", vec![OneWay(vec![3, 0x80], false)], 0x202),
    ];
    for (name, steps, code) in cases {
        let found = lab.ends(&steps).await;
        assert_eq!(found, Some(code), "{name}: {found:x?}");
    }
}

/// What comes back for `octets`.
async fn said(connection: &Connection, octets: &[u8]) -> Vec<u8> {
    let (mut stream, mut answer) = connection.open_bi().await.unwrap();
    stream.write_all(octets).await.unwrap();
    stream.finish().unwrap();
    timeout(Duration::from_secs(5), answer.read_to_end(1 << 20)).await.unwrap().unwrap()
}

fn holds(octets: &[u8], wanted: &str) -> bool {
    octets.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

#[tokio::test]
async fn what_nobody_knows_is_left_out() {
    let lab = lab();
    let (_endpoint, connection) = lab.connect().await;
    let mut unknown = connection.open_uni().await.unwrap();
    unknown.write_all(&[0x40, 0xbc, 1, 2, 3]).await.unwrap();
    let mut own = connection.open_uni().await.unwrap();
    let settings = frame(4, &[0x21, 5]);
    own.write_all(&[&[0][..], &settings, &frame(0x21, b"zz")].concat()).await.unwrap();
    let grease = frame(0x3f, b"zz");
    let mut cancelled = connection.open_uni().await.unwrap();
    cancelled.write_all(&[3, 0x44]).await.unwrap();
    let asked = [&grease[..], &head(&GET), &grease, &frame(0, b"abc"), &grease].concat();
    let answer = said(&connection, &asked).await;
    // The status is entry 25 of the static table.
    assert_eq!(&answer[2..5], &[0, 0, 0xc0 | 25], "{answer:?}");
    assert!(holds(&answer, "GET https://a.test/x [abc]"), "{answer:?}");
}

#[tokio::test]
async fn heads_are_bounded() {
    let limits = Limits { head_octets: 1 << 10, fields: 10, ..Limits::default() };
    let lab = lab_with(limits);
    let (_endpoint, connection) = lab.connect().await;
    let value = "v".repeat(120);
    let long: Vec<_> = GET.into_iter().chain((0..6).map(|_| ("x", &*value))).collect();
    let longer: Vec<_> = GET.into_iter().chain((0..20).map(|_| ("x", &*value))).collect();
    let many: Vec<_> = GET.into_iter().chain((0..7).map(|_| ("x", "y"))).collect();
    for fields in [long, longer, many] {
        let answer = said(&connection, &head(&fields)).await;
        assert!(holds(&answer, "431"), "{answer:?}");
    }
    let enough: Vec<_> = GET.into_iter().chain((0..6).map(|_| ("x", "y"))).collect();
    assert!(holds(&said(&connection, &head(&enough)).await, "GET https"));
}

type Sender = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;

/// A whole client that is not ours.
async fn client(
    lab: &Lab,
) -> (Endpoint, Sender, tokio::task::JoinHandle<h3::error::ConnectionError>) {
    let (endpoint, connection) = lab.connect().await;
    let (mut driver, sender) =
        h3::client::new(h3_quinn::Connection::new(connection)).await.unwrap();
    let driving = tokio::spawn(async move { driver.wait_idle().await });
    (endpoint, sender, driving)
}

async fn exchange(
    sender: &mut Sender,
    method: &str,
    path: &str,
    content: &[&[u8]],
) -> (Response<()>, Vec<u8>, Option<HeaderMap>) {
    let uri = format!("https://a.test{path}");
    let request = Request::builder().method(method).uri(uri).body(()).unwrap();
    let mut stream = sender.send_request(request).await.unwrap();
    for piece in content {
        stream.send_data(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    stream.finish().await.unwrap();
    let response = stream.recv_response().await.unwrap();
    let mut octets = Vec::new();
    while let Some(mut piece) = stream.recv_data().await.unwrap() {
        octets.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    let trailers = stream.recv_trailers().await.unwrap();
    (response, octets, trailers)
}

#[tokio::test]
async fn a_client_that_is_not_ours() {
    let lab = lab();
    let (_endpoint, mut sender, _driving) = client(&lab).await;
    let (response, octets, _) = exchange(&mut sender, "GET", "/a?b", &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(octets, b"GET https://a.test/a?b []");
    let (_, octets, _) = exchange(&mut sender, "POST", "/c", &[b"fi", b"ve"]).await;
    assert_eq!(octets, b"POST https://a.test/c [five]");
    let (response, octets, _) = exchange(&mut sender, "HEAD", "/sized", &[]).await;
    assert!(octets.is_empty() && !response.headers().contains_key("content-length"));
    let (response, octets, _) = exchange(&mut sender, "GET", "/sized", &[]).await;
    assert_eq!((octets.len(), &response.headers()["content-length"]), (5, &"5".parse().unwrap()));
    let (_, octets, trailers) = exchange(&mut sender, "GET", "/trailed", &[]).await;
    assert_eq!(octets, b"data");
    assert_eq!(trailers.unwrap()["x-sum"], "7");
    // More than any window, both ways.
    let large = vec![b'l'; 3 << 20];
    let (_, octets, _) = exchange(&mut sender, "PUT", "/large", &[&large]).await;
    assert!(octets == large, "{} octets came back", octets.len());
    let (_, octets, _) = exchange(&mut sender, "POST", "/unread", &[b"some"]).await;
    assert_eq!(octets, b"unread");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_reset() {
    let lab = lab();
    let path = [GET[0], GET[1], GET[2], (":path", "/broken")];
    assert_eq!(lab.ends(&[settled(), Ask(head(&path), true)]).await, Some(0x102));
}

#[tokio::test]
async fn whoever_leaves_is_not_read_for() {
    let lab = lab();
    let (_endpoint, connection) = lab.connect().await;
    let path = [GET[0], GET[1], GET[2], (":path", "/endless")];
    let (mut one, mut answer) = connection.open_bi().await.unwrap();
    one.write_all(&head(&path)).await.unwrap();
    one.finish().unwrap();
    answer.read_chunk(1 << 20, true).await.unwrap().unwrap();
    assert_eq!(lab.mirror.endless.load(Ordering::Relaxed), 1);
    answer.stop(VarInt::from_u32(0x10c)).unwrap();
    let gone = async {
        while lab.mirror.endless.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(2), gone).await.unwrap();
    connection.close(VarInt::from_u32(0x100), b"");
    let heard = async {
        while lab.mirror.trips.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(2), heard).await.unwrap();
}

#[tokio::test]
async fn requests_given_up_by_the_hundred_end_the_connection() {
    let lab = lab();
    let (_endpoint, connection) = lab.connect().await;
    let path = [GET[0], GET[1], GET[2], (":path", "/slow")];
    let asked = head(&path);
    let flooding = async {
        loop {
            let Ok((mut stream, mut answer)) = connection.open_bi().await else { return };
            let _ = stream.write_all(&asked).await;
            let _ = stream.reset(VarInt::from_u32(0x10c));
            let _ = answer.stop(VarInt::from_u32(0x10c));
        }
    };
    timeout(Duration::from_secs(4), flooding).await.unwrap();
    assert_eq!(closed(&connection).await, 0x107);
}

#[tokio::test]
async fn a_client_that_asks_nothing_is_left() {
    let lab = lab_with(Limits { head: Duration::from_millis(200), ..Limits::default() });
    assert_eq!(lab.ends(&[settled()]).await, Some(0x100));
    // A head that does not end is one, too.
    let part = head(&GET)[..9].to_vec();
    assert_eq!(lab.ends(&[settled(), Ask(part, false)]).await, Some(0x10d));
}

#[tokio::test]
async fn a_drain_ends_what_has_begun_and_takes_no_more() {
    let lab = lab();
    let (_endpoint, mut sender, driving) = client(&lab).await;
    let request = Request::get("https://a.test/slow").body(()).unwrap();
    let mut stream = sender.send_request(request).await.unwrap();
    stream.finish().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    lab.shutdown.cancel();
    assert_eq!(stream.recv_response().await.unwrap().status(), StatusCode::OK);
    let mut octets = Vec::new();
    while let Some(mut piece) = stream.recv_data().await.unwrap() {
        octets.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    assert_eq!(octets, b"GET https://a.test/slow []");
    let late = Request::get("https://a.test/late").body(()).unwrap();
    assert!(sender.send_request(late).await.is_err(), "GOAWAY has been heard");
    drop(stream);
    let ended = timeout(Duration::from_secs(3), driving).await.unwrap().unwrap();
    assert!(ended.is_h3_no_error(), "{ended}");
    timeout(Duration::from_secs(3), lab.server.wait()).await.unwrap();
}

/// RFC 9000 8.1: before an address is known to be the client's, it gets three times what came from
/// it.
#[tokio::test]
async fn strangers_get_little() {
    let lab = lab();
    let relay = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut client = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    client.set_default_client_config(quinn::ClientConfig::new(Arc::new(
        QuicClientConfig::try_from(tls).unwrap(),
    )));
    let _connecting = client.connect(relay.local_addr().unwrap(), "a.test").unwrap();
    let mut packet = vec![0; 2_000];
    let (length, _) = relay.recv_from(&mut packet).await.unwrap();
    // The first packet goes on to the server, and nothing after it.
    relay.send_to(&packet[..length], lab.address).await.unwrap();
    let mut back = 0;
    let until = tokio::time::Instant::now() + Duration::from_secs(2);
    while let Ok(got) = tokio::time::timeout_at(until, relay.recv_from(&mut packet)).await {
        let (length, from) = got.unwrap();
        if from == lab.address {
            back += length;
        }
    }
    // The library lets a datagram begin as long as anything is left, so the last may stand over.
    assert!(back > 0 && back < 3 * length + 1_200, "{back} octets for {length}");
}
