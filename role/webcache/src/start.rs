//! From settings to a running role.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use popnet_delivery::Rates;
use popnet_directory::Directory;
use popnet_http::certificates::server_config;
use popnet_http::server::{Limits, Listener, Server};
use popnet_runtime::files::create_private_dir;
use popnet_runtime::identity::Identity;
use popnet_runtime::link::{Served, serve_local};
use popnet_runtime::quic::endpoint_config;
use popnet_runtime::ship::Shipper;
use popnet_runtime::{Context, Published, Running, StartError, bind, clock, descriptors, issued};
use popnet_tally::Trips;
use popnet_terms::{CacheReason, Role};
use popnet_tier::Tier;
use popnet_tier::control::{Control, Totals};
use popnet_tier::sites::Sites;
use popnet_wire::logging::CacheResult;
use popnet_wire::sheet::Sheet;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::certificates::Certificates;
use crate::control::Desk;
use crate::health::Load;
use crate::memory::Memory;
use crate::naming::Names;
use crate::serve::Front;
use crate::store::Store;

/// How long the end waits for logs to be acknowledged.
const DRAIN: Duration = Duration::from_secs(3);

/// How long clients may remember that HTTP/3 is spoken here.
const ALTERNATIVE_SECONDS: u32 = 86_400;

/// How often a role without a sheet says so.
const WAITING: Duration = Duration::from_secs(10);

/// A certificate of the node's own store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The name that sites call it by.
    pub name: Arc<str>,
    /// PEM file with the chain.
    pub chain: PathBuf,
    /// PEM file with the key.
    pub key: PathBuf,
}

/// What a webcache is told at its start; everything else it finds by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens for HTTP.
    pub http: Vec<SocketAddr>,
    /// Where it listens for HTTPS (HTTP/1.1 and HTTP/2).
    pub https: Vec<SocketAddr>,
    /// Whether it speaks HTTP/3 there, too.
    pub http3: bool,
    /// Certificates for HTTPS.
    pub certificates: Vec<Certificate>,
    /// Threads that answer; one a core when unset.
    pub workers: Option<u32>,
    /// Octets of the memory tier.
    pub memory: u64,
}

/// Starts the role. Its ports are bound when this returns; they are served as soon as there is a
/// role sheet, whether fetched now or kept from an earlier run.
///
/// # Errors
/// A port or a folder cannot be used. A certificate that cannot be used is reported, and its sites
/// have no HTTPS until it can.
pub async fn start(
    context: Context,
    settings: Settings,
    directory: Arc<Directory>,
) -> Result<Running, StartError> {
    descriptors::raise();
    let role_dir = context.role_dir(Role::Webcache);
    create_private_dir(&role_dir).map_err(StartError::io(role_dir.display()))?;
    create_private_dir(&context.run_dir).map_err(StartError::io(context.run_dir.display()))?;
    let sites = Arc::new(Published::new(Arc::new(Sites::default())));
    let shutdown = context.shutdown.clone();
    let folder = issued::folder(&context.state_dir);
    let (certificates, following) =
        Certificates::new(&settings.certificates, folder, Arc::clone(&sites), shutdown);
    let listeners = listeners(&settings, &context.identity, certificates)?;
    let shipper = directory.ship(&context, Role::Webcache)?;
    let name = format!("mem.{}", context.node.pop());
    let store = Store::new(&context, Arc::clone(&directory), Some(shipper.clone()));
    let front = Arc::new(Front {
        tier: Tier::new(tier_settings(&context, &name), Memory::new(settings.memory), store),
        sites,
        shipper: Some(shipper.clone()),
        totals: Arc::<Totals>::default(),
        load: Arc::<Load>::default(),
        trips: Arc::new(Mutex::new(Trips::new(clock::now().0.unsigned_abs()))),
        names: Names::new(&context.node),
        alternative: alternative(&settings),
        name,
        rates: Rates::new(getrandom::u64().unwrap_or_else(|_| clock::now().0.unsigned_abs())),
    });
    let tier = Control {
        role: Role::Webcache,
        tier: Arc::clone(&front.tier),
        sites: Arc::clone(&front.sites),
        totals: Arc::clone(&front.totals),
    };
    let control = Desk { tier, trips: Arc::clone(&front.trips) };
    let path = context.role_socket(Role::Webcache);
    let asked = serve_local(&path, Arc::new(control), context.shutdown.clone())?;
    let following = (!settings.https.is_empty()).then(|| tokio::spawn(following));
    let cache = Cache { context, front, directory, shipper, following };
    Ok(Running::new(Role::Webcache, tokio::spawn(cache.run(listeners, asked))))
}

fn tier_settings(context: &Context, name: &str) -> popnet_tier::Settings {
    popnet_tier::Settings {
        name: name.to_owned(),
        node: context.node.clone(),
        kind: "mem",
        hit: CacheReason::HitMemory,
        hit_result: CacheResult::HitMemory,
        now: clock::now,
    }
}

/// What tells clients of HTTP/1.1 and HTTP/2 that HTTP/3 is spoken here, too (RFC 7838, RFC 9114
/// 3.1.1). A node has one port for HTTPS; if it has several, any of them leads to the same sites.
fn alternative(settings: &Settings) -> Option<HeaderValue> {
    let port = settings.https.first().filter(|_| settings.http3)?.port();
    HeaderValue::try_from(format!("h3=\":{port}\"; ma={ALTERNATIVE_SECONDS}")).ok()
}

/// For each worker its own sockets.
fn listeners(
    settings: &Settings,
    identity: &Identity,
    certificates: Certificates,
) -> Result<Vec<Vec<Listener>>, StartError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = settings.workers.and_then(|count| usize::try_from(count).ok());
    let count = wanted.filter(|count| *count > 0).unwrap_or(cores);
    // A certificate may come later: until then handshakes are refused.
    let tls = (!settings.https.is_empty()).then(|| server_config(certificates));
    let mut workers = Vec::with_capacity(count);
    for worker in 0..count {
        let mut sockets = Vec::new();
        for address in &settings.http {
            sockets.push(Listener::Tcp(bind::tcp(*address, count > 1)?));
        }
        if let Some(tls) = &tls {
            for address in &settings.https {
                sockets.push(Listener::Tls(bind::tcp(*address, count > 1)?, Arc::clone(tls)));
                if settings.http3 {
                    let socket = bind::udp(*address, count > 1)?;
                    let own = format!("{address} {worker}");
                    let config = endpoint_config(&own, identity);
                    sockets.push(Listener::Quic(socket, Arc::clone(tls), config));
                }
            }
        }
        workers.push(sockets);
    }
    Ok(workers)
}

struct Cache {
    context: Context,
    front: Arc<Front>,
    directory: Arc<Directory>,
    shipper: Shipper,
    /// Looks after the certificates.
    following: Option<JoinHandle<()>>,
}

impl Cache {
    async fn run(mut self, listeners: Vec<Vec<Listener>>, asked: Served) {
        let shutdown = self.context.shutdown.clone();
        let measuring = tokio::spawn(Arc::clone(&self.front.load).measure(shutdown.clone()));
        let mut sheets = self.directory.sheet();
        if self.first_sheet(&mut sheets).await {
            let limits = Limits::default();
            match Server::start("webcache", listeners, limits, &self.front, &shutdown) {
                Ok(server) => {
                    self.follow(&mut sheets).await;
                    server.wait().await;
                }
                Err(error) => tracing::error!(%error, "threads for clients"),
            }
        }
        asked.wait().await;
        // These tasks end with the same shutdown.
        let _ = measuring.await;
        if let Some(following) = self.following.take() {
            let _ = following.await;
        }
        self.shipper.drain(DRAIN).await;
    }

    /// Waits for the first sheet; `false` when shutdown came first.
    async fn first_sheet(&self, sheets: &mut watch::Receiver<Option<Arc<Sheet>>>) -> bool {
        loop {
            let sheet = sheets.borrow_and_update().clone();
            if sheet.is_some() {
                self.front.sites.store(Arc::new(Sites::of(sheet.as_deref())));
                return true;
            }
            tokio::select! {
                () = self.context.shutdown.cancelled() => return false,
                changed = sheets.changed() => {
                    if changed.is_err() {
                        tracing::error!("no role sheet will come: nothing is served");
                        self.context.shutdown.cancelled().await;
                        return false;
                    }
                }
                () = tokio::time::sleep(WAITING) => {
                    tracing::warn!("waiting for the first role sheet; nothing is served until then");
                }
            }
        }
    }

    /// Puts each new sheet in force, until shutdown.
    async fn follow(&self, sheets: &mut watch::Receiver<Option<Arc<Sheet>>>) {
        loop {
            tokio::select! {
                () = self.context.shutdown.cancelled() => return,
                changed = sheets.changed() => {
                    if changed.is_err() {
                        // Nobody can send another sheet: this one stays in force.
                        self.context.shutdown.cancelled().await;
                        return;
                    }
                    let sheet = sheets.borrow_and_update().clone();
                    self.front.sites.store(Arc::new(Sites::of(sheet.as_deref())));
                }
            }
        }
    }
}
