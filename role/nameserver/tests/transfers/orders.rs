//! What a person orders about a zone, between two servers of ours.

use std::net::UdpSocket;
use std::time::Duration;

use popnet_dns::Rtype;
use popnet_runtime::link::{Link, LinkError};
use popnet_terms::Role;
use popnet_wire::control::{Ask, Reply};
use popnet_wire::zoning::{ZoneAsk, ZoneOrder, ZoneSource, ZoneStanding};

use crate::common::{Server, free_port, start_on};
use crate::lab::{HEAD, nsupdate, serial, until, write_keys, write_zones};

async fn order(server: &Server, zone: &str, order: ZoneOrder) -> Result<ZoneStanding, String> {
    let ask = Ask::Zone(ZoneAsk { zone: zone.to_owned(), order });
    let socket = server.context.role_socket(Role::Nameserver);
    match Link::local(&socket).await.unwrap().ask_one(&ask).await {
        Ok(Reply::Zone(standing)) => Ok(*standing),
        Ok(other) => panic!("{other:?}"),
        Err(LinkError::Problem(problem)) => Err(problem.code.to_string()),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looked_for_told_frozen_and_thawed() {
    let (above, below) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_zones(above.path(), 1);
    write_keys(above.path());
    write_keys(below.path());
    let (primary_port, port) = (free_port(), free_port());
    // Nobody tells the secondary of changes: only an order makes it look.
    let zone = "[zones.\"plain.test\"]\nfile = \"plain.test.zone\"\nallow_transfer = [\"127.0.0.0/8\"]\n\
                [[zones.\"plain.test\".allow_update]]\nkey = \"xfr\"\n[zones.\"keyed.test\"]\nfile = \"keyed.test.zone\"\n";
    let at = |port: u16| ([127, 0, 0, 1], port).into();
    let start_primary = || start_on_text(format!("{HEAD}{zone}"), above.path(), at(primary_port));
    let primary = start_primary().await;
    let zone = format!("[zones.\"plain.test\"]\nprimaries = [\"127.0.0.1:{primary_port}\"]\n");
    let secondary = start_on_text(format!("{HEAD}{zone}"), below.path(), at(port)).await;
    until("the zone has come", || serial(port, "plain.test") == Some(1));
    let change = |n: u8| {
        let line = format!("update add n{n}.plain.test. 60 A 192.0.2.{n}");
        nsupdate(primary_port, "plain.test", Some("xfr"), &[&line])
    };
    change(1).unwrap();
    let standing = order(&secondary, "plain.test", ZoneOrder::Status).await.unwrap();
    assert_eq!(standing.serial, Some(1), "nobody has told it");
    let standing = order(&secondary, "plain.test", ZoneOrder::Transfer).await.unwrap();
    assert_eq!(standing.serial, Some(2));
    let ZoneSource::Primaries { primaries, confirmed, next, expires, trouble } = standing.source
    else {
        panic!("{standing:?}")
    };
    assert_eq!(primaries, [format!("127.0.0.1:{primary_port}")]);
    assert!(confirmed < next && next < expires && trouble.is_none());

    // Frozen, also after a restart, until it is thawed.
    let standing = order(&primary, "plain.test", ZoneOrder::Freeze).await.unwrap();
    assert!(standing.is_frozen && standing.source == ZoneSource::Updates);
    assert!(change(2).unwrap_err().contains("REFUSED"));
    primary.stop().await;
    let primary = start_primary().await;
    assert!(change(2).unwrap_err().contains("REFUSED"));
    assert!(!order(&primary, "plain.test", ZoneOrder::Thaw).await.unwrap().is_frozen);
    change(2).unwrap();
    assert_eq!(primary.ask("n2.plain.test", Rtype::A).answers.len(), 1);

    // What makes no sense is said.
    for (server, zone, what, code) in [
        (&primary, "plain.test", ZoneOrder::Transfer, "N0053"),
        (&primary, "plain.test", ZoneOrder::Notify, "N0055"),
        (&primary, "keyed.test", ZoneOrder::Freeze, "N0056"),
        (&primary, "www.plain.test", ZoneOrder::Status, "N0052"),
        (&primary, "..", ZoneOrder::Status, "N0051"),
    ] {
        assert_eq!(order(server, zone, what).await.unwrap_err(), code, "{zone} {what:?}");
    }
    primary.stop().await;
    let failed = order(&secondary, "plain.test", ZoneOrder::Transfer).await;
    assert_eq!(failed.unwrap_err(), "N0054");
    secondary.stop().await;
}

async fn start_on_text(
    text: String,
    folder: &std::path::Path,
    dns: std::net::SocketAddr,
) -> Server {
    start_on(&text, folder, dns, ([127, 0, 0, 1], free_port()).into()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn secondaries_are_told_again() {
    let folder = tempfile::tempdir().unwrap();
    write_zones(folder.path(), 1);
    let secondary = UdpSocket::bind("127.0.0.1:0").unwrap();
    secondary.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let zone = format!(
        "[zones.\"plain.test\"]\nfile = \"plain.test.zone\"\nsecondaries = [\"{}\"]\n",
        secondary.local_addr().unwrap()
    );
    let at = ([127, 0, 0, 1], free_port()).into();
    let primary = start_on_text(format!("{HEAD}{zone}"), folder.path(), at).await;
    // Takes a notification and says so: then nobody calls again.
    let hear = || {
        let mut buffer = [0; 512];
        let (length, from) = secondary.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[2] >> 3 & 0xf, 4, "NOTIFY");
        buffer[2] |= 0x80;
        secondary.send_to(&buffer[..length], from).unwrap();
    };
    hear();
    let told = order(&primary, "plain.test", ZoneOrder::Notify).await.unwrap();
    assert_eq!(told.secondaries, [secondary.local_addr().unwrap().to_string()]);
    hear();
    primary.stop().await;
}
