//! A resolver in front: a closed network asks unbound, which asks us and says for whom
//! (docs/operate/resolver.md).

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Server, free_port, local};
use crate::steering::{NETWORK, Probe, health, latency, until};
use popnet_wire::probing::Health;

struct Resolver {
    child: Child,
    address: SocketAddr,
}

impl Resolver {
    /// As the operator's page says, with the addresses of a test.
    fn start(server: &Server, folder: &Path) -> Self {
        let page = include_str!("../../../../docs/operate/resolver.md");
        let said = page.split("```").nth(1).unwrap().trim_start_matches("conf");
        let address = local(free_port());
        let text = said
            .replace("interface: 192.0.2.53", &format!("interface: 127.0.0.1@{}", address.port()))
            .replace("access-control: 192.0.2.0/24", "access-control: 127.0.0.0/8")
            .replace("stub-addr: 192.0.2.1", &format!("stub-addr: 127.0.0.1@{}", server.dns.port()))
            .replace("send-client-subnet: 192.0.2.1", "send-client-subnet: 127.0.0.1")
            .replace("cdn.example.com", "acme.test");
        let here = format!(
            "server:\n username: \"\"\n chroot: \"\"\n directory: \"{}\"\n pidfile: \"\"\n \
             use-syslog: no\n do-daemonize: no\n do-not-query-localhost: no\n \
             local-zone: \"test.\" nodefault\n num-threads: 1\n",
            folder.display()
        );
        let config = folder.join("unbound.conf");
        std::fs::write(&config, text + &here).unwrap();
        let child = Command::new("unbound")
            .args(["-d", "-c", config.to_str().unwrap()])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("unbound: {error}; cargo xtask setup"));
        let begin = Instant::now();
        while TcpListener::bind(address).is_ok() {
            assert!(begin.elapsed() < Duration::from_secs(20), "unbound does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, address }
    }

    /// What a client at `from` is told.
    fn tells(&self, from: &str, name: &str) -> String {
        let (host, port) = (format!("@{}", self.address.ip()), self.address.port().to_string());
        let asked = Command::new("dig")
            .args(["-b", from, &host, "-p", &port, "+short", "+tries=2", "+time=3", name])
            .output()
            .unwrap();
        String::from_utf8_lossy(&asked.stdout).trim().to_owned()
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolver_in_front_says_for_whom_it_asks() {
    let folder = tempfile::tempdir().unwrap();
    let server = crate::common::start(NETWORK, folder.path()).await;
    let resolver = Resolver::start(&server, folder.path());
    let mut fra = Probe::connect(&server, "probe1.fra1").await;
    let mut iad = Probe::connect(&server, "probe1.iad1").await;
    for (probe, here, there) in [(&mut fra, 5, 90), (&mut iad, 90, 5)] {
        probe.report(vec![
            health("edge1.fra1", Health::Up),
            health("edge1.iad1", Health::Up),
            latency("127.0.21.0/24", here),
            latency("127.0.22.0/24", there),
        ]);
    }
    let clients = [
        ("127.0.21.0/24", "127.0.21.9", "192.0.2.11"),
        ("127.0.22.0/24", "127.0.22.9", "192.0.2.21"),
    ];
    // The resolver remembers what it is told: it is not asked before the reports are in.
    let is_known = |subnet, address: &str| {
        let told = server.addresses("static.acme.test", Some(subnet));
        told.iter().map(ToString::to_string).eq([address.to_owned()])
    };
    until(async || clients.iter().all(|(subnet, _, address)| is_known(subnet, address))).await;
    // Each gets its own, from one resolver that remembers both.
    for (_, from, address) in clients {
        assert_eq!(resolver.tells(from, "static.acme.test"), address);
    }
    drop(resolver);
    server.stop().await;
}
