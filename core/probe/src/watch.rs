//! One subject under one probe: when it is asked next, and what its answers say so far.

use std::sync::Arc;

use popnet_config::network::Expect;
use popnet_terms::{Micros, Timestamp};
use popnet_wire::probing::{Cause, Sample, Service};
use popnet_wire::rollout::Epoch;

use crate::action::{Action, Answer, Failure, HttpJob, JobId, Outcome, TcpJob};
use crate::attempt::{Attempt, Task, Told};
use crate::check::{Checked, carried, check};
use crate::health::{HealthMachine, Limits, Transition};
use crate::judge::{Wanted, judge};
use crate::machine::Gauges;
use crate::plan::{How, Key, Spec};

/// Content that is kept and searched.
const CONTENT_MAX: usize = 64 << 10;

/// An exporter's page: a large machine's has some hundred thousand octets.
const METRICS_MAX: usize = 2 << 20;

/// The longest detail on the wire, in octets.
const DETAIL_MAX: usize = 120;

/// One subject under one probe.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) spec: Spec,
    /// When the next attempt starts.
    pub(crate) due: Timestamp,
    pub(crate) running: Option<JobId>,
    health: HealthMachine,
    last: Option<Last>,
    /// Smoothed over the attempts whose connection opened.
    connect: Option<Micros>,
}

/// The last attempt.
#[derive(Clone, Debug)]
struct Last {
    at: Timestamp,
    cause: Cause,
    detail: Arc<str>,
    total: Micros,
    load: Option<u16>,
    epoch: Option<Epoch>,
}

impl Watch {
    pub(crate) fn new(spec: Spec, due: Timestamp) -> Self {
        let health = HealthMachine::default();
        Self { spec, due, running: None, health, last: None, connect: None }
    }

    /// Starts an attempt.
    pub(crate) fn start(&mut self, id: JobId, now: Timestamp) -> Action {
        self.running = Some(id);
        // From the plan, not from now: a late start does not shift the phase. Attempts that were
        // missed altogether (the machine slept) are not made up for.
        self.due = self.due.after(self.spec.interval).max(now);
        let (address, timeout) = (self.spec.address.clone(), self.spec.timeout);
        match &self.spec.how {
            How::Tcp => Action::Tcp(TcpJob { id, address, timeout }),
            How::Other { task, .. } => {
                let mut task = task.clone();
                if let Task::Ftp { digest, .. } = &mut task {
                    *digest = self.spec.digest();
                }
                Action::Try(Attempt { id, address, timeout, task })
            }
            How::Metrics { tls, path, host } => Action::Http(HttpJob {
                id,
                address,
                tls: *tls,
                method: "GET".into(),
                path: path.clone(),
                host: host.clone(),
                timeout,
                load_field: None,
                digest: None,
                keep: METRICS_MAX,
                certificate_days: None,
            }),
            How::Http { tls, method, path, host } => Action::Http(HttpJob {
                id,
                address,
                tls: *tls,
                method: method.clone(),
                path: path.clone(),
                host: host.clone(),
                timeout,
                load_field: self.spec.expect.load_header.as_deref().map(Arc::from),
                digest: self.spec.digest(),
                keep: CONTENT_MAX,
                certificate_days: self.spec.expect.certificate_days,
            }),
        }
    }

    /// Takes an attempt's outcome in.
    pub(crate) fn finish(&mut self, outcome: &Outcome, now: Timestamp) -> Option<Transition> {
        self.running = None;
        let (checked, connect, total) = self.read(outcome);
        if let Some(connect) = connect {
            let smoothed = self.connect.map_or(u64::from(connect.0), |old| {
                (u64::from(old.0) * 3 + u64::from(connect.0)) / 4
            });
            // A connection that took no time is still one that was opened.
            self.connect = Some(Micros(u32::try_from(smoothed).unwrap_or(u32::MAX).max(1)));
        }
        let passed = checked.cause == Cause::Passed;
        let detail = if passed { String::new() } else { self.describe(&checked.words) };
        self.last = Some(Last {
            at: now,
            cause: checked.cause,
            detail: detail.into(),
            total,
            load: checked.load,
            epoch: checked.epoch,
        });
        if self.spec.how.is_load() {
            return None;
        }
        let (rise, fall) = (self.spec.rise, self.spec.fall);
        self.health.attempt(passed, &Limits { rise, fall, interval: self.spec.interval }, now)
    }

    /// What is to be reported; `None` before the first outcome.
    pub(crate) fn sample(&self, key: &Key) -> Option<Service> {
        let last = self.last.as_ref()?;
        Some(Service {
            probe: key.0.clone(),
            subject: key.1.clone(),
            health: self.health.health(),
            cause: last.cause,
            detail: last.detail.clone(),
            streak: self.health.streak(),
            connect: self.connect.unwrap_or_default(),
            total: last.total,
            load: last.load,
            epoch: last.epoch,
        })
    }

    /// When the last attempt ended.
    pub(crate) fn last_at(&self) -> Option<Timestamp> {
        self.last.as_ref().map(|last| last.at)
    }

    pub(crate) fn cause(&self) -> (Cause, Arc<str>) {
        let last = self.last.as_ref();
        last.map_or((Cause::Passed, "".into()), |last| (last.cause, last.detail.clone()))
    }

    /// What an outcome is worth, the time to connect, and the total time.
    pub(crate) fn read(&self, outcome: &Outcome) -> (Checked, Option<Micros>, Micros) {
        let plain = |cause, words: Arc<str>| Checked { cause, words, load: None, epoch: None };
        match outcome {
            Outcome::Answered(answer) => {
                let checked = match &self.spec.how {
                    How::Metrics { .. } => exported(answer),
                    How::Http { .. } | How::Tcp | How::Other { .. } => {
                        let checked = check(&self.spec.expect, answer);
                        // Traffic near what is configured is load, whatever the processors say.
                        let carried = self.spec.capacity.and_then(|of| carried(answer, of));
                        Checked { load: checked.load.max(carried), ..checked }
                    }
                };
                (checked, Some(answer.connect), answer.total)
            }
            Outcome::Told(told) => {
                let wanted = match &self.spec.how {
                    How::Other { wanted, .. } => wanted,
                    How::Http { .. } | How::Tcp | How::Metrics { .. } => &Wanted::Nothing,
                };
                (judge(wanted, &self.spec.expect, told), told.connect, told.total)
            }
            Outcome::Connected { connect } => {
                (plain(Cause::Passed, "".into()), Some(*connect), *connect)
            }
            Outcome::Failed(Failure { cause, words, connect, total }) => {
                (plain(*cause, words.clone()), *connect, *total)
            }
            // The machine never gives a burst to a watch.
            Outcome::Burst(_) => (plain(Cause::Protocol, "not an answer".into()), None, Micros(0)),
        }
    }

    fn describe(&self, words: &str) -> String {
        let mut text = format!("{} {} {words}", self.spec.how.word(), self.spec.address);
        while text.len() > DETAIL_MAX {
            text.pop();
        }
        text
    }
}

/// What an exporter's page is worth: it is there, and it tells a load.
fn exported(answer: &Answer) -> Checked {
    let whole = Told { total: answer.total, ..Told::default() };
    let status = check(&Expect::default(), answer);
    if status.cause != Cause::Passed {
        return status;
    }
    let load = Gauges::of_text(&answer.content).load();
    judge(&Wanted::Load, &Expect::default(), &Told { load, ..whole })
}

/// A service as a sample.
pub(crate) fn sample_of(service: Service, at: Timestamp) -> Sample {
    Sample { at, finding: popnet_wire::probing::Finding::Service(service) }
}
