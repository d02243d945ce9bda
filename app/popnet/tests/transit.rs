//! Transit that is billed by a percentile, in the whole program: the cache counts what it sends,
//! the probe keeps the bill, the name server says what a byte more costs.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod support;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use support::{free_port, popnet, text, within};

struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path) -> Node {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = popnet();
    command.args(["run", "--config", "one.toml", "--node", "one.lab", "--state-dir", "state"]);
    Node(command.current_dir(folder).stderr(Stdio::from(log)).spawn().unwrap())
}

#[test]
fn what_a_byte_more_costs_is_told_and_outlives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let [dns, http, probe, control, store] = [(); 5].map(|()| free_port());
    let config = format!(
        r#"
        [network]
        name = "lab"
        schema = 1
        domain = "lab.test"
        [pops.lab]
        cost = 2.0
        transit = {{ commit = "100 Mbps", slot = "10s", period = "200s" }}
        [pops.lab.nodes.one]
        roles = ["nameserver", "netprobe", "webcache", "webserver"]
        address = ["127.0.0.1"]
        listen = {{ dns = ["127.0.0.1:{dns}"], http = ["127.0.0.1:{http}"], probe = ["127.0.0.1:{probe}"], control = ["127.0.0.1:{control}"], store = ["127.0.0.1:{store}"] }}
        workers = {{ dns = 1, http = 1 }}
        memory = "16 MiB"
        disk = "0 B"
        [probes.edge]
        kind = "http"
        target = {{ role = "webcache" }}
        request = {{ path = "/.popnet/health", host = "health.popnet.invalid" }}
        expect = {{ status = [200], load_header = "popnet-load" }}
        interval = "1s"
        timeout = "500ms"
        [customers.acme]
        [origin_groups.acme.servers]
        main = {{ address = "127.0.0.1:9" }}
        [policies.nearest]
        preset = "fastest"
        score = {{ cost_ms = 10.0 }}
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
    let explained = || {
        let output = popnet()
            .args(["--context", "context.toml", "explain", "dns", "www.acme.test"])
            .args(["--resolver", "192.0.2.9"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        text(&output.stdout) + &text(&output.stderr)
    };
    let words = "lab: all of the price counts: no day is over";
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    let node = start(folder.path());
    let told = within(Duration::from_secs(20), || explained().contains(words));
    assert!(told, "{}\n{}", explained(), log());
    // The whole price of 2.0 at 10 ms each is in the score.
    assert!(explained().contains("20.0"), "{}", explained());
    let bill = folder.path().join("state/netprobe/bill");
    let kept = within(Duration::from_secs(20), || bill.exists());
    assert!(kept, "{}", log());
    drop(node);
    let _node = start(folder.path());
    let told = within(Duration::from_secs(20), || explained().contains(words));
    assert!(told, "{}\n{}", explained(), log());
    assert!(!log().contains("the bill so far"), "{}", log());
}
