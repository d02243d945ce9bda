//! The matrix: each peer as our secondary and as our primary, with and without a key: AXFR, IXFR,
//! NOTIFY, TSIG.

use crate::common::{free_port, start_on};
use crate::lab::{HEAD, ZONES, axfr, nsupdate, serial, until, write_keys, write_zones};
use crate::peer::{Kind, Part, Peer};

/// Ours is the primary; the peer is notified of changes and comes for them. The one zone is signed
/// here, so that each update changes signatures, too.
async fn peer_is_secondary(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    write_zones(folder.path(), 1);
    write_keys(folder.path());
    let (ours, theirs) = (free_port(), free_port());
    let text = format!(
        r#"{HEAD}
[zones."plain.test"]
file = "plain.test.zone"
secondaries = ["127.0.0.1:{theirs}"]
allow_update = [{{ key = "ddns" }}]
[zones."keyed.test"]
file = "keyed.test.zone"
secondaries = ["127.0.0.1:{theirs}"]
tsig_key = "xfr"
allow_update = [{{ key = "ddns" }}]
dnssec = {{ sign = true }}
"#
    );
    let probe = ([127, 0, 0, 1], free_port()).into();
    let server = start_on(&text, folder.path(), ([127, 0, 0, 1], ours).into(), probe).await;
    let peer = Peer::start(kind, theirs, Part::SecondaryOf(ours), folder.path());
    tokio::task::spawn_blocking(move || {
        let same = |zone: &str| {
            let key = (zone == "keyed.test").then_some("xfr");
            let (a, b) = (axfr(ours, zone, key).unwrap(), axfr(theirs, zone, None).unwrap());
            assert!(a.len() > 1_500, "{zone}: {} records", a.len());
            let is_signed = a.iter().any(|line| line.contains(" rrsig soa "));
            assert_eq!(is_signed, zone == "keyed.test", "{zone}");
            assert_eq!(a, b, "{kind:?} {zone}");
        };
        for zone in ZONES {
            until(&format!("{kind:?} has {zone}\n{}", peer.log()), || {
                serial(theirs, zone) == Some(1)
            });
            same(zone);
            let lines = [
                format!("update delete www.{zone}. A 192.0.2.2"),
                format!("update delete h7.some.long.name.of.hosts.{zone}. A"),
                format!("update add new.{zone}. 60 TXT \"x y\""),
            ];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            nsupdate(ours, zone, Some("ddns"), &lines).unwrap();
            assert_eq!(serial(ours, zone), Some(2));
            until(&format!("{kind:?} has the new {zone}\n{}", peer.log()), || {
                serial(theirs, zone) == Some(2)
            });
            same(zone);
        }
        // Without the key the one zone is nobody's business.
        assert!(axfr(ours, "keyed.test", None).is_err());
        assert!(axfr(ours, "keyed.test", Some("ddns")).is_err());
    })
    .await
    .unwrap();
    server.stop().await;
}

/// The peer is the primary; it notifies us of changes, and we come for them.
async fn peer_is_primary(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    write_zones(folder.path(), 1);
    write_keys(folder.path());
    let (ours, theirs) = (free_port(), free_port());
    let text = format!(
        r#"{HEAD}
[zones."plain.test"]
primaries = ["127.0.0.1:{theirs}"]
allow_transfer = ["127.0.0.1"]
[zones."keyed.test"]
primaries = ["127.0.0.1:{theirs}"]
tsig_key = "xfr"
allow_transfer = ["127.0.0.1"]
"#
    );
    let dns = ([127, 0, 0, 1], ours).into();
    let probe = ([127, 0, 0, 1], free_port()).into();
    let peer = Peer::start(kind, theirs, Part::PrimaryOf(ours), folder.path());
    let server = start_on(&text, folder.path(), dns, probe).await;
    // Knot counts on when it adds its digest.
    let first = if kind == Kind::Knot { 2 } else { 1 };
    tokio::task::spawn_blocking(move || {
        let same = |zone: &str| {
            let key = (zone == "keyed.test").then_some("xfr");
            let (a, b) = (axfr(theirs, zone, key).unwrap(), axfr(ours, zone, None).unwrap());
            assert_eq!(a, b, "{kind:?} {zone}");
            // Knot adds digests, without which we would not have taken the zone.
            let has_digest = b.iter().any(|line| line.contains(" zonemd "));
            assert_eq!(has_digest, kind == Kind::Knot, "{zone}");
        };
        for zone in ZONES {
            until(&format!("{zone} has arrived\n{}", peer.log()), || {
                serial(ours, zone).is_some_and(|serial| serial == first)
            });
            same(zone);
        }
        peer.change();
        for zone in ZONES {
            until(&format!("the new {zone} has arrived\n{}", peer.log()), || {
                let serials = (serial(ours, zone), serial(theirs, zone));
                serials.0 == serials.1 && serials.0.is_some_and(|serial| serial > first)
            });
            same(zone);
        }
    })
    .await
    .unwrap();
    server.stop().await;

    // The peer is gone by now; what was transferred is served at once.
    let again = start_on(&text, folder.path(), dns, probe).await;
    for zone in ZONES {
        let answer = again.ask(&format!("new.{zone}"), popnet_dns::Rtype::A);
        assert_eq!(answer.answers.len(), 1, "{zone} after a restart");
    }
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bind_as_secondary() {
    peer_is_secondary(Kind::Bind).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nsd_as_secondary() {
    peer_is_secondary(Kind::Nsd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn knot_as_secondary() {
    peer_is_secondary(Kind::Knot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bind_as_primary() {
    peer_is_primary(Kind::Bind).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nsd_as_primary() {
    peer_is_primary(Kind::Nsd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn knot_as_primary() {
    peer_is_primary(Kind::Knot).await;
}
