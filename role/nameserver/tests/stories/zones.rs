//! Stories of ordinary zones over real sockets.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{Server, held, name, place};
use popnet_dns::{Response, Rtype, build_query};

const ZONE: &str = "$TTL 300\n@ SOA ns1 h 1 2 3 4 60\n@ NS ns1\nns1 A 192.0.2.1\nwww A 192.0.2.2\n";

const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.lab.test"
[pops.fra1.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = { dns = ["DNS"], probe = ["PROBE"] }
workers = { dns = 2 }
[zones."example.test"]
file = "example.test.zone"
[zones_from]
directory = "zones.d"
"#;

fn write(folder: &Path, file: &str, text: &str) {
    std::fs::write(folder.join(file), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn big_answers_go_over_tcp_and_questions_queue_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut zone = ZONE.to_owned();
    for n in 0..200 {
        writeln!(zone, "big A 198.51.100.{n}").unwrap();
    }
    write(folder.path(), "example.test.zone", &zone);
    let server = crate::common::start(NETWORK, folder.path()).await;

    let cut = server.ask("big.example.test", Rtype::A);
    assert!(cut.truncated && cut.answers.is_empty());

    // Three questions at once and one in two pieces; answers come in order.
    let mut tcp = Tcp::to(&server);
    for (id, qname) in [(1, "big.example.test"), (2, "www.example.test"), (3, "no.example.test")] {
        tcp.send(&build_query(id, &name(qname), Rtype::A, None));
    }
    let ids: Vec<(u16, usize)> = (0..3)
        .map(|_| tcp.receive().unwrap())
        .map(|answer| (answer.id, answer.answers.len()))
        .collect();
    assert_eq!(ids, [(1, 200), (2, 1), (3, 0)]);

    // What no client sends ends the connection, and nothing else.
    tcp.send(&[0, 1, 2]);
    assert!(tcp.receive().is_none());
    assert_eq!(server.ask("www.example.test", Rtype::A).answers.len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_is_counted_and_harmless() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "example.test.zone", ZONE);
    let server = crate::common::start(NETWORK, folder.path()).await;
    let good = build_query(9, &name("www.example.test"), Rtype::A, None);

    assert!(server.exchange(&[]).is_none());
    assert!(server.exchange(b"hello").is_none());
    let mut response = good.clone();
    response[2] |= 0x80;
    assert!(server.exchange(&response).is_none());
    let cut = server.exchange(&good[..good.len() - 3]).unwrap();
    assert_eq!((cut[3] & 0xf, &cut[..2]), (1, &good[..2]));
    // Longer than any query.
    assert_eq!(server.exchange(&[good.clone(), vec![0; 1_900]].concat()).unwrap()[3] & 0xf, 1);
    let mut update = good.clone();
    update[2] = 5 << 3;
    // RFC 2136 3.1.2: an update of what is no zone of ours.
    assert_eq!(server.exchange(&update).unwrap()[3] & 0xf, 9);

    let junk = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut state = 11u64;
    for _ in 0..3_000 {
        let mut packet = good.clone();
        for _ in 0..6 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = usize::try_from(state >> 33).unwrap() % packet.len();
            packet[at] = state.to_be_bytes()[3];
        }
        junk.send_to(&packet, server.dns).unwrap();
        // The probe port speaks QUIC and nothing else.
        junk.send_to(&packet, server.probe).unwrap();
    }
    assert_eq!(server.ask("www.example.test", Rtype::A).answers.len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_zone_keeps_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "example.test.zone", ZONE);
    let server = crate::common::start(NETWORK, folder.path()).await;
    assert_eq!(
        server.addresses("www.example.test", None),
        ["192.0.2.2".parse::<std::net::IpAddr>().unwrap()]
    );

    // Another address, but a mistake elsewhere: nothing changes.
    write(
        folder.path(),
        "example.test.zone",
        &format!("{}www2 A 1.2.3\n", ZONE.replace(".2.2", ".2.3")),
    );
    std::fs::create_dir(folder.path().join("zones.d")).unwrap();
    write(folder.path(), "zones.d/more.test.zone", ZONE);
    let text = place(NETWORK, server.dns, server.probe);
    server.config.send_replace(Arc::new(held(&text, 2, folder.path())));
    until(|| server.ask("www.more.test", Rtype::A).answers.len() == 1);
    assert_eq!(
        server.addresses("www.example.test", None),
        ["192.0.2.2".parse::<std::net::IpAddr>().unwrap()]
    );

    write(folder.path(), "example.test.zone", &ZONE.replace(".2.2", ".2.3"));
    server.config.send_replace(Arc::new(held(&text, 3, folder.path())));
    until(|| {
        server.addresses("www.example.test", None)
            == ["192.0.2.3".parse::<std::net::IpAddr>().unwrap()]
    });
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_answers() {
    let folder = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    std::fs::create_dir(folder.path().join("zones")).unwrap();
    std::fs::copy(
        examples.join("zones/example.test.zone"),
        folder.path().join("zones/example.test.zone"),
    )
    .unwrap();
    // The example as it stands, but for ports, and with the node's name of these tests.
    let text = std::fs::read_to_string(examples.join("single-dns.toml")).unwrap();
    let text = text
        .replace("pops.lab", "pops.fra1")
        .replace("\"127.0.0.1:5300\"", "\"DNS\"")
        .replace("listen  = { ", "listen  = { probe = [\"PROBE\"], ");
    let server = crate::common::start(&text, folder.path()).await;
    let lines = |qname: &str, qtype| -> Vec<String> {
        server.ask(qname, qtype).answers.iter().map(ToString::to_string).collect()
    };
    assert_eq!(lines("www.example.test", Rtype::A), ["www.example.test.\t300\tIN\tA\t192.0.2.10"]);
    assert_eq!(
        lines("blog.example.test", Rtype::AAAA),
        [
            "blog.example.test.\t3600\tIN\tCNAME\twww.example.test.",
            "www.example.test.\t300\tIN\tAAAA\t2001:db8::10"
        ]
    );
    assert_eq!(
        lines("anna.users.example.test", Rtype::A),
        ["anna.users.example.test.\t3600\tIN\tA\t192.0.2.80"]
    );
    let delegated = server.ask("host.lab.example.test", Rtype::A);
    assert!(!delegated.authoritative && delegated.authority.len() == 1);
    assert_eq!(server.ask("none.example.test", Rtype::A).rcode.to_string(), "NXDOMAIN");
    assert_eq!(server.ask("example.org", Rtype::A).rcode.to_string(), "REFUSED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_names_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "example.test.zone", ZONE);
    let server = crate::common::start(NETWORK, folder.path()).await;
    let config = server.config.subscribe();
    let mut context = server.context.clone();
    context.state_dir = folder.path().join("other");
    let error = popnet_nameserver::start(context, config).await.unwrap_err();
    assert!(error.to_string().contains("is taken by"), "{error}");
    server.stop().await;
}

/// Waits until `done`, at most five seconds.
fn until(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !done() {
        assert!(Instant::now() < deadline, "not within five seconds");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A connection that speaks length-prefixed messages.
struct Tcp(TcpStream);

impl Tcp {
    fn to(server: &Server) -> Self {
        let stream = TcpStream::connect(server.dns).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(stream)
    }

    fn send(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        self.0.write_all(&[&length, message].concat()).unwrap();
    }

    /// The next message; `None` when the server has closed.
    fn receive(&mut self) -> Option<Response> {
        let mut length = [0; 2];
        self.0.read_exact(&mut length).ok()?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.0.read_exact(&mut message).unwrap();
        Some(Response::parse(&message).unwrap())
    }
}
