//! A name server of one network on free loopback ports, and a stub client.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use popnet_config::Held;
use popnet_dns::{Name, Response, Rtype, build_query};
use popnet_runtime::identity::Authority;
use popnet_runtime::{Context, Running};
use popnet_terms::NodeName;
use popnet_wire::rollout::{Digest, Epoch};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A port of 127.0.0.1 that is free for UDP and TCP. Not one of those that the system gives to
/// clients' connections (from 32768 on Linux): nobody else gets it while a server starts again.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 12_000).unwrap_or(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + start.wrapping_add(step) % 12_000;
        let udp = UdpSocket::bind(("127.0.0.1", port));
        if udp.is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub(crate) struct Server {
    pub(crate) dns: SocketAddr,
    pub(crate) probe: SocketAddr,
    pub(crate) config: watch::Sender<Arc<Held>>,
    pub(crate) context: Context,
    pub(crate) running: Running,
    pub(crate) authority: Arc<Authority>,
}

/// `text` with `DNS` and `PROBE` replaced by addresses.
pub(crate) fn held(text: &str, epoch: u64, base_dir: &Path) -> Held {
    let network = match popnet_config::load(text, "popnet.toml") {
        Ok(loaded) => loaded.network,
        Err(found) => panic!("{}", popnet_config::render(&found, text, "popnet.toml")),
    };
    let digest = Digest::default();
    Held { epoch: Epoch(epoch), digest, network, base_dir: base_dir.to_owned() }
}

/// Starts node `ns1.fra1` of the configuration in `text`, with `folder` for everything.
pub(crate) async fn start(text: &str, folder: &Path) -> Server {
    let (dns, probe) = (local(free_port()), local(free_port()));
    start_on(text, folder, dns, probe).await
}

pub(crate) async fn start_on(
    text: &str,
    folder: &Path,
    dns: SocketAddr,
    probe: SocketAddr,
) -> Server {
    start_as("ns1.fra1", &place(text, dns, probe), folder, &folder.join("state"), dns, probe).await
}

/// Starts `node` of the configuration in `text`, with its state in `state` and the rest in
/// `folder`.
pub(crate) async fn start_as(
    node: &str,
    text: &str,
    folder: &Path,
    state: &Path,
    dns: SocketAddr,
    probe: SocketAddr,
) -> Server {
    let held = held(text, 1, folder);
    let node = NodeName::new(node);
    let run_dir = state.join("run");
    std::fs::create_dir_all(&run_dir).unwrap();
    let hostname = held.network.hostname(&node);
    let keys = folder.join("authority");
    let authority = if keys.exists() {
        Authority::load(&keys).unwrap()
    } else {
        Authority::create(&keys, "lab").unwrap()
    };
    let context = Context {
        node,
        identity: authority.identity(&hostname).unwrap(),
        hostname,
        domain: held.network.network.domain.as_str().into(),
        state_dir: state.to_owned(),
        run_dir,
        shutdown: CancellationToken::new(),
    };
    let (config, receiver) = watch::channel(Arc::new(held));
    let running = popnet_nameserver::start(context.clone(), receiver).await.unwrap();
    Server { dns, probe, config, context, running, authority: Arc::new(authority) }
}

pub(crate) fn place(text: &str, dns: SocketAddr, probe: SocketAddr) -> String {
    text.replace("DNS", &dns.to_string()).replace("PROBE", &probe.to_string())
}

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Server {
    pub(crate) async fn stop(self) {
        self.context.shutdown.cancel();
        self.running.wait().await;
    }

    pub(crate) fn ask(&self, name: &str, qtype: Rtype) -> Response {
        self.ask_for(name, qtype, None)
    }

    pub(crate) fn ask_for(&self, name: &str, qtype: Rtype, subnet: Option<&str>) -> Response {
        let subnet: Option<IpNet> = subnet.map(|text| text.parse().unwrap());
        let query = build_query(77, &self::name(name), qtype, subnet);
        let octets = self.exchange(&query).expect("an answer");
        let response = Response::parse(&octets).unwrap();
        assert_eq!(response.id, 77);
        response
    }

    /// One datagram there, one back, or nothing within half a second.
    pub(crate) fn exchange(&self, query: &[u8]) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        socket.send_to(query, self.dns).unwrap();
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }

    pub(crate) fn addresses(&self, name: &str, subnet: Option<&str>) -> Vec<IpAddr> {
        self.ask_for(name, Rtype::A, subnet).addresses().collect()
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}
