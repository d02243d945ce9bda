//! Stories of the past and of what might be: asked of the server that answered.

use std::path::Path;
use std::time::Duration;

use popnet_dns::Rtype;
use popnet_runtime::clock;
use popnet_runtime::link::Link;
use popnet_terms::{Because, Micros, Removed, Role, RttSource, TargetId, Timestamp, TtlBecause};
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::explaining::DnsStory;
use popnet_wire::inquiring::{Assumed, Assumption, Explanation, Inquiry, Moves};
use popnet_wire::logging::Decision;
use popnet_wire::probing::Health;

use crate::common::{Server, held, place, start, start_as, start_on};
use crate::steering::{CLIENT, NETWORK, Probe, health, ip, latency, serves, two_probes, until};

/// Clients elsewhere.
const OTHER: &str = "203.0.113.0/24";

fn inquiry() -> Inquiry {
    Inquiry {
        name: "static.acme.test".into(),
        qtype: Rtype::A.to_int(),
        resolver: [127, 0, 0, 1].into(),
        subnet: Some(CLIENT.parse().unwrap()),
        assume: Vec::new(),
        at: None,
        config: None,
    }
}

async fn ask(server: &Server, ask: Ask) -> Result<Reply, Problem> {
    let socket = server.context.role_socket(Role::Nameserver);
    let link = Link::local(&socket).await.unwrap();
    let reply = link.patient_for(Duration::from_secs(20)).ask_one(&ask).await;
    reply.map_err(|error| error.problem())
}

async fn explain(server: &Server, inquiry: Inquiry) -> Result<Explanation, Problem> {
    let reply = ask(server, Ask::Inquire(Box::new(inquiry))).await?;
    let Reply::Explained(told) = reply else { panic!("{reply:?}") };
    Ok(*told)
}

async fn at(server: &Server, at: Timestamp) -> (Decision, Explanation) {
    let told = explain(server, Inquiry { at: Some(at), ..inquiry() }).await.unwrap();
    (decision(&told), told)
}

fn decision(told: &Explanation) -> Decision {
    let DnsStory::Steered(decision) = &told.story else { panic!("{:?}", told.story) };
    (**decision).clone()
}

fn pop(name: &str) -> TargetId {
    name.parse().unwrap()
}

async fn supposing(server: &Server, target: &str, what: Assumed) -> Explanation {
    let assume = vec![Assumption { target: pop(target), what }];
    explain(server, Inquiry { assume, ..inquiry() }).await.unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_told_as_it_was_and_over_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(NETWORK, folder.path()).await;
    let born = clock::now();
    let (mut fra, mut iad) = two_probes(&server, 80, 10).await;
    until(async || serves(&server, "192.0.2.21")).await;
    let then = clock::now();
    let real = server.ask_for("static.acme.test", Rtype::A, Some(CLIENT));

    // The near one falls, then its configuration changes: neither reaches back.
    for probe in [&mut fra, &mut iad] {
        probe.report(vec![health("edge1.iad1", Health::Down)]);
    }
    until(async || serves(&server, "192.0.2.11")).await;
    let fallen = clock::now();
    let text = place(NETWORK, server.dns, server.probe).replace("max = 1", "max = 2");
    let text = text
        .replace("[pops.fra1.nodes.edge1]", "[pops.fra1]\ndrain = true\n[pops.fra1.nodes.edge1]");
    server.config.send_replace(std::sync::Arc::new(held(&text, 2, folder.path())));
    until(async || {
        let now = decision(&explain(&server, inquiry()).await.unwrap());
        now.candidates
            .iter()
            .any(|c| c.removed.as_ref().is_some_and(|r| r.reason == Removed::Drained))
    })
    .await;

    let (was, told) = at(&server, then).await;
    assert_eq!(*was.chosen, [pop("iad1")], "{was:?}");
    assert_eq!(was.answers.to_vec(), real.addresses().collect::<Vec<_>>());
    assert_eq!((was.because, was.config.0, was.ts), (Because::BestScore, 1, then));
    assert_eq!(Some(was.ttl.0), real.ttl());
    assert!(told.at <= then && then.since(told.at) < Duration::from_secs(3), "{told:?}");
    let (was, _) = at(&server, fallen).await;
    assert_eq!(*was.chosen, [pop("fra1")]);
    let out = was.candidates.iter().find(|c| c.target == pop("iad1")).unwrap();
    assert_eq!(out.removed.as_ref().unwrap().reason, Removed::DownProbe);

    let long_ago = Timestamp(born.0 - 60_000_000);
    let problem = explain(&server, Inquiry { at: Some(long_ago), ..inquiry() }).await.unwrap_err();
    assert_eq!((&*problem.code, problem.exit), ("N0066", 3), "{problem:?}");

    // Killed while it wrote: what is on the disk is all there is, and its end is torn.
    let (dns, probe) = (server.dns, server.probe);
    let inputs = |state: &Path| state.join("nameserver/inputs");
    let state = folder.path().join("copy");
    // Something has to be written after what is looked for: it is the end that is torn.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let _ = at(&server, clock::now()).await;
    copy(&inputs(&folder.path().join("state")), &inputs(&state));
    server.stop().await;
    for entry in std::fs::read_dir(inputs(&state)).unwrap().map(Result::unwrap) {
        let octets = std::fs::read(entry.path()).unwrap();
        std::fs::write(entry.path(), &octets[..octets.len() - 3]).unwrap();
    }
    let text = place(NETWORK, dns, probe);
    let again = start_as("ns1.fra1", &text, folder.path(), &state, dns, probe).await;
    let (was, _) = at(&again, then).await;
    assert_eq!(*was.chosen, [pop("iad1")], "after the crash: {was:?}");
    // The new run has a past of its own, beside the old one.
    let mut fra = Probe::connect(&again, "probe1.fra1").await;
    fra.report(vec![health("edge1.fra1", Health::Up), latency(CLIENT, 30)]);
    until(async || serves(&again, "192.0.2.11")).await;
    let (was, _) = at(&again, clock::now()).await;
    assert_eq!(*was.chosen, [pop("fra1")]);
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_have_to_change_is_found_and_true() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(NETWORK, folder.path()).await;
    let (mut fra, _iad) = two_probes(&server, 80, 10).await;
    until(async || serves(&server, "192.0.2.21")).await;
    let told = explain(&server, inquiry()).await.unwrap();
    let reasons = told.reasons.unwrap();
    assert_eq!((reasons.scope, reasons.ttl), (24, TtlBecause::Settled), "{told:?}");
    let runner = told.rivals.iter().find(|rival| rival.target == pop("fra1")).unwrap();
    let change = runner.change.clone().unwrap();
    let Assumed::Rtt(enough) = change.to.what else { panic!("{runner:?}") };
    assert_eq!((change.to.target.clone(), change.from), (pop("fra1"), Some(80_000)));
    let winner = |told: &Explanation| decision(told).chosen[0].clone();
    // True at the border, and not one step before it.
    assert_eq!(winner(&supposing(&server, "fra1", Assumed::Rtt(enough)).await), pop("fra1"));
    let less = Assumed::Rtt(Micros(enough.0 + 1_000));
    let told = supposing(&server, "fra1", less).await;
    assert_eq!(winner(&told), pop("iad1"));
    let scored = decision(&told).candidates.iter().find(|c| c.target == pop("fra1")).cloned();
    assert_eq!(scored.unwrap().score.unwrap().rtt_source, RttSource::Assumed);

    // Every kind of supposition, each enough to move the client.
    for (target, what) in [
        ("iad1", Assumed::Down),
        ("iad1", Assumed::Drained),
        ("iad1", Assumed::Load(960)),
        ("iad1", Assumed::Shed(1_000)),
        ("iad1", Assumed::Loss(900)),
        ("iad1", Assumed::Rtt(Micros(500_000))),
    ] {
        assert_eq!(winner(&supposing(&server, target, what).await), pop("fra1"), "{what:?}");
    }
    assert!(serves(&server, "192.0.2.21"), "asking changes nothing");

    // Removed for a measured value: the border of that value.
    fra.report(vec![health("edge1.iad1", Health::Down)]);
    until(async || serves(&server, "192.0.2.11")).await;
    let told = explain(&server, inquiry()).await.unwrap();
    let rival = &told.rivals[0];
    assert_eq!((rival.target.clone(), rival.removed), (pop("iad1"), Some(Removed::DownProbe)));
    assert_eq!(rival.change.as_ref().unwrap().to.what, Assumed::Up);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_configuration_is_tried_over_what_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(NETWORK, folder.path()).await;
    let (mut fra, mut iad) = two_probes(&server, 80, 10).await;
    fra.report(vec![latency(OTHER, 10)]);
    iad.report(vec![latency(OTHER, 80)]);
    until(async || serves(&server, "192.0.2.21")).await;
    let near = ip("192.0.2.11");
    until(async || server.addresses("static.acme.test", Some(OTHER)) == [near]).await;
    // The clients who would move ask three times as much as the others.
    for n in 0..40 {
        let client = if n % 4 == 0 { OTHER } else { CLIENT };
        server.addresses("static.acme.test", Some(client));
    }
    let text = place(NETWORK, server.dns, server.probe);
    let drained = format!("{text}[pops.iad1]\ndrain = true\n");
    let config = Some(drained.clone());
    let told = explain(&server, Inquiry { config, ..inquiry() }).await.unwrap();
    assert_eq!(*decision(&told).chosen, [pop("fra1")]);
    let out = decision(&told).candidates.iter().find(|c| c.target == pop("iad1")).cloned();
    assert_eq!(out.unwrap().removed.unwrap().reason, Removed::Drained);

    let moves = async |text: String| -> Result<Moves, Problem> {
        let reply = ask(&server, Ask::Moves(text)).await?;
        let Reply::Moves(moves) = reply else { panic!("{reply:?}") };
        Ok(*moves)
    };
    let told = moves(drained).await.unwrap();
    assert_eq!((told.units, told.known), (2, 2));
    let site = told.sites.iter().find(|site| site.site.as_str() == "static.acme.test").unwrap();
    let [one] = site.moves.as_slice() else { panic!("{site:?}") };
    assert_eq!((one.from.clone(), one.to.clone()), (Some(pop("iad1")), Some(pop("fra1"))));
    assert_eq!((one.units, site.units, one.removed), (1, 2, Some(Removed::Drained)));
    let percent = one.demand * 100 / site.demand;
    assert!((60..90).contains(&percent), "{percent} % of the demand");
    let same = moves(text).await.unwrap();
    assert!(same.sites.iter().all(|site| site.moves.is_empty()), "{same:?}");
    let problem = moves("[network".to_owned()).await.unwrap_err();
    assert_eq!((&*problem.code, problem.exit), ("N0064", 2));
    assert!(serves(&server, "192.0.2.21"), "asking changes nothing");
    server.stop().await;
}

/// Told to keep nothing, it keeps nothing, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_that_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{NETWORK}[logs]\ninputs = {{ size = \"0\" }}\n");
    let (dns, probe) = (
        crate::common::local(crate::common::free_port()),
        crate::common::local(crate::common::free_port()),
    );
    let server = start_on(&text, folder.path(), dns, probe).await;
    let _probes = two_probes(&server, 80, 10).await;
    until(async || serves(&server, "192.0.2.21")).await;
    let now = Some(clock::now());
    let problem = explain(&server, Inquiry { at: now, ..inquiry() }).await.unwrap_err();
    assert_eq!((&*problem.code, problem.exit), ("N0067", 3), "{problem:?}");
    server.stop().await;
}
