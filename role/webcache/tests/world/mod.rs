//! A webcache on free loopback ports, with a scripted server in the place of its disk tier.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot be set up fails"
)]
#![expect(dead_code, reason = "each story uses a part of it")]
#![expect(unreachable_pub, reason = "a module of several test programs")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use popnet_directory::Directory;
use popnet_runtime::link::Link;
use popnet_runtime::{Authority, Context, Running};
use popnet_terms::{NodeName, Role, Seconds, Timestamp};
use popnet_webcache::{Certificate, Settings};
use popnet_wire::control::{Ask, Reply, role_socket};
use popnet_wire::explaining::{ExplainUrl, UrlStory};
use popnet_wire::purging::{Purge, PurgeId, PurgeKind, PurgeOrder, PurgeState, PurgeWhat};
use popnet_wire::rollout::{Digest, Epoch};
use popnet_wire::sheet::{CacheRules, Masking, SetCookie, Sheet, SiteSheet};
use popnet_wire::status::RoleStatus;
use popnet_wire::trips::{TripsAsk, TripsTold};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the scripted server sends, octet by octet.
#[derive(Clone)]
pub struct Reaction {
    /// Status line and fields, without the empty line.
    pub head: String,
    pub pieces: Vec<Bytes>,
    /// Hold the pieces after the first back until told.
    pub gate: Option<watch::Receiver<bool>>,
    pub end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    KeepOpen,
    Close,
    Reset,
}

impl Reaction {
    pub fn ok(fields: &str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{fields}", content.len());
        Self { head, pieces: vec![content], gate: None, end: End::KeepOpen }
    }

    pub fn status(line: &str, fields: &str) -> Self {
        let head = format!("HTTP/1.1 {line}\r\n{fields}");
        Self { head, pieces: Vec::new(), gate: None, end: End::KeepOpen }
    }
}

/// A request as the scripted server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub fields: Vec<(String, String)>,
    pub content: Vec<u8>,
}

impl Seen {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or("")
    }
}

pub type Script = Arc<dyn Fn(&Seen) -> Reaction + Send + Sync>;

pub struct World {
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub shutdown: CancellationToken,
    pub running: Option<Running>,
    pub run_dir: PathBuf,
    pub directory: Arc<Directory>,
    folder: tempfile::TempDir,
}

pub fn site(name: &str) -> SiteSheet {
    SiteSheet {
        site: name.into(),
        customer: "acme".into(),
        cache: CacheRules {
            default_ttl: Seconds(0),
            max_ttl: Seconds(86_400),
            heuristic: true,
            stale_while_revalidate: Seconds(0),
            stale_if_error: Seconds(0),
            obey: vec!["CDN-Cache-Control".into(), "Cache-Control".into()],
            query_ignore: vec!["utm_*".into()],
            query_sort: false,
            vary_limit: 4,
            set_cookie: SetCookie::Bypass,
            tags: vec!["Surrogate-Key".into()],
            max_object: 1 << 30,
        },
        paths: Vec::new(),
        origins: Vec::new(),
        client_ip: Masking::Prefix,
        certificate: Some("lab".into()),
        delivery: Arc::default(),
    }
}

pub fn sheet(epoch: u64, sites: Vec<SiteSheet>) -> Sheet {
    Sheet {
        epoch: Epoch(epoch),
        digest: Digest::default(),
        node: NodeName::new("edge1.lab"),
        domain: "lab.test".into(),
        nameservers: Vec::new(),
        sites,
    }
}

impl World {
    pub async fn new(
        memory: u64,
        script: impl Fn(&Seen) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        Self::with(memory, Some(Arc::new(script))).await
    }

    pub async fn with(memory: u64, script: Option<Script>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = folder.path().join("run");
        std::fs::create_dir_all(&run_dir).unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        if let Some(script) = script {
            let listener = UnixListener::bind(run_dir.join("store.sock")).unwrap();
            tokio::spawn(play(listener, script, Arc::clone(&seen)));
        }
        let authority = Authority::create(&folder.path().join("ca"), "lab").unwrap();
        let shutdown = CancellationToken::new();
        let context = Context {
            node: NodeName::new("edge1.lab"),
            hostname: "edge1.lab.lab.test".to_owned(),
            domain: "lab.test".into(),
            state_dir: folder.path().join("state"),
            run_dir: run_dir.clone(),
            identity: authority.identity("edge1.lab.lab.test").unwrap(),
            shutdown: shutdown.clone(),
        };
        let issued =
            rcgen::generate_simple_self_signed(vec!["a.test".to_owned(), "b.test".to_owned()])
                .unwrap();
        let (chain, key) = (folder.path().join("lab.pem"), folder.path().join("lab.key"));
        std::fs::write(&chain, issued.cert.pem()).unwrap();
        std::fs::write(&key, issued.signing_key.serialize_pem()).unwrap();
        let (http, https) = (free_port(), free_port());
        let settings = Settings {
            http: vec![http],
            https: vec![https],
            http3: true,
            certificates: vec![Certificate { name: "lab".into(), chain, key }],
            workers: Some(2),
            memory,
        };
        let sites = vec![site("a.test"), site("b.test")];
        let directory = Directory::fixed(sheet(7, sites), Vec::new(), BTreeMap::new());
        let running =
            popnet_webcache::start(context, settings, Arc::clone(&directory)).await.unwrap();
        let world = Self {
            http,
            https,
            seen,
            shutdown,
            running: Some(running),
            run_dir,
            directory,
            folder,
        };
        world.until_up().await;
        world
    }

    /// Renews the certificate of every site: another key, another name.
    pub fn renew(&self, name: &str) -> rustls::pki_types::CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        std::fs::write(self.folder.path().join("lab.pem"), made.cert.pem()).unwrap();
        let key = made.signing_key.serialize_pem();
        std::fs::write(self.folder.path().join("lab.key"), key).unwrap();
        made.cert.der().clone()
    }

    /// The node's state folder.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    async fn until_up(&self) {
        for _ in 0..200 {
            if let Ok(Ok(answer)) = tokio::time::timeout(
                Duration::from_secs(1),
                try_raw(self.http, b"GET /.popnet/health HTTP/1.1\r\nHost: health.popnet.invalid\r\nConnection: close\r\n\r\n"),
            )
            .await
                && answer.starts_with(b"HTTP/1.1 200")
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not up within two seconds");
    }

    pub async fn get(&self, path: &str, fields: &str) -> Answer {
        self.ask("GET", path, fields, b"").await
    }

    pub async fn ask(&self, method: &str, path: &str, fields: &str, content: &[u8]) -> Answer {
        let length = if content.is_empty() {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", content.len())
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{length}{fields}\r\n"
        );
        let mut whole = head.into_bytes();
        whole.extend_from_slice(content);
        Answer::of(raw(self.http, &whole).await)
    }

    pub fn asked(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn last_seen(&self) -> Seen {
        self.seen.lock().unwrap().last().expect("a request reached the disk tier").clone()
    }

    pub async fn link(&self) -> Link {
        Link::local(&self.run_dir.join(role_socket(Role::Webcache))).await.unwrap()
    }

    pub async fn purge(&self, what: PurgeWhat, kind: PurgeKind) -> u64 {
        let order = PurgeOrder { customer: "acme".into(), what, kind, actor: "test".into() };
        let purge = Purge { id: PurgeId(1), at: Timestamp(0), order };
        match self.link().await.ask_one(&Ask::Purge(purge)).await.unwrap() {
            Reply::Receipts(receipts) => match &receipts[0].state {
                PurgeState::Applied { objects, .. } => *objects,
                PurgeState::Unreachable(why) => panic!("{why}"),
            },
            other => panic!("{other:?}"),
        }
    }

    pub async fn explain(&self, path: &str) -> UrlStory {
        let ask = ExplainUrl {
            scheme: "http".into(),
            host: "a.test".into(),
            path: path.into(),
            fields: Vec::new(),
        };
        match self.link().await.ask_one(&Ask::ExplainUrl(ask)).await.unwrap() {
            Reply::Url(story) => story,
            other => panic!("{other:?}"),
        }
    }

    pub async fn trips(&self, ask: TripsAsk) -> TripsTold {
        match self.link().await.ask_one(&Ask::Trips(ask)).await.unwrap() {
            Reply::Trips(told) => told,
            other => panic!("{other:?}"),
        }
    }

    pub async fn status(&self) -> Status {
        match self.link().await.ask_one(&Ask::RoleStatus).await.unwrap() {
            Reply::Role(RoleStatus::Cache {
                requests,
                hits,
                bytes_out,
                objects,
                used,
                capacity,
                ..
            }) => Status { requests, hits, bytes_out, objects, used, capacity },
            other => panic!("{other:?}"),
        }
    }

    /// The status once so many requests have been recorded.
    pub async fn status_after(&self, requests: u64) -> Status {
        for _ in 0..200 {
            let status = self.status().await;
            if status.requests >= requests {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{requests} requests were not recorded within two seconds");
    }
}

#[derive(Debug)]
pub struct Status {
    pub requests: u64,
    pub hits: u64,
    pub bytes_out: u64,
    pub objects: u64,
    pub used: u64,
    pub capacity: u64,
}

/// A response as it stood on the wire.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub content: Vec<u8>,
    pub octets: usize,
}

impl Answer {
    pub fn of(octets: impl AsRef<[u8]>) -> Self {
        let octets = octets.as_ref();
        let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Self {
                status: 0,
                head: String::new(),
                content: Vec::new(),
                octets: octets.len(),
            };
        };
        let head = String::from_utf8_lossy(&octets[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        Self { status, head, content: octets[end + 4..].to_vec(), octets: octets.len() }
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn cache_status(&self) -> &str {
        self.field("cache-status").unwrap_or("")
    }
}

pub async fn raw(to: SocketAddr, octets: &[u8]) -> Vec<u8> {
    let exchange = tokio::time::timeout(Duration::from_secs(20), try_raw(to, octets));
    exchange.await.expect("an answer within 20 s").expect("an answer")
}

pub async fn try_raw(to: SocketAddr, octets: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(octets).await?;
    let mut answer = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return Ok(answer),
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            // A connection that is broken off shows what came before.
            Err(_) => return Ok(answer),
        }
    }
}

pub fn free_port() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

async fn play(listener: UnixListener, script: Script, seen: Arc<Mutex<Vec<Seen>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
        tokio::spawn(async move {
            let _ = converse(stream, script, seen).await;
        });
    }
}

async fn converse<T: AsyncRead + AsyncWrite + Unpin>(
    mut stream: T,
    script: Script,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(request) = read_request(&mut stream, &mut buffer).await? else { return Ok(()) };
        seen.lock().unwrap().push(request.clone());
        let reaction = script(&request);
        stream.write_all(format!("{}\r\n\r\n", reaction.head.trim_end()).as_bytes()).await?;
        for (number, piece) in reaction.pieces.iter().enumerate() {
            if number > 0
                && let Some(mut gate) = reaction.gate.clone()
            {
                let _ = gate.wait_for(|open| *open).await;
            }
            stream.write_all(piece).await?;
            stream.flush().await?;
        }
        match reaction.end {
            End::KeepOpen => {}
            End::Close | End::Reset => return Ok(()),
        }
    }
}

async fn read_request<T: AsyncRead + Unpin>(
    stream: &mut T,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<Seen>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut lines = head.lines();
    let line = lines.next().unwrap_or("").to_owned();
    let fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = fields
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let chunked = fields.iter().any(|(name, _)| name == "transfer-encoding");
    buffer.drain(..end + 4);
    while buffer.len() < length || (chunked && !buffer.ends_with(b"0\r\n\r\n")) {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let content: Vec<u8> =
        if chunked { std::mem::take(buffer) } else { buffer.drain(..length).collect() };
    Ok(Some(Seen { line, fields, content }))
}

/// Counts calls.
#[derive(Default)]
pub struct Calls(AtomicUsize);

impl Calls {
    pub fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}
