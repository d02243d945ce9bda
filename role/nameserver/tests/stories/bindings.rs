//! Stories of clients that stay where they are (N7).

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::{Server, free_port, local, start_as};
use crate::steering::{Probe, health, latency, until};
use popnet_wire::probing::Health;

const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.lab.test"
[pops.fra1.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = { dns = ["DNS1"], probe = ["PROBE1"] }
workers = { dns = 1 }
[pops.fra1.nodes.edge1]
roles = ["webcache", "webserver"]
address = ["192.0.2.11"]
[pops.fra1.nodes.probe1]
roles = ["netprobe"]
address = ["127.0.0.4"]
[pops.iad1.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = { dns = ["DNS2"], probe = ["PROBE2"] }
workers = { dns = 1 }
[pops.iad1.nodes.edge1]
roles = ["webcache", "webserver"]
address = ["192.0.2.21"]
[pops.iad1.nodes.probe1]
roles = ["netprobe"]
address = ["127.0.0.5"]
[probes.edge-http]
kind = "http"
target = { role = "webcache" }
request = { path = "/.popnet/health" }
interval = "30s"
from = { pops = ["*"], agree = 1 }
[probes.resolver-rtt]
kind = "latency"
[customers.acme]
[origin_groups.www.servers]
east = { address = "203.0.113.1:8080" }
[sites."static.acme.test"]
customer = "acme"
kind = "cached"
policy = "stay"
origins = "www"
[policies.stay]
answer = { max = 1, ttl_max = "40s" }
persist = { mode = "bound", hold = "10m" }
"#;

const CLIENTS: [&str; 2] = ["198.51.100.0/24", "203.0.113.0/24"];

/// Two name servers that know each other, and what both hear from two probes.
struct Pair {
    text: String,
    ports: [(SocketAddr, SocketAddr); 2],
    servers: Vec<Server>,
    probes: Vec<(Probe, bool)>,
}

impl Pair {
    async fn start(folder: &Path) -> Self {
        let port = || local(free_port());
        let ports = [(port(), port()), (port(), port())];
        let mut text = NETWORK.to_owned();
        for (n, (dns, probe)) in ports.iter().enumerate() {
            text = text.replace(&format!("DNS{}", n + 1), &dns.to_string());
            text = text.replace(&format!("PROBE{}", n + 1), &probe.to_string());
        }
        let mut pair = Self { text, ports, servers: Vec::new(), probes: Vec::new() };
        for n in 0..2 {
            pair.add(n, folder, &folder.join(format!("state{n}"))).await;
        }
        pair
    }

    async fn add(&mut self, n: usize, folder: &Path, state: &Path) {
        let node = ["ns1.fra1", "ns1.iad1"][n];
        let (dns, probe) = self.ports[n];
        let server = start_as(node, &self.text, folder, state, dns, probe).await;
        for (pop, is_fra) in [("probe1.fra1", true), ("probe1.iad1", false)] {
            let hostname = format!("{node}.cdn.lab.test");
            self.probes.push((Probe::connect_to(&server, pop, &hostname).await, is_fra));
        }
        self.servers.push(server);
    }

    /// Every probe tells every server how far both clients are from its POP.
    async fn distances(&mut self, fra_ms: u32, iad_ms: u32) {
        for (probe, is_fra) in &mut self.probes {
            let ms = if *is_fra { fra_ms } else { iad_ms };
            let near = CLIENTS.iter().map(|client| latency(client, ms));
            let up = ["edge1.fra1", "edge1.iad1"].map(|node| health(node, Health::Up));
            probe.report(near.chain(up).collect());
        }
        // Asking binds: nobody asks before all of it is known.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    fn answer(&self, n: usize, client: &str) -> String {
        let found = self.servers[n].addresses("static.acme.test", Some(client));
        found.first().map(ToString::to_string).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_client_stays_at_every_server_and_over_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::start(folder.path()).await;
    let (bound, other) = (CLIENTS[0], CLIENTS[1]);
    pair.distances(80, 10).await;
    // Asking binds: the first server is asked for one client only, the second for none yet.
    until(async || pair.answer(0, bound) == "192.0.2.21").await;
    // What the first server has bound, the second knows within a second.
    let started = Instant::now();
    tokio::time::sleep(Duration::from_millis(600)).await;
    pair.distances(10, 80).await;
    // Whoever was never asked for goes where it is near now; the bound one stays, at both.
    until(async || pair.answer(1, other) == "192.0.2.11").await;
    for n in 0..2 {
        assert_eq!(pair.answer(n, bound), "192.0.2.21", "server {n}");
    }
    assert!(started.elapsed() < Duration::from_secs(4));

    // What is on the disk now is what a server that is killed now finds again.
    let (disk, copy) = (folder.path().join("state0"), folder.path().join("copy"));
    let role = |at: &Path| at.join("nameserver");
    std::fs::create_dir_all(role(&copy)).unwrap();
    std::fs::copy(role(&disk).join("bindings"), role(&copy).join("bindings")).unwrap();
    let second = pair.servers.pop().unwrap();
    let first = pair.servers.pop().unwrap();
    first.stop().await;
    second.stop().await;
    pair.probes.clear();
    pair.add(0, folder.path(), &copy).await;
    pair.distances(10, 80).await;
    until(async || !pair.answer(0, "192.0.2.0/24").is_empty()).await;
    assert_eq!(pair.answer(0, bound), "192.0.2.21", "after the crash");

    // Only when its target dies it is bound anew, and stays there when the old one is back.
    for (probe, _) in &mut pair.probes {
        probe.report(vec![health("edge1.iad1", Health::Down)]);
    }
    until(async || pair.answer(0, bound) == "192.0.2.11").await;
    pair.distances(80, 10).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(pair.answer(0, bound), "192.0.2.11");

    // The other server has lost its disk: it learns what the first one knows.
    pair.add(1, folder.path(), &folder.path().join("blank")).await;
    pair.distances(80, 10).await;
    until(async || !pair.answer(1, "192.0.2.0/24").is_empty()).await;
    until(async || {
        let state = pair.servers[1].addresses("static.acme.test", Some(bound));
        state == ["192.0.2.11".parse::<std::net::IpAddr>().unwrap()]
    })
    .await;
    for server in pair.servers {
        server.stop().await;
    }
}
