//! The disk tier, and the way to the best origin (W1–W8).
//!
//! [`start`] opens the shelf on disk, listens for the POP's WebCaches on a Unix socket and, where
//! told so, on a mutually authenticated TLS port, and fetches from origins what it does not have.
//! The rules of caching are `popnet_cache`'s, carried out by `popnet_tier`; the order of origins is
//! the directory's. There is no access log here: WebCaches log misses too (W6); what fails is
//! reported.

pub mod disk;
mod events;
mod health;
mod hosted;
mod origins;
mod serve;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use popnet_directory::Directory;
use popnet_http::roots::Trust;
use popnet_http::server::{Limits, Listener, Server};
use popnet_runtime::bind::{self, BindError};
use popnet_runtime::files::create_private_dir;
use popnet_runtime::link::{Served, serve_local};
use popnet_runtime::ship::Shipper;
use popnet_runtime::{Context, Published, Running, StartError, clock, descriptors};
use popnet_terms::{CacheReason, Role};
use popnet_tier::Tier;
use popnet_tier::control::{Control, Totals};
use popnet_tier::sites::Sites;
use popnet_wire::logging::CacheResult;

pub use crate::origins::Patience;

use crate::disk::DiskShelf;
use crate::events::Events;
use crate::origins::Origins;
use crate::serve::Store;

/// The Unix socket for this node's WebCache, below the node's run folder.
pub const STORE_SOCKET: &str = "store.sock";

/// How long unsent events may hold up the end.
const DRAIN: Duration = Duration::from_secs(3);

/// What a webserver is told at its start; everything else it finds by name.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where WebCaches of other nodes of the POP connect, with TLS and our certificates; none:
    /// only this node's own, over the Unix socket.
    pub store: Vec<SocketAddr>,
    /// Octets of the disk tier; 0: nothing is stored, requests pass through.
    pub disk: u64,
    /// Threads that answer; one a core when unset.
    pub workers: Option<u32>,
}

/// Starts the role. Its sockets are bound when this returns.
///
/// # Errors
/// A port or a folder cannot be used. A disk that cannot be used is no error: the role then passes
/// everything through, and says so.
pub async fn start(
    context: Context,
    settings: Settings,
    directory: Arc<Directory>,
) -> Result<Running, StartError> {
    prepare(context, settings, directory).await?.serve()
}

/// The same with other limits towards origins.
///
/// # Errors
/// As [`start`].
pub async fn start_patient(
    context: Context,
    settings: Settings,
    directory: Arc<Directory>,
    patience: Patience,
) -> Result<Running, StartError> {
    prepare_patient(context, settings, directory, patience).await?.serve()
}

/// Starts the role but for its clients: sockets are bound and the disk is open, purges are carried
/// out, and nobody is answered before [`Prepared::serve`].
///
/// # Errors
/// As [`start`].
pub async fn prepare(
    context: Context,
    settings: Settings,
    directory: Arc<Directory>,
) -> Result<Prepared, StartError> {
    prepare_patient(context, settings, directory, Patience::default()).await
}

async fn prepare_patient(
    context: Context,
    settings: Settings,
    directory: Arc<Directory>,
    patience: Patience,
) -> Result<Prepared, StartError> {
    descriptors::raise();
    let role_dir = context.role_dir(Role::Webserver);
    create_private_dir(&role_dir).map_err(StartError::io(role_dir.display()))?;
    create_private_dir(&context.run_dir).map_err(StartError::io(context.run_dir.display()))?;
    let socket = context.run_dir.join(STORE_SOCKET);
    let workers = listeners(&context, &settings, &socket)?;
    let shipper = directory.ship(&context, Role::Webserver)?;
    let events = Events::new(Some(shipper.clone()));
    let shelf = open_shelf(role_dir.join("store"), settings.disk, events.clone()).await;
    let tls = Trust::load(&role_dir).config();
    let origins = Origins::new(Arc::clone(&directory), tls, events, patience);
    let tier = Tier::new(tier_settings(&context), shelf.clone(), origins);
    let sheet = directory.sheet().borrow().clone();
    let store = Arc::new(Store {
        tier,
        sites: Arc::new(Published::new(Arc::new(Sites::of(sheet.as_deref())))),
        totals: Arc::<Totals>::default(),
    });
    let control = Control {
        role: Role::Webserver,
        tier: Arc::clone(&store.tier),
        sites: Arc::clone(&store.sites),
        totals: Arc::clone(&store.totals),
    };
    let asked = serve_local(
        &context.role_socket(Role::Webserver),
        Arc::new(control),
        context.shutdown.clone(),
    )?;
    Ok(Prepared { context, directory, socket, workers, shipper, shelf, store, asked })
}

/// A role that lets nobody in yet. Dropped, it never does; what it has on disk is as after a kill.
pub struct Prepared {
    context: Context,
    directory: Arc<Directory>,
    socket: PathBuf,
    workers: Vec<Vec<Listener>>,
    shipper: Shipper,
    shelf: DiskShelf,
    store: Arc<Store>,
    asked: Served,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Prepared {
    /// Lets clients in, those first that came meanwhile.
    ///
    /// # Errors
    /// There are no threads for them.
    pub fn serve(self) -> Result<Running, StartError> {
        let Self { context, directory, socket, workers, shipper, shelf, store, asked } = self;
        let server = Server::start("store", workers, Limits::default(), &store, &context.shutdown)
            .map_err(StartError::io("threads for the disk tier"))?;
        let task = tokio::spawn(async move {
            follow_sheet(&context, &store, &directory).await;
            server.wait().await;
            asked.wait().await;
            shelf.close().await;
            shipper.drain(DRAIN).await;
            let _ = fs::remove_file(socket);
        });
        Ok(Running::new(Role::Webserver, task))
    }
}

fn tier_settings(context: &Context) -> popnet_tier::Settings {
    popnet_tier::Settings {
        name: format!("disk.{}", context.node.pop()),
        node: context.node.clone(),
        kind: "disk",
        hit: CacheReason::HitDisk,
        hit_result: CacheResult::HitDisk,
        now: clock::now,
    }
}

/// For each worker its own TCP sockets, and a share in the one Unix socket.
fn listeners(
    context: &Context,
    settings: &Settings,
    socket: &Path,
) -> Result<Vec<Vec<Listener>>, StartError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = settings.workers.and_then(|count| usize::try_from(count).ok());
    let count = wanted.filter(|count| *count > 0).unwrap_or(cores);
    let local = bind_socket(socket)?;
    let tls = Arc::new(context.identity.server_tls_for(b"http/1.1"));
    let mut workers = Vec::with_capacity(count);
    for _ in 0..count {
        let share = local.try_clone().map_err(StartError::io(socket.display()))?;
        let mut sockets = vec![Listener::Unix(share)];
        for address in &settings.store {
            let listener = bind::tcp(*address, count > 1)?;
            sockets.push(Listener::Tls(listener, Arc::clone(&tls)));
        }
        workers.push(sockets);
    }
    Ok(workers)
}

fn bind_socket(path: &Path) -> Result<UnixListener, StartError> {
    if path.exists() {
        // A socket that nobody serves is left from a process that was killed.
        if UnixStream::connect(path).is_ok() {
            return Err(BindError::SocketTaken { path: path.display().to_string() }.into());
        }
        fs::remove_file(path).map_err(StartError::io(path.display()))?;
    }
    let listener = UnixListener::bind(path).map_err(StartError::io(path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(StartError::io(path.display()))?;
    Ok(listener)
}

async fn open_shelf(folder: PathBuf, disk: u64, events: Events) -> DiskShelf {
    let opening = tokio::task::spawn_blocking(move || {
        DiskShelf::open(&folder, disk, move |trouble| events.disk(&trouble))
    });
    opening.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the disk tier could not be opened; requests pass through");
        DiskShelf::none()
    })
}

/// Puts each new sheet in force, until shutdown.
async fn follow_sheet(context: &Context, store: &Store, directory: &Directory) {
    let mut sheets = directory.sheet();
    loop {
        let sheet = sheets.borrow_and_update().clone();
        store.sites.store(Arc::new(Sites::of(sheet.as_deref())));
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            changed = sheets.changed() => {
                if changed.is_err() {
                    // Nobody can send another sheet: this one stays in force.
                    context.shutdown.cancelled().await;
                    return;
                }
            }
        }
    }
}
