//! Primaries that lie, clients that send junk: whoever asks for something else is served.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use popnet_dns::{Flags, Name, Rtype, read_zone};
use popnet_transfer::{Content, Head, Incoming, Rr, notification, pack};

use crate::common::{free_port, start_on};
use crate::lab::{HEAD, until, write_keys, write_zones};

fn content() -> Content {
    let text = "$TTL 60\n@ SOA ns h 5 10 10 100 60\n@ NS ns\nns A 192.0.2.1\n";
    let apex: Name = "bomb.test".parse().unwrap();
    let mut none = |_: &std::path::Path| Err("no files".to_owned());
    Content::from(&read_zone(&apex, "t".as_ref(), text.as_bytes(), &mut none).unwrap())
}

/// A primary whose zone never ends: says its SOA over UDP, and sends records until nobody takes
/// them.
fn bomb(address: SocketAddr, sent: Arc<AtomicUsize>) {
    let udp = UdpSocket::bind(address).unwrap();
    let tcp = TcpListener::bind(address).unwrap();
    let soa = content().soa().unwrap();
    let answer = move |octets: &[u8], records: &[Rr]| {
        let id = Incoming::parse(octets).unwrap().id;
        let name: Name = "bomb.test".parse().unwrap();
        let question = [name.as_wire(), &octets[octets.len() - 4..]].concat();
        let question = if records.len() > 1 { &[][..] } else { &question };
        let flags = Flags::default();
        let head = Head { id, flags, question, qtype: Rtype::AXFR, edns: false };
        pack(&head, records.iter().map(Rr::line)).unwrap().remove(0)
    };
    let soa_udp = soa.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            let reply = answer(&buffer[..length], std::slice::from_ref(&soa_udp));
            let _ = udp.send_to(&reply, from);
        }
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question).unwrap();
            for n in 0..1_000_000u32 {
                let owner = Name::from_wire(
                    &[&[8], format!("{n:08}").as_bytes(), soa.owner.as_wire()].concat(),
                );
                let more =
                    Rr { owner: owner.unwrap(), rtype: Rtype::A, ttl: 1, rdata: [1; 4].into() };
                let ns = content().records().nth(1).unwrap();
                let records = if n == 0 { vec![soa.clone(), ns] } else { vec![more; 2] };
                let message = answer(&question, &records);
                let length = u16::try_from(message.len()).unwrap().to_be_bytes();
                if stream.write_all(&[&length, message.as_slice()].concat()).is_err() {
                    break;
                }
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_without_end_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    write_zones(folder.path(), 1);
    let (ours, theirs) = (free_port(), free_port());
    let sent = Arc::new(AtomicUsize::new(0));
    bomb(([127, 0, 0, 1], theirs).into(), Arc::clone(&sent));
    let text = format!(
        "{HEAD}[zones.\"bomb.test\"]\nprimaries = [\"127.0.0.1:{theirs}\"]\nmax_records = 1000\n\
         [zones.\"plain.test\"]\nfile = \"plain.test.zone\"\n"
    );
    let probe = ([127, 0, 0, 1], free_port()).into();
    let server = start_on(&text, folder.path(), ([127, 0, 0, 1], ours).into(), probe).await;
    until("it is asked for the zone", || sent.load(Ordering::Relaxed) > 400);
    assert_eq!(server.ask("www.plain.test", Rtype::A).answers.len(), 2);
    assert_eq!(server.ask("bomb.test", Rtype::SOA).rcode.to_string(), "SERVFAIL");
    server.stop().await;
    assert!(!folder.path().join("state/nameserver/zones/bomb.test.zone").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_of_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    write_zones(folder.path(), 1);
    write_keys(folder.path());
    let text = format!(
        "{HEAD}[zones.\"plain.test\"]\nfile = \"plain.test.zone\"\ntsig_key = \"xfr\"\n\
         allow_update = [{{ key = \"ddns\" }}]\n[zones.\"keyed.test\"]\nprimaries = [\"127.0.0.1:1\"]\n"
    );
    let port = || ([127, 0, 0, 1], free_port()).into();
    let server = start_on(&text, folder.path(), port(), port()).await;
    let plain: Name = "plain.test".parse().unwrap();
    let code = |message: &[u8]| server.exchange(message).map(|answer| answer[3] & 0xf);

    // Of zones that are not there, not secondary, or ours and secondary; and malformed.
    let told = |name: &str| {
        let soa = Rr { owner: name.parse().unwrap(), ..content().soa().unwrap() };
        notification(9, &name.parse().unwrap(), &soa)
    };
    assert_eq!(code(&told("nowhere.test")), Some(9));
    assert_eq!(code(&told("plain.test")), Some(5));
    assert_eq!(code(&told("keyed.test")), Some(0));
    assert_eq!(code(&told("keyed.test")[..30]), Some(1));
    // Whole zones do not go over UDP, and not without the key.
    assert_eq!(code(&popnet_transfer::ask(9, &plain, Rtype::AXFR, None)), Some(5));

    let seeds = [
        told("keyed.test"),
        popnet_transfer::ask(9, &plain, Rtype::IXFR, Some(&content().soa().unwrap())),
        {
            let mut signed = popnet_transfer::ask(9, &plain, Rtype::SOA, None);
            let key = popnet_transfer::Key::new(
                "ddns".parse().unwrap(),
                popnet_transfer::Algorithm::Sha256,
                b"x",
            );
            popnet_transfer::tsig::sign(&mut signed, &Arc::new(key), 1);
            signed[2] = 5 << 3;
            signed
        },
    ];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut state = 11u64;
    for round in 0..3_000 {
        let mut packet = seeds[round % seeds.len()].clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = usize::try_from(state >> 33).unwrap() % packet.len();
            packet[at] = state.to_be_bytes()[3];
        }
        socket.send_to(&packet, server.dns).unwrap();
    }
    assert_eq!(server.ask("www.plain.test", Rtype::A).answers.len(), 2);
    assert_eq!(crate::lab::serial(server.dns.port(), "plain.test"), Some(1));
    server.stop().await;
}
