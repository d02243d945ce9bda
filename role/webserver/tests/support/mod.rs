//! A webserver of the tests with origins of the tests: real sockets, real files.

mod rules;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use popnet_directory::Directory;
use popnet_http::body::Body;
use popnet_http::client::{Client, Place};
use popnet_http::failure::Failure;
use popnet_runtime::link::Link;
use popnet_runtime::{Authority, Context, Running};
use popnet_terms::{CustomerId, NodeName, OriginId, Role, SiteName, Timestamp};
use popnet_webserver::{Patience, Settings, start_patient};
use popnet_wire::control::{Ask, Reply};
use popnet_wire::purging::{Purge, PurgeId, PurgeKind, PurgeOrder, PurgeState, PurgeWhat};
use popnet_wire::rollout::{Digest, Epoch};
use popnet_wire::sheet::{Masking, OriginAddress, Sheet, SiteSheet};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, rustls};
use tokio_util::sync::CancellationToken;

pub(crate) const SITE: &str = "static.acme.test";
pub(crate) const BIG: usize = 20 << 20;

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// An origin: counts its requests, and answers by path. Ends when dropped.
pub(crate) struct Origin {
    pub(crate) at: SocketAddr,
    pub(crate) asked: Arc<AtomicUsize>,
    /// Heads of the requests.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    /// Its certificate, where it speaks TLS.
    pub(crate) certificate: Option<String>,
    task: JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    pub(crate) async fn start() -> Self {
        Self::start_on(None).await
    }

    /// With TLS and a certificate of its own for `name`.
    pub(crate) async fn start_tls(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = rustls::ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let tls = Some(TlsAcceptor::from(Arc::new(config)));
        let mut origin = Self::start_on(tls).await;
        origin.certificate = Some(made.cert.pem());
        origin
    }

    async fn start_on(tls: Option<TlsAcceptor>) -> Self {
        big();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (count, seen) = (Arc::clone(&asked), Arc::clone(&heads));
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (count, seen, tls) = (Arc::clone(&count), Arc::clone(&seen), tls.clone());
                open.spawn(async move {
                    match tls {
                        None => converse(stream, count, seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                converse(stream, count, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { at, asked, heads, certificate: None, task }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Made once: in a debug build it takes longer than a short-tempered webserver waits.
pub(crate) fn big() -> &'static [u8] {
    static OCTETS: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..BIG).map(|at| u8::try_from((at / 7) % 251).unwrap()).collect());
    &OCTETS
}

async fn converse(
    mut stream: impl Stream,
    asked: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        };
        let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
        let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
        asked.fetch_add(1, Ordering::SeqCst);
        heads.lock().unwrap().push(head.clone());
        if !answer(&mut stream, &path, &head).await {
            return;
        }
    }
}

/// Answers; says whether the connection stays.
async fn answer(stream: &mut impl Stream, path: &str, head: &str) -> bool {
    let fresh = "cache-control: max-age=600\r\netag: \"1\"\r\n";
    match path {
        "/reset" => return false,
        "/stall" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return false;
        }
        "/short" => {
            let text = format!("HTTP/1.1 200 OK\r\n{fresh}content-length: 1000\r\n\r\nten octets");
            stream.write_all(text.as_bytes()).await.unwrap();
            return false;
        }
        "/cut-chunks" => {
            let text = format!(
                "HTTP/1.1 200 OK\r\n{fresh}transfer-encoding: chunked\r\n\r\na\r\nten octets\r\n"
            );
            stream.write_all(text.as_bytes()).await.unwrap();
            return false;
        }
        "/hang" => {
            let text = format!("HTTP/1.1 200 OK\r\n{fresh}content-length: 1000\r\n\r\nten octets");
            stream.write_all(text.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
            return false;
        }
        "/junk" => {
            stream.write_all(b"\x00\x01this is not HTTP\r\n\r\n").await.unwrap();
            return false;
        }
        "/big" => {
            let text = format!("HTTP/1.1 200 OK\r\n{fresh}content-length: {BIG}\r\n\r\n");
            stream.write_all(text.as_bytes()).await.unwrap();
            return stream.write_all(big()).await.is_ok();
        }
        "/chunked" => {
            let text = format!(
                "HTTP/1.1 200 OK\r\n{fresh}transfer-encoding: chunked\r\n\r\n\
                 3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
            );
            stream.write_all(text.as_bytes()).await.unwrap();
            return true;
        }
        _ => {}
    }
    let body = match path.strip_prefix("/octets/") {
        Some(count) => vec![b'x'; count.parse().unwrap()],
        None => format!("content of {path}").into_bytes(),
    };
    let status = if head.to_ascii_lowercase().contains("if-none-match: \"1\"") {
        let text = format!("HTTP/1.1 304 Not Modified\r\n{fresh}\r\n");
        return stream.write_all(text.as_bytes()).await.is_ok();
    } else {
        "200 OK"
    };
    let text = format!(
        "HTTP/1.1 {status}\r\n{fresh}popnet-origin: forged/one\r\nsurrogate-key: all one\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.is_ok() && stream.write_all(&body).await.is_ok()
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

pub(crate) fn sheet(origins: &[SocketAddr]) -> Sheet {
    let origins = origins.iter().enumerate().map(|(number, at)| OriginAddress {
        id: OriginId { group: "www".into(), server: format!("o{number}").into() },
        host: at.ip().to_string().into(),
        port: at.port(),
        tls: false,
    });
    Sheet {
        epoch: Epoch(7),
        digest: Digest::default(),
        node: NodeName::new("edge1.fra1"),
        domain: "cdn.test".into(),
        nameservers: Vec::new(),
        sites: vec![SiteSheet {
            site: SiteName::new(SITE),
            customer: CustomerId::new("acme"),
            cache: rules::rules(),
            paths: Vec::new(),
            origins: origins.collect(),
            client_ip: Masking::Full,
            certificate: None,
            delivery: Arc::default(),
        }],
    }
}

/// A webserver in a folder.
pub(crate) struct Node {
    pub(crate) context: Context,
    pub(crate) running: Running,
    client: Client,
}

/// What came back.
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Result<Bytes, Failure>,
}

impl Got {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.body.as_ref().unwrap()).unwrap()
    }
}

pub(crate) fn context(folder: &Path, authority: &Authority) -> Context {
    Context {
        node: NodeName::new("edge1.fra1"),
        hostname: "edge1.fra1.cdn.test".into(),
        domain: "cdn.test".into(),
        state_dir: folder.join("state"),
        run_dir: folder.join("run"),
        identity: authority.identity("edge1.fra1.cdn.test").unwrap(),
        shutdown: CancellationToken::new(),
    }
}

pub(crate) fn authority(folder: &Path) -> Authority {
    let place = folder.join("authority");
    if place.exists() {
        Authority::load(&place).unwrap()
    } else {
        Authority::create(&place, "lab").unwrap()
    }
}

impl Node {
    pub(crate) async fn start(folder: &Path, sheet: Sheet, disk: u64) -> Self {
        let settings = Settings { disk, workers: Some(1), ..Settings::default() };
        Self::start_with(folder, sheet, settings).await
    }

    pub(crate) async fn start_with(folder: &Path, sheet: Sheet, settings: Settings) -> Self {
        let context = context(folder, &authority(folder));
        let directory = Directory::fixed(sheet, Vec::new(), BTreeMap::new());
        let patience = Patience {
            connect: Duration::from_secs(1),
            first_octet: Duration::from_millis(1500),
            idle: Duration::from_millis(1500),
        };
        let running = start_patient(context.clone(), settings, directory, patience).await.unwrap();
        let client = Client::new(popnet_http::client::Patience::default());
        Self { context, running, client }
    }

    pub(crate) fn place(&self) -> Place {
        Place::Unix(self.context.run_dir.join(popnet_webserver::STORE_SOCKET))
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.ask(Request::get(path).header("host", SITE).body(Body::empty()).unwrap()).await
    }

    /// The same until it comes from the disk: content is on its way there a moment longer than to
    /// the first client.
    pub(crate) async fn hit(&self, path: &str) -> Got {
        let late = Instant::now() + Duration::from_secs(5);
        loop {
            let got = self.get(path).await;
            if got.field("popnet-cache").starts_with("hit_disk") {
                return got;
            }
            assert!(Instant::now() < late, "{path} is no hit: {:?}", got.fields);
        }
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Got {
        ask(&self.client, &self.place(), request).await
    }

    pub(crate) async fn control(&self, ask: Ask) -> Reply {
        let socket = self.context.role_socket(Role::Webserver);
        Link::local(&socket).await.unwrap().ask_one(&ask).await.unwrap()
    }

    /// Purges; says how many stored responses were touched.
    pub(crate) async fn purge(&self, what: PurgeWhat, kind: PurgeKind) -> u64 {
        let order = PurgeOrder { customer: "acme".into(), what, kind, actor: "test".into() };
        let purge = Purge { id: PurgeId(1), at: Timestamp(0), order };
        let Reply::Receipts(receipts) = self.control(Ask::Purge(purge)).await else {
            panic!("receipts")
        };
        let PurgeState::Applied { objects, .. } = receipts.first().unwrap().state else {
            panic!("applied")
        };
        objects
    }

    /// Ends as it should.
    pub(crate) async fn stop(self) {
        self.context.shutdown.cancel();
        drop(self.client);
        self.running.wait().await;
    }
}

pub(crate) async fn ask(client: &Client, place: &Place, request: Request<Body>) -> Got {
    let response = client.send(place, request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect(64 << 20).await;
    Got { status: head.status, fields: head.headers, body }
}
