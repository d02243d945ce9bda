//! Which parts of the node this process runs, and starting them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use popnet_config::Held;
use popnet_config::network::{Node, Service};
use popnet_configd::{Managed, Purged, Source as Authority};
use popnet_directory::Directory;
use popnet_runtime::{Context, Running, StartError};
use popnet_terms::Role;
use popnet_wire::control::Problem;
use tokio::sync::watch;

use super::fixed;
use super::me::{Me, Source};

/// The configuration daemon's word on the command line.
const CONFIGD: &str = "configd";

/// Roles that hold the configuration, in the order in which they start. The daemon itself is the
/// master.
const HOLDERS: [Role; 4] = [Role::Nameserver, Role::Netprobe, Role::Logserver, Role::Netview];

/// How long the disk tier waits at most: a master that is away must not keep a POP out.
const PURGES_MAX: Duration = Duration::from_secs(2);

/// Memory tier of a node that does not say.
const MEMORY: u64 = 256 << 20;
/// Disk tier of a node that does not say.
const DISK: u64 = 4 << 30;

/// What this process runs.
pub(super) struct Selection {
    configd: bool,
    /// `None`: every role of the node.
    roles: Option<BTreeSet<Role>>,
}

impl Selection {
    /// Reads `--role` words; none of them is everything.
    pub(super) fn of(words: &[String]) -> Result<Self, Problem> {
        if words.is_empty() {
            return Ok(Self { configd: true, roles: None });
        }
        let mut selection = Self { configd: false, roles: Some(BTreeSet::new()) };
        for word in words {
            if word == CONFIGD {
                selection.configd = true;
                continue;
            }
            let role: Role = word.parse().map_err(|error: popnet_terms::UnknownRole| {
                Problem::new("U0026", format!("{error} configd"), "--role webcache").with_exit(2)
            })?;
            selection.roles.get_or_insert_default().insert(role);
        }
        Ok(selection)
    }

    /// What the process is called among those of its node.
    pub(super) fn name(&self) -> String {
        let Some(roles) = &self.roles else { return "node".to_owned() };
        let configd = self.configd.then_some(CONFIGD);
        let words: Vec<&str> = configd.into_iter().chain(roles.iter().map(|r| r.name())).collect();
        words.join("-")
    }

    fn wants(&self, role: Role) -> bool {
        self.roles.as_ref().is_none_or(|roles| roles.contains(&role))
    }
}

/// Starts what `selection` names of what the node runs, in order; each started part is in
/// `started` even when a later one cannot start.
///
/// The disk tier opens first and serves, with the memory tier behind it, when the node has caught
/// up with what was purged while it was away.
pub(super) async fn start(
    me: &Me,
    selection: &Selection,
    started: &mut Vec<Running>,
) -> Result<(), Problem> {
    let problem = |error: StartError| error.problem();
    let Configuration { held, mut purged } = configuration(me, selection, started).await?;
    let node = held.as_ref().map_or_else(
        || me.node.clone(),
        |held| held.borrow().network.node(&me.context.node).cloned().unwrap_or(me.node.clone()),
    );
    let wants = |role| node.runs(role) && selection.wants(role);
    let directory = if wants(Role::Webcache) || wants(Role::Webserver) {
        Some(directory(me, held.as_ref()).map_err(problem)?)
    } else {
        None
    };
    let mut disk = None;
    if let (true, Some(directory)) = (wants(Role::Webserver), &directory) {
        let settings = webserver_settings(me, &node);
        let prepared =
            popnet_webserver::prepare(me.context.clone(), settings, Arc::clone(directory)).await;
        disk = Some(prepared.map_err(problem)?);
    }
    for role in HOLDERS.into_iter().filter(|role| wants(*role)) {
        let Some(held) = &held else {
            let what = format!("{role} needs the configuration, and this node holds none");
            return Err(Problem::new("R0006", what, "popnet config show"));
        };
        let running = start_holder(role, me.context.clone(), held.clone()).await;
        started.push(running.map_err(problem)?);
    }
    if let Some(disk) = disk {
        if !purged.caught_up(PURGES_MAX).await {
            tracing::warn!(
                "nobody could be asked in {} s what was purged while this node was away: it serves \
                 what it has, until somebody can",
                PURGES_MAX.as_secs()
            );
        }
        started.push(disk.serve().map_err(problem)?);
    }
    if let (true, Some(directory)) = (wants(Role::Webcache), directory) {
        let settings = webcache_settings(me, &node);
        let running = popnet_webcache::start(me.context.clone(), settings, directory).await;
        started.push(running.map_err(problem)?);
    }
    Ok(())
}

/// Starts a role that holds the configuration.
async fn start_holder(
    role: Role,
    context: Context,
    held: watch::Receiver<Arc<Held>>,
) -> Result<Running, StartError> {
    match role {
        Role::Nameserver => popnet_nameserver::start(context, held).await,
        Role::Netprobe => popnet_netprobe::start(context, held).await,
        Role::Logserver => popnet_logserver::start(context, held).await,
        Role::Netview => popnet_netview::start(context, held).await,
        Role::Master | Role::Webcache | Role::Webserver => {
            unreachable!("the caller starts these otherwise")
        }
    }
}

/// What the daemon tells.
struct Configuration {
    /// What is in force; `None` on nodes that only cache.
    held: Option<watch::Receiver<Arc<Held>>>,
    /// Whether the node has caught up with purges.
    purged: Purged,
}

/// The configuration in force: from the daemon, when it runs in this process, or beside it.
async fn configuration(
    me: &Me,
    selection: &Selection,
    started: &mut Vec<Running>,
) -> Result<Configuration, Problem> {
    let problem = |error: StartError| error.problem();
    let source = match &me.source {
        Source::File(path) => Authority::File(path.clone()),
        Source::Managed { parents, .. } => Authority::Managed(Box::new(Managed {
            node: me.node.clone(),
            parents: parents.clone(),
            base_dir: me.base_dir.clone(),
        })),
    };
    if selection.configd {
        let daemon = popnet_configd::start(me.context.clone(), source).await.map_err(problem)?;
        started.push(daemon.running);
        return Ok(Configuration { held: daemon.held, purged: daemon.purged });
    }
    let purged = Purged::beside(&me.context, &source);
    if !me.node.holds_configuration() && matches!(me.source, Source::Managed { .. }) {
        return Ok(Configuration { held: None, purged });
    }
    let held = popnet_configd::follow(&me.context, &source).await.map_err(problem)?;
    Ok(Configuration { held, purged })
}

/// Where a cache finds the rest of the network.
fn directory(
    me: &Me,
    held: Option<&watch::Receiver<Arc<Held>>>,
) -> Result<Arc<Directory>, StartError> {
    match (&me.source, held) {
        (Source::File(_), Some(held)) => fixed::directory(&me.context, held.clone()),
        (Source::Managed { nameservers, .. }, _) => {
            Directory::dns(&me.context, nameservers.clone(), me.context.shutdown.clone())
        }
        (Source::File(_), None) => {
            Directory::dns(&me.context, Vec::new(), me.context.shutdown.clone())
        }
    }
}

fn webcache_settings(me: &Me, node: &Node) -> popnet_webcache::Settings {
    let certificates: Vec<popnet_webcache::Certificate> = me
        .certificates
        .iter()
        .map(|(name, files)| popnet_webcache::Certificate {
            name: name.as_str().into(),
            chain: me.base_dir.join(&files.chain),
            key: me.base_dir.join(&files.key),
        })
        .collect();
    // A node without a certificate has nothing to say on 443, unless it is told to listen there.
    let is_silent = certificates.is_empty() && node.listen.https.is_empty();
    let https = if is_silent { Vec::new() } else { node.listens(Service::Https) };
    popnet_webcache::Settings {
        http: node.listens(Service::Http),
        https,
        http3: node.serves_http3(),
        certificates,
        workers: node.workers.http,
        memory: node.memory.map_or(MEMORY, |memory| memory.0),
    }
}

fn webserver_settings(me: &Me, node: &Node) -> popnet_webserver::Settings {
    popnet_webserver::Settings {
        // A node that is alone in its file has no other to serve.
        store: if me.alone { Vec::new() } else { node.listens(Service::Store) },
        disk: node.disk.map_or(DISK, |disk| disk.0),
        workers: node.workers.http,
    }
}
