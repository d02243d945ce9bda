//! Stories of what stands before the answers: cookies, access lists, rates, subnets.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use popnet_dns::{Rcode, Response, Rtype, build_query};
use popnet_runtime::link::Link;
use popnet_terms::Role;
use popnet_wire::control::{Ask, Reply};
use popnet_wire::explaining::{DnsStory, ExplainDns};
use popnet_wire::status::RoleStatus;

use crate::common::{Server, free_port, held, local, name, place, start, start_as};
use crate::transports::with_option;

const ZONE: &str = "$TTL 300\n@ SOA ns1 h 1 2 3 4 60\n@ NS ns1\nns1 A 192.0.2.1\nwww A 192.0.2.2\n*.made A 192.0.2.3\n";

const NETWORK: &str = r#"
[network]
name = "lab"
schema = 1
domain = "cdn.lab.test"
[pops.fra1.nodes.ns1]
roles = ["nameserver"]
address = ["127.0.0.1"]
listen = { dns = ["DNS"], probe = ["PROBE"] }
workers = { dns = 2 }
[zones."example.test"]
file = "example.test.zone"
"#;

async fn server(more: &str, folder: &Path) -> Server {
    std::fs::write(folder.join("example.test.zone"), ZONE).unwrap();
    start(&format!("{NETWORK}{more}"), folder).await
}

fn www() -> Vec<u8> {
    build_query(9, &name("www.example.test"), Rtype::A, None)
}

const CLIENT: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// The whole cookie in an answer.
fn cookie(answer: &[u8]) -> Option<Vec<u8>> {
    let option = [&[0, 10, 0, 24][..], &CLIENT].concat();
    let at = answer.windows(option.len()).position(|part| part == option)?;
    Some(answer[at + 4..at + 28].to_vec())
}

async fn dropped(server: &Server, reason: &str) -> u64 {
    let socket = server.context.role_socket(Role::Nameserver);
    let reply = Link::local(&socket).await.unwrap().ask_one(&Ask::RoleStatus).await.unwrap();
    let Reply::Role(RoleStatus::Nameserver { dropped, .. }) = reply else { panic!("{reply:?}") };
    dropped.iter().find(|(known, _)| &**known == reason).map_or(0, |(_, count)| *count)
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_given_kept_and_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = server("[dns]\nrequire_cookie = true\n", folder.path()).await;
    // Without any cookie: as ever.
    let plain = server.exchange(&www()).unwrap();
    assert_eq!((cookie(&plain), Response::parse(&plain).unwrap().answers.len()), (None, 1));
    // With one that is not ours: the right one comes with the refusal.
    let first = server.exchange(&with_option(&www(), 10, &CLIENT)).unwrap();
    let refused = Response::parse(&first).unwrap();
    assert_eq!((refused.rcode, refused.answers.len()), (Rcode::BADCOOKIE, 0));
    let ours = cookie(&first).unwrap();
    let second = server.exchange(&with_option(&www(), 10, &ours)).unwrap();
    assert_eq!(Response::parse(&second).unwrap().answers.len(), 1);
    assert!(cookie(&second).is_some());
    // A length that no cookie has is an error of form.
    for length in [0, 7, 9, 15, 41] {
        let bad = server.exchange(&with_option(&www(), 10, &vec![1; length])).unwrap();
        assert_eq!(Response::parse(&bad).unwrap().rcode, Rcode::FORMERR, "{length}");
    }
    // Debian's client does the whole dance, and needs no cookie over TCP.
    let port = server.dns.port().to_string();
    for more in [&["+cookie"][..], &["+cookie", "+tcp"]] {
        let usual = ["@127.0.0.1", "-p", &port, "www.example.test", "+tries=1"];
        let out = Command::new("dig").args(usual).args(more).output().unwrap();
        let out = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.contains("192.0.2.2") && out.contains("(good)"), "{out}");
    }
    assert!(dropped(&server, "bad_cookie").await >= 1);
    // A restart knows the cookies of the run before.
    let (dns, probe) = (server.dns, server.probe);
    server.stop().await;
    let text = format!("{NETWORK}[dns]\nrequire_cookie = true\n");
    let server = crate::common::start_on(&text, folder.path(), dns, probe).await;
    let third = server.exchange(&with_option(&www(), 10, &ours)).unwrap();
    assert_eq!(Response::parse(&third).unwrap().answers.len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_servers_cookie_is_good_at_another_that_shares_its_secret() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("example.test.zone"), ZONE).unwrap();
    let share = |text: &str| std::fs::write(folder.path().join("shared"), text).unwrap();
    let (old, new) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    share(old);
    let text = format!("{NETWORK}[dns]\nrequire_cookie = true\ncookie_secret_file = \"shared\"\n");
    let mut servers = Vec::new();
    for state in ["one", "other"] {
        let (dns, probe) = (local(free_port()), local(free_port()));
        let state = folder.path().join(state);
        let text = place(&text, dns, probe);
        servers.push(start_as("ns1.fra1", &text, folder.path(), &state, dns, probe).await);
    }
    let [one, other] = &servers[..] else { panic!() };
    let rcode = |server: &Server, cookie: &[u8]| {
        let answer = server.exchange(&with_option(&www(), 10, cookie)).unwrap();
        Response::parse(&answer).unwrap().rcode
    };
    let given = |server: &Server| {
        cookie(&server.exchange(&with_option(&www(), 10, &CLIENT)).unwrap()).unwrap()
    };
    let first = given(one);
    assert_eq!(rcode(other, &first), Rcode::NOERROR);
    let push = |server: &Server, text: &str, epoch| {
        let text = place(text, server.dns, server.probe);
        server.config.send_replace(Arc::new(held(&text, epoch, folder.path())));
    };
    let until = |server: &Server, cookie: &[u8], wanted: Rcode| {
        for _ in 0..60 {
            if rcode(server, cookie) == wanted {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no {wanted:?}");
    };
    // RFC 9018 section 5: known everywhere, then used, then alone.
    share(&format!("{old}\n{new}\n"));
    push(other, &text, 2);
    std::thread::sleep(Duration::from_millis(300));
    share(&format!("{new}\n{old}\n"));
    push(one, &text, 2);
    std::thread::sleep(Duration::from_millis(300));
    let second = given(one);
    assert_eq!([rcode(one, &first), rcode(other, &first)], [Rcode::NOERROR; 2]);
    assert_eq!(rcode(other, &second), Rcode::NOERROR);
    share(new);
    push(other, &text, 3);
    until(other, &first, Rcode::BADCOOKIE);
    assert_eq!(rcode(other, &second), Rcode::NOERROR);
    // A broken file changes nothing.
    share("junk");
    push(other, &text, 4);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(rcode(other, &second), Rcode::NOERROR);
    // Without the key, a server is on its own again.
    push(other, &format!("{NETWORK}[dns]\nrequire_cookie = true\n"), 5);
    until(other, &second, Rcode::BADCOOKIE);
    assert_eq!(rcode(one, &second), Rcode::NOERROR);
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_ask() {
    let folder = tempfile::tempdir().unwrap();
    let more = "[dns]\nallow_query = [\"10.0.0.0/8\"]\n";
    let server = server(more, folder.path()).await;
    let refused = server.ask("www.example.test", Rtype::A);
    assert_eq!((refused.rcode, refused.answers.len()), (Rcode::REFUSED, 0));
    assert!(!refused.authoritative);
    assert_eq!(refused.edns.unwrap().extended_error.map(|(code, _)| code), Some(18));
    assert_eq!(dropped(&server, "prohibited").await, 1);
    for (resolver, rcode) in [("127.0.0.1", Some("REFUSED")), ("10.1.2.3", None)] {
        let ask = ExplainDns {
            name: "www.example.test".into(),
            qtype: 1,
            resolver: resolver.parse().unwrap(),
            subnet: None,
            assume: Vec::new(),
        };
        let socket = server.context.role_socket(Role::Nameserver);
        let mut link = Link::local(&socket).await.unwrap();
        let Reply::Dns(story) = link.ask_one(&Ask::ExplainDns(ask)).await.unwrap() else {
            panic!("{resolver}")
        };
        let refused = match &story {
            DnsStory::Nothing { rcode, .. } => Some(&**rcode),
            DnsStory::Static(_) | DnsStory::Steered(_) => None,
        };
        assert_eq!(refused, rcode, "{resolver}");
    }
    // A zone's own list goes before the one for all.
    let text = NETWORK.replace(
        "file = \"example.test.zone\"",
        "file = \"example.test.zone\"\nallow_query = [\"127.0.0.0/8\"]",
    );
    let text = place(&format!("{text}{more}"), server.dns, server.probe);
    server.config.send_replace(Arc::new(held(&text, 2, folder.path())));
    for _ in 0..50 {
        if server.ask("www.example.test", Rtype::A).rcode == Rcode::NOERROR {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.ask("www.example.test", Rtype::A).answers.len(), 1);
    // Our own nodes, of which this address is one, need our own names.
    assert_eq!(server.ask("cdn.lab.test", Rtype::SOA).answers.len(), 1);
    assert_eq!(server.ask("elsewhere.test", Rtype::SOA).rcode, Rcode::REFUSED);
    server.stop().await;
}

/// Sends `queries` at once from one socket; gives whole and cut answers.
pub(crate) fn flood(server: &Server, queries: &[Vec<u8>]) -> (usize, usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    for query in queries {
        socket.send_to(query, server.dns).unwrap();
    }
    let (mut whole, mut cut, mut octets) = (0, 0, [0; 2_048]);
    while let Ok(length) = socket.recv(&mut octets) {
        if octets[2] & 0x02 == 0 {
            whole += 1;
        } else {
            // A cut answer gives a flooded stranger nothing.
            assert!(length <= 80, "{length}");
            cut += 1;
        }
    }
    (whole, cut)
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_get_little_and_the_real_client_gets_through() {
    let folder = tempfile::tempdir().unwrap();
    let more = "[dns.rate_limit]\nresponses = \"10/s\"\nslip = 2\n";
    let server = server(more, folder.path()).await;
    let (whole, cut) = flood(&server, &vec![www(); 200]);
    // A second's worth, and what the time of sending gives.
    assert!((10..=20).contains(&whole), "{whole}");
    assert!((85..=95).contains(&cut), "{cut}");
    // Made-up names below a zone count together.
    let random = |n: usize| build_query(1, &name(&format!("x{n}.example.test")), Rtype::A, None);
    let (whole, _) = flood(&server, &(0..200).map(random).collect::<Vec<_>>());
    assert!((10..=20).contains(&whole), "{whole}");
    let random =
        |n: usize| build_query(1, &name(&format!("x{n}.made.example.test")), Rtype::A, None);
    let (whole, _) = flood(&server, &(0..200).map(random).collect::<Vec<_>>());
    assert!((10..=20).contains(&whole), "below a wildcard: {whole}");
    let (whole, _) = flood(&server, &vec![www()[..20].to_vec(); 100]);
    assert!((10..=65).contains(&whole), "errors: {whole}");
    // Who has shown a cookie is no forger; and over TCP nobody is.
    let first = server.exchange(&with_option(&www(), 10, &CLIENT));
    let ours = first.as_deref().and_then(cookie);
    let ours = ours.or_else(|| {
        // The first may have been dropped: the limit still holds.
        (0..20).find_map(|_| cookie(&server.exchange(&with_option(&www(), 10, &CLIENT))?))
    });
    let shown = with_option(&www(), 10, &ours.unwrap());
    assert_eq!(flood(&server, &vec![shown; 100]), (100, 0));
    let port = server.dns.port().to_string();
    let out = Command::new("dig")
        .args(["@127.0.0.1", "-p", &port, "www.example.test", "+tcp", "+tries=1"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("192.0.2.2"));
    assert!(dropped(&server, "rate_limited").await > 0);
    assert!(dropped(&server, "rate_cut").await > 0);

    // Listed prefixes are exempt.
    let text = format!("{NETWORK}{more}exempt = [\"127.0.0.0/8\"]\n");
    let text = place(&text, server.dns, server.probe);
    server.config.send_replace(Arc::new(held(&text, 2, folder.path())));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(flood(&server, &vec![www(); 100]), (100, 0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_others_made() {
    let folder = tempfile::tempdir().unwrap();
    let server = server("", folder.path()).await;
    let ask = |code: u16, content: &[u8]| {
        let octets = server.exchange(&with_option(&www(), code, content)).unwrap();
        Response::parse(&octets).unwrap()
    };
    // Unknown options are skipped; so are padding and keepalive over UDP.
    for code in [1, 11, 12, 65_001, 65_535] {
        let answer = ask(code, &[7; 9]);
        assert_eq!((answer.rcode, answer.answers.len()), (Rcode::NOERROR, 1), "{code}");
    }
    // A client subnet comes back as it came, with a scope of ours; no scope of the asker's.
    let answer = ask(8, &[0, 1, 24, 0, 198, 51, 100]);
    let subnet = answer.edns.unwrap().subnet.unwrap();
    assert_eq!(subnet, ("198.51.100.0/24".parse().unwrap(), 0));
    for bad in [
        &[0, 1, 24, 24, 198, 51, 100][..],
        &[0, 1, 24, 0, 198, 51],
        &[0, 1, 23, 0, 198, 51, 101],
        &[0, 9, 24, 0, 198, 51, 100],
        &[0, 1, 33, 0, 198, 51, 100, 0, 0],
        &[0, 1],
    ] {
        assert_eq!(ask(8, bad).rcode, Rcode::FORMERR, "{bad:?}");
    }
    // How long a connection may be idle is said to those who ask over TCP.
    let port = server.dns.port().to_string();
    let dig = |more: &[&str]| {
        let usual = ["@127.0.0.1", "-p", &port, "www.example.test", "+tries=1", "+ednsopt=11"];
        let out = Command::new("dig").args(usual).args(more).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let (tcp, udp) = (dig(&["+tcp"]), dig(&["+notcp"]));
    assert!(tcp.contains("KEEPALIVE: 10.0 secs"), "{tcp}");
    assert!(!udp.contains("KEEPALIVE:") && udp.contains("192.0.2.2"), "{udp}");
    // Version 1 is not spoken.
    let mut other = www();
    let at = other.len() - 5;
    other[at] = 1;
    let answer = Response::parse(&server.exchange(&other).unwrap()).unwrap();
    assert_eq!(answer.rcode, Rcode::BADVERS);
    server.stop().await;
}
