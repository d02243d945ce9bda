//! Duplicates, damage and junk.

use std::net::UdpSocket;
use std::time::Duration;

use popnet_runtime::Authority;
use popnet_runtime::quic::{Connection, Endpoint};
use popnet_runtime::ship::{PACKED_MAX, decode_ack, pack};
use popnet_terms::Role;
use popnet_wire::logging::{Ack, Receipt};

use crate::lab::{EDGE, LOG, Lab, batch, hostname, until};

async fn connect(lab: &Lab, node: &str) -> Connection {
    let endpoint = Endpoint::client(&lab.identity(node)).unwrap();
    let connection = endpoint.connect(lab.address, &hostname(LOG)).await.unwrap();
    // The endpoint's connections outlive its handle only while it is open.
    std::mem::forget(endpoint);
    connection
}

async fn send(connection: &Connection, octets: &[u8]) -> Option<Ack> {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let _ = send.write_all(octets).await;
    let _ = send.finish();
    decode_ack(&receive.read_to_end(4_096).await.ok()?).ok()
}

async fn receipt(connection: &Connection, octets: &[u8]) -> Receipt {
    send(connection, octets).await.unwrap().result
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_batch_counts_once_however_often_it_comes() {
    let lab = Lab::new();
    let server = lab.server().await;
    let connection = connect(&lab, EDGE).await;
    let packed: Vec<Vec<u8>> =
        (1..=40).map(|seq| pack(&batch(EDGE, "acme", seq, seq)).unwrap()).collect();
    // All at once, each three times: they share transactions with their own duplicates.
    let mut flights = tokio::task::JoinSet::new();
    for octets in packed.iter().cycle().take(120) {
        let (connection, octets) = (connection.clone(), octets.clone());
        flights.spawn(async move { receipt(&connection, &octets).await });
    }
    let receipts = flights.join_all().await;
    let stored = receipts.iter().filter(|receipt| **receipt == Receipt::Stored).count();
    let duplicate = receipts.iter().filter(|receipt| **receipt == Receipt::Duplicate).count();
    assert_eq!((stored, duplicate), (40, 80));
    assert_eq!(lab.sums("acme").await, (820, 82_000));

    // After a restart too.
    drop(connection);
    server.stop().await;
    let server = lab.server().await;
    let connection = connect(&lab, EDGE).await;
    for octets in &packed {
        assert_eq!(receipt(&connection, octets).await, Receipt::Duplicate);
    }
    assert_eq!(lab.sums("acme").await, (820, 82_000));
    assert_eq!(lab.raw_numbers("acme").len(), 40, "a duplicate is not kept");

    // Another batch by a number that is taken is neither lost nor mistaken.
    let mut other = batch(EDGE, "acme", 5, 1);
    other.closed.0 += 1;
    assert_eq!(receipt(&connection, &pack(&other).unwrap()).await, Receipt::Taken { last: 40 });

    // A gap shows until it is filled.
    let late = pack(&batch(EDGE, "acme", 41, 1)).unwrap();
    assert_eq!(
        receipt(&connection, &pack(&batch(EDGE, "acme", 42, 1)).unwrap()).await,
        Receipt::Stored
    );
    assert_eq!(lab.arrivals().await[0].missing, 1);
    assert_eq!(receipt(&connection, &late).await, Receipt::Stored);
    assert_eq!(lab.arrivals().await[0].missing, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_and_foreign_names_are_refused_and_counted() {
    let lab = Lab::new();
    let server = lab.server().await;
    let connection = connect(&lab, EDGE).await;
    let good = pack(&batch(EDGE, "acme", 1, 3)).unwrap();
    let mut bent = good.clone();
    let middle = bent.len() / 2;
    bent[middle] ^= 0xff;
    for octets in [&b""[..], b"junk", &good[..good.len() - 1], &bent] {
        assert_eq!(receipt(&connection, octets).await, Receipt::Corrupt);
    }
    assert!(send(&connection, &vec![0x28; PACKED_MAX + 1]).await.is_none(), "too long");
    let refused = |receipt: Receipt| matches!(receipt, Receipt::Refused(_));
    for stranger in [batch("edge2.fra1", "acme", 1, 1), batch("edge9.fra1", "acme", 1, 1)] {
        assert!(refused(receipt(&connection, &pack(&stranger).unwrap()).await), "{stranger:?}");
    }
    let elsewhere = pack(&batch(EDGE, "elsewhere", 1, 1)).unwrap();
    assert!(refused(receipt(&connection, &elsewhere).await), "another server's customer");
    assert_eq!(receipt(&connection, &good).await, Receipt::Stored);
    for (reason, count) in [("corrupt", 4), ("refused", 3), ("unread", 1)] {
        assert_eq!(lab.dropped(reason).await, count, "{reason}");
    }

    // A customer that is new in the configuration is taken at once.
    let unknown = pack(&batch("edge1.fra1", "initech", 1, 1)).unwrap();
    let mut held = (*lab.held(&["acme"])).clone();
    held.network.logs.default.clear();
    server.config.send_replace(std::sync::Arc::new(held));
    assert!(refused(receipt(&connection, &unknown).await));
    server.config.send_replace(lab.held(&["acme", "initech"]));
    assert_eq!(receipt(&connection, &unknown).await, Receipt::Stored);
    assert_eq!(lab.sums("acme").await.0, 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_and_strangers_at_the_port() {
    let lab = Lab::new();
    let server = lab.server().await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for seed in 0..500u32 {
        let junk: Vec<u8> = (0..seed % 1_300)
            .map(|n| (seed.wrapping_mul(2_654_435_761) >> (n % 24)).to_le_bytes()[0])
            .collect();
        let _ = socket.send_to(&junk, lab.address);
    }
    let stranger = Authority::create(&lab.dir.join("stranger"), "other").unwrap();
    let identity = stranger.identity(&hostname(EDGE)).unwrap();
    let endpoint = Endpoint::client(&identity).unwrap();
    if let Ok(connection) = endpoint.connect(lab.address, &hostname(LOG)).await {
        assert!(send_or_closed(&connection).await, "a stranger's batch was taken");
    }
    let shipper = lab.shipper(lab.locate());
    shipper.count(&"acme".into(), &"a.test".into(), |counter| counter.requests += 1);
    until(Duration::from_secs(5), "still counting", async || lab.sums("acme").await.0 == 1).await;
    shipper.drain(Duration::from_secs(5)).await;
    let context = lab.context(LOG);
    server.stop().await;
    assert!(!context.role_socket(Role::Logserver).exists(), "the socket is released");
}

async fn send_or_closed(connection: &Connection) -> bool {
    let Ok((mut send, mut receive)) = connection.open_bi().await else { return true };
    let _ = send.write_all(&pack(&batch(EDGE, "acme", 1, 1)).unwrap()).await;
    let _ = send.finish();
    receive.read_to_end(4_096).await.is_err()
}
