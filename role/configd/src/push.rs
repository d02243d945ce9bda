//! The part of the daemon that owns the rollout machines: one task, one relay, at most one push of
//! its own. It carries out what the machines say, in their order.

mod actor;
mod order;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use popnet_rollout::{Ledger, Verdict};
use popnet_runtime::StartError;
use popnet_terms::NodeName;
use popnet_wire::control::{Problem, PushOrder, Reply};
use popnet_wire::rollout::{Down, Epoch, Up, Version};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::daemon::Daemon;
use actor::Actor;

/// Commands that wait for the actor; each waits for one disk write at most.
const INBOX: usize = 256;

/// What the actor is told.
pub(super) enum Command {
    /// A parent or child asks.
    Down { down: Down, reply: oneshot::Sender<Up> },
    /// A node below answered.
    Up { round: u64, child: NodeName, said: Result<Up, String> },
    /// A version in force above that this node can run.
    Newer { version: Version, done: oneshot::Sender<()> },
    /// A person pushes.
    Push(Box<Push>),
}

/// A push and whoever watches it.
pub(super) struct Push {
    pub(super) order: PushOrder,
    /// News while it runs; news that nobody fetches are dropped.
    pub(super) progress: mpsc::Sender<Reply>,
    pub(super) done: oneshot::Sender<Result<Finished, Problem>>,
}

/// How a push ended.
pub(crate) enum Finished {
    /// The text is in force already.
    Nothing(Epoch),
    /// Decided.
    Verdict(Verdict),
}

/// Hands commands to the actor.
pub(crate) struct Pushes {
    sender: mpsc::Sender<Command>,
    /// What the actor starts with, until it does.
    start: Mutex<Option<(mpsc::Receiver<Command>, Ledger)>>,
    epoch: Arc<AtomicU64>,
}

impl Pushes {
    pub(crate) fn new(ledger: Ledger) -> Self {
        let (sender, receiver) = mpsc::channel(INBOX);
        let epoch = Arc::new(AtomicU64::new(ledger.epoch().0));
        Self { sender, start: Mutex::new(Some((receiver, ledger))), epoch }
    }

    /// The number in force here.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Asks the relay; `None` when the node is shutting down.
    pub(crate) async fn down(&self, down: Down) -> Option<Up> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Command::Down { down, reply }).await.ok()?;
        answer.await.ok()
    }

    /// Catches up with `version`; returns when it is in force or refused.
    pub(crate) async fn newer(&self, version: Version) {
        let (done, waiting) = oneshot::channel();
        if self.sender.send(Command::Newer { version, done }).await.is_ok() {
            let _ = waiting.await;
        }
    }

    /// Starts a push. News come out of the first, the end out of the second.
    pub(crate) async fn push(
        &self,
        order: PushOrder,
        progress: mpsc::Sender<Reply>,
    ) -> oneshot::Receiver<Result<Finished, Problem>> {
        let (done, waiting) = oneshot::channel();
        let push = Box::new(Push { order, progress, done });
        // A refused command drops `done`, which the caller sees as a shutdown.
        let _ = self.sender.send(Command::Push(push)).await;
        waiting
    }
}

/// Starts the actor of `pushes`. Once only.
///
/// # Errors
/// Never twice.
pub(crate) fn spawn(pushes: &Pushes, daemon: Arc<Daemon>) -> Result<JoinHandle<()>, StartError> {
    let start = pushes.start.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((inbox, ledger)) = start else {
        let twice = std::io::Error::other("started twice");
        return Err(StartError::Io { what: "the push task".to_owned(), source: twice });
    };
    let (sender, epoch) = (pushes.sender.clone(), Arc::clone(&pushes.epoch));
    let actor = Actor::new(daemon, ledger, sender, epoch);
    Ok(tokio::spawn(actor.run(inbox)))
}
