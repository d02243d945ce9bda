//! Purge jobs in progress and the latest that have ended. Kept in memory: what was ordered is in
//! the master's journal; this is the view of whoever watches.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use popnet_admin::{Admin, Problem};
use popnet_runtime::clock;
use popnet_terms::{NodeName, Timestamp};
use popnet_wire::asking::Scope;
use popnet_wire::purging::{PurgeId, PurgeOrder, PurgeReceipt, PurgeState};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Jobs kept, ended ones included.
const KEPT: usize = 256;

/// Jobs that may run at a time: more would only wait for the same nodes.
const RUNNING_MAX: usize = 16;

/// One purge.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Ours: the link stays good before the master has given its number.
    pub(crate) id: String,
    pub(crate) number: Option<PurgeId>,
    pub(crate) order: PurgeOrder,
    pub(crate) at: Timestamp,
    /// Nodes with caches when the job began.
    pub(crate) expected: Vec<NodeName>,
    pub(crate) receipts: BTreeMap<NodeName, PurgeState>,
    pub(crate) progress: Progress,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Receipts come in.
    Running,
    /// Each node has had its word.
    Done,
    /// It went wrong as a whole.
    Failed(Problem),
}

/// The jobs of this process.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Shared {
    jobs: Mutex<VecDeque<Job>>,
    changed: watch::Sender<u64>,
}

impl Jobs {
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        let (changed, _) = watch::channel(0);
        Self { shared: Arc::new(Shared { jobs: Mutex::default(), changed }), tasks }
    }

    /// Hears of every change.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Begins a purge and gives back the job's id.
    pub(crate) fn begin(
        &self,
        admin: Admin,
        order: PurgeOrder,
        expected: Vec<NodeName>,
    ) -> Result<String, Problem> {
        let mut octets = [0_u8; 8];
        getrandom::fill(&mut octets)
            .map_err(|error| Problem::new("W0001", format!("random source: {error}"), ""))?;
        let id = format!("p{:016x}", u64::from_be_bytes(octets));
        let mut jobs = self.shared.jobs();
        if jobs.iter().filter(|job| job.progress == Progress::Running).count() >= RUNNING_MAX {
            let what = format!("{RUNNING_MAX} purges are running; this one was not begun");
            return Err(Problem::new("W0002", what, "wait for one to end, then try again"));
        }
        while jobs.len() >= KEPT {
            jobs.pop_front();
        }
        jobs.push_back(Job {
            id: id.clone(),
            number: None,
            order: order.clone(),
            at: clock::now(),
            expected,
            receipts: BTreeMap::new(),
            progress: Progress::Running,
        });
        drop(jobs);
        let (shared, name) = (Arc::clone(&self.shared), id.clone());
        self.tasks.spawn(async move { shared.run(&admin, order, &name).await });
        self.shared.tell();
        Ok(id)
    }

    /// A job that `scope` covers.
    pub(crate) fn job(&self, scope: &Scope, id: &str) -> Option<Job> {
        self.shared.jobs().iter().find(|job| job.id == id && covers(scope, job)).cloned()
    }

    /// Jobs that `scope` covers, newest first.
    pub(crate) fn list(&self, scope: &Scope) -> Vec<Job> {
        self.shared.jobs().iter().rev().filter(|job| covers(scope, job)).cloned().collect()
    }
}

fn covers(scope: &Scope, job: &Job) -> bool {
    match scope {
        Scope::Network => true,
        Scope::Customer(own) => *own == job.order.customer,
    }
}

impl Shared {
    async fn run(&self, admin: &Admin, order: PurgeOrder, id: &str) {
        let ended = admin
            .purge(order, |purge, receipts| {
                self.change(id, |job| {
                    job.number = Some(purge.id);
                    job.take(receipts);
                });
            })
            .await;
        self.change(id, |job| {
            job.progress = match ended {
                Ok(_) => Progress::Done,
                Err(problem) => Progress::Failed(problem),
            };
            tracing::info!(
                job = job.id,
                customer = %job.order.customer,
                what = %job.order.what,
                actor = %job.order.actor,
                nodes = job.receipts.len(),
                "purge ended"
            );
        });
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Job)) {
        if let Some(job) = self.jobs().iter_mut().find(|job| job.id == id) {
            change(job);
        }
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn jobs(&self) -> MutexGuard<'_, VecDeque<Job>> {
        // Every change is one assignment: nothing is half done after a panic elsewhere.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn take(&mut self, receipts: &[PurgeReceipt]) {
        for receipt in receipts {
            self.receipts.insert(receipt.node.clone(), receipt.state.clone());
        }
    }
}
