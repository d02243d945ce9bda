//! Signed zones over real sockets, judged by validators that are not ours: `delv` asks and
//! validates by itself, unbound resolves and validates, `dig` shows what they see.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

#[path = "../stories/common.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod common;
mod compact;
mod validators;

use std::path::Path;

use crate::common::Server;
use crate::validators::{Unbound, anchors, delv, dig, signed_by_bind, whole};
use popnet_dns::Rtype;

/// Every way through an answer: records, empty names, wildcards, aliases, renaming, delegations
/// with and without DS, capitals, types that nobody knows.
const ZONE: &str = r#"$TTL 300
@            SOA  ns1 Hostmaster 7 2h 15m 2w 60
@            NS   ns1
@            MX   10 Mail
ns1          A    192.0.2.1
Mail         A    192.0.2.2
Mail         AAAA 2001:db8::2
text         TXT  "one" "two"
a.b.c        TXT  "deep"
*.wild       A    192.0.2.6
*.wild       TXT  "any"
x.y.wild     A    192.0.2.7
*.alias      CNAME Mail
short        CNAME text
far          CNAME nowhere.else.test.
tree         DNAME wild
sub          NS   ns.sub
ns.sub       A    192.0.2.4
secure       NS   ns.secure
secure       DS   55648 13 2 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17
ns.secure    A    192.0.2.5
odd          TYPE65280 \# 3 abcdef
static-too   A    192.0.2.77
"#;

const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.lab.test"
dnssec = { sign = true, algorithm = "ed25519" OWN }
[pops.fra1.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = { dns = ["DNS"], probe = ["PROBE"] }
workers = { dns = 1 }
[pops.fra1.nodes.edge1]
roles = ["webcache", "webserver"]
address = ["192.0.2.11"]
[pops.iad1.nodes.edge1]
roles = ["webcache", "webserver"]
address = ["192.0.2.21"]
[customers.acme]
[origin_groups.www.servers]
east = { address = "203.0.113.1:8080" }
[sites."geo.example.test"]
customer = "acme"
kind = "cached"
origins = "www"
[sites."static-too.example.test"]
customer = "acme"
kind = "cached"
origins = "www"
[sites."shop.alone.test"]
customer = "acme"
kind = "cached"
origins = "www"
[zones."example.test"]
file = "example.test.zone"
allow_transfer = ["127.0.0.1"]
dnssec = { sign = true RULES }
"#;

/// Questions to the zone that every validator must be able to prove the answers of.
const QUESTIONS: &[(&str, &str)] = &[
    ("example.test", "SOA"),
    ("example.test", "NS"),
    ("example.test", "MX"),
    ("example.test", "DNSKEY"),
    ("example.test", "CDS"),
    ("example.test", "A"),
    ("example.test", "TYPE65279"),
    ("MAIL.Example.Test", "A"),
    ("mail.example.test", "AAAA"),
    ("mail.example.test", "TXT"),
    ("mail.example.test", "ANY"),
    ("text.example.test", "TXT"),
    ("odd.example.test", "TYPE65280"),
    ("a.b.c.example.test", "TXT"),
    ("b.c.example.test", "TXT"),
    ("c.example.test", "A"),
    ("nope.example.test", "A"),
    ("zzz.example.test", "A"),
    ("0.example.test", "A"),
    ("under.mail.example.test", "A"),
    ("deeper.under.b.c.example.test", "A"),
    ("any.wild.example.test", "A"),
    ("an.y.wild.example.test", "A"),
    ("other.any.wild.example.test", "TXT"),
    ("any.wild.example.test", "MX"),
    ("wild.example.test", "A"),
    ("z.x.y.wild.example.test", "A"),
    ("an.alias.example.test", "A"),
    ("an.alias.example.test", "TXT"),
    ("short.example.test", "TXT"),
    ("short.example.test", "A"),
    ("some.tree.example.test", "A"),
    ("sub.example.test", "DS"),
    ("secure.example.test", "DS"),
    ("geo.example.test", "A"),
    ("geo.example.test", "AAAA"),
    ("geo.example.test", "MX"),
    ("geo.example.test", "ANY"),
    ("static-too.example.test", "A"),
    ("static-too.example.test", "AAAA"),
    ("under.geo.example.test", "A"),
];

/// Names with the addresses of others, which only this server knows of.
const BORROWED: &str = "borrowed ALIAS mail\nhalf ALIAS ns1\n";
const BORROWED_QUESTIONS: &[(&str, &str)] = &[
    ("borrowed.example.test", "A"),
    ("borrowed.example.test", "AAAA"),
    ("borrowed.example.test", "TXT"),
    ("c0.example.test", "A"),
    ("half.example.test", "TXT"),
    ("half.example.test", "AAAA"),
    ("half.example.test", "A"),
];

/// The same for the zone that follows from the configuration.
const OWN_QUESTIONS: &[(&str, &str)] = &[
    ("cdn.lab.test", "SOA"),
    ("cdn.lab.test", "DNSKEY"),
    ("ns1.fra1.cdn.lab.test", "A"),
    ("ns1.fra1.cdn.lab.test", "AAAA"),
    ("fra1.cdn.lab.test", "A"),
    ("nope.cdn.lab.test", "A"),
    ("store.fra1.cdn.lab.test", "SRV"),
    ("whoami.cdn.lab.test", "TXT"),
    ("whoami.cdn.lab.test", "A"),
    ("geo.example.test.origin.fra1.cdn.lab.test", "SRV"),
    ("geo.example.test.origin.fra1.cdn.lab.test", "A"),
    ("none.example.test.origin.fra1.cdn.lab.test", "SRV"),
];

async fn start(rules: &str, own: &str, folder: &Path) -> Server {
    let zone = format!("{ZONE}{BORROWED}");
    std::fs::write(folder.join("example.test.zone"), zone).unwrap();
    let text = NETWORK.replace("RULES", rules).replace("OWN", own);
    common::start(&text, folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn validators_believe_every_answer() {
    for (rules, own) in [
        ("", ""),
        (r#", algorithm = "ed25519", nsec3 = true"#, ", nsec3 = true"),
        (", single_key = true", ", single_key = true"),
        (r#", denial = "compact""#, r#", denial = "compact""#),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let server = start(rules, own, folder.path()).await;
        let mut wrong = Vec::new();
        let questions = [
            ("example.test", QUESTIONS),
            ("example.test", BORROWED_QUESTIONS),
            ("cdn.lab.test", OWN_QUESTIONS),
            (
                "shop.alone.test",
                &[
                    ("shop.alone.test", "A"),
                    ("shop.alone.test", "AAAA"),
                    ("shop.alone.test", "SOA"),
                    ("no.shop.alone.test", "A"),
                ],
            ),
        ];
        for (zone, questions) in questions {
            let trust = anchors(&server, zone, folder.path());
            // Without a chain there is no whole that could be looked at.
            if zone == "example.test" && !rules.contains("compact") {
                wrong.extend(whole(&server, zone, rules.contains("single_key"), folder.path()));
            }
            for (name, rtype) in questions {
                wrong.extend(delv(&server, zone, &trust, name, rtype).err());
            }
        }
        assert!(wrong.is_empty(), "with {rules:?}:\n{}", wrong.join("\n"));
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolver_that_validates_says_so() {
    for rules in ["", r#", denial = "nsec3""#, r#", denial = "compact""#] {
        let folder = tempfile::tempdir().unwrap();
        let server = start(rules, "", folder.path()).await;
        let trust = anchors(&server, "example.test", folder.path());
        let unbound = Unbound::start(&server, "example.test", &trust, folder.path());
        let mut wrong = Vec::new();
        for (name, rtype) in QUESTIONS.iter().chain(BORROWED_QUESTIONS) {
            // Nobody answers at the delegated zone and at the name of others.
            wrong.extend(unbound.ask(name, rtype).err());
        }
        assert!(wrong.is_empty(), "with {rules:?}:\n{}", wrong.join("\n"));
        drop(unbound);
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_ask_gets_no_signatures() {
    let folder = tempfile::tempdir().unwrap();
    let server = start("", "", folder.path()).await;
    for (name, rtype) in [("mail", Rtype::A), ("nope", Rtype::A), ("geo", Rtype::A)] {
        let answer = server.ask(&format!("{name}.example.test"), rtype);
        let all = answer.answers.iter().chain(&answer.authority).chain(&answer.additional);
        let more = all.filter(|r| matches!(r.rtype, Rtype::RRSIG | Rtype::NSEC)).count();
        assert_eq!(more, 0, "{name}");
    }
    // AD is a validator's to set; DO comes back (RFC 3225 3).
    let flags = dig(&server, &["+dnssec", "mail.example.test", "A"]);
    assert!(flags.contains("flags: qr aa") && !flags.contains(" ad"), "{flags}");
    assert!(flags.contains("flags: do;"), "{flags}");
    // A referral says whether the zone below is signed; glue has no signatures.
    let cut =
        dig(&server, &["+dnssec", "+noall", "+authority", "+additional", "x.sub.example.test"]);
    assert!(cut.contains("NSEC") && !cut.contains("RRSIG\tA "), "{cut}");
    let cut = dig(&server, &["+dnssec", "+noall", "+authority", "x.secure.example.test"]);
    assert!(cut.contains("\tDS\t") && cut.contains("RRSIG\tDS "), "{cut}");
    // What does not fit is truncated, and whole over TCP.
    let small = dig(&server, &["+dnssec", "+bufsize=512", "+ignore", "nope.example.test", "A"]);
    assert!(small.contains("flags: qr aa tc"), "{small}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_keys_and_signatures() {
    let folder = tempfile::tempdir().unwrap();
    let all = ["+dnssec", "+noall", "+answer", "example.test", "MX"];
    let server = start("", "", folder.path()).await;
    let (first, keys) = (dig(&server, &all), dig(&server, &["+short", "example.test", "DNSKEY"]));
    assert!(first.contains("RRSIG"), "{first}");
    server.stop().await;

    let server = start("", "", folder.path()).await;
    assert_eq!(dig(&server, &all), first);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&dig(&server, &["+short", "example.test", "DNSKEY"])), sorted(&keys));
    // One signature an answer: the chosen addresses come with the same one (ECDSA signs the same
    // with other octets each time).
    let steered = ["+dnssec", "+noall", "+answer", "geo.example.test", "A"];
    let rrsig = |text: String| {
        let line = text.lines().find(|line| line.contains("RRSIG")).map(str::to_owned);
        line.and_then(|line| line.split_whitespace().last().map(str::to_owned)).unwrap()
    };
    let once = rrsig(dig(&server, &steered));
    assert_eq!(rrsig(dig(&server, &steered)), once);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_signed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let server = start("", "", folder.path()).await;
    let trust = anchors(&server, "example.test", folder.path());
    let serial = |server: &Server| {
        let soa = dig(server, &["+short", "example.test", "SOA"]);
        soa.split_whitespace().nth(2).and_then(|serial| serial.parse::<u32>().ok()).unwrap()
    };
    let unchanged = ["+dnssec", "+noall", "+answer", "text.example.test", "TXT"];
    let (before, kept) = (serial(&server), dig(&server, &unchanged));
    assert!(delv(&server, "example.test", &trust, "fresh.example.test", "TXT").is_ok());
    let text = format!("{}fresh TXT \"new\"\n", ZONE.replace("static-too", "; static-too"));
    std::fs::write(folder.path().join("example.test.zone"), text).unwrap();
    let text =
        common::place(&NETWORK.replace("RULES", "").replace("OWN", ""), server.dns, server.probe);
    let next = common::held(&text, 2, folder.path());
    server.config.send(next.into()).unwrap();
    let begin = std::time::Instant::now();
    while serial(&server) == before {
        assert!(begin.elapsed().as_secs() < 20, "the zone stays at {before}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // The file's own serial is the same: signing makes the next one.
    assert_eq!(serial(&server), before + 1);
    assert_eq!(dig(&server, &unchanged), kept);
    for name in ["fresh", "static-too", "nope", "text", "geo"] {
        let name = format!("{name}.example.test");
        delv(&server, "example.test", &trust, &name, "TXT").unwrap();
    }
    let wrong = whole(&server, "example.test", false, folder.path());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_signed_by_others_are_served_as_they_are() {
    // Without salt, and as zones of old are: with salt, iterations and unsigned delegations left
    // out.
    for how in [&[][..], &["-3", "-"], &["-3", "aabbcc", "-H", "5"], &["-3", "-", "-A"]] {
        let folder = tempfile::tempdir().unwrap();
        signed_by_bind("example.test", ZONE, how, folder.path());
        let text = NETWORK.replace("dnssec = { sign = true RULES }", "").replace("OWN", "");
        let text = text.replace("[sites.\"geo.example.test\"]", "[sites.\"geo.other.test\"]");
        let text = text.replace("[sites.\"static-too.example.test\"]", "[sites.\"x.other.test\"]");
        let server = common::start(&text, folder.path()).await;
        let trust = anchors(&server, "example.test", folder.path());
        let mut wrong = whole(&server, "example.test", false, folder.path());
        // RFC 5155 6: where delegations are left out, what a wildcard makes is not proven.
        let is_unproven = |name: &str| {
            how.contains(&"-A") && ["wild", "alias", "tree"].iter().any(|w| name.contains(w))
        };
        let questions = QUESTIONS
            .iter()
            .filter(|(name, rtype)| !name.contains("geo") && *rtype != "CDS" && !is_unproven(name));
        for (name, rtype) in questions {
            wrong.extend(delv(&server, "example.test", &trust, name, rtype).err());
        }
        assert!(wrong.is_empty(), "with {how:?}:\n{}", wrong.join("\n"));
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parent_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (child, keys) = (common::name("sub.example.test"), folder.path().join("state/keys/dnssec"));
    let place = popnet_nameserver::KeyFolder::of(&keys, &child);
    let network = NETWORK
        .replace("OWN", "")
        .replace("RULES", "")
        .replace("sites.\"static-too.", "sites.\"also.")
        + "[zones.\"sub.example.test\"]\nfile = \"sub.zone\"\n\
           dnssec = { sign = true, parents = [\"DNS\"] }\n";
    let zone = "$TTL 60\n@ SOA ns h 1 2h 15m 2w 60\n@ NS ns\nns A 192.0.2.4\n";
    std::fs::write(folder.path().join("sub.zone"), zone).unwrap();
    std::fs::write(folder.path().join("example.test.zone"), ZONE).unwrap();
    let server = common::start(&network, folder.path()).await;
    let ds = {
        let keys = popnet_nameserver::KeyFolder::open(&place, &child).unwrap();
        let entry = keys.keys().find(|(_, key)| key.is_some_and(|key| key.is_entry())).unwrap();
        popnet_dns::rdata_text(Rtype::DS, &entry.0.ds)
    };
    let parent = format!("{ZONE}sub DS {ds}\n");
    std::fs::write(folder.path().join("example.test.zone"), parent).unwrap();
    let text = common::place(&network, server.dns, server.probe);
    server.config.send(common::held(&text, 2, folder.path()).into()).unwrap();

    let begin = std::time::Instant::now();
    let state = || std::fs::read_to_string(place.join("keys.json")).unwrap();
    while !state().contains("\"seen\"") {
        assert!(begin.elapsed().as_secs() < 30, "{}", state());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // From the parent's key down to the child's records.
    let trust = anchors(&server, "example.test", folder.path());
    delv(&server, "example.test", &trust, "ns.sub.example.test", "A").unwrap();
    delv(&server, "example.test", &trust, "no.sub.example.test", "A").unwrap();
    server.stop().await;
}
