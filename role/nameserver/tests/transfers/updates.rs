//! Updates by `nsupdate`: what is granted, what is kept, what a new file does.

use std::path::Path;
use std::sync::Arc;

use popnet_dns::Rtype;

use crate::common::{Server, free_port, held, place, start_on};
use crate::lab::{HEAD, nsupdate, serial, until, write_keys, write_zones};
use crate::peer::{Kind, Part, Peer};

const ZONE: &str = r#"
[zones."plain.test"]
file = "plain.test.zone"
[[zones."plain.test".allow_update]]
key = "ddns"
names = ["dyn.plain.test"]
types = ["A", "TXT"]
[[zones."plain.test".allow_update]]
key = "xfr"
[zones."keyed.test"]
primaries = ["127.0.0.1:1"]
"#;

async fn start(folder: &Path) -> Server {
    let text = format!("{HEAD}{ZONE}");
    let port = || ([127, 0, 0, 1], free_port()).into();
    start_on(&text, folder, port(), port()).await
}

/// Copies a folder as it lies on disk now: what a power cut would leave, and more than a kill
/// would.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.is_file() {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn granted_kept_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    write_zones(folder.path(), 1);
    write_keys(folder.path());
    let server = start(folder.path()).await;
    let port = server.dns.port();
    let add = |key: Option<&str>, line: &str| nsupdate(port, "plain.test", key, &[line]);

    // By name, type and key.
    add(Some("ddns"), "update add a.dyn.plain.test. 60 A 192.0.2.50").unwrap();
    for (key, line) in [
        (None, "update add b.dyn.plain.test. 60 A 192.0.2.51"),
        (Some("ddns"), "update add b.plain.test. 60 A 192.0.2.51"),
        (Some("ddns"), "update add b.dyn.plain.test. 60 MX 1 a"),
        (Some("xfr"), "update delete plain.test. NS ns2.else.test."),
        (Some("nobody"), "update add b.dyn.plain.test. 60 A 192.0.2.51"),
    ] {
        assert!(add(key, line).is_err(), "{key:?} {line}");
    }
    assert_eq!(serial(port, "plain.test"), Some(2));
    // Prerequisites, and all or nothing.
    let both = ["prereq nxdomain www.plain.test.", "update add c.plain.test. 60 A 192.0.2.52"];
    let refused = nsupdate(port, "plain.test", Some("xfr"), &both).unwrap_err();
    assert!(refused.contains("YXDOMAIN"), "{refused}");
    let both = ["prereq yxdomain www.plain.test.", "update add c.plain.test. 60 A 192.0.2.52"];
    nsupdate(port, "plain.test", Some("xfr"), &both).unwrap();
    // Over TCP: more than a datagram holds.
    let many: Vec<String> =
        (0..60).map(|n| format!("update add m{n}.plain.test. 60 TXT \"{n}\"")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    nsupdate(port, "plain.test", Some("xfr"), &many).unwrap();
    assert_eq!(serial(port, "plain.test"), Some(4));
    // A secondary says no, clearly.
    let elsewhere = ["update add a.keyed.test. 60 A 192.0.2.1"];
    let refused = nsupdate(port, "keyed.test", Some("xfr"), &elsewhere).unwrap_err();
    assert!(refused.contains("REFUSED"), "{refused}");

    // What was answered is on disk: another server finds it there, without a goodbye of this one.
    let other = tempfile::tempdir().unwrap();
    copy(folder.path(), other.path());
    let second = start(other.path()).await;
    assert_eq!(serial(second.dns.port(), "plain.test"), Some(4));
    for name in ["a.dyn.plain.test", "c.plain.test"] {
        assert_eq!(second.ask(name, Rtype::A).answers.len(), 1, "{name}");
    }
    assert_eq!(second.ask("m59.plain.test", Rtype::TXT).answers.len(), 1);
    second.stop().await;

    // A file with an older number changes nothing, one with a later replaces all.
    let text = place(&format!("{HEAD}{ZONE}"), server.dns, server.probe);
    write_zones(folder.path(), 3);
    server.config.send_replace(Arc::new(held(&text, 2, folder.path())));
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(serial(port, "plain.test"), Some(4));
    write_zones(folder.path(), 9);
    server.config.send_replace(Arc::new(held(&text, 3, folder.path())));
    until("the new file", || serial(port, "plain.test") == Some(9));
    assert!(server.ask("c.plain.test", Rtype::A).answers.is_empty());
    nsupdate(port, "plain.test", Some("xfr"), &["update add z.plain.test. 60 A 192.0.2.53"])
        .unwrap();
    assert_eq!(serial(port, "plain.test"), Some(10));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_journal_counts_up_to_the_tear() {
    let folder = tempfile::tempdir().unwrap();
    write_zones(folder.path(), 1);
    write_keys(folder.path());
    let server = start(folder.path()).await;
    for n in 0..3 {
        let line = format!("update add t{n}.plain.test. 60 A 192.0.2.5{n}");
        nsupdate(server.dns.port(), "plain.test", Some("xfr"), &[&line]).unwrap();
    }
    server.stop().await;
    let journal = folder.path().join("state/nameserver/zones/plain.test.journal");
    let octets = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &octets[..octets.len() - 3]).unwrap();
    let server = start(folder.path()).await;
    assert_eq!(serial(server.dns.port(), "plain.test"), Some(3));
    assert!(server.ask("t2.plain.test", Rtype::A).answers.is_empty());
    assert_eq!(server.ask("t1.plain.test", Rtype::A).answers.len(), 1);
    server.stop().await;
}

/// Signed with a key that only BIND has, sent to our secondary, carried out by BIND.
#[tokio::test(flavor = "multi_thread")]
async fn updates_are_passed_on_to_the_primary() {
    let folder = tempfile::tempdir().unwrap();
    write_zones(folder.path(), 1);
    let (ours, theirs) = (free_port(), free_port());
    let text = |rest: &str| {
        format!("{HEAD}[zones.\"plain.test\"]\nprimaries = [\"127.0.0.1:{theirs}\"]\n{rest}")
    };
    let address = |port: u16| ([127, 0, 0, 1], port).into();
    let peer = Peer::start(Kind::Bind, theirs, Part::PrimaryOf(ours), folder.path());
    let start = |rest: &str| {
        let text = text(rest);
        async move {
            let folder = tempfile::tempdir().unwrap();
            let probe = address(free_port());
            let server = start_on(&text, folder.path(), address(ours), probe).await;
            until("the zone is there", || serial(ours, "plain.test").is_some());
            (server, folder)
        }
    };
    let (server, _folder) = start("forward_updates = true\n").await;
    let line = ["update add far.plain.test. 60 A 192.0.2.99"];
    nsupdate(ours, "plain.test", Some("ddns"), &line).unwrap();
    until(&peer.log(), || serial(theirs, "plain.test") == Some(2));
    until("the change is back", || serial(ours, "plain.test") == Some(2));
    // By address nobody changes anything: the primary would see ours.
    assert!(nsupdate(ours, "plain.test", None, &line).unwrap_err().contains("REFUSED"));
    // Another's key: the primary's own words come back.
    let said = nsupdate(ours, "plain.test", Some("nobody"), &line).unwrap_err();
    assert!(said.contains("NOTAUTH") || said.contains("BADKEY"), "{said}");
    server.stop().await;
    let (server, _folder) = start("").await;
    assert!(nsupdate(ours, "plain.test", Some("ddns"), &line).is_err());
    server.stop().await;
}

/// Anybody can send these in anybody's name: refusals are limited as errors are. Who is let in is
/// not held up.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_limited_and_what_is_allowed_is_not() {
    let folder = tempfile::tempdir().unwrap();
    write_zones(folder.path(), 1);
    write_keys(folder.path());
    let port = || ([127, 0, 0, 1], free_port()).into();
    let text = format!(
        "{HEAD}[dns.rate_limit]\nerrors = \"5/s\"\nslip = 0\n\
         [zones.\"plain.test\"]\nfile = \"plain.test.zone\"\nallow_update = [{{ key = \"ddns\" }}]\n\
         [zones.\"keyed.test\"]\nprimaries = [\"127.0.0.1:1\"]\n"
    );
    let server = start_on(&text, folder.path(), port(), port()).await;
    let plain: popnet_dns::Name = "plain.test".parse().unwrap();
    let keyed: popnet_dns::Name = "keyed.test".parse().unwrap();
    let soa = popnet_transfer::Rr {
        owner: keyed.clone(),
        rtype: Rtype::SOA,
        ttl: 0,
        rdata: [&[0; 2][..], &[0; 20]].concat().into(),
    };
    let allowed = popnet_transfer::notification(1, &keyed, &soa);
    let soa = popnet_transfer::Rr { owner: plain.clone(), ..soa };
    let told = popnet_transfer::notification(1, &plain, &soa);
    let update = [&[0, 1, 5 << 3, 0, 0, 1, 0, 0, 0, 0, 0, 0], plain.as_wire(), &[0, 6, 0, 1]];
    let refused = [told, update.concat(), popnet_transfer::ask(1, &plain, Rtype::AXFR, None)];
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    let answers = |messages: &[Vec<u8>]| {
        for message in messages {
            socket.send_to(message, server.dns).unwrap();
        }
        let mut buffer = [0; 512];
        std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count()
    };
    let many: Vec<Vec<u8>> = refused.iter().cycle().take(90).cloned().collect();
    let answered = answers(&many);
    assert!((1..=12).contains(&answered), "{answered} of 90 refusals");
    assert_eq!(answers(&vec![allowed; 30]), 30);
    nsupdate(
        server.dns.port(),
        "plain.test",
        Some("ddns"),
        &["update add n.plain.test. 60 A 192.0.2.9"],
    )
    .unwrap();
    server.stop().await;
}
