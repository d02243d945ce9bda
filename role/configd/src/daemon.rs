//! Starting the daemon, and what its parts share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use popnet_config::Held;
use popnet_config::network::{Network, Node, Service};
use popnet_runtime::files::create_private_dir;
use popnet_runtime::link::{Served, serve_local, serve_tls};
use popnet_runtime::{Context, Running, StartError, bind, clock};
use popnet_terms::{NodeName, Role, Timestamp};
use std::net::SocketAddr;
use tokio::sync::{Notify, watch};

use crate::answer::Door;
use crate::catch_up;
use crate::file;
use crate::history::History;
use crate::purged::Purged;
use crate::purges::{self, PurgeBook};
use crate::push::{self, Pushes};
use crate::reading::hold;
use crate::state::{self, LastPurge};
use crate::way::Way;

/// How often a node without any configuration says that it waits for one.
const WAIT_WORD: Duration = Duration::from_secs(10);

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file on this machine: `popnet run --config FILE`. Nobody can push.
    File(PathBuf),
    /// Pushes from parents.
    Managed(Box<Managed>),
}

/// What a managed node knows of itself without the configuration: its `node.toml`.
#[derive(Clone, Debug)]
pub struct Managed {
    /// What the machine runs and where it listens.
    pub node: Node,
    /// Whom it receives from.
    pub parents: Vec<Parent>,
    /// Folder that relative file names in the configuration start from.
    pub base_dir: PathBuf,
}

/// A parent's control port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// NODE.POP.
    pub node: NodeName,
    /// Where it listens.
    pub address: SocketAddr,
}

/// A started daemon.
#[derive(Debug)]
pub struct Started {
    /// Its task.
    pub running: Running,
    /// The configuration in force; `None` on nodes that only cache (G6).
    pub held: Option<watch::Receiver<Arc<Held>>>,
    /// Whether everything that was purged while the node was away has left its disk.
    pub purged: Purged,
}

/// What the daemon's parts share.
pub(crate) struct Daemon {
    pub(crate) context: Context,
    pub(crate) started: Timestamp,
    pub(crate) base_dir: PathBuf,
    /// The configuration's file, when it comes from one.
    pub(crate) file: Option<PathBuf>,
    /// What the machine runs, by its own word.
    node: Node,
    parents: Vec<Parent>,
    parent_names: Vec<NodeName>,
    pub(crate) held: watch::Sender<Option<Arc<Held>>>,
    pub(crate) pushes: Option<Pushes>,
    pub(crate) history: Option<History>,
    pub(crate) book: Option<PurgeBook>,
    pub(crate) last_purge: LastPurge,
    /// Whether nothing that was purged waits to be applied here.
    pub(crate) purged: watch::Sender<bool>,
    /// Wakes the part that asks above for what was missed.
    pub(crate) hurry: Notify,
    /// The same for purges.
    pub(crate) hurry_purges: Notify,
}

impl Daemon {
    /// The configuration in force.
    pub(crate) fn held(&self) -> Option<Arc<Held>> {
        self.held.borrow().clone()
    }

    pub(crate) fn me(&self) -> &NodeName {
        &self.context.node
    }

    pub(crate) fn parents(&self) -> &[NodeName] {
        &self.parent_names
    }

    /// The way to a parent by this node's own word.
    pub(crate) fn parent_ways(&self) -> Vec<Way> {
        let hostname = |node: &NodeName| format!("{node}.{}", self.context.domain);
        let way = |p: &Parent| Way { address: p.address, hostname: hostname(&p.node) };
        self.parents.iter().map(way).collect()
    }

    /// What this node runs: by the configuration, else by its own word.
    pub(crate) fn roles(&self) -> Vec<Role> {
        let held = self.held();
        let known = held.as_ref().and_then(|held| held.network.node(self.me()));
        known.unwrap_or(&self.node).roles.clone()
    }

    /// Whether this node is a master that may push.
    pub(crate) fn is_master(&self, network: &Network) -> bool {
        network.masters.allow.contains(self.me())
            && network.node(self.me()).is_some_and(|node| node.runs(Role::Master))
    }

    /// Whether anybody could come to the control port. A node that is alone in its file needs none,
    /// unless its caches find their sheet by asking its own name server.
    fn has_peers(&self) -> bool {
        let runs = |role| self.node.runs(role);
        let caches = runs(Role::Webcache) || runs(Role::Webserver);
        self.file.is_none()
            || !self.node.listen.control.is_empty()
            || (runs(Role::Nameserver) && caches)
            || self.held().is_none_or(|held| held.network.nodes().count() > 1)
    }

    /// Puts `held` in force for every role of the node.
    pub(crate) fn publish(&self, held: Arc<Held>) {
        tracing::info!(version = %held.epoch, digest = %held.digest, "configuration in force");
        self.held.send_replace(Some(held));
        purges::hang_up_others(&self.context.run_dir);
    }
}

/// Starts the daemon: ports are open when this returns, and a node that holds the configuration
/// has one. Such a node waits here for its first, until its parent sends it or `shutdown`.
///
/// # Errors
/// A port is taken, a file is broken, the node's own files cannot be used.
pub async fn start(context: Context, source: Source) -> Result<Started, StartError> {
    let daemon = Arc::new(prepare(context, source)?);
    let served = open_ports(&daemon)?;
    let shutdown = daemon.context.shutdown.clone();
    let mut tasks = vec![tokio::spawn(purges::keep_up(Arc::clone(&daemon)))];
    if let Some(pushes) = &daemon.pushes {
        tasks.push(push::spawn(pushes, Arc::clone(&daemon))?);
        tasks.push(tokio::spawn(catch_up::keep_up(Arc::clone(&daemon))));
    }
    tasks.push(tokio::spawn(file::reload_on_hangup(Arc::clone(&daemon))));
    let waiting = shutdown.clone();
    let task = tokio::spawn(async move {
        waiting.cancelled().await;
        for one in served {
            one.wait().await;
        }
        for one in tasks {
            let _ = one.await;
        }
    });
    let running = Running::named("configd", task);
    let holds = daemon.file.is_some() || daemon.node.holds_configuration();
    let held = if holds { first_held(&daemon).await } else { None };
    let purged = Purged::from_daemon(daemon.purged.subscribe());
    Ok(Started { running, held, purged })
}

fn prepare(context: Context, source: Source) -> Result<Daemon, StartError> {
    let folder = state::folder(&context.state_dir);
    create_private_dir(&folder)
        .and_then(|()| create_private_dir(&context.run_dir))
        .map_err(StartError::io(format!("cannot create {}", folder.display())))?;
    let last_purge = LastPurge::read(&context.state_dir)?;
    let mut daemon = Daemon {
        started: clock::now(),
        base_dir: PathBuf::new(),
        file: None,
        node: Node {
            roles: Vec::new(),
            address: Vec::new(),
            listen: Default::default(),
            workers: Default::default(),
            memory: None,
            disk: None,
        },
        parents: Vec::new(),
        parent_names: Vec::new(),
        held: watch::Sender::new(None),
        pushes: None,
        history: None,
        book: None,
        last_purge,
        // Nobody purges a node that runs from a file.
        purged: watch::Sender::new(matches!(source, Source::File(_))),
        hurry: Notify::new(),
        hurry_purges: Notify::new(),
        context,
    };
    match source {
        Source::File(path) => {
            let held = file::read(&path).map_err(StartError::Refused)?;
            daemon.node = file::own_node(&held, daemon.me()).map_err(StartError::Refused)?;
            daemon.base_dir.clone_from(&held.base_dir);
            daemon.file = Some(path);
            daemon.held.send_replace(Some(Arc::new(held)));
        }
        Source::Managed(managed) => {
            let managed = *managed;
            daemon.parent_names = managed.parents.iter().map(|p| p.node.clone()).collect();
            daemon.parents = managed.parents;
            daemon.base_dir = managed.base_dir;
            daemon.node = managed.node;
            if daemon.node.holds_configuration() {
                load_last_good(&mut daemon)?;
            }
        }
    }
    if daemon.node.runs(Role::Master) {
        daemon.history = Some(History::open(folder.join("history"))?);
        daemon.book = Some(
            PurgeBook::open(&folder.join("purges"))
                .map_err(StartError::io("cannot open the purge journal"))?,
        );
    }
    Ok(daemon)
}

/// What was last in force here, from disk: a node serves before anybody can be asked.
fn load_last_good(daemon: &mut Daemon) -> Result<(), StartError> {
    let ledger = state::read_ledger(&daemon.context.state_dir)?;
    if let Some(version) = &ledger.committed {
        match hold(version, &daemon.base_dir) {
            Ok(held) => {
                tracing::info!(version = %version.epoch, "configuration from disk");
                daemon.held.send_replace(Some(held));
            }
            Err(why) => tracing::error!(
                version = %version.epoch,
                "the configuration on disk cannot be read by this program; waiting for a newer one:\n{why}"
            ),
        }
    }
    daemon.pushes = Some(Pushes::new(ledger));
    Ok(())
}

fn open_ports(daemon: &Arc<Daemon>) -> Result<Vec<Served>, StartError> {
    let context = &daemon.context;
    let shutdown = || context.shutdown.clone();
    let door = Arc::new(Door::new(Arc::clone(daemon)));
    let mut served = vec![serve_local(&context.admin_socket(), Arc::clone(&door), shutdown())?];
    let control =
        if daemon.has_peers() { daemon.node.listens(Service::Control) } else { Vec::new() };
    for address in control {
        let listener = bind::tcp(address, false)?;
        let one = serve_tls(listener, &context.identity, Arc::clone(&door), shutdown())
            .map_err(StartError::io(format!("cannot serve {address}")))?;
        served.push(one);
    }
    Ok(served)
}

/// Waits for the first configuration; `None` when the node is told to end before it comes.
async fn first_held(daemon: &Arc<Daemon>) -> Option<watch::Receiver<Arc<Held>>> {
    let mut newest = daemon.held.subscribe();
    let first = loop {
        let now = newest.borrow_and_update().clone();
        if let Some(held) = now {
            break held;
        }
        let names = daemon.parents().iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        tracing::info!(parents = names, "no configuration yet; waiting for a parent");
        tokio::select! {
            () = daemon.context.shutdown.cancelled() => return None,
            _ = newest.changed() => {}
            () = tokio::time::sleep(WAIT_WORD) => {}
        }
    };
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(async move {
        while newest.changed().await.is_ok() {
            let now = newest.borrow_and_update().clone();
            let Some(held) = now else { continue };
            if sender.send(held).is_err() {
                return;
            }
        }
    });
    Some(receiver)
}
