//! The whole role: a server to watch, and a name server that listens, over the real transport.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use popnet_config::Held;
use popnet_config::network::Network;
use popnet_runtime::link::Link;
use popnet_runtime::quic::{Connection, Endpoint};
use popnet_runtime::{Authority, Context};
use popnet_terms::{NodeName, Role, Timestamp};
use popnet_wire::control::{Ask, Reply};
use popnet_wire::frame::{Conversation, encode};
use popnet_wire::probing::{
    Cause, DATAGRAM_MAX, Datagram, Finding, Health, Latency, Method, Need, Needs, Report, Sample,
    Service,
};
use popnet_wire::rollout::{Digest, Epoch};
use popnet_wire::status::RoleStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn from_a_server_that_turns_bad_to_the_name_server() {
    let lab = Lab::new().await;
    let mut ear = Ear::new(lab.accept().await);

    // Up at the first success, with its load and the distance that the lab's table implies.
    let up = ear.service(Health::Up).await;
    assert_eq!((up.cause, up.load, up.epoch), (Cause::Passed, Some(250), Some(Epoch(7))));
    assert!(up.connect.0 >= 154_000, "{up:?}");

    // The table's client network is known without being asked for.
    let known = ear.latency("127.0.1.0/24").await;
    assert_eq!((known.rtt.unwrap().0, known.method), (160_000, Method::Simulated));

    // A wish for another unit of the table is answered at once.
    let need =
        Need { resolver: "10.1.7.7".parse().unwrap(), client: "10.1.7.0/24".parse().unwrap() };
    let needs = Needs { asker: NodeName::new("ns1.east"), sent: Timestamp(0), needs: vec![need] };
    let octets = encode(Conversation::Probing, &Datagram::Needs(needs));
    ear.connection.send_datagram(octets.into()).unwrap();
    assert_eq!(ear.latency("10.1.7.0/24").await.rtt.unwrap().0, 5_000);

    // Junk on the way in does no harm.
    ear.connection.send_datagram(vec![0xC2; 40].into()).unwrap();

    // The server serves something else now.
    lab.good.store(false, Ordering::Relaxed);
    let down = ear.service(Health::Down).await;
    assert_eq!(down.cause, Cause::Content);
    assert!(down.detail.contains("content lacks"), "{}", down.detail);

    // A name server that comes back is told everything without having to wait.
    ear.connection.close("restart");
    let mut ear = Ear::new(lab.accept().await);
    ear.service(Health::Down).await;

    let mut link = Link::local(&lab.context.role_socket(Role::Netprobe)).await.unwrap();
    let reply = link.ask_one(&Ask::RoleStatus).await.unwrap();
    assert!(matches!(reply, Reply::Role(RoleStatus::Plain { up: true, .. })), "{reply:?}");
    lab.stop().await;
}

/// A resolver is wished for again and again: it gets one burst in five seconds, answered or not. The
/// port of resolvers is for root only.
#[tokio::test]
async fn wishes_for_one_resolver_are_one_burst() {
    let (answering, silent) = ("127.94.1.53", "127.94.2.53");
    let bound = [answering, silent].map(|ip| std::net::UdpSocket::bind((ip, 53)));
    let [Ok(server), Ok(mute)] = bound else { return };
    let lab = Lab::new().await;
    let mut ear = Ear::new(lab.accept().await);
    let counts = [server, mute].map(|socket| {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                counter.fetch_add(1, Ordering::Relaxed);
                let query = &mut buffer[..length];
                // What is asked for says who asks; nobody is to recurse for it.
                let name = b"\x0dlatency-probe\x03lab\x04test\0\0\x10";
                assert!(query.windows(name.len()).any(|part| part == name) && query[2] & 1 == 0);
                query[2] |= 0x80;
                if socket.local_addr().unwrap().ip().to_string() == "127.94.1.53" {
                    socket.send_to(query, from).unwrap();
                }
            }
        });
        count
    });
    let wish = |asker: &str, ip: &str| {
        let resolver: std::net::IpAddr = ip.parse().unwrap();
        let need = Need { resolver, client: popnet_terms::client_unit(resolver) };
        let needs = Needs { asker: NodeName::new(asker), sent: Timestamp(0), needs: vec![need] };
        encode(Conversation::Probing, &Datagram::Needs(needs))
    };
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(4_000) {
        for ip in [answering, answering, silent] {
            ear.connection.send_datagram(wish("ns1.east", ip).into()).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let [asked, left_alone] = counts.map(|count| count.load(Ordering::Relaxed));
    // One burst of two: what came of it answers every wish of the next five seconds.
    assert_eq!(asked, 2);
    // Silence is an answer too, and no reason to ask more often.
    assert_eq!(left_alone, 2);
    let known = ear.latency("127.94.1.0/24").await;
    assert_eq!((known.method, known.loss), (Method::DnsQuery, 0));
    assert_eq!(ear.latency("127.94.2.0/24").await.loss, 1_000);
    lab.stop().await;
}

#[tokio::test]
async fn whoever_wonders_about_our_packets_is_told() {
    let lab = Lab::new().await;
    let at = lab.page;
    let ask = |method: &'static str| async move {
        let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
        let text =
            format!("{method} /any HTTP/1.1\r\nhost: 192.0.2.1\r\nconnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    };
    let page = ask("GET").await;
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    for words in ["probe1.east.lab.test", "latency-probe.lab.test", "hostmaster@lab.test"] {
        assert!(page.contains(words), "{words} is missing in {page}");
    }
    assert!(ask("POST").await.starts_with("HTTP/1.1 405 "));
    lab.stop().await;
}

/// A POP with a probe, a cache and a name server, all on this machine.
struct Lab {
    context: Context,
    endpoint: Endpoint,
    page: SocketAddr,
    good: Arc<AtomicBool>,
    running: popnet_runtime::Running,
    _config: watch::Sender<Arc<Held>>,
    _folder: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("authority"), "lab").unwrap();
        let nameserver = authority.identity("ns1.east.lab.test").unwrap();
        let endpoint = Endpoint::listen("127.0.0.1:0".parse().unwrap(), &nameserver).unwrap();
        let good = Arc::new(AtomicBool::new(true));
        let cache = cache(Arc::clone(&good)).await;
        let page = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let network = network(endpoint.local_addr().unwrap(), cache, page);
        let held = Held {
            epoch: Epoch(3),
            digest: Digest::default(),
            network,
            base_dir: folder.path().into(),
        };
        let (sender, config) = watch::channel(Arc::new(held));
        let context = context(folder.path(), &authority);
        let running = popnet_netprobe::start(context.clone(), config).await.unwrap();
        Self { context, endpoint, page, good, running, _config: sender, _folder: folder }
    }

    async fn accept(&self) -> Connection {
        let connection = timeout(PATIENCE, self.endpoint.accept()).await.unwrap().unwrap();
        assert_eq!(connection.peer(), "probe1.east.lab.test");
        connection
    }

    async fn stop(self) {
        self.context.shutdown.cancel();
        timeout(PATIENCE, self.running.wait()).await.unwrap();
    }
}

fn context(folder: &Path, authority: &Authority) -> Context {
    let run_dir = folder.join("run");
    std::fs::create_dir_all(&run_dir).unwrap();
    Context {
        node: NodeName::new("probe1.east"),
        hostname: "probe1.east.lab.test".into(),
        domain: "lab.test".into(),
        state_dir: folder.join("state"),
        run_dir,
        identity: authority.identity("probe1.east.lab.test").unwrap(),
        shutdown: CancellationToken::new(),
    }
}

fn network(nameserver: SocketAddr, cache: SocketAddr, page: SocketAddr) -> Network {
    let text = format!(
        r#"
        [network]
        name = "lab"
        schema = 1
        domain = "lab.test"
        [pops.east.nodes]
        ns1 = {{ roles = ["nameserver"], address = ["127.0.0.1"], listen = {{ probe = ["{nameserver}"] }} }}
        probe1 = {{ roles = ["netprobe"], address = ["127.0.0.1"], listen = {{ page = ["{page}"] }} }}
        [pops.west.nodes]
        edge1 = {{ roles = ["webcache"], address = ["127.0.0.1"], listen = {{ http = ["{cache}"] }} }}
        [probes.edge]
        kind = "http"
        target = {{ role = "webcache" }}
        request = {{ path = "/.popnet/health", host = "health.popnet.invalid" }}
        expect = {{ body_contains = "ok", load_header = "popnet-load" }}
        interval = "100ms"
        timeout = "1s"
        fall = 2
        [probes.rtt]
        kind = "latency"
        methods = ["dns-query"]
        samples = 2
        timeout = "200ms"
        budget = {{ per_resolver = "3600/h" }}
        [simulate.cities.tokyo]
        clients = ["127.0.1.1/32"]
        rtt = {{ east = "160ms", west = "4ms" }}
        [simulate.cities.ashburn]
        clients = ["10.1.0.0/16"]
        rtt = {{ east = "5ms", west = "159ms" }}
        "#
    );
    toml_edit::de::from_str(&text).unwrap()
}

/// A server that is well until it serves somebody else's page.
async fn cache(good: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let good = Arc::clone(&good);
            tokio::spawn(async move {
                let mut buffer = [0; 1_024];
                let _ = stream.read(&mut buffer).await;
                let content = if good.load(Ordering::Relaxed) { "ok\n" } else { "no\n" };
                let head = "HTTP/1.1 200 OK\r\npopnet-load: 0.25\r\npopnet-epoch: 7\r\n";
                let answer = format!("{head}content-length: 3\r\n\r\n{content}");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    at
}

/// The next report's samples, checked for what every report has to be.
async fn samples(connection: &Connection) -> Vec<Sample> {
    let report = loop {
        let octets = timeout(PATIENCE, connection.read_datagram()).await.unwrap().unwrap();
        assert!(octets.len() <= DATAGRAM_MAX);
        match popnet_netprobe::decode(&octets) {
            Ok(Datagram::Report(report)) => break report,
            Ok(Datagram::Digest(digest)) => assert!(digest.high >= digest.low),
            other => panic!("{other:?}"),
        }
    };
    let Report { publisher, boot, seq, epoch, samples, .. } = report;
    assert_eq!((publisher, epoch), (NodeName::new("probe1.east"), Epoch(3)));
    assert!(boot > 0 && seq > 0);
    samples
}

/// What was heard over one connection and not yet looked for.
struct Ear {
    connection: Connection,
    heard: Vec<Sample>,
}

impl Ear {
    fn new(connection: Connection) -> Self {
        Self { connection, heard: Vec::new() }
    }

    /// The first sample in which `wanted` finds something; what was heard until then is gone
    /// through again the next time.
    async fn wait_for<T>(&mut self, wanted: impl Fn(&Finding) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Some(found) = self.heard.iter().find_map(|sample| wanted(&sample.finding)) {
                    return found;
                }
                self.heard.extend(samples(&self.connection).await);
            }
        };
        timeout(PATIENCE, search).await.unwrap()
    }

    async fn service(&mut self, health: Health) -> Service {
        self.wait_for(|finding| match finding {
            Finding::Service(service) if service.health == health => Some(service.clone()),
            Finding::Service(_) | Finding::Latency(_) | Finding::Shed(_) | Finding::Traffic(_) => {
                None
            }
        })
        .await
    }

    async fn latency(&mut self, client: &str) -> Latency {
        self.wait_for(|finding| match finding {
            Finding::Latency(latency) if latency.client.to_string() == client => {
                Some(latency.clone())
            }
            Finding::Latency(_) | Finding::Service(_) | Finding::Shed(_) | Finding::Traffic(_) => {
                None
            }
        })
        .await
    }
}
