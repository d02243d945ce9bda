//! Carries out what the relay and the coordinator say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use popnet_config::network::Network;
use popnet_rollout::{Action, Coordinator, Ledger, Relay, Step};
use popnet_runtime::clock;
use popnet_terms::NodeName;
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::rollout::{Down, Epoch, Outcome, Up, Version};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::order::{self, Draft};
use super::{Command, Finished, Push};
use crate::daemon::Daemon;
use crate::reading::{Judge, hold, load, way};
use crate::state::write_ledger;
use crate::way::Way;

/// The asker that is this master's own coordinator.
const OWN: u64 = 0;
/// A child answers for everyone below; the relay gives it up earlier by its own count.
const CHILD_MAX: Duration = Duration::from_secs(60);

/// A push of this master under way.
struct Own {
    coordinator: Coordinator,
    phase: &'static str,
    progress: mpsc::Sender<Reply>,
    done: oneshot::Sender<Result<Finished, Problem>>,
}

pub(super) struct Actor {
    daemon: Arc<Daemon>,
    relay: Relay,
    own: Option<Own>,
    askers: BTreeMap<u64, oneshot::Sender<Up>>,
    next_asker: u64,
    /// The network of the version that is staged: its addresses are where to send.
    staged: Option<(Epoch, Network)>,
    outbox: mpsc::Sender<Command>,
    epoch: Arc<AtomicU64>,
}

impl Actor {
    pub(super) fn new(
        daemon: Arc<Daemon>,
        ledger: Ledger,
        outbox: mpsc::Sender<Command>,
        epoch: Arc<AtomicU64>,
    ) -> Self {
        let staged = ledger.staged.as_ref().map(|staged| &staged.version);
        let staged = staged.and_then(|v| Some((v.epoch, load(&v.text).ok()?.network)));
        let relay = Relay::new(daemon.me().clone(), ledger);
        let askers = BTreeMap::new();
        Self { daemon, relay, own: None, askers, next_asker: 1, staged, outbox, epoch }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        if let Some(version) = &self.relay.ledger().committed {
            self.remember(version);
        }
        self.relay.handle_start(clock::now());
        self.work().await;
        let shutdown = self.daemon.context.shutdown.clone();
        loop {
            let pause = self.relay.poll_timeout().map(|at| at.since(clock::now()));
            let command = tokio::select! {
                () = shutdown.cancelled() => return,
                command = inbox.recv() => command,
                () = tokio::time::sleep(pause.unwrap_or(CHILD_MAX)), if pause.is_some() => {
                    self.relay.handle_timeout(clock::now());
                    self.work().await;
                    continue;
                }
            };
            match command {
                Some(command) => self.take(command).await,
                None => return,
            }
        }
    }

    async fn take(&mut self, command: Command) {
        let now = clock::now();
        match command {
            Command::Down { down, reply } => {
                let asker = self.next_asker;
                self.next_asker += 1;
                self.askers.insert(asker, reply);
                self.relay.handle_down(asker, down, now);
            }
            Command::Up { round, child, said } => self.relay.handle_up(round, &child, said, now),
            Command::Newer { version, done } => {
                self.relay.handle_newer(version);
                self.work().await;
                let _ = done.send(());
                return;
            }
            Command::Push(push) => self.begin(*push).await,
        }
        self.work().await;
    }

    /// Checks the order and starts its push.
    async fn begin(&mut self, push: Push) {
        let Push { order, progress, done } = push;
        let daemon = Arc::clone(&self.daemon);
        let busy = self.own.is_some() || !self.relay.is_idle();
        let ledger = self.relay.ledger().clone();
        let drafted = spawn_blocking(move || order::draft(&daemon, &ledger, busy, order)).await;
        let drafted = drafted.unwrap_or_else(|error| {
            Err(Problem::new("N0099", format!("the check of the push failed: {error}"), ""))
        });
        match drafted {
            Err(problem) => drop(done.send(Err(problem))),
            Ok(Draft::Nothing(epoch)) => drop(done.send(Ok(Finished::Nothing(epoch)))),
            Ok(Draft::Version { version, needs }) => {
                tracing::info!(version = %version.epoch, author = version.author, "push begins");
                let (coordinator, step) = Coordinator::start(*version, needs);
                self.own = Some(Own { coordinator, phase: "prepare", progress, done });
                self.take_step(step);
            }
        }
    }

    fn take_step(&mut self, step: Step) {
        match step {
            Step::Tell(down) => {
                if let Some(own) = &mut self.own {
                    own.phase = match &down {
                        Down::Commit { .. } => "switch",
                        Down::Abort { .. } => "abort",
                        Down::Prepare(_) | Down::Current | Down::Newer(_) => "prepare",
                    };
                }
                self.relay.handle_down(OWN, down, clock::now());
            }
            Step::Over(verdict) => {
                tracing::info!(
                    version = %verdict.epoch,
                    committed = verdict.committed,
                    fenced = verdict.fenced.len(),
                    refused = verdict.refused.len(),
                    "push is over"
                );
                if let Some(own) = self.own.take() {
                    let _ = own.done.send(Ok(Finished::Verdict(verdict)));
                }
            }
        }
    }

    async fn work(&mut self) {
        while let Some(action) = self.relay.poll_action() {
            match action {
                Action::Check(version) => self.check(version).await,
                Action::Persist(ledger) => self.persist(*ledger).await,
                Action::Switch(version) => self.switch(&version),
                Action::Send { round, to, down } => self.send(round, to, down),
                Action::Progress(news) => self.tell(news),
                Action::Answer { asker: OWN, up } => self.hear_own(up),
                Action::Answer { asker, up } => {
                    if let Some(reply) = self.askers.remove(&asker) {
                        // Whoever asked may have gone; the ledger keeps what was promised.
                        let _ = reply.send(up);
                    }
                }
                Action::CatchUp => self.daemon.hurry.notify_one(),
            }
        }
    }

    async fn check(&mut self, version: Version) {
        let daemon = Arc::clone(&self.daemon);
        let (epoch, master) = (version.epoch, version.master.clone());
        let judged = spawn_blocking(move || {
            let held = daemon.held();
            let held = held.as_ref().map(|held| &held.network);
            Judge { me: daemon.me(), base_dir: &daemon.base_dir, held }.judge(&version)
        });
        let judged = judged.await.unwrap_or_else(|error| Err(format!("check failed: {error}")));
        let found = match judged {
            Ok(network) => {
                let tree = way(&network, &master);
                self.staged = Some((epoch, network));
                Ok(tree)
            }
            Err(why) => {
                tracing::warn!(version = %epoch, "refused: {why}");
                Err(why)
            }
        };
        self.relay.handle_checked(epoch, found, clock::now());
    }

    async fn persist(&mut self, ledger: Ledger) {
        let state_dir = self.daemon.context.state_dir.clone();
        let written = spawn_blocking(move || write_ledger(&state_dir, &ledger)).await;
        let written = match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = &written {
            tracing::error!("cannot store the configuration: {why}");
        }
        self.relay.handle_persisted(written, clock::now());
    }

    fn switch(&mut self, version: &Version) {
        self.epoch.store(version.epoch.0, Ordering::Release);
        match hold(version, &self.daemon.base_dir) {
            Ok(held) => self.daemon.publish(held),
            // It was checked before it was staged.
            Err(why) => tracing::error!(version = %version.epoch, "cannot be read any more: {why}"),
        }
        self.remember(version);
    }

    /// A master's history.
    fn remember(&self, version: &Version) {
        let Some(history) = &self.daemon.history else { return };
        let keep = self.daemon.held().and_then(|held| held.network.masters.history);
        if let Err(error) = history.add(version, keep) {
            tracing::error!(%error, "cannot keep the version in the history");
        }
    }

    /// Asks a node below, in the background: a slow one holds nobody up.
    fn send(&self, round: u64, to: NodeName, down: Down) {
        let way = self.way_to(&to);
        let identity = Arc::clone(&self.daemon.context.identity);
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            let said = match way {
                None => Err("has no control address".to_owned()),
                Some(way) => match way.ask_one(&identity, &Ask::Rollout(down), CHILD_MAX).await {
                    Ok(Reply::Rollout(up)) => Ok(up),
                    Ok(_) => Err("answered another question".to_owned()),
                    Err(error) => Err(error.to_string()),
                },
            };
            let _ = outbox.send(Command::Up { round, child: to, said }).await;
        });
    }

    /// By the version under way, else by the one in force.
    fn way_to(&self, node: &NodeName) -> Option<Way> {
        let staged = self.staged.as_ref().and_then(|(_, network)| Way::to(network, node));
        staged.or_else(|| Way::to(&self.daemon.held()?.network, node))
    }

    fn tell(&self, outcomes: Vec<(NodeName, Outcome)>) {
        if let Some(own) = &self.own {
            let phase = Arc::from(own.phase);
            let _ = own.progress.try_send(Reply::Progress { phase, outcomes });
        }
    }

    fn hear_own(&mut self, up: Up) {
        let Up::Outcomes(outcomes) = up else { return };
        let me = self.daemon.me().clone();
        self.tell(outcomes.iter().filter(|(node, _)| *node == me).cloned().collect());
        let step = self.own.as_mut().and_then(|own| own.coordinator.handle_outcomes(outcomes));
        if let Some(step) = step {
            self.take_step(step);
        }
    }
}
