//! Every kind of attempt against real servers of Debian's, each started for the test on a free
//! port and ended with it.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use popnet_config::network::Probe;
use popnet_http::roots::Trust;
use popnet_netprobe::Progress;
use popnet_netprobe::attempt::{Surroundings, once};
use popnet_probe::Address;
use popnet_wire::probing::Cause;
use tempfile::TempDir;

/// Longer than any server takes to start.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn vsftpd_gives_the_file() {
    let folder = open_folder();
    std::fs::create_dir(folder.path().join("pub")).unwrap();
    std::fs::write(folder.path().join("pub/check.txt"), "acme is well\n").unwrap();
    let port = free_port();
    let text = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nanonymous_enable=YES\n\
         anon_root={}\nno_anon_password=YES\nbackground=NO\nrun_as_launching_user=NO\n\
         seccomp_sandbox=NO\npasv_enable=YES\nsecure_chroot_dir={}\nvsftpd_log_file={}\n",
        folder.path().display(),
        empty(&folder).display(),
        folder.path().join("log").display(),
    );
    let file = written(&folder, "vsftpd.conf", &text);
    let _server = Server::start(Command::new("vsftpd").arg(file));
    listens(port).await;
    let good = "kind = \"ftp\"\nftp = { path = \"/pub/check.txt\" }\nexpect = { body_contains = \"well\" }";
    let seen = run(good, port).await;
    assert_eq!(seen.cause, Cause::Passed, "{seen:?}");
    assert_eq!(seen.phases, ["resolve", "connect", "login", "resolve", "connect", "file"]);
    let digest = good.replace(
        "body_contains = \"well\"",
        // Of "acme".
        "body_range = \"0-3\", body_sha256 = \
         \"822b33ad87c148a0a20a5ba7cd5ebcaa68d36a18e7aad165554903f52ca82757\"",
    );
    let seen = run(&digest, port).await;
    assert_eq!(seen.cause, Cause::Passed, "{seen:?}");
    let seen = run(&good.replace("well", "ill"), port).await;
    assert_eq!((seen.cause, &*seen.words), (Cause::Content, "content lacks \"ill\""));
    let seen = run(&good.replace("check.txt", "none.txt"), port).await;
    assert_eq!(seen.cause, Cause::Status, "{seen:?}");
    assert!(seen.words.starts_with("reply 550"), "{seen:?}");
}

#[tokio::test]
async fn nginx_serves_hls_dash_and_pages() {
    let folder = open_folder();
    let put = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    put("live/index.m3u8", b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000\nlow/index.m3u8\n");
    put("live/low/index.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n../a.ts\n");
    put("live/a.ts", &[0x47; 188 * 100]);
    put("live/gone.m3u8", b"#EXTM3U\n#EXTINF:4,\nnone.ts\n");
    put("live/away.m3u8", b"#EXTM3U\n#EXTINF:4,\nhttp://192.0.2.1/a.ts\n");
    put(
        "vod/a.mpd",
        b"<MPD><Period><AdaptationSet><SegmentTemplate media=\"$RepresentationID$-$Number$.m4s\"/>\
          <Representation id=\"v\"/></AdaptationSet></Period></MPD>",
    );
    put("vod/v-1.m4s", &[1; 5_000]);
    let port = free_port();
    let text = format!(
        "daemon off; master_process off; pid {0}/pid; error_log {0}/error;\n\
         events {{}}\nhttp {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p;\n\
         fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\n\
         server {{ listen 127.0.0.1:{port}; root {0}; }} }}\n",
        folder.path().display()
    );
    let file = written(&folder, "nginx.conf", &text);
    let _server = Server::start(Command::new("nginx").arg("-c").arg(file));
    listens(port).await;
    let stream = |path: &str, format: &str| {
        format!(
            "kind = \"stream\"\nstream = {{ path = \"{path}\", format = \"{format}\", rate = \"1 Mbps\" }}"
        )
    };
    for (path, format) in [("/live/index.m3u8", "hls"), ("/vod/a.mpd", "dash")] {
        let seen = run(&stream(path, format), port).await;
        assert_eq!(seen.cause, Cause::Passed, "{path} {seen:?}");
    }
    for (path, words) in [
        ("/live/none.m3u8", "status 404 for /live/none.m3u8"),
        ("/live/gone.m3u8", "status 404 for /live/none.ts"),
        ("/live/away.m3u8", "media is elsewhere: http://192.0.2.1/a.ts"),
        ("/live/a.ts", "not a playlist"),
    ] {
        let seen = run(&stream(path, "hls"), port).await;
        assert_eq!(&*seen.words, words);
    }
    let talk =
        "kind = \"tcp\"\ntcp = { send = \"GET / HTTP/1.0\\r\\n\\r\\n\", expect = \"nginx\" }";
    assert_eq!(run(talk, port).await.cause, Cause::Passed);
    let seen = run(&talk.replace("\"nginx\"", "\"apache\""), port).await;
    assert_eq!((seen.cause, &*seen.words), (Cause::Content, "does not say \"apache\""));
}

#[tokio::test]
async fn icecast_streams_until_its_source_ends() {
    let folder = open_folder();
    // It writes its logs after it has become somebody else, or ends.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder.path(), mode).unwrap();
    let port = free_port();
    let text = format!(
        "<icecast><location>x</location><admin>x@x.test</admin><hostname>localhost</hostname>\
         <limits><clients>9</clients><sources>2</sources></limits>\
         <authentication><source-password>pw</source-password><admin-user>a</admin-user>\
         <admin-password>pw</admin-password></authentication>\
         <listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>\
         <paths><basedir>{0}</basedir><logdir>{0}</logdir><webroot>{0}</webroot>\
         <adminroot>{0}</adminroot></paths><logging><accesslog>a</accesslog>\
         <errorlog>e</errorlog></logging><security><chroot>0</chroot>\
         <changeowner><user>nobody</user><group>nogroup</group></changeowner></security></icecast>",
        folder.path().display()
    );
    let file = written(&folder, "icecast.xml", &text);
    let _server = Server::start(Command::new("icecast2").arg("-c").arg(file));
    listens(port).await;
    let probe = "kind = \"stream\"\nstream = { path = \"/live\", format = \"endless\", \
                 listen = \"1s\", rate = \"64 kbps\" }";
    // It listens before it answers.
    let end = Instant::now() + PATIENCE;
    let seen = loop {
        let seen = run(probe, port).await;
        if seen.cause != Cause::Refused || Instant::now() > end {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(seen.cause, Cause::Status, "no source yet: {seen:?}");

    // A source that sends 128 kbit/s until the test ends.
    let mut source = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    source
        .write_all(
            b"PUT /live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic c291cmNlOnB3\r\n\
              Content-Type: audio/mpeg\r\n\r\n",
        )
        .unwrap();
    let sender = std::thread::spawn(move || {
        // Frames of MPEG 1 layer 3, 128 kbit/s, 44.1 kHz: 417 octets each.
        let mut frame = vec![0; 417];
        frame.splice(0..4, [0xff, 0xfb, 0x90, 0x64]);
        let end = Instant::now() + Duration::from_secs(6);
        while Instant::now() < end && source.write_all(&frame).is_ok() {
            std::thread::sleep(Duration::from_millis(26));
        }
    });
    let end = Instant::now() + Duration::from_secs(4);
    let seen = loop {
        let seen = run(probe, port).await;
        if seen.cause == Cause::Passed || Instant::now() > end {
            break seen;
        }
    };
    assert_eq!(seen.cause, Cause::Passed, "{seen:?}");
    let seen = run(&probe.replace("64 kbps", "900 Mbps"), port).await;
    assert_eq!(seen.cause, Cause::Content, "{seen:?}");
    assert!(seen.words.contains("kbit/s, 900000 wanted"), "{seen:?}");
    drop(sender);
}

#[tokio::test]
async fn node_exporter_tells_a_load() {
    let port = free_port();
    let _server = Server::start(
        Command::new("prometheus-node-exporter")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--collector.disable-defaults", "--collector.loadavg"])
            .args(["--collector.meminfo", "--collector.cpu"]),
    );
    listens(port).await;
    let seen = run(&format!("kind = \"metrics\"\nport = {port}"), port).await;
    assert_eq!(seen.cause, Cause::Passed, "{seen:?}");
    assert!(seen.load.is_some_and(|load| load <= 1_000), "{seen:?}");
}

#[tokio::test]
async fn snmpd_tells_a_load_by_both_versions() {
    let folder = open_folder();
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = format!(
        "agentaddress udp:127.0.0.1:{port}\nrocommunity open-sesame 127.0.0.1\n\
         createUser watcher SHA long-enough-pass AES long-enough-key\nrouser watcher priv\n"
    );
    let file = written(&folder, "snmpd.conf", &text);
    let _server = Server::start(
        Command::new("snmpd")
            .args(["-f", "-C", "-c"])
            .arg(file)
            .arg("-p")
            .arg(folder.path().join("pid"))
            .env("SNMP_PERSISTENT_DIR", folder.path()),
    );
    let path = |name: &str, secret: &str| written(&folder, name, secret).display().to_string();
    let (community, auth, key) = (
        path("community", "open-sesame\n"),
        path("auth", "long-enough-pass\n"),
        path("key", "long-enough-key\n"),
    );
    let two =
        format!("kind = \"snmp\"\nsnmp = {{ community_file = \"{community}\" }}\nport = {port}");
    let end = Instant::now() + PATIENCE;
    let seen = loop {
        let seen = run(&two, port).await;
        if seen.cause == Cause::Passed || Instant::now() > end {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(seen.cause, Cause::Passed, "{seen:?}");
    assert!(seen.load.is_some(), "{seen:?}");
    let three = format!(
        "kind = \"snmp\"\nport = {port}\n\
         snmp = {{ user = \"watcher\", auth_file = \"{auth}\", privacy_file = \"{key}\", processors = 64 }}"
    );
    let seen = run(&three, port).await;
    assert_eq!(seen.cause, Cause::Passed, "{seen:?}");
    assert!(seen.load.is_some(), "{seen:?}");
    let seen = run(&three.replace(&auth, &key), port).await;
    assert_ne!(seen.cause, Cause::Passed, "a wrong password");
    let seen = run(&two.replace("/community", "/none"), port).await;
    assert!(seen.words.contains("No such file"), "{seen:?}");
}

#[tokio::test]
async fn a_program_says_how_it_is() {
    let folder = open_folder();
    let script = |text: &str| {
        let path = written(&folder, "plugin", &format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        format!(
            "kind = \"command\"\ncommand = {{ program = \"{}\", arguments = [\"{{host}}\", \"{{port}}\", \"$HOME; true\"] }}",
            path.display()
        )
    };
    let seen = run(&script("echo \"{\\\"load\\\": 0.5}\"; exit 0"), 80).await;
    assert_eq!((seen.cause, seen.load), (Cause::Passed, Some(500)), "{seen:?}");
    let seen = run(&script("echo \"$1 $2 $3 ${HOME:-nobody}\"; exit 2"), 80).await;
    assert_eq!(&*seen.words, "exit 2 (critical) 127.0.0.1 80 $HOME; true nobody");
    let seen = run(&script("exec yes"), 80).await;
    assert_eq!((seen.cause, &*seen.words), (Cause::Timeout, "no answer within 2000 ms"));
    let seen = run(&script("kill -9 $$"), 80).await;
    assert_eq!(&*seen.words, "ended by a signal");
    let seen = run("kind = \"command\"\ncommand = { program = \"/none/such\" }", 80).await;
    assert_eq!(seen.cause, Cause::Refused);
}

#[tokio::test]
async fn an_echo_comes_back() {
    let seen = run("kind = \"icmp\"", 0).await;
    if seen.words.contains("no right to ICMP") {
        eprintln!("skipped: neither root nor in net.ipv4.ping_group_range");
        return;
    }
    assert_eq!(seen.cause, Cause::Passed, "{seen:?}");
    assert_eq!(seen.phases, ["echo"]);
}

/// What one attempt came to.
#[tokio::test]
async fn nginx_has_a_certificate_of_few_days() {
    let folder = open_folder();
    let issuer_key = rcgen::KeyPair::generate().unwrap();
    let mut issuer = rcgen::CertificateParams::default();
    issuer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = issuer.self_signed(&issuer_key).unwrap();
    let issuer = rcgen::Issuer::new(issuer, issuer_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.not_before = std::time::SystemTime::now().into();
    let days = Duration::from_hours(24 * 5 + 1);
    parameters.not_after = (std::time::SystemTime::now() + days).into();
    let leaf = parameters.signed_by(&key, &issuer).unwrap();
    written(&folder, "chain.pem", &leaf.pem());
    written(&folder, "key.pem", &key.serialize_pem());
    let port = free_port();
    let text = format!(
        "daemon off; master_process off; pid {0}/pid; error_log {0}/error;\n\
         events {{}}\nhttp {{ access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p;\n\
         fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\n\
         server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {0}/chain.pem;\n\
         ssl_certificate_key {0}/key.pem; return 200 well; }} }}\n",
        folder.path().display()
    );
    let file = written(&folder, "nginx.conf", &text);
    let _server = Server::start(Command::new("nginx").arg("-c").arg(file));
    listens(port).await;
    let trust = Trust::of([authority.der().clone()]);
    for (days, cause) in [(4, Cause::Passed), (6, Cause::Certificate)] {
        let text = format!(
            "kind = \"http\"\nrequest = {{ path = \"/\", host = \"localhost\", tls = true }}\n\
             expect = {{ certificate_days = {days} }}"
        );
        let seen = run_with(&text, port, true, trust.clone()).await;
        assert_eq!(seen.cause, cause, "{days} days: {seen:?}");
    }
}

#[tokio::test]
async fn named_and_nsd_answer_right_or_wrong() {
    let zone = "$TTL 60\n@ SOA ns host 1 60 60 60 60\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.80\n";
    for program in ["named", "nsd"] {
        let folder = open_folder();
        let port = free_port();
        let at = folder.path().display().to_string();
        written(&folder, "acme.zone", zone);
        let mut command = Command::new(program);
        let _server = if program == "named" {
            let text = format!(
                "options {{ directory \"{at}\"; listen-on port {port} {{ 127.0.0.1; }}; \
                 listen-on-v6 {{ none; }}; recursion no; pid-file \"{at}/pid\"; \
                 session-keyfile \"{at}/session\"; dnssec-validation no; }};\n\
                 controls {{ }};\nzone \"acme.test\" {{ type primary; file \"{at}/acme.zone\"; }};\n"
            );
            let file = written(&folder, "named.conf", &text);
            Server::start(command.arg("-g").arg("-c").arg(file))
        } else {
            let text = format!(
                "server:\n ip-address: 127.0.0.1\n port: {port}\n username: \"\"\n chroot: \"\"\n \
                 zonesdir: \"{at}\"\n database: \"\"\n pidfile: \"{at}/pid\"\n \
                 xfrdfile: \"{at}/xfrd\"\n zonelistfile: \"{at}/list\"\n xfrdir: \"{at}\"\n\
                 remote-control:\n control-enable: no\n\
                 zone:\n name: acme.test\n zonefile: acme.zone\n"
            );
            let file = written(&folder, "nsd.conf", &text);
            Server::start(command.arg("-d").arg("-c").arg(file))
        };
        listens(port).await;
        let asked = |rest: &str| format!("kind = \"dns\"\ndns = {{ {rest} }}");
        // It listens before it has read its zones.
        let end = Instant::now() + PATIENCE;
        while run(&asked("name = \"ns.acme.test\""), port).await.cause != Cause::Passed {
            assert!(Instant::now() < end, "{program} does not serve its zone");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for (rest, cause) in [
            ("name = \"www.acme.test\", answer = \"192.0.2.80\"", Cause::Passed),
            ("name = \"www.acme.test\", answer = \"192.0.2.81\"", Cause::Content),
            ("name = \"none.acme.test\"", Cause::Status),
            ("name = \"none.acme.test\", rcode = \"NXDOMAIN\"", Cause::Passed),
        ] {
            let seen = run(&asked(rest), port).await;
            assert_eq!(seen.cause, cause, "{program} {rest}: {seen:?}");
        }
    }
}

#[derive(Debug)]
struct Seen {
    cause: Cause,
    words: String,
    load: Option<u16>,
    phases: Vec<&'static str>,
}

async fn run(text: &str, port: u16) -> Seen {
    run_with(text, port, false, Trust::of([])).await
}

async fn run_with(text: &str, port: u16, tls: bool, trust: Trust) -> Seen {
    let text = format!("{text}\ntarget = {{ role = \"webcache\" }}\ntimeout = \"2s\"\n");
    let probe: Probe = toml_edit::de::from_str(&text).unwrap();
    let address = Address { host: "127.0.0.1".into(), port };
    let mut attempt = popnet_probe::once(&probe, address, tls).unwrap();
    let around = Surroundings { trust, base_dir: PathBuf::from("/") };
    let mut progress = Progress::default();
    let outcome = once(&attempt.action(), &around, &mut progress).await.unwrap();
    let (checked, _) = attempt.judge(&outcome);
    Seen {
        cause: checked.cause,
        words: checked.words.to_string(),
        load: checked.load,
        phases: progress.phases().iter().map(|(name, _)| *name).collect(),
    }
}

/// A server that ends with the test.
struct Server(Child);

impl Server {
    fn start(command: &mut Command) -> Self {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let command = command.env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.stderr(Stdio::null()).spawn().expect("cargo xtask setup installs it"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn listens(port: u16) {
    let end = Instant::now() + PATIENCE;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    while TcpStream::connect(to).is_err() {
        assert!(Instant::now() < end, "nobody listens on {port}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A folder that servers may read when they have become somebody else.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), mode).unwrap();
    folder
}

fn empty(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("empty");
    std::fs::create_dir(&path).unwrap();
    path
}

fn written(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path: &Path = &folder.path().join(name);
    std::fs::write(path, text).unwrap();
    path.to_path_buf()
}
