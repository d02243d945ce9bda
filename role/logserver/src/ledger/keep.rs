//! How long what is kept: detail records by age and count, counters by age, batch names until no
//! sender can still hold them. Deleting goes in small steps, so that no batch waits for it.

use std::time::Duration;

use popnet_config::network::Logs;
use popnet_terms::{Span, Timestamp};
use popnet_wire::asking::RecordKind;
use rusqlite::params;

use super::{ByCustomer, Ledger, kind_number, unsigned};

/// Detail records kept of one kind for one customer: a thousand pages of answers.
const RECORDS_KEPT: u64 = 100_000;

/// Rows deleted in one step: some tens of milliseconds.
const STEP: u64 = 20_000;

/// Batch names are listed so long; afterwards their ranges and the newest closing time speak for
/// them. Senders resend for as long as their spool lasts, and that is still told apart then.
const BATCHES_LISTED: Duration = Duration::from_secs(7 * 86_400);

/// What the configuration says where it says nothing.
const ACCESS: Span = Span::seconds(30 * 86_400);
const DECISIONS: Span = Span::seconds(7 * 86_400);
const BILLING: Span = Span::seconds(800 * 86_400);

/// How long what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    access: Duration,
    decisions: Duration,
    events: Duration,
    billing: Duration,
    records: u64,
}

/// What a step has left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing.
    AsWished,
    /// There is more to delete.
    More,
}

impl Keep {
    /// As the configuration has it.
    pub(crate) fn of(logs: &Logs) -> Self {
        let said = logs.retention.clone().unwrap_or_default();
        let access = said.access.unwrap_or(ACCESS).duration();
        Self {
            access,
            decisions: said.decisions.unwrap_or(DECISIONS).duration(),
            events: access,
            billing: said.billing.unwrap_or(BILLING).duration(),
            records: RECORDS_KEPT,
        }
    }

    /// Raw batches hold records of every kind: as long as the longest.
    pub(crate) fn raw(&self) -> Duration {
        self.access.max(self.decisions).max(self.events)
    }

    /// Keeps fewer records.
    #[cfg(test)]
    pub(crate) fn limit_records(&mut self, records: u64) {
        self.records = records;
    }

    fn of_kind(&self, kind: RecordKind) -> Duration {
        match kind {
            RecordKind::Access => self.access,
            RecordKind::Decision => self.decisions,
            RecordKind::Event => self.events,
        }
    }
}

/// `span` before `now`.
pub(crate) fn ago(now: Timestamp, span: Duration) -> Timestamp {
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_sub(micros))
}

impl Ledger {
    /// One step of deleting what need not be kept any longer.
    pub(crate) fn tidy(&mut self, keep: &Keep, now: Timestamp) -> rusqlite::Result<Kept> {
        let mut deleted = self.forget_batches(now)?;
        let minute = ago(now, keep.billing).unix_seconds().div_euclid(60);
        // A day of minutes in one step.
        let counters = self.db.execute(
            "DELETE FROM counter WHERE minute < ?1
             AND minute < (SELECT min(minute) FROM counter) + 1440",
            [minute],
        )?;
        for kind in [RecordKind::Access, RecordKind::Decision, RecordKind::Event] {
            let oldest = ago(now, keep.of_kind(kind));
            let number = kind_number(kind);
            let old = self.db.execute(
                "DELETE FROM record WHERE id IN
                     (SELECT id FROM record WHERE kind = ?1 AND ts < ?2 ORDER BY ts LIMIT ?3)",
                params![number, oldest.0, step()],
            )?;
            deleted = deleted.max(old);
            for (customer, count) in self.count(number)? {
                let excess = count.saturating_sub(keep.records).min(STEP);
                if excess > 0 {
                    let many = self.db.execute(
                        "DELETE FROM record WHERE id IN
                             (SELECT id FROM record WHERE kind = ?1 AND customer = ?2
                              ORDER BY ts LIMIT ?3)",
                        params![number, customer, i64::try_from(excess).unwrap_or(i64::MAX)],
                    )?;
                    deleted = deleted.max(many);
                }
            }
        }
        let full = u64::try_from(deleted).unwrap_or(u64::MAX) >= STEP;
        Ok(if full || counters > 0 { Kept::More } else { Kept::AsWished })
    }

    fn count(&self, kind: i64) -> rusqlite::Result<ByCustomer> {
        let mut statement = self.db.prepare_cached(
            "SELECT customer, count(*) FROM record WHERE kind = ?1 GROUP BY customer",
        )?;
        statement.query_map([kind], |row| Ok((row.get(0)?, unsigned(row.get(1)?))))?.collect()
    }

    /// Detail records in the index.
    pub(crate) fn records(&self) -> rusqlite::Result<u64> {
        self.db.query_row("SELECT count(*) FROM record", (), |row| row.get(0)).map(unsigned)
    }

    /// Takes old batches off the list; the newest closing time among them stays.
    fn forget_batches(&mut self, now: Timestamp) -> rusqlite::Result<usize> {
        let work = self.db.transaction()?;
        let oldest = ago(now, BATCHES_LISTED).0;
        work.execute(
            "CREATE TEMP TABLE IF NOT EXISTS old
                 (customer TEXT, sender TEXT, role TEXT, seq INTEGER, closed INTEGER)",
            (),
        )?;
        work.execute("DELETE FROM old", ())?;
        let found = work.execute(
            "INSERT INTO old SELECT customer, sender, role, seq, closed FROM batch
             WHERE arrived < ?1 LIMIT ?2",
            params![oldest, step()],
        )?;
        if found > 0 {
            work.execute(
                "UPDATE arrival SET forgotten = max(forgotten, coalesce(
                     (SELECT max(closed) FROM old WHERE old.customer = arrival.customer
                      AND old.sender = arrival.sender AND old.role = arrival.role), forgotten))",
                (),
            )?;
            work.execute(
                "DELETE FROM batch WHERE (customer, sender, role, seq) IN
                     (SELECT customer, sender, role, seq FROM old)",
                (),
            )?;
        }
        work.commit()?;
        Ok(found)
    }
}

fn step() -> i64 {
    i64::try_from(STEP).unwrap_or(i64::MAX)
}
