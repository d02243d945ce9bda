//! A customer never sees another's rows, whatever is asked.

use popnet_runtime::quic::Endpoint;
use popnet_runtime::ship::{decode_ack, pack};
use popnet_terms::{CustomerId, Timestamp};
use popnet_wire::asking::{Answer, RecordKind, Scope, What};
use popnet_wire::logging::{Batch, Receipt, Record};

use crate::lab::{EDGE, LOG, Lab, access, batch, decision, event, hostname};

const ACME_DECISION: u64 = 0xFFFF_0000_0000_0001;
const GLOBEX_DECISION: u64 = 7;

async fn fill(lab: &Lab) {
    let endpoint = Endpoint::client(&lab.identity(EDGE)).unwrap();
    let connection = endpoint.connect(lab.address, &hostname(LOG)).await.unwrap();
    for (customer, requests, id) in
        [("acme", 1, ACME_DECISION), ("globex", 10, GLOBEX_DECISION), ("_network", 100, 9)]
    {
        // The same site for all: only the customer tells them apart.
        let records: Vec<Record> =
            (0..20).flat_map(|n| [access(n), event(n)]).chain([decision(5, id)]).collect();
        let batch = Batch { records, ..batch(EDGE, customer, 1, requests) };
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&pack(&batch).unwrap()).await.unwrap();
        send.finish().unwrap();
        let ack = decode_ack(&receive.read_to_end(4_096).await.unwrap()).unwrap();
        assert_eq!(ack.result, Receipt::Stored);
    }
}

/// Whose rows an answer holds, and how many.
fn owners(answer: &Answer) -> (Vec<CustomerId>, usize) {
    let mut owners: Vec<CustomerId> = match answer {
        Answer::Counters(rows) => rows.iter().map(|row| row.0.clone()).collect(),
        Answer::Records(rows) => rows.iter().map(|row| row.0.clone()).collect(),
        Answer::Completeness(rows) => rows.iter().map(|row| row.customer.clone()).collect(),
    };
    let count = owners.len();
    owners.sort();
    owners.dedup();
    (owners, count)
}

fn questions() -> Vec<What> {
    let records = |kind| What::Records {
        kind,
        site: Some("www.acme.test".into()),
        before: None,
        limit: 9_999,
    };
    vec![
        What::Counters { from: i64::MIN, to: i64::MAX, site: None },
        What::Counters { from: 0, to: 1 << 40, site: Some("www.acme.test".into()) },
        records(RecordKind::Access),
        records(RecordKind::Decision),
        records(RecordKind::Event),
        What::Decision { id: ACME_DECISION },
        What::Decision { id: GLOBEX_DECISION },
        What::Completeness,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scope_holds_for_every_question() {
    let lab = Lab::new();
    let server = lab.server().await;
    fill(&lab).await;
    for (scope, visible) in [
        (Scope::Customer("acme".into()), vec!["acme".into()]),
        (Scope::Customer("globex".into()), vec!["globex".into()]),
        (Scope::Customer("_network".into()), vec![]),
        (Scope::Customer("nobody".into()), vec![]),
        (Scope::Customer("acme' OR '1'='1".into()), vec![]),
        (Scope::Customer("%".into()), vec![]),
    ] {
        let visible: Vec<CustomerId> = visible;
        for what in questions() {
            let said = format!("{scope:?} {what:?}");
            let (owners, _) = owners(&lab.question(scope.clone(), what).await);
            assert!(owners.iter().all(|owner| visible.contains(owner)), "{said}: {owners:?}");
        }
    }
    let acme = Scope::Customer("acme".into());
    for (scope, what, expected) in [
        (Scope::Network, What::Decision { id: ACME_DECISION }, 1),
        (acme.clone(), What::Decision { id: ACME_DECISION }, 1),
        (acme.clone(), What::Decision { id: GLOBEX_DECISION }, 0),
        (Scope::Network, What::Completeness, 3),
        (acme, What::Completeness, 1),
    ] {
        let said = format!("{scope:?} {what:?}");
        assert_eq!(owners(&lab.question(scope, what).await).1, expected, "{said}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_come_newest_first_page_by_page() {
    let lab = Lab::new();
    let server = lab.server().await;
    fill(&lab).await;
    let mut before: Option<Timestamp> = None;
    let mut times = Vec::new();
    loop {
        let what = What::Records { kind: RecordKind::Access, site: None, before, limit: 7 };
        let Answer::Records(page) = lab.question(Scope::Customer("acme".into()), what).await else {
            panic!("records answer records")
        };
        assert!(page.len() <= 7);
        let Some((_, _, Record::Access(last))) = page.last() else { break };
        before = Some(last.ts);
        times.extend(page.iter().map(|(_, _, record)| match record {
            Record::Access(access) => access.ts.0,
            Record::Decision(_) | Record::Event(_) => panic!("another kind"),
        }));
    }
    assert_eq!(times.len(), 20);
    assert!(times.is_sorted_by(|a, b| a > b), "{times:?}");
    server.stop().await;
}
