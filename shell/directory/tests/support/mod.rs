//! A name server of the tests: real sockets, answers from a table.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use popnet_dns::{Flags, Name, Owner, Parsed, Rcode, Rtype, Section, Writer, parse_query};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

/// What the server knows: by name, SRV targets in order; and addresses.
#[derive(Default)]
pub(crate) struct Zone {
    /// Name → (priority, port, target).
    pub(crate) services: BTreeMap<String, Vec<(u16, u16, String)>>,
    /// Target → address.
    pub(crate) addresses: BTreeMap<String, IpAddr>,
    /// TTL of everything.
    pub(crate) ttl: u32,
    /// UDP answers are cut.
    pub(crate) truncated: bool,
    /// Addresses are left out of the additional section.
    pub(crate) bare: bool,
    /// Sent before each UDP answer.
    pub(crate) noise: Vec<Vec<u8>>,
    /// Questions seen.
    pub(crate) asked: u32,
}

/// A running server; ends when dropped.
pub(crate) struct Server {
    pub(crate) at: SocketAddr,
    pub(crate) zone: Arc<Mutex<Zone>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Server {
    pub(crate) async fn start(zone: Zone) -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            // The same number may be taken for UDP: then another one.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let at = tcp.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(zone));
        let tasks = [
            tokio::spawn(serve_udp(udp, Arc::clone(&zone))),
            tokio::spawn(serve_tcp(tcp, Arc::clone(&zone))),
        ];
        Self { at, zone, tasks }
    }
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = vec![0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let (noise, answer) = {
            let mut zone = zone.lock().unwrap();
            zone.asked += 1;
            (zone.noise.clone(), respond(&zone, buffer.get(..length).unwrap(), true))
        };
        for packet in noise {
            socket.send_to(&packet, from).await.unwrap();
        }
        if let Some(answer) = answer {
            socket.send_to(&answer, from).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Mutex<Zone>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let Ok(length) = stream.read_u16().await else { continue };
        let mut query = vec![0; usize::from(length)];
        if stream.read_exact(&mut query).await.is_err() {
            continue;
        }
        let answer = respond(&zone.lock().unwrap(), &query, false);
        if let Some(answer) = answer {
            let length = u16::try_from(answer.len()).unwrap();
            let _ = stream.write_u16(length).await;
            let _ = stream.write_all(&answer).await;
        }
    }
}

fn respond(zone: &Zone, packet: &[u8], udp: bool) -> Option<Vec<u8>> {
    let Parsed::Query(query) = parse_query(packet) else { return None };
    let mut buffer = vec![0; 4096];
    let mut writer =
        Writer::start(&mut buffer, 4096, query.id, Flags::default(), query.question, None);
    writer.authoritative();
    let name = query.qname.to_name().to_host();
    let services = zone.services.get(&name);
    if udp && zone.truncated {
        writer.truncate(query.question);
    } else if query.qtype == Rtype::SRV && services.is_some() {
        for (priority, port, target) in services.unwrap() {
            let target: Name = target.parse().unwrap();
            let mut rdata = priority.to_be_bytes().to_vec();
            rdata.extend_from_slice(&[0, 0]);
            rdata.extend_from_slice(&port.to_be_bytes());
            rdata.extend_from_slice(target.as_wire());
            writer.record(Section::Answer, Owner::Question, Rtype::SRV, zone.ttl, &rdata).unwrap();
        }
        for (_, _, target) in services.unwrap().iter().filter(|_| !zone.bare) {
            let Some(IpAddr::V4(v4)) = zone.addresses.get(target) else { continue };
            let owner: Name = target.parse().unwrap();
            let owner = Owner::Name(owner.as_wire());
            writer.record(Section::Additional, owner, Rtype::A, zone.ttl, &v4.octets()).unwrap();
        }
    } else if let (Rtype::A, Some(IpAddr::V4(v4))) = (query.qtype, zone.addresses.get(&name)) {
        writer.record(Section::Answer, Owner::Question, Rtype::A, zone.ttl, &v4.octets()).unwrap();
    } else if services.is_none() && !zone.addresses.contains_key(&name) {
        writer.rcode(Rcode::NXDOMAIN);
    }
    let length = writer.finish();
    buffer.truncate(length);
    Some(buffer)
}
