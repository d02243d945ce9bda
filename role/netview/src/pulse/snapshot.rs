//! One look: what is known of the network, with the age of each part.

use std::sync::Arc;

use popnet_config::Held;
use popnet_terms::{CustomerId, Timestamp};
use popnet_wire::asking::Scope;
use popnet_wire::logging::{Counter, Decision};
use popnet_wire::status::NetworkStatus;

use super::beat::Beats;
use super::logs::Logs;

/// A source that does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failing {
    /// Since when.
    pub(crate) since: Timestamp,
    /// Why, in words.
    pub(crate) why: String,
}

impl Failing {
    /// The same failure goes on, with the newest words.
    pub(crate) fn since(before: Option<&Self>, now: Timestamp, why: String) -> Self {
        Self { since: before.map_or(now, |failing| failing.since), why }
    }
}

/// A source's last good word, and whether it still answers.
#[derive(Clone, Debug)]
pub(crate) struct Seen<T> {
    /// The word and when it came.
    pub(crate) value: Option<(Arc<T>, Timestamp)>,
    /// Why there is none newer.
    pub(crate) failing: Option<Failing>,
}

/// A decision and its customer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DecisionRow {
    /// Whose site.
    pub(crate) customer: CustomerId,
    /// The record.
    pub(crate) decision: Arc<Decision>,
}

/// One look.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Grows with every change: the `id` of events.
    pub(crate) seq: u64,
    /// When it was put together.
    pub(crate) at: Timestamp,
    /// The configuration in force here.
    pub(crate) held: Arc<Held>,
    /// The master's word.
    pub(crate) status: Seen<NetworkStatus>,
    /// Rates. Only [`Scope::Network`] may see them.
    pub(crate) beats: Beats,
    logs: Logs,
}

impl Snapshot {
    pub(crate) fn empty(held: Arc<Held>) -> Self {
        Self {
            seq: 0,
            at: popnet_runtime::clock::now(),
            held,
            status: Seen { value: None, failing: None },
            beats: Beats::default(),
            logs: Logs::default(),
        }
    }

    pub(crate) fn seen(
        &self,
        now: Timestamp,
        held: Arc<Held>,
        answer: Result<NetworkStatus, String>,
        beats: Beats,
    ) -> Self {
        let status = match answer {
            Ok(status) => Seen { value: Some((Arc::new(status), now)), failing: None },
            Err(why) => Seen {
                value: self.status.value.clone(),
                failing: Some(Failing::since(self.status.failing.as_ref(), now, why)),
            },
        };
        Self { seq: self.seq + 1, at: now, held, status, beats, logs: self.logs.clone() }
    }

    pub(crate) fn logged(&self, now: Timestamp, logs: Logs) -> Self {
        Self { seq: self.seq + 1, at: now, logs, ..self.clone() }
    }

    /// Counters of the last hour that `scope` may see.
    pub(crate) fn counters<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> impl Iterator<Item = (&'a CustomerId, &'a Counter)> {
        self.logs.counters(scope)
    }

    /// Decisions that `scope` may see, newest first.
    pub(crate) fn decisions(&self, scope: &Scope) -> Vec<DecisionRow> {
        self.logs.decisions(scope)
    }

    /// The log servers' own state: no customer's data.
    pub(crate) fn logs(&self) -> &Logs {
        &self.logs
    }
}
