//! Stories of steered names: a probe reports, answers follow.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::common::{Server, name, place};
use popnet_dns::{Data, Rtype, build_query};
use popnet_runtime::link::Link;
use popnet_runtime::quic::{Connection, Endpoint};
use popnet_terms::{Because, Micros, NodeName, ProbeId, Role, RttSource, TargetId};
use popnet_wire::control::{Ask, Reply};
use popnet_wire::explaining::{DnsStory, ExplainDns};
use popnet_wire::frame::{Conversation, decode, encode};
use popnet_wire::probing::{
    Cause, Datagram, Finding, Health, Latency, Method, Report, Sample, Service, Subject,
};
use popnet_wire::rollout::Epoch;
use popnet_wire::status::RoleStatus;

pub(crate) const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.lab.test"
[pops.fra1.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = { dns = ["DNS"], probe = ["PROBE"] }
workers = { dns = 1 }
[pops.fra1.nodes.edge1]
roles = ["webcache", "webserver"]
address = ["192.0.2.11", "2001:db8::11"]
[pops.fra1.nodes.probe1]
roles = ["netprobe"]
address = ["127.0.0.4"]
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
from = { pops = ["*"], agree = 1 }
[probes.resolver-rtt]
kind = "latency"
methods = ["dns-query"]
[customers.acme]
[origin_groups.www.servers]
east = { address = "203.0.113.1:8080" }
west = { address = "203.0.113.2" }
[sites."static.acme.test"]
customer = "acme"
kind = "cached"
policy = "one"
origins = "www"
[policies.one]
answer = { max = 1 }
[origin_groups.named.servers]
only = { address = "app.acme.example:443", tls = true }
[sites."app.acme.test"]
customer = "acme"
kind = "direct"
origins = "named"
"#;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) struct Probe {
    name: NodeName,
    connection: Connection,
    seq: u64,
    _endpoint: Endpoint,
}

impl Probe {
    pub(crate) async fn connect(server: &Server, node: &str) -> Self {
        Self::connect_to(server, node, "ns1.fra1.cdn.lab.test").await
    }

    pub(crate) async fn connect_to(server: &Server, node: &str, to: &str) -> Self {
        let hostname = format!("{node}.cdn.lab.test");
        let identity = server.authority.identity(&hostname).unwrap();
        let endpoint = Endpoint::client(&identity).unwrap();
        let connection = endpoint.connect(server.probe, to).await.unwrap();
        Self { name: NodeName::new(node), connection, seq: 0, _endpoint: endpoint }
    }

    pub(crate) fn report(&mut self, findings: Vec<Finding>) {
        self.seq += 1;
        let now = popnet_runtime::clock::now();
        let report = Report {
            publisher: self.name.clone(),
            boot: 1,
            seq: self.seq,
            epoch: Epoch(1),
            sent: now,
            samples: findings.into_iter().map(|finding| Sample { at: now, finding }).collect(),
        };
        let octets = encode(Conversation::Probing, &Datagram::Report(report));
        self.connection.send_datagram(octets.into()).unwrap();
    }
}

pub(crate) fn health(node: &str, health: Health) -> Finding {
    let up = health == Health::Up;
    Finding::Service(Service {
        probe: ProbeId::new("edge-http"),
        subject: Subject::Node(NodeName::new(node)),
        health,
        cause: if up { Cause::Passed } else { Cause::Refused },
        detail: if up { "" } else { "http 192.0.2.11:80 connection refused" }.into(),
        streak: 3,
        connect: Micros(1_000),
        total: Micros(2_000),
        load: None,
        epoch: None,
    })
}

pub(crate) fn latency(client: &str, rtt_ms: u32) -> Finding {
    Finding::Latency(Latency {
        client: client.parse().unwrap(),
        rtt: Some(Micros(rtt_ms * 1_000)),
        spread: Micros(100),
        loss: 0,
        samples: 3,
        method: Method::DnsQuery,
    })
}

pub(crate) const CLIENT: &str = "198.51.100.0/24";

pub(crate) async fn two_probes(server: &Server, fra_ms: u32, iad_ms: u32) -> (Probe, Probe) {
    let mut fra = Probe::connect(server, "probe1.fra1").await;
    let mut iad = Probe::connect(server, "probe1.iad1").await;
    fra.report(vec![
        health("edge1.fra1", Health::Up),
        health("edge1.iad1", Health::Up),
        latency(CLIENT, fra_ms),
    ]);
    iad.report(vec![
        health("edge1.fra1", Health::Up),
        health("edge1.iad1", Health::Up),
        latency(CLIENT, iad_ms),
    ]);
    (fra, iad)
}

/// Waits until `done`, at most five seconds.
pub(crate) async fn until(done: impl AsyncFn() -> bool) -> Duration {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < Duration::from_secs(5), "not within five seconds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

pub(crate) fn serves(server: &Server, address: &str) -> bool {
    server.addresses("static.acme.test", Some(CLIENT)) == [ip(address)]
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_follow_latency_and_health() {
    let folder = tempfile::tempdir().unwrap();
    let server = crate::common::start(NETWORK, folder.path()).await;
    let (mut fra, mut iad) = two_probes(&server, 80, 10).await;
    until(async || serves(&server, "192.0.2.21")).await;

    let near = server.ask_for("static.acme.test", Rtype::A, Some(CLIENT));
    assert!(near.authoritative);
    assert_eq!(near.edns.unwrap().subnet, Some((CLIENT.parse().unwrap(), 24)));
    let six = server.ask_for("static.acme.test", Rtype::AAAA, Some(CLIENT));
    assert_eq!(six.addresses().collect::<Vec<_>>(), [ip("2001:db8::11")]);

    // The near one goes down: the far one answers at once.
    for probe in [&mut fra, &mut iad] {
        probe.report(vec![health("edge1.iad1", Health::Down)]);
    }
    let took = until(async || serves(&server, "192.0.2.11")).await;
    assert!(took < Duration::from_millis(900), "{took:?}");
    let decision = explain(&server, "static.acme.test", Vec::new()).await;
    let DnsStory::Steered(decision) = decision else { panic!("{decision:?}") };
    assert_eq!(decision.because, Because::OnlyCandidate);
    let out = decision.candidates.iter().find(|one| one.target.to_string() == "iad1").unwrap();
    assert_eq!(out.removed.as_ref().unwrap().reason.code(), "DOWN_PROBE");
    assert_eq!(&*decision.qname, "static.acme.test");

    // What if it were up?
    let assumed = explain(&server, "static.acme.test", vec![(target("iad1"), true)]).await;
    let DnsStory::Steered(assumed) = assumed else { panic!("{assumed:?}") };
    assert_eq!(*assumed.chosen, [target("iad1")]);
    assert!(serves(&server, "192.0.2.11"), "asking changes nothing");

    let RoleStatus::Nameserver { steered, targets, dropped, .. } = status(&server).await else {
        panic!("not a name server's status")
    };
    assert!(steered > 3 && dropped.is_empty(), "{steered} {dropped:?}");
    let states: Vec<String> = targets
        .iter()
        .filter(|target| matches!(target.target, TargetId::Pop(_)))
        .map(|target| format!("{} {} {}", target.target, target.state.word(), target.why))
        .collect();
    assert_eq!(states[0], "fra1 up ");
    assert!(states[1].starts_with("iad1 down ") && states[1].contains("refused"), "{states:?}");
    server.stop().await;
}

/// The round trips by which the POPs are judged, of those that are known by measurement.
async fn measured(server: &Server) -> Vec<(String, Micros)> {
    let DnsStory::Steered(decision) = explain(server, "static.acme.test", Vec::new()).await else {
        return Vec::new();
    };
    let known = decision.candidates.iter().filter_map(|one| {
        let score = one.score.as_ref().filter(|score| score.rtt_source == RttSource::Measured)?;
        Some((one.target.to_string(), score.rtt))
    });
    known.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_the_probes_counts_where_the_policy_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let literal =
        NETWORK.replace("answer = { max = 1 }", "preset = \"sum-ns\"\nanswer = { max = 1 }");
    let server = crate::common::start(&literal, folder.path()).await;
    let mut fra = Probe::connect(&server, "probe1.fra1").await;
    fra.report(vec![health("edge1.fra1", Health::Up), health("edge1.iad1", Health::Up)]);
    // N22 literally: from here to the probe, and from the probe to the POP. Nobody has measured
    // any client.
    until(async || measured(&server).await.len() == 2).await;
    let known = measured(&server).await;
    let [(east, own), (west, other)] = known.as_slice() else { panic!("{known:?}") };
    assert_eq!((east.as_str(), west.as_str()), ("fra1", "iad1"));
    assert!(own.0 > 0, "the way to the POP's own probe is all there is");
    assert_eq!(other.0 - own.0, 1_000, "what the probe says of its connection");
    assert!(own.0 < 500_000, "{own:?} on one machine");
    assert!(serves(&server, "192.0.2.11"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn measurements_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = crate::common::start(NETWORK, folder.path()).await;
    let probes = two_probes(&server, 80, 10).await;
    until(async || serves(&server, "192.0.2.21")).await;
    let (dns, probe) = (server.dns, server.probe);
    server.stop().await;
    drop(probes);
    let again = crate::common::start_on(NETWORK, folder.path(), dns, probe).await;
    until(async || serves(&again, "192.0.2.21")).await;
    again.stop().await;
}

/// N13 at the size that the issue of steering names: `cargo test --release -p popnet-nameserver --test
/// stories -- --ignored --nocapture ten_million`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two gigabytes and minutes: a measurement for a release build"]
async fn ten_million_units_are_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = crate::common::start(NETWORK, folder.path()).await;
    let probes = two_probes(&server, 80, 10).await;
    until(async || serves(&server, "192.0.2.21")).await;
    let (dns, probe) = (server.dns, server.probe);
    let latencies = server.context.role_dir(Role::Nameserver).join("latencies");
    server.stop().await;
    drop(probes);
    // Who is far from where the POPs' names sort: the west is nearer to everybody.
    let network = crate::common::held(&place(NETWORK, dns, probe), 1, folder.path());
    let now = popnet_runtime::clock::now();
    let mut board = popnet_steering::Board::new();
    board.configure(&network.network, None, now);
    for (publisher, ms) in [("probe1.fra1", 80), ("probe1.iad1", 10)] {
        for n in 0..10_000_000_u32 {
            let client = std::net::Ipv4Addr::from((n + (1 << 16)) << 8);
            let finding = latency(&format!("{client}/24"), ms);
            let samples = vec![Sample { at: now, finding }];
            let seq = u64::from(n) + 1;
            let publisher = NodeName::new(publisher);
            let report = Report { publisher, boot: 9, seq, epoch: Epoch(1), sent: now, samples };
            board.record(&report, now);
        }
    }
    let kind = popnet_runtime::files::Kind {
        name: *b"LATY",
        version: popnet_steering::Board::LATENCY_VERSION,
    };
    let parts = board.changed_latencies(usize::from(popnet_steering::Board::LATENCY_PARTS));
    drop(board);
    for (number, octets) in parts {
        let path = latencies.join(number.to_string());
        popnet_runtime::files::write_framed(&path, kind, &octets).unwrap();
    }
    let begun = Instant::now();
    let again = crate::common::start_on(NETWORK, folder.path(), dns, probe).await;
    println!("started after {:?}", begun.elapsed());
    let near = || again.addresses("static.acme.test", Some("101.7.7.0/24")) == [ip("192.0.2.21")];
    until(async || near()).await;
    println!("answered by what was measured after {:?}", begun.elapsed());
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_go_to_probes_and_strangers_are_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let server = crate::common::start(NETWORK, folder.path()).await;
    let probe = Probe::connect(&server, "probe1.fra1").await;
    let stranger = Probe::connect(&server, "edge1.fra1").await;
    stranger.connection.closed().await;

    server.ask_for("static.acme.test", Rtype::A, Some("203.0.113.77/32"));
    let needs = tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            let octets = probe.connection.read_datagram().await.unwrap();
            if let Ok(Datagram::Needs(needs)) = decode(Conversation::Probing, &octets) {
                return needs;
            }
        }
    });
    let needs = needs.await.unwrap();
    assert_eq!(needs.asker, NodeName::new("ns1.fra1"));
    // Kept for the resolver: whoever sends a subnet of others must not say how far these are.
    assert_eq!(needs.needs[0].client, "127.0.0.0/24".parse().unwrap());
    assert_eq!(needs.needs[0].resolver, ip("127.0.0.1"));

    // Junk and another's name on a probe's connection are counted.
    probe.connection.send_datagram(vec![1, 2, 3].into()).unwrap();
    let mut liar = Probe::connect(&server, "probe1.iad1").await;
    liar.name = NodeName::new("probe1.fra1");
    liar.report(vec![health("edge1.iad1", Health::Down)]);
    until(async || {
        let RoleStatus::Nameserver { dropped, .. } = status(&server).await else { return false };
        let count = |reason: &str| {
            dropped.iter().find(|(known, _)| &**known == reason).map_or(0, |(_, count)| *count)
        };
        count("probe_junk") == 1 && count("probe_foreign") == 2
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_for_our_own_components() {
    let folder = tempfile::tempdir().unwrap();
    let server = crate::common::start(NETWORK, folder.path()).await;
    let origins = server.ask("static.acme.test.origin.iad1.cdn.lab.test", Rtype::SRV);
    let mut ports: Vec<(String, u16)> = origins
        .answers
        .iter()
        .map(|record| {
            let Data::Srv { port, target, .. } = &record.data else { panic!("{record}") };
            (target.to_host(), *port)
        })
        .collect();
    ports.sort();
    assert_eq!(
        ports,
        [
            ("east.www.origins.cdn.lab.test".to_owned(), 8080),
            ("west.www.origins.cdn.lab.test".to_owned(), 80)
        ]
    );
    let texts = server.ask_for("whoami.cdn.lab.test", Rtype::TXT, Some(CLIENT));
    let texts: Vec<&str> = texts.answers.iter().map(|record| record.text.as_str()).collect();
    assert_eq!(
        texts,
        ["\"resolver 127.0.0.1\"", "\"client-subnet 198.51.100.0/24\"", "\"nameserver ns1.fra1\""]
    );
    // A server that is configured by name is answered by name.
    let app = server.ask("app.acme.test", Rtype::A);
    assert_eq!(app.answers[0].text, "app.acme.example.");
    // The same over raw octets with EDNS for the server's name.
    let form = popnet_dns::QueryForm {
        id: 3,
        name: &name("static.acme.test"),
        qtype: Rtype::A,
        recursion_desired: true,
        dnssec_ok: false,
        nsid: true,
        subnet: None,
    };
    let octets = server.exchange(&popnet_dns::build_query_form(&form)).unwrap();
    let response = popnet_dns::Response::parse(&octets).unwrap();
    assert_eq!(response.edns.unwrap().nsid.as_deref(), Some("ns1.fra1.cdn.lab.test"));
    assert!(!response.recursion_available);
    let story = explain(&server, "edge1.iad1.cdn.lab.test", Vec::new()).await;
    assert_eq!(
        story,
        DnsStory::Static(vec!["edge1.iad1.cdn.lab.test.\t300\tIN\tA\t192.0.2.21".into()])
    );
    let story = explain(&server, "elsewhere.test", Vec::new()).await;
    assert!(matches!(story, DnsStory::Nothing { rcode, .. } if &*rcode == "REFUSED"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_go_on_while_the_configuration_changes() {
    let folder = tempfile::tempdir().unwrap();
    let server = crate::common::start(NETWORK, folder.path()).await;
    let query = build_query(5, &name("static.acme.test"), Rtype::A, None);
    for epoch in 2..12 {
        let text = place(NETWORK, server.dns, server.probe).replace(
            "max = 1",
            &format!("max = 1, ttl_min = \"{epoch}s\", ttl_max = \"{epoch}s\""),
        );
        server.config.send_replace(std::sync::Arc::new(crate::common::held(
            &text,
            epoch,
            folder.path(),
        )));
        for _ in 0..20 {
            assert!(server.exchange(&query).is_some());
        }
    }
    until(async || server.ask("static.acme.test", Rtype::A).ttl() <= Some(11)).await;
    server.stop().await;
}

fn target(text: &str) -> TargetId {
    text.parse().unwrap()
}

async fn ask(server: &Server, ask: Ask) -> Reply {
    let socket = server.context.role_socket(Role::Nameserver);
    Link::local(&socket).await.unwrap().ask_one(&ask).await.unwrap()
}

async fn status(server: &Server) -> RoleStatus {
    let reply = ask(server, Ask::RoleStatus).await;
    let Reply::Role(status) = reply else { panic!("{reply:?}") };
    status
}

async fn explain(server: &Server, name: &str, assume: Vec<(TargetId, bool)>) -> DnsStory {
    let question = ExplainDns {
        name: name.into(),
        qtype: 1,
        resolver: ip("127.0.0.1"),
        subnet: Some(CLIENT.parse().unwrap()),
        assume,
    };
    let reply = ask(server, Ask::ExplainDns(question)).await;
    let Reply::Dns(story) = reply else { panic!("{reply:?}") };
    story
}
