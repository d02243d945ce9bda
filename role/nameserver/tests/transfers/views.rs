//! Views beside BIND's: the same zones for the same clients, by address and by key.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use popnet_dns::{Response, Rtype, build_query};
use popnet_runtime::link::Link;
use popnet_terms::Role;
use popnet_wire::control::{Ask, Reply};
use popnet_wire::explaining::{DnsStory, ExplainDns};

use crate::common::{Server, free_port, held, local, place, start_on};
use crate::lab::{HEAD, SECRET, nsupdate, serial, until, write_keys};
use crate::peer::Process;

/// Where the view for one address sees its clients.
const INSIDE: &str = "127.0.0.2";
/// Somebody else.
const OUTSIDE: &str = "127.0.0.3";

fn zone(serial: u32, address: &str, rest: &str) -> String {
    // Long enough for differences to be shorter than the whole.
    let hosts: String = (1..40).map(|n| format!("h{n} A 10.9.0.{n}\n")).collect();
    format!(
        "$TTL 300\n@ SOA ns1 h {serial} 60 5 3600 60\n@ NS ns1\nns1 A 192.0.2.1\n\
         www A {address}\n{hosts}{rest}\n"
    )
}

fn write_files(folder: &Path) {
    for (file, text) in [
        ("outside.zone", zone(1, "192.0.2.80", "mail MX 10 www")),
        ("inside.zone", zone(5, "10.0.0.80", "secret TXT \"inside\"")),
        ("partner.zone", zone(9, "198.51.100.80", "order CNAME www")),
        ("shared.zone", zone(2, "192.0.2.90", "alias CNAME www.site.test.")),
        ("hidden.zone", zone(3, "10.0.0.90", "")),
    ] {
        std::fs::write(folder.join(file), text).unwrap();
    }
    write_keys(folder);
}

/// A network with a site, so that names are steered beside the views.
const OURS: &str = r#"
[zones."site.test"]
file = "outside.zone"
allow_update = [{ key = "ddns" }]
[zones."shared.test"]
file = "shared.zone"
[[views]]
name = "partner"
keys = ["xfr"]
[views.zones."site.test"]
file = "partner.zone"
tsig_key = "xfr"
secondaries = ["127.0.0.1:SECONDARY"]
[[views]]
name = "inside"
clients = ["127.0.0.2"]
[views.zones."site.test"]
file = "inside.zone"
allow_transfer = ["127.0.0.2"]
[views.zones."hidden.test"]
file = "hidden.zone"
"#;

/// BIND has nothing that holds for all views: the shared zone is given three times.
fn bind_conf(folder: &Path, port: u16) -> String {
    let d = folder.display();
    let shared = format!("zone shared.test {{ type primary; file \"{d}/shared.zone\"; }};");
    let site = |file: &str, rest: &str| {
        format!("zone site.test {{ type primary; file \"{d}/{file}\"; {rest} }}; {shared}")
    };
    format!(
        "options {{ directory \"{d}\"; listen-on port {port} {{ 127.0.0.1; }}; \
         listen-on-v6 {{ none; }}; recursion no; allow-transfer {{ none; }}; pid-file \"{d}/pid\"; \
         session-keyfile none; dnssec-validation no; minimal-responses yes; notify no; }};\n\
         controls {{ }};\n\
         key xfr {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
         key ddns {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
         view partner {{ match-clients {{ key xfr; }}; {} }};\n\
         view inside {{ match-clients {{ {INSIDE}; }}; {} \
         zone hidden.test {{ type primary; file \"{d}/hidden.zone\"; }}; }};\n\
         view everybody {{ match-clients {{ any; }}; {} }};\n",
        site("partner.zone", "allow-transfer { key xfr; };"),
        site("inside.zone", &format!("allow-transfer {{ {INSIDE}; }};")),
        site("outside.zone", ""),
    )
}

/// What `dig` is told: code, answer and authority; `rest` says what and over what.
fn dig(port: u16, from: &str, key: Option<&str>, rest: &[&str]) -> Vec<String> {
    let mut dig = Command::new("dig");
    dig.args(["@127.0.0.1", "-p", &port.to_string(), "-b", from, "+time=5", "+tries=1", "+norec"]);
    dig.args(["+nocookie", "+noall", "+comments", "+answer", "+authority", "+onesoa"]);
    dig.args(rest);
    if let Some(key) = key {
        dig.args(["-y", &format!("hmac-sha256:{key}:{SECRET}")]);
    }
    let output = dig.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let says = |line: &&str| {
        let is_code = line.contains(" status: ") || line.contains("failed");
        (is_code || !line.starts_with(';')) && !line.is_empty() && !line.contains("\tany\ttsig\t")
    };
    let word = |line: &str| match line.split_once(" status: ") {
        Some((_, code)) => code.split(',').next().unwrap_or_default().to_owned(),
        None => line.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    let mut said: Vec<String> = text.lines().filter(says).map(word).collect();
    said.sort();
    said
}

/// One question from an address, without anything that would keep its answer from being ready.
fn address(server: &Server, from: &str, name: &str) -> String {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let query = build_query(7, &name.parse().unwrap(), Rtype::A, None);
    socket.send_to(&query, server.dns).unwrap();
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).unwrap();
    let response = Response::parse(&buffer[..length]).unwrap();
    response.addresses().map(|ip| ip.to_string()).collect()
}

async fn explain(server: &Server, resolver: &str) -> Reply {
    let ask = Ask::ExplainDns(ExplainDns {
        name: "www.site.test".into(),
        qtype: 1,
        resolver: resolver.parse().unwrap(),
        subnet: None,
        assume: Vec::new(),
    });
    let socket = server.context.role_socket(Role::Nameserver);
    Link::local(&socket).await.unwrap().ask_one(&ask).await.unwrap()
}

fn ours(secondary: u16) -> String {
    format!("{HEAD}{OURS}").replace("SECONDARY", &secondary.to_string())
}

async fn start(folder: &Path, secondary: u16) -> Server {
    write_files(folder);
    start_on(&ours(secondary), folder, local(free_port()), local(free_port())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_answers_as_bind() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), free_port()).await;
    let theirs = free_port();
    let bind = Process::bind(folder.path(), &bind_conf(folder.path(), theirs));
    let port = server.dns.port();
    tokio::task::spawn_blocking(move || {
        until(&format!("BIND serves\n{}", bind.log()), || serial(theirs, "site.test") == Some(1));
        let mut different = std::collections::BTreeSet::new();
        for (from, key) in [
            (INSIDE, None),
            (OUTSIDE, None),
            (OUTSIDE, Some("xfr")),
            (INSIDE, Some("xfr")),
            (INSIDE, Some("ddns")),
            (OUTSIDE, Some("ddns")),
        ] {
            for question in [
                &["www.site.test", "A"][..],
                &["www.site.test", "A", "+tcp"],
                &["secret.site.test", "TXT"],
                &["order.site.test", "A"],
                &["www.shared.test", "A"],
                &["www.hidden.test", "A"],
                &["site.test", "AXFR"],
            ] {
                let (a, b) = (dig(port, from, key, question), dig(theirs, from, key, question));
                assert!(!a.is_empty(), "{from} {key:?} {question:?}");
                assert_eq!(a, b, "{from} {key:?} {question:?}\n{}", bind.log());
                different.insert(a);
            }
        }
        assert!(different.len() > 12, "{different:#?}");
    })
    .await
    .unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_one_view_reaches_another() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), free_port()).await;
    let name = "www.site.test";
    let each = |inside: &str, outside: &str| {
        for round in 0..6 {
            assert_eq!(address(&server, INSIDE, name), inside, "{round}");
            assert_eq!(address(&server, OUTSIDE, name), outside, "{round}");
        }
    };
    each("10.0.0.80", "192.0.2.80");
    // An alias in a zone of everybody leads to where its asker is.
    assert_eq!(address(&server, INSIDE, "alias.shared.test"), "10.0.0.80");
    assert_eq!(address(&server, OUTSIDE, "alias.shared.test"), "192.0.2.80");
    // Each view's own file.
    let reload = |text: &str, epoch: u64| {
        let text = place(text, server.dns, server.probe);
        server.config.send(Arc::new(held(&text, epoch, folder.path()))).unwrap();
    };
    std::fs::write(folder.path().join("inside.zone"), zone(6, "10.0.0.8", "")).unwrap();
    reload(&ours(9), 2);
    until("the new inside", || address(&server, INSIDE, name) == "10.0.0.8");
    each("10.0.0.8", "192.0.2.80");
    // A file that cannot be read costs its view the news, and nobody else anything.
    std::fs::write(folder.path().join("inside.zone"), "@ SOA\n").unwrap();
    std::fs::write(folder.path().join("outside.zone"), zone(2, "192.0.2.8", "")).unwrap();
    reload(&ours(9), 3);
    until("the new outside", || address(&server, OUTSIDE, name) == "192.0.2.8");
    each("10.0.0.8", "192.0.2.8");
    // What is changed by an update is so for everybody but those with a zone of their own.
    let add = ["update add new.site.test. 60 A 192.0.2.7"];
    nsupdate(server.dns.port(), "site.test", Some("ddns"), &add).unwrap();
    assert_eq!(address(&server, OUTSIDE, "new.site.test"), "192.0.2.7");
    assert_eq!(address(&server, INSIDE, "new.site.test"), "");
    let refused = nsupdate(server.dns.port(), "site.test", Some("xfr"), &add).unwrap_err();
    assert!(refused.contains("REFUSED"), "{refused}");
    // Others see the change where they have the zone from everybody.
    let views = ours(9).replace("clients = [\"127.0.0.2\"]", "clients = [\"127.0.0.3\"]");
    reload(&views, 4);
    until("the other way round", || address(&server, OUTSIDE, name) == "10.0.0.8");
    each("192.0.2.8", "10.0.0.8");
    assert_eq!(address(&server, INSIDE, "new.site.test"), "192.0.2.7");

    let story = DnsStory::Static(vec!["www.site.test.\t300\tIN\tA\t10.0.0.8".into()]);
    let view = "inside".into();
    assert_eq!(explain(&server, OUTSIDE).await, Reply::DnsInView { view, story });
    let story = explain(&server, INSIDE).await;
    assert!(matches!(story, Reply::Dns(DnsStory::Static(_))), "{story:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_has_secondaries() {
    let (above, below) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let port = free_port();
    let server = start(above.path(), port).await;
    write_keys(below.path());
    let zone_of = format!(
        "{HEAD}[zones.\"site.test\"]\nprimaries = [\"{}\"]\ntsig_key = \"xfr\"\n",
        server.dns
    );
    let secondary = start_on(&zone_of, below.path(), local(port), local(free_port())).await;
    until("the partner's zone has come", || serial(port, "site.test") == Some(9));
    assert_eq!(address(&secondary, OUTSIDE, "www.site.test"), "198.51.100.80");
    // It is told of the change, and comes for the difference.
    std::fs::write(above.path().join("partner.zone"), zone(10, "198.51.100.8", "")).unwrap();
    let text = place(&ours(port), server.dns, server.probe);
    server.config.send(Arc::new(held(&text, 2, above.path()))).unwrap();
    let took = until("the change has come", || serial(port, "site.test") == Some(10));
    assert!(took < Duration::from_secs(4), "{took:?}: nobody told it");
    assert_eq!(address(&secondary, OUTSIDE, "www.site.test"), "198.51.100.8");
    let said = dig(server.dns.port(), OUTSIDE, Some("xfr"), &["site.test", "IXFR=9"]);
    let is_old = |line: &String| line == "www.site.test. 300 in a 198.51.100.80";
    assert!(said.iter().any(is_old), "a difference: {said:?}");
    secondary.stop().await;
    server.stop().await;
}
