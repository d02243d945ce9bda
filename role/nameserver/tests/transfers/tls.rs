//! Zones over TLS, both sides known to each other (RFC 9103): BIND as our primary and as our
//! secondary, ours of ours, and those who are not who they should be; zones over QUIC (RFC 9250).

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use popnet_dns::{Name, Rtype};
use popnet_transfer::{Arrival, Arrived, Limits, Progress, Rr, Serial, Wanted, ask};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::common::{Server, free_port, start_on};
use crate::lab::{HEAD, SECRET, nsupdate, serial, until, write_keys, zone_file};
use crate::peer::Process;

/// The primary, the secondary, and somebody else.
const NAMES: [&str; 3] = ["ns1.test", "ns2.test", "ns3.test"];

/// Writes an authority `ca.pem` and a certificate for each of [`NAMES`]; gives their pins.
fn write_certificates(folder: &Path) -> Vec<String> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let mut pins = Vec::new();
    for name in NAMES {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        // What has its issuer's name OpenSSL takes for its own issuer.
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        let pin = format!(
            "openssl x509 -in {name}.pem -pubkey -noout | openssl pkey -pubin -outform der | \
             openssl dgst -sha256 -binary | base64"
        );
        let output = Command::new("sh").args(["-c", &pin]).current_dir(folder).output().unwrap();
        pins.push(String::from_utf8(output.stdout).unwrap().trim().to_owned());
    }
    pins
}

/// Our configuration with these certificates, and DNS over TLS and QUIC at a port.
fn text(tls: u16, zone: &str) -> String {
    let listen = format!("listen = {{ dot = [\"127.0.0.1:{tls}\"], doq = [\"127.0.0.1:{tls}\"],");
    let mut text = HEAD.replace("listen = {", &listen);
    text.push_str("[dns]\ncertificate = \"ns1\"\ntransfer_ca = \"ca.pem\"\n");
    for (at, name) in NAMES.iter().enumerate() {
        let at = at + 1;
        writeln!(text, "[certificates.ns{at}]\nchain = \"{name}.pem\"\nkey = \"{name}.key\"")
            .unwrap();
    }
    text + "[zones.\"plain.test\"]\n" + zone
}

async fn start(folder: &Path, port: u16, tls: u16, zone: &str) -> Server {
    let probe = ([127, 0, 0, 1], free_port()).into();
    start_on(&text(tls, zone), folder, ([127, 0, 0, 1], port).into(), probe).await
}

/// A folder that has the certificates of `from`, too.
fn folder_like(from: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "pem" || end == "key") {
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    folder
}

/// Waits, and tells what BIND said when it takes too long.
fn arrives(bind: &Process, mut done: impl FnMut() -> bool) {
    for _ in 0..300 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("not within 15 s:\n{}", bind.log());
}

const UPDATE: &str = "allow_update = [{ key = \"ddns\" }]\n";

fn change(port: u16) {
    let lines = ["update add new.plain.test. 60 A 192.0.2.77"];
    nsupdate(port, "plain.test", Some("ddns"), &lines).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ours_and_ours_by_name_and_by_key() {
    let above = tempfile::tempdir().unwrap();
    let pins = write_certificates(above.path());
    write_keys(above.path());
    std::fs::write(above.path().join("z.zone"), zone_file(1)).unwrap();
    let (port, tls) = (free_port(), free_port());
    let zone = format!("file = \"z.zone\"\nallow_transfer = [\"tls:ns2.test\"]\n{UPDATE}");
    let primary = start(above.path(), port, tls, &zone).await;
    let has = |zone: String, comes: bool| {
        let folder = folder_like(above.path());
        async move {
            let own = free_port();
            let server = start(folder.path(), own, free_port(), &zone).await;
            if comes {
                until(&zone, || serial(own, "plain.test") == serial(port, "plain.test"));
            } else {
                std::thread::sleep(std::time::Duration::from_millis(700));
                assert_eq!(serial(own, "plain.test"), None, "{zone}");
            }
            server.stop().await;
        }
    };
    let source =
        |rest: &str| format!("tls_primaries = [{{ address = \"127.0.0.1:{tls}\", {rest} }}]\n");
    let pin = |at: usize| format!("pins = [\"{}\"]", pins[at]);
    has(source("name = \"ns1.test\", certificate = \"ns2\""), true).await;
    has(source(&format!("{}, certificate = \"ns2\"", pin(0))), true).await;
    let both = format!("name = \"ns1.test\", {}, certificate = \"ns2\"", pin(0));
    has(source(&both), true).await;
    // Another's name, another's key, another's certificate, none.
    has(source("name = \"ns3.test\", certificate = \"ns2\""), false).await;
    has(source(&format!("{}, certificate = \"ns2\"", pin(1))), false).await;
    has(source("name = \"ns1.test\", certificate = \"ns3\""), false).await;
    has(source("name = \"ns1.test\""), false).await;
    // Nor does it come without TLS.
    has(format!("primaries = [\"127.0.0.1:{port}\"]\n"), false).await;
    primary.stop().await;

    // The key of whoever asks, known to the primary.
    let zone = format!("file = \"z.zone\"\nallow_transfer = [\"pin:{}\"]\n", pins[1]);
    let primary = start(above.path(), port, tls, &zone).await;
    let folder = folder_like(above.path());
    let own = free_port();
    let rest = format!("{}, certificate = \"ns2\"", pin(0));
    let server = start(folder.path(), own, free_port(), &source(&rest)).await;
    until("the zone is there", || serial(own, "plain.test").is_some());
    server.stop().await;
    primary.stop().await;
}

fn bind_head(folder: &Path, port: u16) -> String {
    let d = folder.display();
    let tls = |name: &str, rest: &str| {
        format!(
            "tls {rest} {{ cert-file \"{d}/{name}.pem\"; key-file \"{d}/{name}.key\"; \
             ca-file \"{d}/ca.pem\"; }};\n"
        )
    };
    format!(
        "key \"ddns\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\ncontrols {{ }};\n{}\
         options {{ directory \"{d}\"; listen-on port {port} {{ 127.0.0.1; }}; \
         LISTEN listen-on-v6 {{ none; }}; recursion no; pid-file \"{d}/pid\"; \
         session-keyfile none; dnssec-validation no; notify explicit; min-refresh-time 1; }};\n",
        tls("ns1.test", "front")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn bind_is_our_primary() {
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path());
    write_keys(folder.path());
    std::fs::write(folder.path().join("z.zone"), zone_file(1)).unwrap();
    let (theirs, over_tls, ours) = (free_port(), free_port(), free_port());
    let listen = format!("listen-on port {over_tls} tls front {{ 127.0.0.1; }};");
    let conf = bind_head(folder.path(), theirs).replace("LISTEN", &listen)
        + &format!(
            "zone \"plain.test\" {{ type primary; check-names ignore; file \"z.zone\"; \
             allow-update {{ key ddns; }}; also-notify {{ 127.0.0.1 port {ours}; }}; \
             allow-transfer port {over_tls} transport tls {{ any; }}; }};\n"
        );
    let bind = Process::bind(folder.path(), &conf);
    let source = |name: &str| {
        format!(
            "tls_primaries = [{{ address = \"127.0.0.1:{over_tls}\", name = \"ns1.test\"{name} }}]\n"
        )
    };
    let own = folder_like(folder.path());
    let server = start(own.path(), ours, free_port(), &source(", certificate = \"ns2\"")).await;
    arrives(&bind, || serial(ours, "plain.test") == Some(1));
    change(theirs);
    arrives(&bind, || serial(ours, "plain.test") == Some(2));
    server.stop().await;
    // Who shows nothing gets nothing: BIND has `ca-file`.
    let own = folder_like(folder.path());
    let server = start(own.path(), ours, free_port(), &source("")).await;
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(serial(ours, "plain.test"), None);
    server.stop().await;
    drop(bind);
}

#[tokio::test(flavor = "multi_thread")]
async fn bind_is_our_secondary() {
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path());
    write_keys(folder.path());
    std::fs::write(folder.path().join("z.zone"), zone_file(1)).unwrap();
    let (theirs, tls, ours) = (free_port(), free_port(), free_port());
    let zone = format!(
        "file = \"z.zone\"\nsecondaries = [\"127.0.0.1:{theirs}\"]\n\
         allow_transfer = [\"tls:ns2.test\"]\n{UPDATE}"
    );
    let server = start(folder.path(), ours, tls, &zone).await;
    let bind_folder = folder_like(folder.path());
    let d = bind_folder.path().display();
    let conf = |name: &str| {
        bind_head(bind_folder.path(), theirs).replace("LISTEN", "")
            + &format!(
                "tls ours {{ remote-hostname \"ns1.test\"; ca-file \"{d}/ca.pem\"; \
                 cert-file \"{d}/{name}.pem\"; key-file \"{d}/{name}.key\"; }};\n\
                 zone \"plain.test\" {{ type secondary; file \"z.sec\"; \
                 allow-notify {{ 127.0.0.1; }}; \
                 primaries {{ 127.0.0.1 port {tls} tls ours; }}; }};\n"
            )
    };
    // Somebody else whom the authority knows.
    let bind = Process::bind(bind_folder.path(), &conf("ns3.test"));
    until("BIND answers", || bind.log().contains("running"));
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(serial(theirs, "plain.test"), None, "{}", bind.log());
    drop(bind);
    let bind = Process::bind(bind_folder.path(), &conf("ns2.test"));
    arrives(&bind, || serial(theirs, "plain.test") == Some(1));
    change(ours);
    arrives(&bind, || serial(theirs, "plain.test") == Some(2));
    drop(bind);
    server.stop().await;
}

fn nsd_head(folder: &Path, port: u16, more: &str) -> String {
    let d = folder.display();
    format!(
        "server:\n ip-address: 127.0.0.1@{port}\n{more} server-count: 1\n zonesdir: \"{d}\"\n \
         pidfile: \"{d}/pid\"\n database: \"\"\n username: \"\"\n xfrdfile: \"{d}/xfrd\"\n \
         zonelistfile: \"{d}/zl\"\n xfrdir: \"{d}\"\n xfrd-reload-timeout: 0\n \
         tls-cert-bundle: \"{d}/ca.pem\"\nremote-control:\n control-enable: no\n"
    )
}

/// Knot learns this with version 3.3, which Debian 12 has not.
#[tokio::test(flavor = "multi_thread")]
async fn nsd_is_our_secondary() {
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path());
    write_keys(folder.path());
    std::fs::write(folder.path().join("z.zone"), zone_file(1)).unwrap();
    let (theirs, tls, ours) = (free_port(), free_port(), free_port());
    let zone = format!(
        "file = \"z.zone\"\nsecondaries = [\"127.0.0.1:{theirs}\"]\n\
         allow_transfer = [\"tls:ns2.test\"]\n{UPDATE}"
    );
    let server = start(folder.path(), ours, tls, &zone).await;
    let conf = |folder: &Path, name: &str| {
        let d = folder.display();
        nsd_head(folder, theirs, "")
            + &format!(
                "tls-auth:\n name: ours\n auth-domain-name: \"ns1.test\"\n \
                 client-cert: \"{d}/{name}.pem\"\n client-key: \"{d}/{name}.key\"\n\
                 zone:\n name: plain.test\n zonefile: z.sec\n allow-notify: 127.0.0.1 NOKEY\n \
                 request-xfr: 127.0.0.1@{tls} NOKEY ours\n"
            )
    };
    // Somebody else whom the authority knows.
    let other = folder_like(folder.path());
    let nsd = Process::nsd(other.path(), &conf(other.path(), "ns3.test"));
    until("NSD answers", || nsd.log().contains("started"));
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(serial(theirs, "plain.test"), None, "{}", nsd.log());
    drop(nsd);
    let nsd_folder = folder_like(folder.path());
    let nsd = Process::nsd(nsd_folder.path(), &conf(nsd_folder.path(), "ns2.test"));
    arrives(&nsd, || serial(theirs, "plain.test") == Some(1));
    change(ours);
    arrives(&nsd, || serial(theirs, "plain.test") == Some(2));
    drop(nsd);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nsd_is_our_primary() {
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path());
    std::fs::write(folder.path().join("z.zone"), zone_file(1)).unwrap();
    let (theirs, over_tls, ours) = (free_port(), free_port(), free_port());
    let d = folder.path().display();
    let listen = format!(
        " ip-address: 127.0.0.1@{over_tls}\n tls-port: {over_tls}\n \
         tls-service-key: \"{d}/ns1.test.key\"\n tls-service-pem: \"{d}/ns1.test.pem\"\n"
    );
    let conf = nsd_head(folder.path(), theirs, &listen)
        + "zone:\n name: plain.test\n zonefile: z.zone\n provide-xfr: 127.0.0.1 NOKEY\n";
    let nsd = Process::nsd(folder.path(), &conf);
    let source = |name: &str| {
        format!("tls_primaries = [{{ address = \"127.0.0.1:{over_tls}\", name = \"{name}\" }}]\n")
    };
    let own = folder_like(folder.path());
    let server = start(own.path(), ours, free_port(), &source("ns1.test")).await;
    arrives(&nsd, || serial(ours, "plain.test") == Some(1));
    server.stop().await;
    // Who has another name than it should is not asked.
    let own = folder_like(folder.path());
    let server = start(own.path(), ours, free_port(), &source("ns3.test")).await;
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(serial(ours, "plain.test"), None);
    server.stop().await;
    drop(nsd);
}

/// A zone on one stream of QUIC, or what has changed of it `since` a serial number; `Err` with the
/// code that refuses it.
async fn over_quic(
    folder: &Path,
    port: u16,
    name: Option<&str>,
    since: Option<u32>,
) -> Result<Arrived, String> {
    let pem = |name: &str| CertificateDer::from_pem_file(folder.join(name)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pem("ca.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut tls = match name {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(vec![pem(&format!("{name}.pem"))], key).unwrap()
        }
    };
    tls.alpn_protocols = vec![b"doq".to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let connection = endpoint.connect(address, "ns1.test").unwrap().await.unwrap();
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    let apex: Name = "plain.test".parse().unwrap();
    let soa = since.map(|serial| {
        let rdata = [&b"\0\0"[..], &serial.to_be_bytes(), &[0; 16]].concat().into();
        Rr { owner: apex.clone(), rtype: Rtype::SOA, ttl: 0, rdata }
    });
    let qtype = if soa.is_some() { Rtype::IXFR } else { Rtype::AXFR };
    let question = ask(0, &apex, qtype, soa.as_ref());
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    send.write_all(&[&length, question.as_slice()].concat()).await.unwrap();
    send.finish().unwrap();
    let octets = receive.read_to_end(1 << 20).await.unwrap();
    let limits = Limits { records: 10_000, octets: 1 << 20 };
    let wanted = since.map_or(Wanted::Whole, |serial| Wanted::Since(Serial(serial)));
    let mut arrival = Arrival::new(0, apex, wanted, limits);
    let mut rest = octets.as_slice();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (message, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
        rest = after;
        match arrival.message(message).map_err(|trouble| trouble.to_string())? {
            Progress::More => {}
            Progress::Done(arrived) => {
                assert!(rest.is_empty(), "nothing after the end");
                return Ok(arrived);
            }
        }
    }
    panic!("the transfer ends early, after {} octets", octets.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_and_differences_over_quic() {
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path());
    write_keys(folder.path());
    std::fs::write(folder.path().join("z.zone"), zone_file(1)).unwrap();
    let (port, tls) = (free_port(), free_port());
    let zone = format!("file = \"z.zone\"\nallow_transfer = [\"tls:ns2.test\"]\n{UPDATE}");
    let server = start(folder.path(), port, tls, &zone).await;
    let ours = Some("ns2.test");
    let Ok(Arrived::Whole(records)) = over_quic(folder.path(), tls, ours, None).await else {
        panic!("no zone")
    };
    assert_eq!(records.len(), 1_516);
    tokio::task::block_in_place(|| change(port));
    let said = over_quic(folder.path(), tls, ours, Some(1)).await;
    let Ok(Arrived::Steps(steps)) = said else { panic!("no differences: {said:?}") };
    assert_eq!((steps.len(), steps[0].added.len(), steps[0].to()), (1, 1, Serial(2)));
    assert_eq!(steps[0].added[0].owner.to_host(), "new.plain.test");
    let said = over_quic(folder.path(), tls, ours, Some(2)).await;
    assert_eq!(said, Ok(Arrived::Unchanged(Serial(2))));
    for since in [None, Some(1)] {
        for name in [None, Some("ns3.test")] {
            let said = over_quic(folder.path(), tls, name, since).await.unwrap_err();
            assert!(said.contains("REFUSED"), "{name:?}: {said}");
        }
    }
    server.stop().await;
}
