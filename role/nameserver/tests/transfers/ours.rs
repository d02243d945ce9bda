//! Two servers of ours: timers, expiry, and differences on the wire.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use popnet_dns::{Name, Rtype};
use popnet_transfer::{Arrival, Arrived, Limits, Progress, Rr, Serial, Soa, Wanted, ask};

use crate::common::{Server, free_port, start_on};
use crate::lab::{HEAD, nsupdate, serial, until, write_keys};

const ZONE: &str = "$TTL 300\n@ SOA ns1 h 1 1 1 600 60\n@ NS ns1\nns1 A 192.0.2.1\n";

async fn start(folder: &Path, zone: &str, port: u16) -> Server {
    let text = format!("{HEAD}{zone}");
    let probe = ([127, 0, 0, 1], free_port()).into();
    start_on(&text, folder, ([127, 0, 0, 1], port).into(), probe).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_expires_and_comes_back() {
    let (above, below) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(above.path().join("z.zone"), ZONE.replace(" 600 ", " 3 ")).unwrap();
    let (primary_port, port) = (free_port(), free_port());
    let primary_zone =
        "[zones.\"plain.test\"]\nfile = \"z.zone\"\nallow_transfer = [\"127.0.0.0/8\"]\n";
    let zone = format!("[zones.\"plain.test\"]\nprimaries = [\"127.0.0.1:{primary_port}\"]\n");

    let server = start(below.path(), &zone, port).await;
    let code = |server: &Server| server.ask("ns1.plain.test", Rtype::A).rcode.to_string();
    assert_eq!(code(&server), "SERVFAIL", "never transferred");
    let primary = start(above.path(), primary_zone, primary_port).await;
    until("the zone has come", || code(&server) == "NOERROR");
    primary.stop().await;
    until("the zone has expired", || code(&server) == "SERVFAIL");
    let primary = start(above.path(), primary_zone, primary_port).await;
    until("the zone is back", || code(&server) == "NOERROR");
    primary.stop().await;
    server.stop().await;
}

/// The answer to a question for differences.
fn ixfr(port: u16, since: u32) -> Arrived {
    let apex: Name = "plain.test".parse().unwrap();
    let mut rdata = b"\0\0".to_vec();
    for number in [since, 1, 1, 1, 1] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    let soa = Rr { owner: apex.clone(), rtype: Rtype::SOA, ttl: 0, rdata: rdata.into() };
    let question = ask(7, &apex, Rtype::IXFR, Some(&soa));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, question.as_slice()].concat()).unwrap();
    let limits = Limits { records: 1_000, octets: 100_000 };
    let mut arrival = Arrival::new(7, apex, Wanted::Since(Serial(since)), limits);
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut message).unwrap();
        if let Progress::Done(arrived) = arrival.message(&message).unwrap() {
            return arrived;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_from_any_recent_number() {
    let folder = tempfile::tempdir().unwrap();
    write_keys(folder.path());
    std::fs::write(folder.path().join("z.zone"), ZONE).unwrap();
    let port = free_port();
    let zone = r#"
[zones."plain.test"]
file = "z.zone"
allow_transfer = ["127.0.0.1"]
allow_update = [{ key = "ddns" }]
"#;
    let server = start(folder.path(), zone, port).await;
    for n in 2..=4u8 {
        let line = format!("update add a{n}.plain.test. 60 A 192.0.2.{n}");
        nsupdate(port, "plain.test", Some("ddns"), &[&line]).unwrap();
    }
    assert_eq!(serial(port, "plain.test"), Some(4));
    // Bigger than the zone: then the whole zone comes instead (RFC 1995 2).
    let Arrived::Whole(records) = ixfr(port, 1) else { panic!("{:?}", ixfr(port, 1)) };
    assert_eq!(records.len(), 6);
    let Arrived::Steps(steps) = ixfr(port, 3) else { panic!("{:?}", ixfr(port, 3)) };
    assert_eq!((steps.len(), steps[0].added.len()), (1, 1));
    assert_eq!(Soa::of(&steps[0].new.rdata).unwrap().serial, Serial(4));
    assert_eq!(ixfr(port, 4), Arrived::Unchanged(Serial(4)));
    assert!(matches!(ixfr(port, 99_999), Arrived::Unchanged(_)), "ahead of us");
    server.stop().await;
}

/// Of a zone that is updated, also a signed one, and of a secondary of it: what is asked for after
/// a restart are differences.
#[tokio::test(flavor = "multi_thread")]
async fn differences_outlive_a_restart() {
    for dnssec in ["", "dnssec = { sign = true }\n"] {
        let (above, below) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_keys(above.path());
        std::fs::write(above.path().join("z.zone"), crate::lab::zone_file(1)).unwrap();
        let (port, second) = (free_port(), free_port());
        let zone = format!(
            "[zones.\"plain.test\"]\nfile = \"z.zone\"\nallow_transfer = [\"127.0.0.1\"]\n\
             secondaries = [\"127.0.0.1:{second}\"]\n\
             allow_update = [{{ key = \"ddns\" }}]\n{dnssec}"
        );
        let of_it = format!(
            "[zones.\"plain.test\"]\nprimaries = [\"127.0.0.1:{port}\"]\n\
             allow_transfer = [\"127.0.0.1\"]\n"
        );
        let primary = start(above.path(), &zone, port).await;
        let secondary = start(below.path(), &of_it, second).await;
        let first = serial(port, "plain.test");
        until("the zone is there", || serial(second, "plain.test") == first);
        let mut last = first;
        for n in 2..=4u8 {
            let line = format!("update add a{n}.plain.test. 60 A 192.0.2.{n}");
            nsupdate(port, "plain.test", Some("ddns"), &[&line]).unwrap();
            last = serial(port, "plain.test");
            until("the update is there", || serial(second, "plain.test") == last);
        }
        let ends = |folder: &Path| {
            let path = folder.join("state/nameserver/zones/plain.test.history");
            let octets = std::fs::read(path).unwrap_or_default();
            // The last entry is the seal: kind, serial number, hash.
            let at = octets.len().saturating_sub(20);
            octets.get(at..at + 4).map(|four| u32::from_be_bytes(four.try_into().unwrap()))
        };
        for folder in [above.path(), below.path()] {
            until("the differences are on disk", || ends(folder) == last);
        }
        primary.stop().await;
        secondary.stop().await;
        for (folder, zone, port) in [(above, zone, port), (below, of_it, second)] {
            let server = start(folder.path(), &zone, port).await;
            assert_eq!(serial(port, "plain.test"), last);
            for since in first.unwrap()..last.unwrap() {
                let arrived = ixfr(port, since);
                let Arrived::Steps(steps) = arrived else { panic!("{since}: {arrived:?}") };
                assert_eq!(steps.last().unwrap().to().0, last.unwrap());
            }
            server.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogs_list_zones() {
    let (above, below) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_keys(above.path());
    std::fs::write(above.path().join("z.zone"), ZONE).unwrap();
    let catalog = "$TTL 0\n@ SOA . . 1 1 1 3600 1\n@ NS invalid.\nversion TXT \"2\"\n\
                   one.zones PTR plain.test.\n";
    std::fs::write(above.path().join("c.zone"), catalog).unwrap();
    let (primary_port, port) = (free_port(), free_port());
    let primary_zones = format!(
        r#"
[zones."catalog.test"]
file = "c.zone"
secondaries = ["127.0.0.1:{port}"]
allow_update = [{{ key = "ddns" }}]
[zones."plain.test"]
file = "z.zone"
allow_transfer = ["127.0.0.1"]
[zones."other.test"]
file = "z.zone"
allow_transfer = ["127.0.0.1"]
"#
    );
    let zones = format!(
        "[zones.\"catalog.test\"]\nprimaries = [\"127.0.0.1:{primary_port}\"]\ncatalog = true\n"
    );
    let primary = start(above.path(), &primary_zones, primary_port).await;
    let server = start(below.path(), &zones, port).await;
    let code = |name: &str| server.ask(name, Rtype::A).rcode.to_string();
    until("the listed zone is served", || code("ns1.plain.test") == "NOERROR");
    assert_eq!(code("ns1.other.test"), "REFUSED");
    let change =
        |line: &str| nsupdate(primary_port, "catalog.test", Some("ddns"), &[line]).unwrap();
    change("update add two.zones.catalog.test. 0 PTR other.test.");
    until("the new zone is served", || code("ns1.other.test") == "NOERROR");
    assert_eq!(code("ns1.plain.test"), "NOERROR");
    // Broken, it changes nothing.
    change("update add two.zones.catalog.test. 0 PTR third.test.");
    until("the broken catalog is there", || serial(port, "catalog.test") == Some(3));
    assert_eq!(code("ns1.other.test"), "NOERROR");
    change("update delete two.zones.catalog.test.");
    until("the zone is gone", || code("ns1.other.test") == "REFUSED");
    primary.stop().await;
    server.stop().await;

    // All that is known is known after a restart, without a primary.
    let server = start(below.path(), &zones, port).await;
    let code = |name: &str| server.ask(name, Rtype::A).rcode.to_string();
    until("the listed zone is back", || code("ns1.plain.test") == "NOERROR");
    server.stop().await;
}
