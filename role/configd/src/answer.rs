//! The door: who asks, whether they may, and which part of the daemon answers.

use std::sync::Arc;
use std::time::Duration;

use popnet_config::Held;
use popnet_runtime::link::{Handler, Link, LinkError, Peer, ReplySink};
use popnet_terms::{NodeName, Role};
use popnet_wire::control::{Ask, Problem, PushOrder, Reply};
use popnet_wire::rollout::{Down, Epoch};
use tokio::sync::mpsc;

use crate::daemon::Daemon;
use crate::file;
use crate::may::{Scope, Who, may};
use crate::network;
use crate::purges;
use crate::push::Finished;
use crate::sheet;
use crate::status::node_status;
use crate::way::Way;

/// News of a push that wait for a slow watcher.
const NEWS: usize = 64;
/// Time between two replies of a role or of another node.
const REPLY_MAX: Duration = Duration::from_secs(20);

/// Answers whoever comes to the control port or the admin socket.
pub(crate) struct Door {
    daemon: Arc<Daemon>,
}

impl Handler for Door {
    async fn answer(&self, peer: Peer, ask: Ask, out: ReplySink) {
        let daemon = &self.daemon;
        let who = Who::of(&peer, &daemon.context.domain);
        let held = daemon.held();
        let scope = Scope {
            me: daemon.me(),
            network: held.as_ref().map(|held| &held.network),
            parents: daemon.parents(),
        };
        if !may(&who, &ask, &scope) {
            tracing::warn!(?who, ask = name(&ask), "refused: not allowed");
            let what = format!("{} may not ask {} of {}", said(&who), name(&ask), daemon.me());
            out.problem(Problem::new("N0403", what, "").with_exit(4)).await;
            return;
        }
        if let Err(problem) = Box::pin(self.respond(&who, ask, &out)).await {
            out.problem(problem).await;
        }
    }
}

impl Door {
    pub(crate) fn new(daemon: Arc<Daemon>) -> Self {
        Self { daemon }
    }

    async fn respond(&self, who: &Who, ask: Ask, out: &ReplySink) -> Result<(), Problem> {
        let daemon = &self.daemon;
        let reply = match ask {
            Ask::NodeStatus => Reply::Node(Box::new(node_status(daemon).await)),
            Ask::RoleStatus => {
                return Err(Problem::new("N0046", "a role answers that over its own socket", ""));
            }
            Ask::Sheet(ask) => {
                let node = match who {
                    Who::Node(node) => node,
                    Who::Local | Who::Person(_) | Who::Stranger(_) => daemon.me(),
                };
                self.held()?;
                sheet::answer(node, &ask, daemon.held.subscribe()).await?
            }
            Ask::Rollout(down) => self.rollout(down).await?,
            Ask::Purge(purge) => Reply::Receipts(vec![purges::apply(daemon, &purge).await]),
            Ask::PurgesSince(id) => match purges::of_master(daemon, id).await {
                Some(purges) => Reply::Purges(purges),
                None => return Err(no_master(daemon.me())),
            },
            ask @ (Ask::ExplainDns(_)
            | Ask::Zone(_)
            | Ask::Inquire(_)
            | Ask::Moves(_)
            | Ask::DnsCounts) => {
                return self.role(Role::Nameserver, &ask, out).await;
            }
            ask @ Ask::Trips(_) => return self.role(Role::Webcache, &ask, out).await,
            ask @ Ask::Question(_) => return self.role(Role::Logserver, &ask, out).await,
            ask @ Ask::ExplainUrl(_) => return self.explain_url(&ask, out).await,
            Ask::At(node, ask) => return self.at(who, &node, *ask, out).await,
            Ask::NetworkStatus => {
                Reply::Network(Box::new(network::status(daemon, &*self.held()?).await))
            }
            Ask::Push(order) => return self.push(order, out).await,
            Ask::History { limit } => match &daemon.history {
                Some(history) => {
                    Reply::Versions(history.newest(usize::try_from(limit).unwrap_or(usize::MAX)))
                }
                None => return Err(no_master(daemon.me())),
            },
            Ask::Version(epoch) => self.version(epoch).await?,
            Ask::PurgeNetwork(order) => {
                return network::purge(daemon, &*self.held()?, order, out).await;
            }
            Ask::Reload => return self.reload(),
        };
        let _ = out.send(reply).await;
        Ok(())
    }

    fn held(&self) -> Result<Arc<Held>, Problem> {
        self.daemon.held().ok_or_else(|| {
            let what = format!("{} holds no configuration", self.daemon.me());
            Problem::new("N0023", what, "ask a node that runs a name server or is a master")
        })
    }

    async fn rollout(&self, down: Down) -> Result<Reply, Problem> {
        let Some(pushes) = &self.daemon.pushes else {
            let what = format!("{} takes no configuration over the network", self.daemon.me());
            return Err(Problem::new("N0024", what, ""));
        };
        let up = pushes.down(down).await;
        up.map(Reply::Rollout).ok_or_else(ending)
    }

    async fn version(&self, epoch: Option<Epoch>) -> Result<Reply, Problem> {
        if let (Some(epoch), Some(history)) = (epoch, &self.daemon.history) {
            return Ok(Reply::Version(history.version(epoch).map(Box::new)));
        }
        if let Some(path) = &self.daemon.file {
            let version = file::version(&self.daemon, &*self.held()?, path);
            let wanted = epoch.is_none_or(|epoch| epoch == version.epoch);
            return Ok(Reply::Version(wanted.then(|| Box::new(version))));
        }
        let Some(pushes) = &self.daemon.pushes else { return Err(no_master(self.daemon.me())) };
        let current = match pushes.down(Down::Current).await {
            Some(popnet_wire::rollout::Up::Current(version)) => version,
            Some(popnet_wire::rollout::Up::Outcomes(_)) | None => None,
        };
        let wanted = current.filter(|version| epoch.is_none_or(|epoch| epoch == version.epoch));
        Ok(Reply::Version(wanted.map(Box::new)))
    }

    async fn push(&self, order: PushOrder, out: &ReplySink) -> Result<(), Problem> {
        let daemon = &self.daemon;
        let Some(pushes) = &daemon.pushes else {
            let what = match &daemon.file {
                Some(path) => format!("{} runs straight from {}", daemon.me(), path.display()),
                None => format!("{} holds no configuration", daemon.me()),
            };
            let next = "edit the file, then `kill -HUP` the process";
            return Err(Problem::new("N0014", what, next).with_exit(4));
        };
        let (progress, mut news) = mpsc::channel(NEWS);
        let done = pushes.push(order, progress).await;
        // The push goes on when its watcher leaves: all or none does not depend on a terminal.
        while let Some(reply) = news.recv().await {
            let _ = out.send(reply).await;
        }
        let finished = done.await.map_err(|_| ending())??;
        let _ = out.send(pushed(daemon, finished)?).await;
        Ok(())
    }

    fn reload(&self) -> Result<(), Problem> {
        match &self.daemon.file {
            Some(path) => file::reload(&self.daemon, path),
            None => {
                self.daemon.hurry.notify_one();
                self.daemon.hurry_purges.notify_one();
                Ok(())
            }
        }
    }

    /// Hands an ask on to a role of this node.
    async fn role(&self, role: Role, ask: &Ask, out: &ReplySink) -> Result<(), Problem> {
        let daemon = &self.daemon;
        if !daemon.roles().contains(&role) {
            let what = format!("{} runs no {role}", daemon.me());
            return Err(Problem::new("N0025", what, "popnet status").with_exit(3));
        }
        let link = Link::local(&daemon.context.role_socket(role)).await;
        relay(link, ask, out).await.map_err(|error| {
            let mut problem = error.problem();
            if !matches!(error, LinkError::Problem(_)) {
                problem.what = format!("{role} on {}: {}", daemon.me(), problem.what);
            }
            problem
        })
    }

    /// Asks both tiers, the nearer to the client first.
    async fn explain_url(&self, ask: &Ask, out: &ReplySink) -> Result<(), Problem> {
        let roles = self.daemon.roles();
        let tiers = [Role::Webcache, Role::Webserver];
        let mut here = tiers.into_iter().filter(|role| roles.contains(role)).peekable();
        if here.peek().is_none() {
            let what = format!("{} has no caches", self.daemon.me());
            return Err(Problem::new("N0047", what, "popnet status").with_exit(3));
        }
        for role in here {
            self.role(role, ask, out).await?;
        }
        Ok(())
    }

    /// Hands an ask on to another node, which sees this node as the asker.
    async fn at(
        &self,
        who: &Who,
        node: &NodeName,
        ask: Ask,
        out: &ReplySink,
    ) -> Result<(), Problem> {
        if matches!(ask, Ask::At(..) | Ask::Rollout(_) | Ask::Purge(_) | Ask::Sheet(_)) {
            let what = format!("{} cannot be handed on", name(&ask));
            return Err(Problem::new("N0026", what, "").with_exit(4));
        }
        if node == self.daemon.me() {
            return Box::pin(self.respond(who, ask, out)).await;
        }
        let held = self.held()?;
        let Some(way) = Way::to(&held.network, node) else {
            let what = format!("there is no node {node}");
            return Err(Problem::new("N0027", what, "popnet status").with_exit(3));
        };
        let link = way.open(&self.daemon.context.identity).await;
        relay(link, &ask, out).await.map_err(|error| {
            let mut problem = error.problem();
            if !matches!(error, LinkError::Problem(_)) {
                problem.what = format!("{node}: {}", problem.what);
            }
            problem
        })
    }
}

/// Asks over `link` and hands every reply on.
async fn relay(link: Result<Link, LinkError>, ask: &Ask, out: &ReplySink) -> Result<(), LinkError> {
    // A push answers only when slow nodes have been waited for; the past is lived again.
    let is_slow = matches!(ask, Ask::Push(_) | Ask::Inquire(_) | Ask::Moves(_));
    let patience = if is_slow { REPLY_MAX * 6 } else { REPLY_MAX };
    let mut link = link?.patient_for(patience);
    let mut replies = link.ask(ask).await?;
    while let Some(reply) = replies.next().await? {
        if out.send(reply).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The last word about a push.
fn pushed(daemon: &Daemon, finished: Finished) -> Result<Reply, Problem> {
    let verdict = match finished {
        Finished::Nothing(epoch) => {
            return Ok(Reply::Pushed { epoch, committed: true, fenced: Vec::new() });
        }
        Finished::Verdict(verdict) => verdict,
    };
    let in_force = daemon.pushes.as_ref().map_or(Epoch(0), crate::push::Pushes::epoch);
    if !verdict.committed {
        let mut lines: Vec<String> = verdict
            .refused
            .iter()
            .map(|(node, why)| format!("{node} rejects {}: {why}", verdict.epoch))
            .collect();
        if !verdict.why.is_empty() {
            lines.push(verdict.why);
        }
        lines.push(format!("nothing has changed: {in_force} stays in force everywhere"));
        return Err(Problem::new("N0009", lines.join("\n"), "popnet status"));
    }
    let held = daemon.held();
    let describe = |(node, why): (NodeName, String)| {
        let parent = held.as_ref().and_then(|held| held.network.parent(&node).cloned());
        let from = parent.map_or_else(|| daemon.me().to_string(), |parent| parent.to_string());
        let what = format!(
            "{why}; out of answers until it has caught up, which it does from {from} when it returns"
        );
        (node, what)
    };
    let fenced = verdict.fenced.into_iter().map(describe).collect();
    Ok(Reply::Pushed { epoch: verdict.epoch, committed: true, fenced })
}

/// The node ends before it could answer.
pub(crate) fn ending() -> Problem {
    Problem::new("N0020", "the node is shutting down", "popnet config history   on another node")
}

fn no_master(me: &NodeName) -> Problem {
    Problem::new("N0015", format!("{me} is no master"), "ask a master").with_exit(4)
}

fn said(who: &Who) -> String {
    match who {
        Who::Local => "a process of this machine".to_owned(),
        Who::Person(name) | Who::Stranger(name) => name.clone(),
        Who::Node(node) => node.to_string(),
    }
}

/// An ask's name in messages.
fn name(ask: &Ask) -> &'static str {
    match ask {
        Ask::NodeStatus => "node status",
        Ask::RoleStatus => "role status",
        Ask::Sheet(_) => "a role sheet",
        Ask::Rollout(_) => "a step of a push",
        Ask::Purge(_) => "a purge step",
        Ask::PurgesSince(_) => "missed purges",
        Ask::ExplainDns(_) | Ask::ExplainUrl(_) | Ask::Inquire(_) => "an explanation",
        Ask::Moves(_) => "who would move",
        Ask::Question(_) => "a question to the logs",
        Ask::At(..) => "for another node",
        Ask::NetworkStatus => "the network's status",
        Ask::Push(_) => "a push",
        Ask::History { .. } | Ask::Version(_) => "the history",
        Ask::PurgeNetwork(_) => "a purge",
        Ask::Reload => "a reload",
        Ask::Zone(_) => "an order about a zone",
        Ask::Trips(_) => "the ways to a cache's clients",
        Ask::DnsCounts => "a name server's counts",
    }
}
