//! Stories of the ways to a name server, told with Debian's clients.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use popnet_dns::{Response, Rtype, build_query};
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::common::{Server, free_port, held, name, place, start};

const ZONE: &str = "$TTL 300\n@ SOA ns1 h 1 2 3 4 60\n@ NS ns1\nns1 A 192.0.2.1\nwww A 192.0.2.2\n";

const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.lab.test"
[pops.fra1.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = { dns = ["DNS"], probe = ["PROBE"], dot = ["127.0.0.1:TLS"], doh = ["127.0.0.1:WEB"], doq = ["127.0.0.1:TLS"] }
workers = { dns = 1 }
[zones."example.test"]
file = "example.test.zone"
"#;

pub(crate) struct Ways {
    pub(crate) server: Server,
    pub(crate) tls: u16,
    pub(crate) web: u16,
    pub(crate) text: String,
}

pub(crate) async fn open(more: &str, folder: &Path) -> Ways {
    std::fs::write(folder.join("example.test.zone"), ZONE).unwrap();
    let (tls, web) = (free_port(), free_port());
    let text = NETWORK.replace("TLS", &tls.to_string()).replace("WEB", &web.to_string());
    let text = format!("{text}{more}");
    let server = start(&text, folder).await;
    Ways { server, tls, web, text }
}

impl Ways {
    fn curl(&self, more: &[&str]) -> String {
        let resolve = format!("ns1.fra1.cdn.lab.test:{}:127.0.0.1", self.web);
        let usual = ["--silent", "--show-error", "--max-time", "5", "--resolve", &resolve];
        said(Command::new("curl").args(usual).args(more))
    }

    fn url(&self, path: &str) -> String {
        format!("https://ns1.fra1.cdn.lab.test:{}{path}", self.web)
    }
}

pub(crate) fn kdig(port: u16, more: &[&str]) -> String {
    let port = port.to_string();
    let usual = ["@127.0.0.1", "-p", &port, "www.example.test", "A", "+timeout=5", "+retry=0"];
    said(Command::new("kdig").args(usual).args(more))
}

/// What a program prints, both ways.
pub(crate) fn said(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_over_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let ways = open("", folder.path()).await;
    let ca = folder.path().join("authority/authority.pem");
    let ca = format!("+tls-ca={}", ca.display());
    let host = "+tls-hostname=ns1.fra1.cdn.lab.test";
    let dns = ways.server.dns.port();
    for (port, options) in [
        (dns, &["+notcp"][..]),
        (dns, &["+tcp"]),
        (ways.tls, &[&ca, host, "+tls"]),
        (ways.web, &[&ca, host, "+https"]),
        (ways.web, &[&ca, host, "+https", "+https-get"]),
        // kdig takes the last of these options for the way.
        (ways.tls, &[&ca, host, "+quic"]),
    ] {
        let answer = kdig(port, options);
        assert!(answer.contains("status: NOERROR"), "{options:?}\n{answer}");
        assert!(answer.contains("192.0.2.2"), "{options:?}\n{answer}");
    }
    // Another name than the certificate's is found out.
    let wrong = kdig(ways.tls, &["+tls", &ca, "+tls-hostname=elsewhere.test"]);
    assert!(!wrong.contains("192.0.2.2"), "{wrong}");

    // Whoever pads gets padded answers, on ways where that hides something.
    for (port, way) in [(ways.tls, "+tls"), (ways.web, "+https"), (ways.tls, "+quic")] {
        let padded = kdig(port, &[way, "+padding"]);
        assert!(padded.contains(";; Received 468 B"), "{way}\n{padded}");
    }
    let open = kdig(dns, &["+tcp", "+padding"]);
    assert!(!open.contains("468 B") && open.contains("192.0.2.2"), "{open}");
    ways.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_in_requests() {
    let folder = tempfile::tempdir().unwrap();
    let ways = open("", folder.path()).await;
    let ca = folder.path().join("authority/authority.pem").display().to_string();
    let query = build_query(0, &name("www.example.test"), Rtype::A, None);
    let file = folder.path().join("query");
    std::fs::write(&file, &query).unwrap();
    let get =
        ways.url(&format!("/dns-query?dns={}", data_encoding::BASE64URL_NOPAD.encode(&query)));
    let post = ways.url("/dns-query");
    let body = format!("@{}", file.display());
    let kind = "content-type: application/dns-message";
    let out = folder.path().join("answer");
    let usual = ["--cacert", &ca, "--output", &out.display().to_string()];
    let show = "%{http_version} %{http_code} %{content_type} %header{cache-control}";
    for (version, shown) in [("--http1.1", "1.1"), ("--http2", "2")] {
        for form in [&[get.as_str()][..], &["--data-binary", &body, "-H", kind, &post]] {
            let shown = format!("{shown} 200 application/dns-message private, max-age=300");
            let line = ways.curl(&[&usual[..], &[version, "--write-out", show], form].concat());
            assert_eq!(line, shown, "{form:?}");
            let answer = Response::parse(&std::fs::read(&out).unwrap()).unwrap();
            assert_eq!(answer.answers[0].text, "192.0.2.2");
        }
    }
    let long = "x".repeat(70_000);
    std::fs::write(&file, &long).unwrap();
    let short = "dns=AAAB";
    for (status, form) in [
        ("404", vec![ways.url("/other")]),
        ("400", vec![ways.url("/dns-query")]),
        ("400", vec![ways.url(&format!("/dns-query?{short}"))]),
        ("405", vec!["-X".into(), "PUT".into(), post.clone()]),
        ("415", vec!["--data".into(), "x".into(), post.clone()]),
        ("413", vec!["--data-binary".into(), body.clone(), "-H".into(), kind.into(), post.clone()]),
    ] {
        let form: Vec<&str> = form.iter().map(String::as_str).collect();
        let code = ways.curl(&[&usual[..], &["--write-out", "%{http_code}"], &form].concat());
        assert_eq!(code, status, "{form:?}");
    }
    ways.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_is_not_given_more_and_more() {
    let folder = tempfile::tempdir().unwrap();
    let ways = open("", folder.path()).await;
    let big: String = (0..200).map(|n| format!("big A 198.51.100.{n}\n")).collect();
    std::fs::write(folder.path().join("example.test.zone"), format!("{ZONE}{big}")).unwrap();
    let text = place(&ways.text, ways.server.dns, ways.server.probe);
    ways.server.config.send_replace(Arc::new(held(&text, 2, folder.path())));
    until(|| kdig(ways.server.dns.port(), &["+tcp", "big.example.test", "A"]).contains(".100.199"));

    let tcp = tokio::net::TcpStream::connect(("127.0.0.1", ways.web)).await.unwrap();
    let tls = client_tls(&folder.path().join("authority"), b"h2");
    let host = "ns1.fra1.cdn.lab.test".try_into().unwrap();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(host, tcp).await.unwrap();
    // Heads come, content does not: the client gives no room for it.
    let (mut sender, connection) =
        hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
            .initial_stream_window_size(0)
            .handshake(hyper_util::rt::TokioIo::new(tls))
            .await
            .unwrap();
    let driving = tokio::spawn(connection);
    let query = build_query(0, &name("big.example.test"), Rtype::A, None);
    let uri =
        ways.url(&format!("/dns-query?dns={}", data_encoding::BASE64URL_NOPAD.encode(&query)));
    let (mut given, mut refused, mut kept) = (0, 0, Vec::new());
    for _ in 0..60 {
        sender.ready().await.unwrap();
        let request = http::Request::get(&uri).body(String::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        match response.status().as_u16() {
            200 => given += 1,
            503 => refused += 1,
            other => panic!("{other}"),
        }
        kept.push(response);
    }
    // Answers of 3.3 KB each, up to 68 KiB.
    assert!((15..=22).contains(&given) && refused == 60 - given, "{given} {refused}");
    assert!(kdig(ways.web, &["+https"]).contains("192.0.2.2"));
    drop(kept);
    // Whoever lets go is given again.
    let mut again = 0;
    for _ in 0..50 {
        let request = http::Request::get(&uri).body(String::new()).unwrap();
        again = sender.send_request(request).await.unwrap().status().as_u16();
        if again == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(again, 200);
    driving.abort();
    ways.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
    let renew = |kept: &str| {
        let made =
            rcgen::generate_simple_self_signed(["ns1.fra1.cdn.lab.test".to_owned()]).unwrap();
        write("chain.pem", &made.cert.pem());
        write("key.pem", &made.signing_key.serialize_pem());
        write(kept, &made.cert.pem());
    };
    renew("first.pem");
    let more = "[dns]\ncertificate = \"ns\"\n[certificates.ns]\nchain = \"chain.pem\"\nkey = \"key.pem\"\n";
    let ways = open(more, folder.path()).await;
    let sees = |ca: &str| {
        let ca = format!("+tls-ca={}", folder.path().join(ca).display());
        let host = "+tls-hostname=ns1.fra1.cdn.lab.test";
        [(ways.tls, "+tls"), (ways.web, "+https"), (ways.tls, "+quic")]
            .into_iter()
            .all(|(port, way)| kdig(port, &[&ca, host, way]).contains("192.0.2.2"))
    };
    assert!(sees("first.pem"));
    // Half a renewal: the last good pair stays.
    let before = std::fs::read_to_string(folder.path().join("chain.pem")).unwrap();
    write("chain.pem", "-----BEGIN CERTIFICATE-----\n");
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(sees("first.pem"));
    write("chain.pem", &before);
    renew("second.pem");
    until(|| sees("second.pem"));
    assert!(!sees("first.pem"));
    // Without files, the network's own authority.
    let text = place(&ways.text.replace(more, ""), ways.server.dns, ways.server.probe);
    ways.server.config.send_replace(Arc::new(held(&text, 2, folder.path())));
    until(|| sees("authority/authority.pem"));
    ways.server.stop().await;
}

/// A proxy's head: 203.0.113.9 port 4321 asks 127.0.0.1 port 53.
const HEAD: [u8; 28] =
    *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x7f\0\0\x01\x10\xe1\0\x35";

#[tokio::test(flavor = "multi_thread")]
async fn a_front_says_who_is_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let ways = open("[dns]\nproxies = [\"127.0.0.1/32\"]\n", folder.path()).await;
    let dns = ways.server.dns.port();
    let whoami = |port: u16, more: &[&str]| {
        let port = port.to_string();
        let usual = ["@127.0.0.1", "-p", &port, "whoami.cdn.lab.test", "TXT", "+timeout=5"];
        said(Command::new("kdig").args(usual).args(more).arg("+retry=0"))
    };
    let authority = folder.path().join("authority");
    let behind = "+proxy=203.0.113.9#4321-127.0.0.1#53";
    let answer = whoami(dns, &["+tcp", behind]);
    assert!(answer.contains("resolver 203.0.113.9"), "{answer}");
    // The same before a handshake, which kdig does not do.
    let query = build_query(0, &name("whoami.cdn.lab.test"), Rtype::TXT, None);
    let seen = tls_after(&HEAD, ways.tls, &authority, b"dot", &framed(&query)).await;
    assert!(seen.contains("resolver 203.0.113.9"), "{seen}");
    let path = data_encoding::BASE64URL_NOPAD.encode(&query);
    let get = format!("GET /dns-query?dns={path} HTTP/1.1\r\nconnection: close\r\n\r\n");
    let seen = tls_after(&HEAD, ways.web, &authority, b"http/1.1", get.as_bytes()).await;
    assert!(seen.contains("resolver 203.0.113.9"), "{seen}");
    // A front without a head, and one with another's.
    for (port, way) in [(dns, "+tcp"), (ways.tls, "+tls"), (ways.web, "+https")] {
        let answer = whoami(port, &[way]);
        assert!(!answer.contains("resolver"), "{way}\n{answer}");
    }
    // UDP has no heads.
    assert!(whoami(dns, &["+notcp"]).contains("resolver 127.0.0.1"));
    ways.server.stop().await;

    // From those who are not listed, a head is no question.
    let folder = tempfile::tempdir().unwrap();
    let ways = open("", folder.path()).await;
    let mut tcp = TcpStream::connect(ways.server.dns).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    tcp.write_all(&HEAD).unwrap();
    tcp.write_all(&framed(&build_query(1, &name("whoami.cdn.lab.test"), Rtype::TXT, None)))
        .unwrap();
    let mut all = Vec::new();
    let _ = tcp.read_to_end(&mut all);
    assert!(!String::from_utf8_lossy(&all).contains("203.0.113.9"));
    ways.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_that_breaks_the_rules_ends() {
    let folder = tempfile::tempdir().unwrap();
    let ways = open("", folder.path()).await;
    let (endpoint, address) = quic_client(&folder.path().join("authority"), ways.tls);
    let connect =
        || async { endpoint.connect(address, "ns1.fra1.cdn.lab.test").unwrap().await.unwrap() };
    let ask = |octets: Vec<u8>, connection: quinn::Connection| async move {
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&octets).await.unwrap();
        send.finish().unwrap();
        receive.read_to_end(70_000).await
    };
    let good = framed(&build_query(0, &name("www.example.test"), Rtype::A, None));
    let connection = connect().await;
    for _ in 0..300 {
        let answer = ask(good.clone(), connection.clone()).await.unwrap();
        assert_eq!(usize::from(u16::from_be_bytes([answer[0], answer[1]])), answer.len() - 2);
        assert_eq!(Response::parse(&answer[2..]).unwrap().answers[0].text, "192.0.2.2");
    }
    let numbered = framed(&build_query(7, &name("www.example.test"), Rtype::A, None));
    let keepalive =
        with_option(&build_query(0, &name("www.example.test"), Rtype::A, None), 11, &[]);
    let mut short = good.clone();
    short.pop();
    let long = [good.clone(), good.clone()].concat();
    for bad in [numbered, framed(&keepalive), short, long, vec![0; 65_600], vec![0]] {
        let connection = connect().await;
        assert!(ask(bad.clone(), connection.clone()).await.is_err(), "{:?}", &bad[..1]);
        let closed = connection.closed().await;
        let quinn::ConnectionError::ApplicationClosed(why) = closed else { panic!("{closed}") };
        assert_eq!(why.error_code, quinn::VarInt::from_u32(2));
    }
    assert!(ask(good, connection).await.is_ok(), "others go on");
    ways.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crowds_and_slow_clients_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let tcp = "[dns.tcp]\nconnections = 300\nper_client = 100000\nidle = \"2s\"\n";
    let ways = open(tcp, folder.path()).await;
    popnet_runtime::descriptors::raise();
    let dns = ways.server.dns;
    let question = framed(&build_query(1, &name("www.example.test"), Rtype::A, None));
    let mut crowd: Vec<TcpStream> = Vec::new();
    for number in 0..2_000 {
        let Ok(mut idle) = TcpStream::connect(dns) else { break };
        match number % 4 {
            // Nothing, a little of much, a whole message of zeros, a question.
            0 => {}
            1 => idle.write_all(&[0xff, 0xff, 1]).unwrap_or_default(),
            2 if number < 400 => {
                let _ = idle.write_all(&[&[0xff, 0xff][..], &[0; 65_535]].concat());
            }
            _ => idle.write_all(&question).unwrap_or_default(),
        }
        crowd.push(idle);
        if number % 200 == 199 {
            let begun = Instant::now();
            let answer = kdig(dns.port(), &["+tcp"]);
            assert!(answer.contains("192.0.2.2"), "{answer}");
            assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        }
    }
    assert!(crowd.len() >= 1_000, "{}: ulimit -n", crowd.len());
    // The last farewells may still be on their way; nobody is idle for long enough to leave.
    let alive = || crowd.iter().filter(|stream| is_alive(stream)).count();
    let begun = Instant::now();
    while alive() > 300 && begun.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(alive() <= 300, "{}", alive());
    // Slow clients: an octet now and then does not keep a connection.
    let mut slow = TcpStream::connect(dns).unwrap();
    slow.write_all(&[0, 200]).unwrap();
    let begun = Instant::now();
    while is_alive(&slow) && begun.elapsed() < Duration::from_secs(10) {
        let _ = slow.write_all(&[0]);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    // One that asks now and then stays.
    let mut busy = TcpStream::connect(dns).unwrap();
    for _ in 0..4 {
        busy.write_all(&question).unwrap();
        let mut length = [0; 2];
        busy.read_exact(&mut length).unwrap();
        busy.read_exact(&mut vec![0; usize::from(u16::from_be_bytes(length))]).unwrap();
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(is_alive(&busy));
    ways.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_so_many_connections_whatever_they_speak() {
    let folder = tempfile::tempdir().unwrap();
    let ways = open("[dns.tcp]\nper_client = 6\nidle = \"60s\"\n", folder.path()).await;
    let ports = [ways.server.dns.port(), ways.tls, ways.web];
    let connect = |port: u16| TcpStream::connect(("127.0.0.1", port)).unwrap();
    let crowd: Vec<TcpStream> = (0..30).map(|n| connect(ports[n % 3])).collect();
    until(|| crowd.iter().filter(|stream| is_alive(stream)).count() <= 6);
    for (port, way) in ports.into_iter().zip(["+tcp", "+tls", "+https"]) {
        assert!(kdig(port, &[way]).contains("192.0.2.2"), "{way}");
    }
    assert!(kdig(ways.tls, &["+quic"]).contains("192.0.2.2"));
    ways.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_never_come_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let tcp = "[dns.tcp]\nconnections = 20\nper_client = 100000\nidle = \"2s\"\n";
    let ways = open(tcp, folder.path()).await;
    let at = SocketAddr::from(([127, 0, 0, 1], ways.tls));
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(at).unwrap()).collect();
    // All are in, and the room is full: one who came later than kdig would take its place.
    until(|| silent.iter().filter(|stream| is_alive(stream)).count() <= 20);
    let answer = kdig(ways.tls, &["+tls"]);
    assert!(answer.contains("192.0.2.2"), "{answer}");
    until(|| !silent.iter().any(is_alive));
    let web = SocketAddr::from(([127, 0, 0, 1], ways.web));
    let mut junk = TcpStream::connect(web).unwrap();
    junk.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let answer = kdig(ways.web, &["+https"]);
    assert!(answer.contains("192.0.2.2"), "{answer}");
    ways.server.stop().await;
}

/// Whether the other side has not closed yet.
fn is_alive(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut octets = [0; 4_096];
    let alive = loop {
        match (&*stream).read(&mut octets) {
            Ok(0) => break false,
            Ok(_) => {}
            Err(error) => break error.kind() == std::io::ErrorKind::WouldBlock,
        }
    };
    stream.set_nonblocking(false).unwrap();
    alive
}

fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(15), "still not");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
}

/// `query`, whose EDNS part is empty and stands last, with an option.
pub(crate) fn with_option(query: &[u8], code: u16, content: &[u8]) -> Vec<u8> {
    let (head, rdlen) = query.split_at(query.len() - 2);
    assert_eq!(rdlen, [0, 0]);
    let length = u16::try_from(content.len()).unwrap();
    let parts = [length + 4, code, length].map(u16::to_be_bytes);
    [head, &parts.concat(), content].concat()
}

/// Whom our own clients believe, and what they speak.
fn client_tls(authority: &Path, protocol: &[u8]) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let pem = authority.join("authority.pem");
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![protocol.to_vec()];
    tls
}

/// Sends `head`, then `octets` over TLS; gives the first of what comes back.
async fn tls_after(
    head: &[u8],
    port: u16,
    authority: &Path,
    protocol: &[u8],
    octets: &[u8],
) -> String {
    let mut tcp = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tcp.write_all(head).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client_tls(authority, protocol)));
    let host = "ns1.fra1.cdn.lab.test".try_into().unwrap();
    let mut tls = connector.connect(host, tcp).await.unwrap();
    tls.write_all(octets).await.unwrap();
    let mut answer = vec![0; 4_096];
    let mut length = 0;
    while let Ok(Ok(more @ 1..)) =
        tokio::time::timeout(Duration::from_millis(500), tls.read(&mut answer[length..])).await
    {
        length += more;
    }
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn quic_client(authority: &Path, port: u16) -> (quinn::Endpoint, SocketAddr) {
    let crypto =
        quinn::crypto::rustls::QuicClientConfig::try_from(client_tls(authority, b"doq")).unwrap();
    let mut endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    (endpoint, SocketAddr::from(([127, 0, 0, 1], port)))
}
