//! What a customer's log server hears of DNS: every query counted, every decision told (N16–N18).

use std::net::SocketAddr;
use std::time::Duration;

use popnet_dns::{Rtype, build_query};
use popnet_runtime::quic::Endpoint;
use popnet_runtime::ship::unpack;
use popnet_terms::{CustomerId, NodeName, Role, SiteName};
use popnet_wire::frame::{Conversation, encode};
use popnet_wire::logging::{Ack, Batch, Receipt, Record};

use crate::common::{free_port, name};

const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.lab.test"
[logs]
default = ["log1.fra1"]
[pops.fra1.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = { dns = ["DNS"], probe = ["PROBE"] }
workers = { dns = 1 }
[pops.fra1.nodes.edge1]
roles = ["webcache", "webserver"]
address = ["192.0.2.11"]
[pops.fra1.nodes.log1]
roles = ["logserver"]
address = ["127.0.0.6"]
listen = { logs = ["LOGS"] }
[customers.acme]
[origin_groups.www.servers]
east = { address = "203.0.113.1" }
[sites."static.acme.test"]
customer = "acme"
kind = "cached"
origins = "www"
"#;

const QUERIES: u64 = 50;

/// What the log server at `endpoint` is told until all queries are counted.
async fn told(endpoint: &Endpoint) -> Vec<Record> {
    let (mut counted, mut decisions) = (0, Vec::new());
    let all = tokio::time::timeout(Duration::from_secs(8), async {
        let connection = endpoint.accept().await.unwrap();
        while counted < QUERIES {
            let (mut send, mut receive) = connection.accept_bi().await.unwrap();
            let batch: Batch = unpack(&receive.read_to_end(1 << 20).await.unwrap()).unwrap();
            assert_eq!(batch.id.sender, NodeName::new("ns1.fra1"));
            assert_eq!(batch.id.role, Role::Nameserver);
            let ack = Ack { id: batch.id.clone(), result: Receipt::Stored };
            send.write_all(&encode(Conversation::Logging, &ack)).await.unwrap();
            send.finish().unwrap();
            if batch.id.customer != CustomerId::new("acme") {
                continue;
            }
            for counter in &batch.counters {
                assert_eq!(counter.site, SiteName::new("static.acme.test"));
                counted += counter.queries;
            }
            decisions.extend(batch.records);
        }
    });
    all.await.unwrap();
    assert_eq!(counted, QUERIES);
    decisions
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_is_counted_and_every_decision_told() {
    let folder = tempfile::tempdir().unwrap();
    let logs = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let text = NETWORK.replace("LOGS", &logs.to_string());
    let server = crate::common::start(&text, folder.path()).await;
    let identity = server.authority.identity("log1.fra1.cdn.lab.test").unwrap();
    let endpoint = Endpoint::listen(logs, &identity).unwrap();

    for _ in 0..QUERIES {
        server.ask_for("static.acme.test", Rtype::A, Some("198.51.100.0/24"));
    }
    let decisions = told(&endpoint).await;
    let mut ids = Vec::new();
    for record in &decisions {
        let Record::Decision(decision) = record else { panic!("{record:?}") };
        assert_eq!(*decision.answers, ["192.0.2.11".parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(decision.ecs, Some("198.51.100.0/24".parse().unwrap()));
        assert_eq!(decision.candidates.len(), 1);
        ids.push(decision.id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(u64::try_from(ids.len()).unwrap(), QUERIES);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_the_limit_are_no_decisions() {
    let folder = tempfile::tempdir().unwrap();
    let logs = SocketAddr::from(([127, 0, 0, 1], free_port()));
    // Some are sent whole, some cut, some not at all.
    let text = format!("{NETWORK}[dns.rate_limit]\nresponses = \"5/s\"\nslip = 2\n");
    let text = text.replace("LOGS", &logs.to_string());
    let server = crate::common::start(&text, folder.path()).await;
    let identity = server.authority.identity("log1.fra1.cdn.lab.test").unwrap();
    let endpoint = Endpoint::listen(logs, &identity).unwrap();

    let query = build_query(7, &name("static.acme.test"), Rtype::A, None);
    let queries = usize::try_from(QUERIES).unwrap();
    let (whole, cut) = crate::limits::flood(&server, &vec![query; queries]);
    assert!(whole >= 5 && cut >= 5 && whole + cut < queries, "{whole} {cut}");
    assert_eq!(told(&endpoint).await.len(), whole);
    server.stop().await;
}
