//! When nothing is well, and when a POP has closed: by real DNS questions (steering model,
//! sections 2 and 11).

use std::path::Path;

use popnet_dns::{Data, Rcode, Response, Rtype};
use popnet_terms::Timestamp;
use popnet_wire::probing::Health;

use crate::common::{Server, name, start};
use crate::steering::{NETWORK, Probe, health, ip, until};

const SITE: &str = "static.acme.test";

/// The example network with `more` to its policy and to its site.
fn network(policy: &str, site: &str, more: &str) -> String {
    let text = NETWORK.replace("[policies.one]\n", &format!("[policies.one]\n{policy}\n"));
    let text = text.replace("policy = \"one\"\n", &format!("policy = \"one\"\n{site}\n"));
    format!("{text}{more}")
}

/// A name server to which both probes have said of both POPs that they are down.
async fn all_down(text: &str, folder: &Path) -> (Server, [Probe; 2]) {
    let server = start(text, folder).await;
    let mut probes = [
        Probe::connect(&server, "probe1.fra1").await,
        Probe::connect(&server, "probe1.iad1").await,
    ];
    for probe in &mut probes {
        probe.report(["edge1.fra1", "edge1.iad1"].map(|node| health(node, Health::Down)).into());
    }
    (server, probes)
}

/// Asks until `is_it`, and once more for the answer.
async fn answer(server: &Server, is_it: impl Fn(&Response) -> bool) -> Response {
    until(async || is_it(&server.ask(SITE, Rtype::A))).await;
    server.ask(SITE, Rtype::A)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_named_where_the_policy_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let text = network("last_resort = [\"empty\"]", "", "");
    let (server, _probes) = all_down(&text, folder.path()).await;
    let empty = answer(&server, |response| response.answers.is_empty()).await;
    assert_eq!(empty.rcode, Rcode::NOERROR);
    assert!(matches!(empty.authority[0].data, Data::Soa { .. }), "{empty:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resolvers_are_sent_elsewhere_where_the_policy_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let text = network("last_resort = [\"refuse\"]", "", "");
    let (server, _probes) = all_down(&text, folder.path()).await;
    let refused = answer(&server, |response| response.rcode == Rcode::SERVFAIL).await;
    assert!(refused.answers.is_empty() && refused.authority.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_named_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut probes) = all_down(&network("", "", ""), folder.path()).await;
    let soon = answer(&server, |response| response.answers.iter().any(|r| r.ttl == 10)).await;
    let named: Vec<_> = soon.addresses().collect();
    assert!(named == [ip("192.0.2.11")] || named == [ip("192.0.2.21")], "{named:?}");
    // And no longer than it has to be.
    for probe in &mut probes {
        probe.report(vec![health("edge1.iad1", Health::Up)]);
    }
    let well = |response: &Response| response.answers.iter().any(|record| record.ttl > 10);
    assert!(answer(&server, well).await.addresses().eq([ip("192.0.2.21")]));
    server.stop().await;
}

const SPARES: &str = "[origin_groups.spare.servers]\nsorry = { address = \"198.51.100.80\" }\n\
    [origin_groups.other.servers]\nother = { address = \"www.other-cdn.example\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let text = network("", "backup = \"spare\"", SPARES);
    let (server, _probes) = all_down(&text, folder.path()).await;
    let sorry = |response: &Response| response.addresses().eq([ip("198.51.100.80")]);
    let answer = answer(&server, sorry).await;
    assert_eq!(answer.answers[0].ttl, 10);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let text = network("", "backup = \"other\"", SPARES);
    let (server, _probes) = all_down(&text, folder.path()).await;
    let alias = Data::Cname(name("www.other-cdn.example"));
    let is_alias = |response: &Response| {
        let first = response.answers.first();
        first.is_some_and(|record| record.data == alias)
    };
    let answer = answer(&server, is_alias).await;
    assert_eq!((answer.answers.len(), answer.answers[0].ttl), (1, 10));
    server.stop().await;
}

/// A POP that is closed at this time of the week is not named, and nobody has to be down for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pop_is_not_named() {
    const DAYS: [&str; 7] = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
    let folder = tempfile::tempdir().unwrap();
    let Timestamp(now) = popnet_runtime::clock::now();
    // 1970 began on a Thursday. Two days from now is not today, whatever the hour becomes.
    let day = usize::try_from(now / 86_400_000_000 + 2).unwrap() % 7;
    let closed = format!("[pops.fra1.serve]\nhours = [\"{} 00:00-24:00\"]\n", DAYS[day]);
    let server = start(&network("", "", &closed), folder.path()).await;
    let mut probe = Probe::connect(&server, "probe1.fra1").await;
    probe.report(["edge1.fra1", "edge1.iad1"].map(|node| health(node, Health::Up)).into());
    for _ in 0..20 {
        assert_eq!(server.addresses(SITE, None), [ip("192.0.2.21")]);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    server.stop().await;
}
