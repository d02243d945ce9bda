//! What the log servers say: counters of the last hour, the last decisions, what is missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use popnet_admin::Admin;
use popnet_runtime::clock;
use popnet_terms::{CustomerId, NodeName, PopId, SiteName, Timestamp};
use popnet_wire::asking::{Answer, Arrival, Question, RecordKind, Scope, What};
use popnet_wire::logging::{Counter, Record};

use super::snapshot::{DecisionRow, Failing};

/// Minutes of history.
pub(crate) const MINUTES: i64 = 60;

/// Minutes asked for each second: a batch may arrive after the minute it tells of.
const RECENT: i64 = 3;

/// Looks between two full ones, which repair what arrived later than that.
const FULL_EVERY: u32 = 20;

/// Decisions kept: as many as the overview shows, and some for filtering by customer.
const DECISIONS: u32 = 100;

/// Most counter rows of one server: 60 minutes of 1,000 sites at a few POPs.
const ROWS_MAX: usize = 250_000;

type Row = (i64, CustomerId, SiteName, PopId);

/// Every log server's word.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    servers: BTreeMap<NodeName, Arc<Server>>,
    looks: u32,
}

/// One log server's word.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    counters: BTreeMap<Row, Counter>,
    decisions: Vec<DecisionRow>,
    /// What has arrived there and what is missing.
    pub(crate) arrivals: Vec<Arrival>,
    /// When it last answered.
    pub(crate) good: Option<Timestamp>,
    /// Why it does not answer now.
    pub(crate) failing: Option<Failing>,
    /// Rows left out because there were too many.
    pub(crate) truncated: bool,
}

impl Logs {
    /// Asks every server once, all at the same time.
    pub(crate) async fn look(&mut self, admin: &Admin, servers: &[NodeName], patience: Duration) {
        self.servers.retain(|name, _| servers.contains(name));
        let full = self.looks.is_multiple_of(FULL_EVERY);
        self.looks = self.looks.wrapping_add(1);
        let asked = servers.iter().map(|name| {
            let before = self.servers.get(name).cloned().unwrap_or_default();
            async move {
                let full = full || before.good.is_none() || before.failing.is_some();
                let answer = tokio::time::timeout(patience, ask(admin, name, full)).await;
                let answer = answer
                    .unwrap_or_else(|_| Err(format!("no answer within {} s", patience.as_secs())));
                (name.clone(), Arc::new(before.after(answer)))
            }
        });
        let answers = futures_util::future::join_all(asked).await;
        self.servers.extend(answers);
    }

    /// Each server and its state.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (&NodeName, &Server)> {
        self.servers.iter().map(|(name, server)| (name, &**server))
    }

    /// Counters that `scope` may see, in no particular order.
    pub(crate) fn counters<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> impl Iterator<Item = (&'a CustomerId, &'a Counter)> {
        let rows = self.servers.values().flat_map(|server| server.counters.iter());
        let rows = rows.map(|((_, customer, _, _), counter)| (customer, counter));
        rows.filter(|(customer, _)| sees(scope, customer))
    }

    /// Decisions that `scope` may see, newest first.
    pub(crate) fn decisions(&self, scope: &Scope) -> Vec<DecisionRow> {
        let rows = self.servers.values().flat_map(|server| server.decisions.iter());
        let mut rows: Vec<DecisionRow> =
            rows.filter(|row| sees(scope, &row.customer)).cloned().collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.decision.ts, row.decision.id)));
        rows.dedup_by_key(|row| row.decision.id);
        rows
    }
}

/// Whether `scope` covers `customer`'s data.
pub(crate) fn sees(scope: &Scope, customer: &CustomerId) -> bool {
    match scope {
        Scope::Network => true,
        Scope::Customer(own) => own == customer,
    }
}

struct Word {
    from: i64,
    counters: Vec<(CustomerId, Counter)>,
    decisions: Vec<DecisionRow>,
    arrivals: Vec<Arrival>,
}

async fn ask(admin: &Admin, server: &NodeName, full: bool) -> Result<Word, String> {
    let minute = clock::now().unix_seconds().div_euclid(60);
    let from = minute + 1 - if full { MINUTES } else { RECENT };
    let question = |what| admin.question(server, Question { scope: Scope::Network, what });
    let counters = What::Counters { from, to: minute + 2, site: None };
    let records =
        What::Records { kind: RecordKind::Decision, site: None, before: None, limit: DECISIONS };
    let (counters, decisions, arrivals) =
        tokio::join!(question(counters), question(records), question(What::Completeness));
    let mut word = Word { from, counters: Vec::new(), decisions: Vec::new(), arrivals: Vec::new() };
    for answer in [counters, decisions, arrivals] {
        match answer.map_err(|problem| problem.what)? {
            Answer::Counters(rows) => word.counters = rows,
            Answer::Records(rows) => {
                word.decisions = rows.into_iter().filter_map(DecisionRow::of).collect();
            }
            Answer::Completeness(rows) => word.arrivals = rows,
        }
    }
    Ok(word)
}

impl DecisionRow {
    /// The row of a record that tells of a decision.
    pub(crate) fn of((customer, _, record): (CustomerId, NodeName, Record)) -> Option<Self> {
        match record {
            Record::Decision(decision) => Some(Self { customer, decision: Arc::new(decision) }),
            Record::Access(_) | Record::Event(_) => None,
        }
    }
}

impl Server {
    fn after(&self, answer: Result<Word, String>) -> Self {
        let now = clock::now();
        let mut next = self.clone();
        let word = match answer {
            Ok(word) => word,
            Err(why) => {
                next.failing = Some(Failing::since(self.failing.as_ref(), now, why));
                return next;
            }
        };
        let oldest = now.unix_seconds().div_euclid(60) + 1 - MINUTES;
        next.counters.retain(|(minute, ..), _| (oldest..word.from).contains(minute));
        for (customer, counter) in word.counters {
            if next.counters.len() >= ROWS_MAX {
                next.truncated = true;
                break;
            }
            let row = (counter.minute, customer, counter.site.clone(), counter.pop.clone());
            next.counters.insert(row, counter);
        }
        next.decisions = word.decisions;
        next.arrivals = word.arrivals;
        next.good = Some(now);
        next.failing = None;
        next
    }
}
