//! Catalogs of our own making, followed by others, and what the entry of a catalog or a folder says
//! of the zones in it.

use std::path::Path;
use std::process::Command;

use popnet_dns::Rtype;

use crate::common::{Server, free_port, held, place, start_on};
use crate::lab::{HEAD, SECRET, axfr, serial, until, write_keys};
use crate::peer::Process;

const ZONE: &str = "$TTL 300\n@ SOA ns1 h 1 60 5 3600 60\n@ NS ns1\nns1 A 192.0.2.1\n";

fn bind(folder: &Path, port: u16, ours: u16) -> String {
    let d = folder.display();
    let primaries = format!("{{ 127.0.0.1 port {ours} key xfr; }}");
    format!(
        "options {{ directory \"{d}\"; listen-on port {port} {{ 127.0.0.1; }}; \
         listen-on-v6 {{ none; }}; recursion no; pid-file \"{d}/pid\"; session-keyfile none; \
         dnssec-validation no; min-refresh-time 1; notify no; \
         catalog-zones {{ zone \"catalog.test\" default-primaries {primaries} in-memory yes \
         min-update-interval 1; }}; }};\ncontrols {{ }};\n\
         key \"xfr\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
         zone \"catalog.test\" {{ type secondary; file \"c.sec\"; primaries {primaries}; }};\n"
    )
}

/// What belongs to no group that it knows is not transferred.
fn knot(folder: &Path, port: u16, ours: u16) -> String {
    let d = folder.display();
    std::fs::create_dir(folder.join("db")).unwrap();
    format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{d}\"\n\
         database:\n  storage: \"{d}/db\"\nlog:\n  - target: stderr\n    any: info\n\
         key:\n  - id: xfr\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
         remote:\n  - id: ours\n    address: 127.0.0.1@{ours}\n    key: xfr\n\
         acl:\n  - id: ours\n    address: 127.0.0.1\n    key: xfr\n    action: notify\n\
         template:\n  - id: bare\n    storage: \"{d}\"\n  - id: hosted\n    storage: \"{d}\"\n    master: ours\n    acl: ours\n\
         zone:\n  - domain: catalog.test\n    storage: \"{d}\"\n    master: ours\n    acl: ours\n    \
         catalog-role: interpret\n    catalog-template: [bare, hosted]\n"
    )
}

fn configuration(theirs: u16) -> String {
    format!(
        r#"{HEAD}
[zones_from]
directory = "many"
group = "hosted"
[zones."named.test"]
file = "many/one.test.zone"
group = "hosted"
[zones."private.test"]
file = "many/one.test.zone"
allow_transfer = ["192.0.2.1"]
group = "hosted"
[zones."catalog.test"]
catalog = true
secondaries = ["127.0.0.1:{theirs}"]
tsig_key = "xfr"
"#
    )
}

/// Publishes the configuration once more, and waits until it is in force.
fn reload(server: &Server, text: &str, epoch: u32, folder: &Path) {
    let text = place(text, server.dns, server.probe);
    server.config.send(held(&text, epoch.into(), folder).into()).unwrap();
    let port = server.dns.port();
    until("the configuration is in force", || serial(port, "cdn.lab.test") == Some(epoch));
}

async fn is_followed(peer: fn(&Path, u16, u16) -> String, start: fn(&Path, &str) -> Process) {
    let (folder, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_keys(folder.path());
    let many = folder.path().join("many");
    std::fs::create_dir(&many).unwrap();
    std::fs::write(many.join("one.test.zone"), ZONE).unwrap();
    let (ours, theirs) = (free_port(), free_port());
    let text = configuration(theirs);
    let dns = ([127, 0, 0, 1], ours).into();
    let probe = ([127, 0, 0, 1], free_port()).into();
    let server = start_on(&text, folder.path(), dns, probe).await;
    let peer = start(beside.path(), &peer(beside.path(), theirs, ours));
    let (server, folder) = tokio::task::spawn_blocking(move || {
        let at_theirs = |zone: &str, wanted: Option<u32>| {
            until(&format!("{zone} is {wanted:?} there\n{}", peer.log()), || {
                serial(theirs, zone) == wanted
            });
        };
        at_theirs("one.test", Some(1));
        at_theirs("named.test", Some(1));
        // It is listed, but what is said of it lets others have it.
        assert_eq!(serial(theirs, "private.test"), None);
        let first = serial(ours, "catalog.test").unwrap();
        // Nobody else has the zones, nor the list of them.
        for zone in ["catalog.test", "one.test", "private.test"] {
            assert!(axfr(ours, zone, None).is_err(), "{zone}");
        }
        assert!(axfr(ours, "one.test", Some("xfr")).is_ok());

        // The same again is the same list.
        reload(&server, &text, 2, folder.path());
        assert_eq!(serial(ours, "catalog.test"), Some(first));
        // A zone more; and one that cannot be read is still a zone.
        std::fs::write(many.join("two.test.zone"), ZONE).unwrap();
        reload(&server, &text, 3, folder.path());
        let second = serial(ours, "catalog.test").unwrap();
        assert!(second > first);
        at_theirs("two.test", Some(1));
        std::fs::write(many.join("two.test.zone"), "broken").unwrap();
        reload(&server, &text, 4, folder.path());
        assert_eq!(serial(ours, "catalog.test"), Some(second));
        // A folder that is gone for a while takes no zones along.
        std::fs::rename(&many, folder.path().join("gone")).unwrap();
        reload(&server, &text, 5, folder.path());
        assert_eq!(serial(ours, "catalog.test"), Some(second));
        std::fs::rename(folder.path().join("gone"), &many).unwrap();
        // A zone less; who follows gets the difference.
        std::fs::remove_file(many.join("two.test.zone")).unwrap();
        reload(&server, &text, 6, folder.path());
        at_theirs("two.test", None);
        assert_eq!(serial(theirs, "one.test"), Some(1));
        let steps = Command::new("dig")
            .args(["@127.0.0.1", "-p", &ours.to_string(), "catalog.test"])
            .args([&format!("IXFR={second}"), "-y", &format!("hmac-sha256:xfr:{SECRET}")])
            .output()
            .unwrap();
        let steps = String::from_utf8_lossy(&steps.stdout).into_owned();
        let types = steps.lines().filter_map(|line| line.split_whitespace().nth(3));
        let types: Vec<&str> = types.filter(|word| ["SOA", "PTR", "TXT"].contains(word)).collect();
        assert_eq!(types, ["SOA", "SOA", "PTR", "TXT", "SOA", "SOA"], "{steps}");
        (server, folder)
    })
    .await
    .unwrap();
    let last = serial(ours, "catalog.test");
    server.stop().await;
    let server = start_on(&configuration(theirs), folder.path(), dns, probe).await;
    assert_eq!(serial(ours, "catalog.test"), last, "after a restart");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bind_follows_our_catalog() {
    is_followed(bind, Process::bind).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn knot_follows_our_catalog() {
    is_followed(knot, Process::knot).await;
}

/// Two servers of ours: the one lists its zones, the other signs what is listed.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_catalog_lists_is_signed_as_its_entry_says() {
    let (above, below) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [above.path(), below.path()] {
        write_keys(folder);
        std::fs::create_dir(folder.join("many")).unwrap();
    }
    std::fs::write(above.path().join("many/one.test.zone"), ZONE).unwrap();
    std::fs::write(below.path().join("many/own.test.zone"), ZONE).unwrap();
    let (port, second) = (free_port(), free_port());
    let probe = || ([127, 0, 0, 1], free_port()).into();
    let text = configuration(second);
    let primary = start_on(&text, above.path(), ([127, 0, 0, 1], port).into(), probe()).await;
    let text = format!(
        r#"{HEAD}
[zones."catalog.test"]
primaries = ["127.0.0.1:{port}"]
tsig_key = "xfr"
catalog = true
dnssec = {{ sign = true, algorithm = "ed25519" }}
[zones_from]
directory = "many"
tsig_key = "ddns"
dnssec = {{ sign = true, denial = "compact" }}
"#
    );
    let secondary = start_on(&text, below.path(), ([127, 0, 0, 1], second).into(), probe()).await;
    let algorithms = |zone: &str| -> Vec<String> {
        let keys = secondary.ask(zone, Rtype::DNSKEY).answers;
        keys.iter().map(|key| key.text.split(' ').nth(2).unwrap_or_default().to_owned()).collect()
    };
    until("the listed zone is signed", || algorithms("one.test") == ["15", "15"]);
    assert_eq!(algorithms("own.test"), ["13", "13"]);
    assert!(algorithms("catalog.test").is_empty(), "{:?}", algorithms("catalog.test"));
    // The key of the folder's entry, and no other.
    assert!(axfr(second, "own.test", Some("xfr")).is_err());
    let own = axfr(second, "own.test", Some("ddns")).unwrap();
    assert!(own.iter().any(|line| line.contains(" rrsig soa ")), "{own:?}");
    assert!(!own.iter().any(|line| line.contains(" nsec ")), "{own:?}");
    primary.stop().await;
    secondary.stop().await;
}
