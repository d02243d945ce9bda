//! Stories of QUIC between nodes: datagrams, streams, strangers and junk.
#![expect(clippy::unwrap_used, reason = "a story that goes wrong fails the test")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use popnet_runtime::quic::{ConnectionError, Endpoint};
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

/// A server in a thread of its own that ends without a word, as a killed process does.
struct Doomed {
    die: tokio::sync::oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Doomed {
    /// Its address, and itself.
    fn start(identity: Arc<Identity>) -> (SocketAddr, Self) {
        let (tell, told) = std::sync::mpsc::channel();
        let (die, dies) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let open = runtime.block_on(async {
                let listening = Endpoint::listen(loopback(), &identity).unwrap();
                tell.send(listening.local_addr().unwrap()).unwrap();
                let connection = listening.accept().await.unwrap();
                let _ = dies.await;
                (listening, connection)
            });
            // First whoever could still send something, then what would say goodbye.
            drop(runtime);
            drop(open);
        });
        (told.recv().unwrap(), Self { die, thread })
    }

    fn kill(self) {
        self.die.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

#[tokio::test]
async fn a_killed_server_that_is_back_is_noticed_at_once() {
    let (server, client) = network();
    let (address, doomed) = Doomed::start(Arc::clone(&server));
    let connecting = Endpoint::client(&client).unwrap();
    let connection = connecting.connect(address, SERVER).await.unwrap();
    assert!(connection.rtt() > Duration::ZERO && connection.rtt() < Duration::from_secs(1));
    doomed.kill();
    assert!(
        timeout(Duration::from_millis(300), connection.closed()).await.is_err(),
        "a killed server says nothing"
    );

    let again = Endpoint::listen(address, &server).unwrap();
    connection.send_datagram(Bytes::from_static(b"are you there?")).unwrap();
    let said = timeout(Duration::from_secs(2), connection.closed()).await.expect("within 2 s");
    assert!(matches!(said, ConnectionError::Reset), "{said}");
    let (there, here) = tokio::join!(connecting.connect(address, SERVER), again.accept());
    assert_eq!((there.unwrap().peer(), here.unwrap().peer()), (SERVER, CLIENT));
}

#[tokio::test]
async fn another_port_cannot_end_a_connection() {
    let (server, client) = network();
    let (address, doomed) = Doomed::start(Arc::clone(&server));
    let connecting = Endpoint::client(&client).unwrap();
    let connection = connecting.connect(address, SERVER).await.unwrap();
    doomed.kill();
    // The same node, the same key, another port: what it says is no word of the one before.
    let elsewhere = Endpoint::listen(loopback(), &server).unwrap();
    let other = elsewhere.local_addr().unwrap();
    assert_ne!(other, address);
    let stand_in = UdpSocket::bind(address).unwrap();
    stand_in.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    let relay = std::thread::spawn(move || relay(&stand_in, other));
    connection.send_datagram(Bytes::from(vec![7; 200])).unwrap();
    assert!(timeout(Duration::from_secs(1), connection.closed()).await.is_err());
    assert!(relay.join().unwrap() > 0, "nothing was sent");
}

/// Hands packets for the port of `stand_in` to `other` and answers back, until it is quiet; how
/// many there were.
fn relay(stand_in: &UdpSocket, other: SocketAddr) -> usize {
    let (mut buffer, mut client, mut count) = ([0; 2048], None, 0);
    while let Ok((length, from)) = stand_in.recv_from(&mut buffer) {
        let packet = buffer.get(..length).unwrap();
        if from == other {
            stand_in.send_to(packet, client.unwrap()).unwrap();
        } else {
            client = Some(from);
            count += 1;
            stand_in.send_to(packet, other).unwrap();
        }
    }
    count
}

#[tokio::test]
async fn nobody_there_ends_within_the_limit() {
    let (_, client) = network();
    let free = UdpSocket::bind(loopback()).unwrap().local_addr().unwrap();
    let connecting = Endpoint::client(&client).unwrap();
    let attempt = timeout(Duration::from_secs(8), connecting.connect(free, SERVER)).await;
    assert!(attempt.expect("within 8 s").is_err());
}
