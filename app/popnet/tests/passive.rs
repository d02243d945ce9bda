//! Round trips for nothing: a client fetches a page, and the name server knows how far it is.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{free_port, popnet, text, within};

/// A client unit that nobody else on this machine has.
const CLIENT: &str = "127.93.7.1";

struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_client_that_came_is_measured_without_a_packet() {
    let folder = tempfile::tempdir().unwrap();
    let [dns, http, probe, control, store, page_port] = [(); 6].map(|()| free_port());
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = origin.local_addr().unwrap();
    std::thread::spawn(move || serve(&origin));
    let config = format!(
        r#"
        [network]
        name = "lab"
        schema = 1
        domain = "lab.test"
        contact = "noc@lab.test"
        [pops.lab.nodes.one]
        roles = ["nameserver", "netprobe", "webcache", "webserver"]
        address = ["127.0.0.1"]
        listen = {{ dns = ["127.0.0.1:{dns}"], http = ["127.0.0.1:{http}"], probe = ["127.0.0.1:{probe}"], control = ["127.0.0.1:{control}"], store = ["127.0.0.1:{store}"], page = ["127.0.0.1:{page_port}"] }}
        workers = {{ dns = 1, http = 1 }}
        memory = "16 MiB"
        disk = "0 B"
        [probes.rtt]
        kind = "latency"
        budget = {{ never = ["127.0.0.0/8"] }}
        [customers.acme]
        [origin_groups.acme.servers]
        main = {{ address = "{at}" }}
        [policies.nearest]
        preset = "fastest"
        [sites."www.acme.test"]
        customer = "acme"
        kind = "cached"
        policy = "nearest"
        pops = ["*"]
        origins = "acme"
        "#
    );
    std::fs::write(folder.path().join("one.toml"), config).unwrap();
    let context = "network = \"lab\"\nsocket = \"state/run/admin.sock\"\n";
    std::fs::write(folder.path().join("context.toml"), context).unwrap();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let child = popnet()
        .args(["run", "--config", "one.toml", "--node", "one.lab", "--state-dir", "state"])
        .current_dir(folder.path())
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap();
    let _node = Node(child);
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    let came = within(Duration::from_secs(10), || page(http).contains("hello"));
    assert!(came, "{}", log());
    explains_itself(dns, page_port);
    let explained = |client: &str| {
        let output = popnet()
            .args(["--context", "context.toml", "explain", "dns", "www.acme.test"])
            .args(["--resolver", client])
            .current_dir(folder.path())
            .output()
            .unwrap();
        text(&output.stdout) + &text(&output.stderr)
    };
    let known = within(Duration::from_secs(20), || explained(CLIENT).contains("MEASURED"));
    let last = explained(CLIENT);
    assert!(known, "{last}\n{}", log());
    let other = explained("203.0.113.9");
    assert!(other.contains("Scored") && !other.contains("MEASURED"), "{other}");
    // `lab  rtt …`: between nothing and what a loopback under load may take.
    let row = last.lines().find(|line| line.contains("MEASURED")).unwrap();
    let rtt: f64 = row.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((0.0..50.0).contains(&rtt), "{last}");
}

/// The name that our packets ask for says who we are, and so does the page on the probe.
fn explains_itself(dns: u16, page: u16) {
    let output = Command::new("dig")
        .args(["@127.0.0.1", "-p", &dns.to_string(), "+short", "TXT", "latency-probe.lab.test"])
        .output()
        .unwrap();
    let told = text(&output.stdout);
    assert!(told.contains("lab measures round trips") && told.contains("noc@lab.test"), "{told}");
    let output = Command::new("curl")
        .args(["-sS", "-i", &format!("http://127.0.0.1:{page}/")])
        .output()
        .unwrap();
    let page = text(&output.stdout);
    assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("mailto:noc@lab.test"), "{page}");
    assert!(page.contains("it holds 1 now"), "{page}");
}

/// The page, fetched from [`CLIENT`] over a connection of its own.
fn page(port: u16) -> String {
    let resolve = format!("www.acme.test:{port}:127.0.0.1");
    let output = Command::new("curl")
        .args(["-sS", "--interface", CLIENT, "--resolve", &resolve])
        .arg(format!("http://www.acme.test:{port}/"))
        .output()
        .unwrap();
    text(&output.stdout)
}

fn serve(origin: &TcpListener) {
    for stream in origin.incoming() {
        let Ok(mut stream) = stream else { return };
        let _ = stream.read(&mut [0; 4_096]);
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhello\n");
    }
}
