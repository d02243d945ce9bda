//! Stories of copies and counts: dnstap as Debian's `dnstap-read` and `fstrm_capture` see it, the
//! log of lines, and what a name server says it has counted.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use popnet_dns::{Control, Rtype, build_query};
use popnet_runtime::link::Link;
use popnet_terms::Role;
use popnet_wire::control::{Ask, Reply};
use popnet_wire::counting::{DnsCounts, Group};

use crate::common::{Server, held, name, place};
use crate::transports::{Ways, kdig, open, said};

/// Waits for something that happens beside.
fn until(what: &str, mut happens: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !happens() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asks from a port of its own, and gives that port.
fn ask(server: &Server, host: &str, qtype: Rtype) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let query = build_query(7, &name(host), qtype, Some("203.0.113.0/24".parse().unwrap()));
    socket.send_to(&query, server.dns).unwrap();
    socket.recv(&mut [0; 2048]).unwrap();
    socket.local_addr().unwrap().port()
}

/// What `dnstap-read` says of a file, a line a message.
fn read(path: &Path) -> Vec<String> {
    let said = said(Command::new("dnstap-read").arg(path));
    said.lines().map(str::to_owned).collect()
}

/// The same configuration with other words in it.
fn push(ways: &Ways, folder: &Path, epoch: u64, old: &str, new: &str) {
    assert!(ways.text.contains(old), "{}", ways.text);
    let text = place(&ways.text.replace(old, new), ways.server.dns, ways.server.probe);
    ways.server.config.send(Arc::new(held(&text, epoch, folder))).unwrap();
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state/nameserver")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_dnstap_read_understands() {
    let folder = tempfile::tempdir().unwrap();
    let ways = open("[dns.tap]\nfile = \"tap/dns.fstrm\"\n", folder.path()).await;
    let (server, dns) = (&ways.server, ways.server.dns.port());
    // The third is one that was kept ready.
    let mine: Vec<u16> = (0..3).map(|_| ask(server, "WWW.example.test", Rtype::A)).collect();
    let host = "+tls-hostname=ns1.fra1.cdn.lab.test";
    let ca = format!("+tls-ca={}", folder.path().join("authority/authority.pem").display());
    for (port, way) in [
        (dns, &["+tcp"][..]),
        (ways.tls, &[&ca, host, "+tls"]),
        (ways.web, &[&ca, host, "+https"]),
        (ways.tls, &[&ca, host, "+quic"]),
    ] {
        let answer = kdig(port, way);
        assert!(answer.contains("192.0.2.2"), "{way:?}\n{answer}");
    }
    // Nobody may: refused over a connection, and what no server answers.
    let dig = ["@127.0.0.1", "-p", &dns.to_string(), "example.test", "AXFR"].map(str::to_owned);
    assert!(said(Command::new("dig").args(dig)).contains("Transfer failed"));
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.send_to(&[0, 9, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0], server.dns).unwrap();
    server.ask("www.example.test", Rtype::A);
    let tap = state(folder.path()).join("tap/dns.fstrm");
    ways.server.stop().await;

    let lines = read(&tap);
    let all = lines.join("\n");
    let of = |mark: &str| lines.iter().filter(|line| line.contains(mark)).count();
    for port in mine {
        let (asked, back) = (
            format!(" AQ 127.0.0.1:{port} -> 127.0.0.1:{dns} UDP "),
            format!(" AR 127.0.0.1:{port} <- 127.0.0.1:{dns} UDP "),
        );
        for mark in [asked, back] {
            let line = lines.iter().find(|line| line.contains(&mark));
            let line = line.unwrap_or_else(|| panic!("{mark}\n{all}"));
            assert!(line.to_lowercase().contains("www.example.test/in/a"), "{line}");
        }
    }
    // This reader knows two ways, and calls every other UDP. Of the foreign response there is no
    // answer, and of the refused transfer the question only.
    for (way, count) in [(" UDP ", 15), (" TCP ", 3), (" AQ ", 10), (" AR ", 8)] {
        assert_eq!(of(way), count, "{way}\n{all}");
    }
    assert_eq!(lines.len(), 18, "{all}");
    let yaml = said(Command::new("dnstap-read").arg("-y").arg(&tap));
    assert!(yaml.contains("identity: ns1.fra1") && yaml.contains("version: popnet "), "{yaml}");
}

/// A reader of Debian's that is stopped when dropped.
struct Reader(Child);

impl Reader {
    fn start(socket: &Path, file: &Path) -> Self {
        let mut command = Command::new("fstrm_capture");
        command.args(["-t", "protobuf:dnstap.Dnstap", "-u"]).arg(socket).arg("-w").arg(file);
        let reader = Self(command.stderr(Stdio::null()).spawn().unwrap());
        until("a socket", || socket.exists());
        reader
    }

    /// As an operator does it: the file is whole then.
    fn stop(mut self) {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.0.wait().is_ok());
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_comes_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("tap.sock");
    let rule = format!("[dns.tap]\nsocket = \"{}\"\nmessages = \"responses\"\n", socket.display());
    let ways = open(&rule, folder.path()).await;
    // Nobody reads: everybody is answered.
    ask(&ways.server, "www.example.test", Rtype::A);
    let files = ["first", "second"].map(|name| folder.path().join(name));
    for file in &files {
        let reader = Reader::start(&socket, file);
        // It is called again within a second. What it hears it writes at its end.
        std::thread::sleep(Duration::from_millis(1_200));
        ask(&ways.server, "www.example.test", Rtype::TXT);
        std::thread::sleep(Duration::from_millis(150));
        reader.stop();
        let _ = fs::remove_file(&socket);
    }
    ways.server.stop().await;
    for file in &files {
        let lines = read(file);
        let all = lines.join("\n");
        assert!(lines.iter().any(|line| line.contains("www.example.test/IN/TXT")), "{all}");
        assert!(lines.iter().all(|line| line.contains(" AR ")), "{all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_lines() {
    let folder = tempfile::tempdir().unwrap();
    let site = "[pops.fra1.nodes.edge1]\nroles = [\"webcache\", \"webserver\"]\n\
                address = [\"192.0.2.11\"]\n[customers.acme]\n\
                [origin_groups.www.servers]\neast = { address = \"203.0.113.1\" }\n\
                [sites.\"static.acme.test\"]\ncustomer = \"acme\"\nkind = \"cached\"\n\
                origins = \"www\"\n[dns.query_log]\nfile = \"queries.log\"\nformat = \"json\"\n";
    let ways = open(site, folder.path()).await;
    let log = state(folder.path()).join("queries.log");
    let lines = || fs::read_to_string(&log).unwrap_or_default();
    let port = ask(&ways.server, "static.acme.test", Rtype::A);
    ask(&ways.server, "none.example.test", Rtype::AAAA);
    kdig(ways.server.dns.port(), &["+tcp"]);
    until("three lines", || lines().lines().count() == 3);
    let json: Vec<serde_json::Value> =
        lines().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json[0]["resolver_port"], port);
    assert_eq!(json[0]["qname"], "static.acme.test");
    assert_eq!(json[0]["chosen"], serde_json::json!(["fra1"]));
    assert_eq!(json[0]["ecs"], "203.0.113.0/24");
    assert_eq!((&json[1]["rcode"], &json[1]["qtype"]), (&"NXDOMAIN".into(), &"AAAA".into()));
    assert!(json[1].get("chosen").is_none());
    assert_eq!((&json[2]["proto"], &json[2]["aa"]), (&"tcp".into(), &true.into()));

    // From one question to the next another form, and the old lines stay.
    push(&ways, folder.path(), 2, "format = \"json\"", "format = \"text\"");
    until("a line of words", || {
        ask(&ways.server, "static.acme.test", Rtype::A);
        lines().lines().any(|line| line.ends_with(" fra1") && line.contains(" NOERROR [aa"))
    });
    assert!(lines().starts_with("{\"v\":1,"));
    // A share of none is none.
    push(&ways, folder.path(), 3, "format = \"json\"", "sample = 0.0");
    until("silence", || {
        let before = lines().len();
        ask(&ways.server, "www.example.test", Rtype::A);
        std::thread::sleep(Duration::from_millis(120));
        lines().len() == before
    });
    ways.server.stop().await;
}

/// What the name server has counted.
async fn counts(server: &Server) -> DnsCounts {
    let socket = server.context.role_socket(Role::Nameserver);
    let mut link = Link::local(&socket).await.unwrap();
    let Reply::DnsCounts(counts) = link.ask_one(&Ask::DnsCounts).await.unwrap() else {
        panic!("no counts")
    };
    *counts
}

/// `transport: udp 3, tcp 1`, a line a group.
fn words(groups: &[Group]) -> String {
    let of = |group: &Group| {
        let some = group.counts.iter().filter(|(_, count)| *count > 0);
        let counts: Vec<String> = some.map(|(name, count)| format!("{name} {count}")).collect();
        format!("{}: {}\n", group.name, counts.join(", "))
    };
    groups.iter().map(of).filter(|line| !line.ends_with(": \n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted() {
    let folder = tempfile::tempdir().unwrap();
    let ways = open("", folder.path()).await;
    let (server, dns) = (&ways.server, ways.server.dns.port());
    // The third and fourth are kept ready.
    for _ in 0..4 {
        ask(server, "www.example.test", Rtype::A);
    }
    ask(server, "none.example.test", Rtype::HTTPS);
    ask(server, "elsewhere.test", Rtype::from_int(65_280));
    kdig(dns, &["+tcp", "+dnssec"]);
    kdig(ways.tls, &["+tls"]);
    // One without a cookie of ours, one with it, one with another server's.
    let cookie = |more: &str| kdig(dns, &["+notcp", more]);
    let shown = cookie("+cookie=0102030405060708");
    let ours = shown.split("COOKIE: ").nth(1).and_then(|rest| rest.split_whitespace().next());
    cookie(&format!("+cookie={}", ours.unwrap_or_else(|| panic!("{shown}"))));
    cookie("+cookie=010203040506070801000000111213141516171819202122");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.send_to(&[0, 9, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0], server.dns).unwrap();
    // A notification and a transfer; nobody may.
    let notify = [0, 9, 0x24, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let soa = [&notify[..], b"\x07example\x04test\0", &[0, 6, 0, 1]].concat();
    silent.send_to(&soa, server.dns).unwrap();
    let dig = ["@127.0.0.1", "-p", &dns.to_string(), "example.test", "AXFR"].map(str::to_owned);
    assert!(said(Command::new("dig").args(dig)).contains("Transfer failed"));
    let counts = counts(server).await;
    assert_eq!(
        words(&counts.total()),
        "transport: udp 10, tcp 1, tls 1\ntype: A 9, HTTPS 1, other 1, unread 1\n\
         rcode: NOERROR 9, NXDOMAIN 1, REFUSED 1, none 1\nedns_size: 513-1232 6, 1453-4096 5, no_edns 1\n\
         with: dnssec_ok 1, client_subnet 6, cookie 3, kept_ready 2\n"
    );
    assert_eq!(
        words(&counts.node),
        "questions: all 12\ncookies: good 1, bad 1, new 1\n\
         zone_messages: transfer 1, notify 1\ndropped: response 1\nzones: served 2\n"
    );
    let workers: Vec<&str> = counts.workers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(workers, ["udp 0", "connections"]);
    assert!(words(&counts.workers[1].1).starts_with("transport: tcp 1, tls 1\n"));
    assert!(counts.taps.is_empty() && counts.since.0 > 0);
    ways.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("tap.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let stuck = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 42]).unwrap();
        let mut accept = Vec::new();
        Control::Accept.write(&mut accept);
        stream.write_all(&accept).unwrap();
        (stream, listener)
    });
    let rule = format!("[dns.tap]\nsocket = \"{}\"\n", socket.display());
    let ways = open(&rule, folder.path()).await;
    let held = stuck.join().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let query = build_query(7, &name("www.example.test"), Rtype::A, None);
    // More than the socket's buffers hold.
    let questions = 4_000;
    let begun = Instant::now();
    for _ in 0..questions {
        client.send_to(&query, ways.server.dns).unwrap();
        client.recv(&mut [0; 512]).unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    let end = Instant::now() + Duration::from_secs(8);
    let tap = loop {
        let tap = counts(&ways.server).await.taps.remove(0);
        if tap.written + tap.dropped == questions && tap.dropped > 0 {
            break tap;
        }
        assert!(Instant::now() < end, "{tap:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(tap.trouble.is_some() && &*tap.name == "dnstap", "{tap:?}");
    drop(held);
    ways.server.stop().await;
}
