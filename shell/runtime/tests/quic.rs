//! Stories of QUIC between nodes: datagrams, streams, strangers and junk.
#![expect(clippy::unwrap_used, reason = "a story that goes wrong fails the test")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use popnet_runtime::quic::Endpoint;
use popnet_runtime::{Authority, Identity};
use tokio::time::timeout;

const SERVER: &str = "ns1.iad1.cdn.example";
const CLIENT: &str = "probe1.fra1.cdn.example";

fn network() -> (Arc<Identity>, Arc<Identity>) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(folder.path(), "lab").unwrap();
    (authority.identity(SERVER).unwrap(), authority.identity(CLIENT).unwrap())
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[tokio::test]
async fn datagrams_and_streams_both_ways() {
    let (server, client) = network();
    let listening = Endpoint::listen(loopback(), &server).unwrap();
    let address = listening.local_addr().unwrap();
    let connecting = Endpoint::client(&client).unwrap();
    let (there, here) = tokio::join!(connecting.connect(address, SERVER), listening.accept());
    let (there, here) = (there.unwrap(), here.unwrap());
    assert_eq!((there.peer(), here.peer()), (SERVER, CLIENT));

    there.send_datagram(Bytes::from_static(b"report")).unwrap();
    assert_eq!(&here.read_datagram().await.unwrap()[..], b"report");
    here.send_datagram(Bytes::from_static(b"needs")).unwrap();
    assert_eq!(&there.read_datagram().await.unwrap()[..], b"needs");

    let echo = tokio::spawn(async move {
        let (mut send, mut receive) = here.accept_bi().await.unwrap();
        let batch = receive.read_to_end(1 << 20).await.unwrap();
        send.write_all(&batch).await.unwrap();
        send.finish().unwrap();
        here.closed().await
    });
    let (mut send, mut receive) = there.open_bi().await.unwrap();
    send.write_all(&[7; 300_000]).await.unwrap();
    send.finish().unwrap();
    assert_eq!(receive.read_to_end(1 << 20).await.unwrap().len(), 300_000);
    there.close("done");
    echo.await.unwrap();
    assert!(there.is_closed());
    connecting.close().await;
}

#[tokio::test]
async fn strangers_and_wrong_names_are_refused() {
    let (server, client) = network();
    let listening = Endpoint::listen(loopback(), &server).unwrap();
    let address = listening.local_addr().unwrap();
    let (_, stranger) = network();
    let error = Endpoint::client(&stranger).unwrap().connect(address, SERVER).await.unwrap_err();
    assert!(error.to_string().contains("another authority"), "{error}");
    let error = Endpoint::client(&client)
        .unwrap()
        .connect(address, "ns2.iad1.x.example")
        .await
        .unwrap_err();
    assert!(error.to_string().contains(SERVER), "{error}");
    assert!(timeout(Duration::from_millis(100), listening.accept()).await.is_err());
}

#[tokio::test]
async fn junk_at_the_port_is_ignored() {
    let (server, client) = network();
    let listening = Endpoint::listen(loopback(), &server).unwrap();
    let address = listening.local_addr().unwrap();
    let raw = UdpSocket::bind(loopback()).unwrap();
    let mut seed = 1u32;
    for length in 0..1200usize {
        let octets: Vec<u8> = (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed.to_be_bytes()[0]
            })
            .collect();
        raw.send_to(&octets, address).unwrap();
    }
    let connecting = Endpoint::client(&client).unwrap();
    let connection = connecting.connect(address, SERVER).await.unwrap();
    assert_eq!(connection.peer(), SERVER);
    assert_eq!(listening.accept().await.unwrap().peer(), CLIENT);
    assert_eq!(listening.counters().accepted.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn nobody_there_ends_within_the_limit() {
    let (_, client) = network();
    let free = UdpSocket::bind(loopback()).unwrap().local_addr().unwrap();
    let connecting = Endpoint::client(&client).unwrap();
    let attempt = timeout(Duration::from_secs(8), connecting.connect(free, SERVER)).await;
    assert!(attempt.expect("within 8 s").is_err());
}
