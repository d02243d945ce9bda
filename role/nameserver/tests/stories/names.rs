//! Stories of steered names inside zone files: hints, ALIAS, and mistakes in files that a zone
//! includes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{held, place, start};
use popnet_dns::Rtype;

const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.lab.test"
[pops.fra1.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = { dns = ["DNS"], probe = ["PROBE"] }
workers = { dns = 1 }
[pops.fra1.nodes.edge1]
roles = ["webcache", "webserver"]
address = ["192.0.2.11", "2001:db8::11"]
[pops.iad1.nodes.edge1]
roles = ["webcache", "webserver"]
address = ["192.0.2.21"]
[customers.acme]
[origin_groups.www.servers]
east = { address = "203.0.113.1:8080" }
[sites."www.acme.test"]
customer = "acme"
kind = "cached"
origins = "www"
[sites."shop.test"]
customer = "acme"
kind = "cached"
origins = "www"
[zones."acme.test"]
file = "acme.test.zone"
[zones."shop.test"]
file = "shop.test.zone"
"#;

const ACME: &str = "\
$TTL 300
@ SOA ns1 h 1 2 3 4 60
@ NS ns1
@ ALIAS www
ns1 A 192.0.2.1
www HTTPS 1 . alpn=h2 ipv4hint=198.51.100.9
www TXT \"beside\"
$INCLUDE hosts
";

const SHOP: &str = "$TTL 300\n@ SOA ns1.acme.test. h 1 2 3 4 60\n@ NS ns1.acme.test.\n@ MX 1 m\n";

fn write(folder: &Path, file: &str, text: &str) {
    std::fs::write(folder.join(file), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_are_the_addresses_that_the_same_client_gets() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "acme.test.zone", ACME);
    write(folder.path(), "shop.test.zone", SHOP);
    write(folder.path(), "hosts", "$GENERATE 1-3 host-$ A 192.0.2.10$\n");
    let server = start(NETWORK, folder.path()).await;
    for subnet in [None, Some("198.51.100.0/24")] {
        let texts = |name, rtype| {
            let answer = server.ask_for(name, rtype, subnet);
            let of_type = answer.answers.iter().filter(|record| record.rtype == rtype);
            of_type.map(|record| record.text.clone()).collect::<Vec<_>>()
        };
        let (four, six) = (texts("www.acme.test", Rtype::A), texts("www.acme.test", Rtype::AAAA));
        assert!(!four.is_empty() && !six.is_empty(), "{four:?} {six:?}");
        let hints = format!("ipv4hint={} ipv6hint={}", four.join(","), six.join(","));
        assert_eq!(texts("www.acme.test", Rtype::HTTPS), [format!("1 . alpn=h2 {hints}")]);
        // The apex has them, too, and so has a site that is the apex of a zone with a file.
        assert_eq!(texts("acme.test", Rtype::A), four);
        assert_eq!(texts("shop.test", Rtype::AAAA), six);
    }
    assert_eq!(server.ask("shop.test", Rtype::MX).answers.len(), 1);
    assert_eq!(server.ask("www.acme.test", Rtype::TXT).answers.len(), 1);
    assert_eq!(server.addresses("host-3.acme.test", None).len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_an_included_file_keeps_the_last_good_zone() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "acme.test.zone", ACME);
    write(folder.path(), "shop.test.zone", SHOP);
    write(folder.path(), "hosts", "one A 192.0.2.101\n");
    let server = start(NETWORK, folder.path()).await;
    let (dns, probe) = (server.dns, server.probe);
    assert_eq!(server.addresses("one.acme.test", None).len(), 1);
    // The CNAME is wrong beside what the other file has, and the A record by itself.
    for (version, text) in [(2, "two A 192.0.2.102\nwww CNAME one\n"), (3, "two A 192.0.2\n")] {
        write(folder.path(), "hosts", text);
        write(folder.path(), "shop.test.zone", &SHOP.replace("1 m", &format!("{version} m")));
        let next = held(&place(NETWORK, dns, probe), version, folder.path());
        server.config.send(Arc::new(next)).unwrap();
        // The other zone shows that the new state was read.
        let deadline = Instant::now() + Duration::from_secs(5);
        let text = format!("{version} m.shop.test.");
        while server.ask("shop.test", Rtype::MX).answers[0].text != text {
            assert!(Instant::now() < deadline, "the next state never came");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(server.addresses("one.acme.test", None).len(), 1, "the last good one");
        assert_eq!(server.addresses("two.acme.test", None).len(), 0);
    }
    server.stop().await;
}
