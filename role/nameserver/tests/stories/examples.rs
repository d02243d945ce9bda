//! The examples that the requirements give, with real DNS queries to a name server that hears real
//! reports: N22, N27, S14.

use std::time::Duration;

use popnet_wire::probing::{Finding, Health};

use crate::common::{Server, start};
use crate::steering::{CLIENT, NETWORK, Probe, health, ip, latency, serves, until};

fn loaded(node: &str, load: u16) -> Finding {
    let Finding::Service(mut service) = health(node, Health::Up) else { unreachable!() };
    service.load = Some(load);
    Finding::Service(service)
}

fn connected(node: &str, ms: u32) -> Finding {
    let Finding::Service(mut service) = health(node, Health::Up) else { unreachable!() };
    service.connect = popnet_terms::Micros(ms * 1_000);
    Finding::Service(service)
}

async fn probes(server: &Server) -> [Probe; 2] {
    [Probe::connect(server, "probe1.fra1").await, Probe::connect(server, "probe1.iad1").await]
}

/// N27: "the west is very heavily loaded, the east has light traffic": the nearer one is passed
/// over while it is loaded, and only then.
#[tokio::test(flavor = "multi_thread")]
async fn a_heavily_loaded_server_is_avoided_though_it_is_near() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(NETWORK, folder.path()).await;
    let [mut east, mut west] = probes(&server).await;
    for (probe, ms) in [(&mut east, 60), (&mut west, 20)] {
        let up = ["edge1.fra1", "edge1.iad1"].map(|node| loaded(node, 100));
        probe.report(up.into_iter().chain([latency(CLIENT, ms)]).collect());
    }
    until(async || serves(&server, "192.0.2.21")).await;
    for probe in [&mut east, &mut west] {
        probe.report(vec![loaded("edge1.iad1", 900)]);
    }
    until(async || serves(&server, "192.0.2.11")).await;
    for probe in [&mut east, &mut west] {
        probe.report(vec![loaded("edge1.iad1", 100)]);
    }
    until(async || serves(&server, "192.0.2.21")).await;
    server.stop().await;
}

/// N22: of two servers to which the probes report the same latency the one wins whose probe is
/// nearer to the asking side.
#[tokio::test(flavor = "multi_thread")]
async fn equal_latencies_are_broken_by_the_second_term() {
    let folder = tempfile::tempdir().unwrap();
    let text = NETWORK.replace("kind = \"cached\"\npolicy", "kind = \"direct\"\npolicy");
    let text = format!(
        "{text}[probes.origin]\nkind = \"http\"\ntarget = {{ origin_group = \"www\" }}\n\
         request = {{ path = \"/\" }}\nfrom = {{ pops = [\"*\"], agree = 1 }}\n"
    );
    let server = start(&text, folder.path()).await;
    let [mut east, mut west] = probes(&server).await;
    // Each probe reports 30 ms to its own side's server; the other one is far from it.
    let about = |near: &str, far: &str| {
        let said = [(near, 30), (far, 400)].map(|(name, ms)| {
            let Finding::Service(mut service) = connected("edge1.fra1", ms) else { unreachable!() };
            service.probe = "origin".into();
            let server = popnet_terms::OriginId { group: "www".into(), server: name.into() };
            service.subject = popnet_wire::probing::Subject::Origin(server);
            Finding::Service(service)
        });
        said.to_vec()
    };
    let (east_client, west_client) = ("198.51.100.0/24", "203.0.113.0/24");
    let ways = |near, far| vec![latency(near, 10), latency(far, 90)];
    east.report([about("east", "west"), ways(east_client, west_client)].concat());
    west.report([about("west", "east"), ways(west_client, east_client)].concat());
    let home = |client: &str| server.addresses("static.acme.test", Some(client));
    until(async || home(east_client) == [ip("203.0.113.1")]).await;
    until(async || home(west_client) == [ip("203.0.113.2")]).await;
    server.stop().await;
}

/// S14: the customer's own server competes with the POPs for static content, and wins while it is
/// lighter than all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_customers_lighter_server_serves_static_content() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        NETWORK.replace("policy = \"one\"\n", "policy = \"one\"\nanswer_with_origins = true\n");
    let text = format!(
        "{text}[probes.origin]\nkind = \"http\"\ntarget = {{ origin_group = \"www\" }}\n\
         request = {{ path = \"/\" }}\nfrom = {{ pops = [\"*\"], agree = 1 }}\n"
    );
    let server = start(&text, folder.path()).await;
    let [mut fra, mut iad] = probes(&server).await;
    let origin = |load: u16| {
        let Finding::Service(mut service) = loaded("edge1.fra1", load) else { unreachable!() };
        service.probe = "origin".into();
        let east = popnet_terms::OriginId { group: "www".into(), server: "east".into() };
        service.subject = popnet_wire::probing::Subject::Origin(east);
        Finding::Service(service)
    };
    // Everybody is equally far; only loads differ.
    for probe in [&mut fra, &mut iad] {
        let pops = ["edge1.fra1", "edge1.iad1"].map(|node| loaded(node, 850));
        probe.report(pops.into_iter().chain([origin(50), latency(CLIENT, 20)]).collect());
    }
    until(async || serves(&server, "203.0.113.1")).await;
    // The POPs are relieved, the customer's own server is busy: then they serve.
    for probe in [&mut fra, &mut iad] {
        let pops = ["edge1.fra1", "edge1.iad1"].map(|node| loaded(node, 50));
        probe.report(pops.into_iter().chain([origin(850)]).collect());
    }
    until(async || serves(&server, "192.0.2.11") || serves(&server, "192.0.2.21")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!serves(&server, "203.0.113.1"));
    server.stop().await;
}
