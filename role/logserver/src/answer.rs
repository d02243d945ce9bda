//! The desk: questions over the role's own socket.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use popnet_config::Held;
use popnet_runtime::link::{Handler, Peer, ReplySink};
use popnet_runtime::quic;
use popnet_tally::question::{Counted, Wanted};
use popnet_terms::{NodeName, Role};
use popnet_wire::asking::{Answer, Question, Scope, What};
use popnet_wire::control::{Ask, Problem, Reply};
use popnet_wire::status::RoleStatus;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;

use crate::gate::customers;
use crate::ledger::Reader;
use crate::tallies::Tallies;

/// Questions answered at once: each may read a great deal.
const QUESTIONS_MAX: usize = 4;

/// Answers questions.
#[derive(Debug)]
pub(crate) struct Desk {
    own: NodeName,
    config: watch::Receiver<Arc<Held>>,
    reader: Arc<Reader>,
    tallies: Arc<Tallies>,
    ports: Vec<Arc<quic::Counters>>,
    places: Semaphore,
}

impl Desk {
    /// For the log server on node `own`.
    pub(crate) fn new(
        own: NodeName,
        config: watch::Receiver<Arc<Held>>,
        reader: Arc<Reader>,
        tallies: Arc<Tallies>,
        ports: Vec<Arc<quic::Counters>>,
    ) -> Self {
        Self { own, config, reader, tallies, ports, places: Semaphore::new(QUESTIONS_MAX) }
    }

    async fn status(&self) -> Result<Reply, Problem> {
        let whole = Question { scope: Scope::Network, what: What::Completeness };
        let missing = match self.look_up(whole).await? {
            Answer::Completeness(arrivals) => {
                arrivals.iter().fold(0u64, |sum, arrival| sum.saturating_add(arrival.missing))
            }
            Answer::Counters(_) | Answer::Records(_) => 0,
        };
        let mut dropped = self.tallies.dropped();
        let count = |of: fn(&quic::Counters) -> u64| self.ports.iter().map(|port| of(port)).sum();
        let untrusted: u64 = count(|port| port.untrusted.load(Ordering::Relaxed));
        let crowded: u64 = count(|port| port.refused.load(Ordering::Relaxed));
        for (reason, count) in
            [("untrusted connection", untrusted), ("too many connections", crowded)]
        {
            if count > 0 {
                dropped.push((reason.into(), count));
            }
        }
        Ok(Reply::Role(RoleStatus::Logserver {
            batches: self.tallies.stored.load(Ordering::Relaxed),
            missing,
            customers: customers(&self.config.borrow().network, &self.own),
            dropped,
        }))
    }

    async fn look_up(&self, question: Question) -> Result<Answer, Problem> {
        let _place = self.places.acquire().await.map_err(|_| ended())?;
        let reader = Arc::clone(&self.reader);
        let answered = spawn_blocking(move || ask(&reader, question)).await;
        answered.map_err(|_| ended())?
    }
}

fn ended() -> Problem {
    Problem::new("L03", "the log server is ending", "")
}

/// Every question passes its scope on: the reader has no function without one.
fn ask(reader: &Reader, question: Question) -> Result<Answer, Problem> {
    let scope = &question.scope;
    let answer = match question.what {
        What::Counters { from, to, site } => {
            let counted = reader.counters(scope, &Counted { from, to, site });
            match counted {
                Ok(Some(rows)) => Ok(Answer::Counters(rows)),
                Ok(None) => return Err(too_many()),
                Err(error) => Err(error),
            }
        }
        What::Records { kind, site, before, limit } => {
            reader.records(scope, &Wanted { kind, site, before, limit }).map(Answer::Records)
        }
        What::Decision { id } => reader.decision(scope, id).map(Answer::Records),
        What::Completeness => reader.completeness(scope).map(Answer::Completeness),
    };
    answer.map_err(|error| {
        Problem::new("L04", format!("the log server's database cannot be read: {error}"), "")
    })
}

fn too_many() -> Problem {
    Problem::new(
        "L02",
        "the answer has more counters than fit into one message",
        "ask for a shorter time, or for one site",
    )
}

impl Handler for Desk {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other ask is for others")]
    async fn answer(&self, _: Peer, ask: Ask, out: ReplySink) {
        let reply = match ask {
            Ask::RoleStatus => self.status().await,
            Ask::Question(question) => self.look_up(question).await.map(Reply::Answer),
            _ => Err(Problem::not_mine(Role::Logserver)),
        };
        match reply {
            Ok(reply) => drop(out.send(reply).await),
            Err(problem) => out.problem(problem).await,
        }
    }
}
