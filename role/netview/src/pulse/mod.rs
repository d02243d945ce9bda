//! The pulse: one look at the network a second for the whole process, shared by every page and
//! every stream. It asks the local configuration daemon for the network's state, and each log
//! server through it; whoever does not answer leaves its last good word standing, with its age.

mod beat;
mod logs;
mod snapshot;
mod totals;

use std::sync::Arc;
use std::time::Duration;

use popnet_admin::{Admin, Endpoint};
use popnet_config::Held;
use popnet_runtime::{clock, context::Context};
use popnet_terms::{NodeName, Role};
use popnet_wire::control::ADMIN_SOCKET;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::task::TaskTracker;

pub(crate) use beat::{Beat, Beats, per_second};
pub(crate) use logs::{Logs, sees as logs_see};
pub(crate) use snapshot::{DecisionRow, Snapshot};
pub(crate) use totals::{Totals, float};

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Longest wait for one answer: a page shows the last good one meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the state waits for the logs of the same second.
const TOGETHER: Duration = Duration::from_millis(200);

fn ticks() -> Interval {
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

/// What everybody reads.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    now: watch::Receiver<Arc<Snapshot>>,
    admin_socket: Endpoint,
    node: NodeName,
    config: watch::Receiver<Arc<Held>>,
}

impl Pulse {
    /// Starts looking; ends with the context's shutdown.
    pub(crate) fn start(
        context: &Context,
        config: watch::Receiver<Arc<Held>>,
        tasks: &TaskTracker,
    ) -> Self {
        let (writer, now) = watch::channel(Arc::new(Snapshot::empty(config.borrow().clone())));
        let admin_socket = Endpoint::Local(context.run_dir.join(ADMIN_SOCKET));
        let pulse = Self { now, admin_socket, node: context.node.clone(), config };
        let writer = Arc::new(writer);
        let (looked, logs_looked) = watch::channel(());
        let (reader, end, status) = (pulse.clone(), context.shutdown.clone(), Arc::clone(&writer));
        tasks.spawn(async move {
            let watching = reader.watch_status(&status, logs_looked);
            let _ended = end.run_until_cancelled(watching).await;
        });
        let (reader, end) = (pulse.clone(), context.shutdown.clone());
        tasks.spawn(async move {
            let _ended = end.run_until_cancelled(reader.watch_logs(&writer, &looked)).await;
        });
        pulse
    }

    /// The newest look.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.now.borrow().clone()
    }

    /// To wait for newer ones.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.now.clone()
    }

    /// The configuration in force.
    pub(crate) fn held(&self) -> Arc<Held> {
        self.config.borrow().clone()
    }

    /// The local daemon: it asks other nodes itself, so that no master has to be well.
    pub(crate) fn admin(&self) -> Admin {
        Admin::to(self.admin_socket.clone())
    }

    /// For what the first master alone does: numbering purges, keeping the history.
    pub(crate) fn master(&self) -> Admin {
        let held = self.held();
        let root = held.network.relay_root().filter(|root| **root != self.node);
        self.admin().through(root.cloned())
    }

    /// Asks for the state each second, and publishes it together with what the logs said in the
    /// same second, so that streams need one event for both.
    async fn watch_status(
        &self,
        writer: &watch::Sender<Arc<Snapshot>>,
        mut logs_looked: watch::Receiver<()>,
    ) {
        let mut beats = Beats::default();
        let mut tick = ticks();
        loop {
            tick.tick().await;
            let answer = match tokio::time::timeout(PATIENCE, self.admin().network_status()).await {
                Ok(Ok(status)) => Ok(status),
                Ok(Err(problem)) => Err(problem.what),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            if let Ok(status) = &answer {
                beats.add(status);
            }
            // Slow log servers are not waited for; their word comes with the next look.
            let _ = tokio::time::timeout(TOGETHER, logs_looked.changed()).await;
            let (now, held, beats) = (clock::now(), self.held(), beats.clone());
            writer.send_modify(|shared| *shared = Arc::new(shared.seen(now, held, answer, beats)));
        }
    }

    async fn watch_logs(&self, writer: &watch::Sender<Arc<Snapshot>>, looked: &watch::Sender<()>) {
        let mut logs = Logs::default();
        let mut tick = ticks();
        loop {
            tick.tick().await;
            logs.look(&self.admin(), &self.log_servers(), PATIENCE).await;
            let (now, logs) = (clock::now(), logs.clone());
            writer.send_if_modified(|shared| {
                // The state's own publishing tells everybody, unless it is held up.
                let alone = now.since(shared.at) > PERIOD + TOGETHER;
                let at = if alone { now } else { shared.at };
                *shared = Arc::new(shared.logged(at, logs));
                alone
            });
            looked.send_replace(());
        }
    }

    /// Every node that keeps logs.
    pub(crate) fn log_servers(&self) -> Vec<NodeName> {
        let held = self.held();
        let servers = held.network.nodes().filter(|(_, _, node)| node.runs(Role::Logserver));
        servers.map(|(name, _, _)| name).collect()
    }
}
