//! What a batch of answers leaves to be told elsewhere. Kept by each thread for itself and handed
//! on once a batch, so that no answer waits for it. Beside it the choices that the thread has made.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ipnet::IpNet;
use popnet_answer::SiteIndex;
use popnet_runtime::clock;
use popnet_terms::{CustomerId, TargetId, Timestamp};
use popnet_wire::logging::{Decision, Record};
use popnet_wire::probing::Need;

use crate::memo::Memo;
use crate::ready::Ready;
use crate::serve::Ends;
use crate::shared::Shared;
use crate::table::Table;
use crate::tally::Tally;
use crate::tap::{Batch, Copied, Tap};

/// Numbers of decisions drawn at once.
const BLOCK: u64 = 256;

/// Askers remembered of a batch.
const ASKED_MAX: usize = 4;

/// One thread's notes.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The time of the batch.
    pub(crate) now: Timestamp,
    queries: u64,
    steered: u64,
    hits: Vec<(SiteIndex, u32)>,
    /// Who asked for sites: the first few of a batch stand for all.
    asked: Vec<(SiteIndex, IpNet)>,
    decisions: Vec<(CustomerId, Decision)>,
    /// How many decisions there were before the query that is answered now.
    before: usize,
    needs: Vec<Need>,
    /// Copies, and where they go. None where nobody wants any.
    copies: Option<(Arc<Tap>, Batch)>,
    /// Whom the answer that is made now names.
    names: Option<Arc<[TargetId]>>,
    /// Empty where questions are few.
    pub(crate) memo: Memo,
    /// Empty where questions are few.
    pub(crate) ready: Ready,
    /// What is counted of each question.
    pub(crate) tally: Arc<Tally>,
    /// The counts are of one batch only, and go to those of all connections.
    is_brief: bool,
    /// Numbers of decisions that are this thread's.
    numbers: Range<u64>,
}

impl Notes {
    /// Empty notes of this moment.
    pub(crate) fn at(now: Timestamp) -> Self {
        Self { now, is_brief: true, ..Self::default() }
    }

    /// Empty notes of a thread that keeps so many choices, and counts in `tally`.
    pub(crate) fn remembering(choices: usize, tally: Arc<Tally>) -> Self {
        Self { memo: Memo::new(choices), ready: Ready::new(), tally, ..Self::default() }
    }

    pub(crate) fn query(&mut self) {
        self.queries += 1;
        self.before = self.decisions.len();
    }

    /// A query of the clients of `unit` for a site.
    pub(crate) fn hit(&mut self, site: SiteIndex, unit: IpNet) {
        if self.asked.len() < ASKED_MAX {
            self.asked.push((site, unit));
        }
        match self.hits.iter_mut().find(|(known, _)| *known == site) {
            Some((_, count)) => *count += 1,
            None => self.hits.push((site, 1)),
        }
    }

    pub(crate) fn steered(&mut self) {
        self.steered += 1;
    }

    pub(crate) fn decision(&mut self, customer: CustomerId, decision: Decision) {
        self.decisions.push((customer, decision));
    }

    /// Forgets what the last query decided: its answer does not go out.
    pub(crate) fn take_back(&mut self) {
        self.decisions.truncate(self.before);
    }

    /// The number of the next decision. Drawn in blocks: workers would wait for each other's
    /// cache line.
    pub(crate) fn number(&mut self, shared: &Shared) -> u64 {
        let next = self.numbers.next();
        next.unwrap_or_else(|| {
            self.numbers = shared.decisions(BLOCK);
            self.numbers.next().unwrap_or_default()
        })
    }

    /// Whom the answer names, for those who want copies.
    pub(crate) fn names(&mut self, targets: &Arc<[TargetId]>) {
        self.names = Some(Arc::clone(targets));
    }

    /// Copies an exchange, when it is among those that somebody wants.
    #[cold]
    pub(crate) fn copy(&mut self, tap: &Arc<Tap>, packet: &[u8], ends: &Ends, answer: &[u8]) {
        let targets = self.names.take();
        let came = self.now;
        let Some(number) = tap.draw(ends.from, packet, came.0) else { return };
        let Ends { from, at, transport } = *ends;
        let (question, left) = (packet, clock::now());
        let targets = targets.filter(|_| !answer.is_empty());
        let copied =
            Copied { from, at, transport, came, left, question, answer, targets: None, number };
        // One that was replaced meanwhile has its own.
        if self.copies.as_ref().is_some_and(|(other, _)| !Arc::ptr_eq(other, tap)) {
            self.leave_copies();
        }
        let (_, batch) = self.copies.get_or_insert_with(|| (Arc::clone(tap), Batch::default()));
        batch.push(&copied, targets);
    }

    /// Hands copies on before anything else.
    pub(crate) fn leave_copies(&mut self) {
        if let Some((tap, batch)) = self.copies.take() {
            tap.leave(batch);
        }
    }

    pub(crate) fn need(&mut self, need: Need) {
        self.needs.push(need);
    }

    /// While another thread counts, this batch is not counted: what is counted is a sample.
    fn hand_on_demand(&mut self, shared: &Shared, table: &Table) {
        if self.asked.is_empty() {
            return;
        }
        if let Ok(mut demand) = shared.demand.try_lock() {
            for (index, unit) in &self.asked {
                if let Some(site) = table.site(*index) {
                    demand.note(&site.name, *unit, self.now);
                }
            }
        }
        self.asked.clear();
    }

    /// Hands everything on. Never waits: what finds no room is counted and dropped.
    pub(crate) fn hand_on(&mut self, shared: &Shared, table: &Table) {
        self.leave_copies();
        if self.is_brief {
            shared.connections.absorb(&self.tally);
        }
        shared.counters.queries.fetch_add(std::mem::take(&mut self.queries), Ordering::Relaxed);
        shared.counters.steered.fetch_add(std::mem::take(&mut self.steered), Ordering::Relaxed);
        for (index, count) in self.hits.drain(..) {
            let Some(site) = table.site(index) else { continue };
            site.hits.fetch_add(count, Ordering::Relaxed);
            if !site.is_logged {
                continue;
            }
            shared.shipper.count(&site.customer, &site.name, |counter| {
                counter.queries = counter.queries.saturating_add(u64::from(count));
            });
        }
        self.hand_on_demand(shared, table);
        let mut decisions = self.decisions.drain(..).peekable();
        while let Some((customer, first)) = decisions.next() {
            let more = std::iter::from_fn(|| {
                decisions.next_if(|(other, _)| *other == customer).map(|(_, decision)| decision)
            });
            let records = std::iter::once(first).chain(more).map(Record::Decision);
            shared.shipper.record_all(&customer, records);
        }
        for need in self.needs.drain(..) {
            shared.wishes.wish(need, &shared.counters);
        }
    }
}
