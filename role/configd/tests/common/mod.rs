//! A network of daemons in one process, with real certificates on loopback.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use popnet_config::Held;
use popnet_config::network::Network;
use popnet_configd::{Managed, Parent, Purged, Source, Started, seed, start};
use popnet_runtime::link::{Handler, Link, LinkError, Peer, ReplySink, Served, serve_local};
use popnet_runtime::{Authority, Context, Identity};
use popnet_terms::{Micros, NodeName, Role};
use popnet_wire::control::{Ask, Problem, PushOrder, Reply};
use popnet_wire::purging::{PurgeReceipt, PurgeState};
use popnet_wire::rollout::Epoch;
use popnet_wire::status::RoleStatus;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) const MASTER: &str = "ctl1.iad1";
pub(crate) const NS: &str = "ns1.iad1";
/// A relay: `LOG` is below it.
pub(crate) const PROBE: &str = "probe1.fra1";
pub(crate) const LOG: &str = "log1.fra1";
pub(crate) const EDGE: &str = "edge1.fra1";
pub(crate) const EDGE2: &str = "edge1.iad1";
const NODES: [(&str, &str); 6] = [
    (MASTER, r#""master""#),
    (NS, r#""nameserver""#),
    (PROBE, r#""netprobe""#),
    (LOG, r#""logserver""#),
    (EDGE, r#""webcache", "webserver""#),
    (EDGE2, r#""webcache""#),
];

/// Each network of a test run has its own loopback network.
static NEXT: AtomicU8 = AtomicU8::new(1);

pub(crate) struct Lab {
    authority: Authority,
    folder: tempfile::TempDir,
    controls: BTreeMap<&'static str, SocketAddr>,
    pub(crate) text: String,
    running: BTreeMap<&'static str, Node>,
}

struct Node {
    shutdown: CancellationToken,
    context: Context,
    started: Started,
    roles: Vec<Served>,
}

/// A cache role that only purges.
struct FakeRole {
    role: Role,
    node: NodeName,
    purged: Arc<AtomicU64>,
}

impl Handler for FakeRole {
    async fn answer(&self, _: Peer, ask: Ask, out: ReplySink) {
        let reply = if let Ask::Purge(purge) = ask {
            self.purged.fetch_max(purge.id.0, Ordering::SeqCst);
            let state = PurgeState::Applied { objects: 2, took: Micros(1) };
            Reply::Receipts(vec![PurgeReceipt { node: self.node.clone(), state }])
        } else {
            Reply::Role(RoleStatus::Plain { role: self.role, up: true, why: "".into() })
        };
        let _ = out.send(reply).await;
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("authority"), "lab").unwrap();
        let net = NEXT.fetch_add(1, Ordering::SeqCst);
        let controls: BTreeMap<&'static str, SocketAddr> = NODES
            .iter()
            .zip(1u8..)
            .map(|((name, _), host)| {
                let free = TcpListener::bind((format!("127.7.{net}.{host}"), 0)).unwrap();
                (*name, free.local_addr().unwrap())
            })
            .collect();
        let text = text(&controls);
        Self { authority, folder, controls, text, running: BTreeMap::new() }
    }

    /// All of them, with version 1 where the configuration is held.
    pub(crate) async fn all() -> Self {
        let mut lab = Self::new();
        for (name, _) in NODES {
            if !name.starts_with("edge") {
                seed(&lab.dir(name), &lab.text, "ada", "first").unwrap();
            }
        }
        for (name, _) in NODES {
            lab.start(name).await;
        }
        lab
    }

    pub(crate) fn network(&self) -> Network {
        popnet_config::load(&self.text, "popnet.toml").map_or_else(
            |found| panic!("{}", popnet_config::render(&found, &self.text, "popnet.toml")),
            |loaded| loaded.network,
        )
    }

    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn identity(&self, name: &str) -> Arc<Identity> {
        self.authority.identity(&hostname(name)).unwrap()
    }

    /// Starts the daemon and the node's cache roles.
    pub(crate) async fn start(&mut self, name: &'static str) {
        self.start_daemon(name).await;
        let node = self.network().node(&name.into()).unwrap().clone();
        for role in [Role::Webcache, Role::Webserver] {
            if node.runs(role) {
                self.start_role(name, role);
            }
        }
    }

    /// Starts a cache role; the highest purge that it has been told of.
    pub(crate) fn start_role(&mut self, name: &str, role: Role) -> Arc<AtomicU64> {
        let node = self.running.get_mut(name).unwrap();
        let purged = Arc::<AtomicU64>::default();
        let fake = FakeRole { role, node: name.into(), purged: Arc::clone(&purged) };
        let socket = node.context.role_socket(role);
        node.roles.push(serve_local(&socket, Arc::new(fake), node.shutdown.clone()).unwrap());
        purged
    }

    /// Whether the node catches up with purges in time.
    pub(crate) async fn catches_up(&mut self, name: &str, at_most: Duration) -> bool {
        self.running.get_mut(name).unwrap().started.purged.caught_up(at_most).await
    }

    /// The node's own word for its other processes.
    pub(crate) fn beside(&self, name: &str) -> Purged {
        let node = self.network().node(&name.into()).unwrap().clone();
        let managed = Managed { node, parents: Vec::new(), base_dir: self.dir(name) };
        Purged::beside(&self.running[name].context, &Source::Managed(Box::new(managed)))
    }

    /// Starts the daemon alone.
    pub(crate) async fn start_daemon(&mut self, name: &'static str) {
        let shutdown = CancellationToken::new();
        let context = Context {
            node: name.into(),
            hostname: hostname(name),
            domain: "lab.test".into(),
            state_dir: self.dir(name),
            run_dir: self.dir(name).join("run"),
            identity: self.identity(name),
            shutdown: shutdown.clone(),
        };
        let parent = Parent { node: MASTER.into(), address: self.controls[MASTER] };
        let parents = if name == MASTER { Vec::new() } else { vec![parent] };
        let node = self.network().node(&name.into()).unwrap().clone();
        let managed = Managed { node, parents, base_dir: self.dir(name) };
        let started = start(context.clone(), Source::Managed(Box::new(managed))).await.unwrap();
        self.running.insert(name, Node { shutdown, context, started, roles: Vec::new() });
    }

    pub(crate) async fn stop(&mut self, name: &str) {
        let node = self.running.remove(name).unwrap();
        node.shutdown.cancel();
        node.started.running.wait().await;
        for role in node.roles {
            role.wait().await;
        }
    }

    pub(crate) fn held(&self, name: &str) -> Option<watch::Receiver<Arc<Held>>> {
        self.running[name].started.held.clone()
    }

    /// Waits until `name` runs version `epoch`.
    pub(crate) async fn reaches(&self, name: &str, epoch: u64) {
        let mut held = self.held(name).unwrap();
        let there = held.wait_for(|held| held.epoch == Epoch(epoch));
        let waited = tokio::time::timeout(Duration::from_secs(8), there).await;
        assert!(waited.is_ok(), "{name} does not reach v{epoch}: {}", self.epoch(name));
    }

    pub(crate) fn epoch(&self, name: &str) -> Epoch {
        self.held(name).unwrap().borrow().epoch
    }

    pub(crate) async fn local(&self, name: &str) -> Link {
        Link::local(&self.dir(name).join("run/admin.sock")).await.unwrap()
    }

    pub(crate) async fn ask(&self, name: &str, ask: &Ask) -> Result<Reply, LinkError> {
        self.local(name).await.ask_one(ask).await
    }

    /// Asks `to` over the network in the name of `from`.
    pub(crate) async fn ask_as(&self, from: &str, to: &str, ask: &Ask) -> Result<Reply, LinkError> {
        let mut link = Link::tls(self.controls[to], &hostname(to), &self.identity(from)).await?;
        link.ask_one(ask).await
    }

    /// Pushes at the master; the last reply.
    pub(crate) async fn push(&self, text: &str, expect: Option<u64>) -> Result<Reply, Problem> {
        let order = PushOrder {
            text: text.to_owned(),
            author: "ada".to_owned(),
            message: "test".to_owned(),
            expect: expect.map(Epoch),
        };
        let mut link = self.local(MASTER).await;
        let ask = Ask::Push(order);
        let mut replies = link.ask(&ask).await.unwrap();
        let mut last = None;
        loop {
            match replies.next().await {
                Ok(Some(reply)) => last = Some(reply),
                Ok(None) => return Ok(last.expect("a push has a last word")),
                Err(LinkError::Problem(problem)) => return Err(problem),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

pub(crate) fn hostname(name: &str) -> String {
    format!("{name}.lab.test")
}

fn text(controls: &BTreeMap<&'static str, SocketAddr>) -> String {
    let mut text = String::from(
        "[network]\nname = \"lab\"\nschema = 1\ndomain = \"lab.test\"\n\n\
         [masters]\nallow = [\"ctl1.iad1\"]\nhistory = 5\n\n[masters.relay]\n\
         \"ctl1.iad1\" = [\"ns1.iad1\", \"probe1.fra1\"]\n\"probe1.fra1\" = [\"log1.fra1\"]\n\n\
         [logs]\ndefault = [\"log1.fra1\"]\n\n",
    );
    for pop in ["iad1", "fra1"] {
        text.push_str(&format!("[pops.{pop}]\ntitle = \"{pop}\"\n[pops.{pop}.nodes]\n"));
        for (name, roles) in NODES.iter().filter(|(name, _)| name.ends_with(pop)) {
            let control = controls[name];
            let node = name.split('.').next().unwrap();
            text.push_str(&format!(
                "{node} = {{ roles = [{roles}], address = [\"{}\"], listen = {{ control = [\"{control}\"] }} }}\n",
                control.ip()
            ));
        }
    }
    text.push_str(
        "\n[customers.acme]\ntitle = \"Acme\"\n\n[policies.nearest]\npreset = \"fastest\"\n\n\
         [origin_groups.acme-www.servers]\nwest = { address = \"192.0.2.7:80\" }\n\n\
         [sites.\"static.acme.test\"]\ncustomer = \"acme\"\nkind = \"cached\"\npolicy = \"nearest\"\n\
         pops = [\"*\"]\norigins = \"acme-www\"\n",
    );
    text
}
