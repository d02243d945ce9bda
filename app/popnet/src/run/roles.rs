//! Which parts of the node this process runs, and starting them.

use std::collections::BTreeSet;
use std::sync::Arc;

use popnet_config::Held;
use popnet_config::network::{Node, Service};
use popnet_directory::Directory;
use popnet_runtime::{Context, Running, StartError};
use popnet_terms::Role;
use popnet_wire::control::Problem;
use tokio::sync::watch;

use super::fixed;
use super::me::{Me, Source};

/// The configuration daemon's word on the command line.
const CONFIGD: &str = "configd";

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
pub(super) async fn start(
    me: &Me,
    selection: &Selection,
    started: &mut Vec<Running>,
) -> Result<(), Problem> {
    let problem = |error: StartError| error.problem();
    let held = configuration(me, selection, started).await?;
    let node = held.as_ref().map_or_else(
        || me.node.clone(),
        |held| held.borrow().network.node(&me.context.node).cloned().unwrap_or(me.node.clone()),
    );
    let caches = [Role::Webcache, Role::Webserver];
    let directory = if caches.into_iter().any(|role| node.runs(role) && selection.wants(role)) {
        Some(directory(me, held.as_ref()).map_err(problem)?)
    } else {
        None
    };
    for role in Role::ALL {
        if !node.runs(role) || !selection.wants(role) {
            continue;
        }
        let context = me.context.clone();
        let running = match (role, &held, &directory) {
            // The daemon itself is the master.
            (Role::Master, _, _) => continue,
            (Role::Webcache, _, Some(directory)) => {
                let settings = webcache_settings(me, &node);
                popnet_webcache::start(context, settings, Arc::clone(directory)).await
            }
            (Role::Webserver, _, Some(directory)) => {
                let settings = webserver_settings(&node);
                popnet_webserver::start(context, settings, Arc::clone(directory)).await
            }
            (_, Some(held), _) => start_holder(role, context, held.clone()).await,
            (_, None, _) | (Role::Webcache | Role::Webserver, _, None) => {
                let what = format!("{role} needs the configuration, and this node holds none");
                return Err(Problem::new("R0006", what, "popnet config show"));
            }
        };
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
