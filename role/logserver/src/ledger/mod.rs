//! The books: which batches have arrived, exact counters, and an index of the newest detail
//! records, in one SQLite database so that one transaction holds all three.
//!
//! A batch is known by its number and its closing time. The number alone is not enough: a node
//! whose disk was replaced starts at 1 again, and its batches are not the old ones.

mod keep;
mod reader;
mod schema;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use popnet_tally::{Arrivals, Arrived, Rollup, question};
use popnet_terms::Timestamp;
use popnet_wire::asking::RecordKind;
use popnet_wire::frame::{Conversation, encode};
use popnet_wire::logging::{Batch, BatchId, Counter, Receipt, Record};
use rusqlite::types::Type;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};

pub(crate) use keep::{Keep, Kept, ago};
pub(crate) use reader::Reader;

/// Readers beside the writer never block it; two writers there are not.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// A record from a clock that runs ahead would stay the newest for ever.
const AHEAD_MAX: Duration = Duration::from_secs(300);

/// A spool may be months old; a year is a wrong clock.
const MINUTES_LATE_MAX: i64 = 366 * 1_440;

/// A day ahead is a wrong clock.
const MINUTES_AHEAD_MAX: i64 = 1_440;

/// The ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// What SQLite says.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    /// Written by a later program.
    #[error("it has layout {0}; this program knows layouts up to {known}", known = schema::VERSION)]
    Newer(i64),
    /// The raw files from which it is built again.
    #[error("{0}")]
    Raw(#[from] std::io::Error),
}

/// The writing side.
#[derive(Debug)]
pub(crate) struct Ledger {
    db: Connection,
}

/// What was decided about a batch inside a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Booked: its octets go to the raw files before the commit.
    New,
    /// For the acknowledgement, as it is.
    Known(Receipt),
}

impl Ledger {
    /// The ledger at `path`, made when there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, LedgerError> {
        let mut db = Connection::open(path)?;
        db.busy_timeout(BUSY_MAX)?;
        // An acknowledgement is a promise: the journal is synced at every commit.
        db.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;",
        )?;
        schema::prepare(&mut db)?;
        Ok(Self { db })
    }

    /// Whether it is new, or building it from raw batches was broken off.
    pub(crate) fn is_unbuilt(&self) -> Result<bool, LedgerError> {
        schema::is_unbuilt(&self.db)
    }

    /// Notes that every raw batch is booked.
    pub(crate) fn built(&self) -> Result<(), LedgerError> {
        schema::built(&self.db)
    }

    /// Starts booking a group of batches.
    pub(crate) fn begin(&mut self, now: Timestamp, index: bool) -> rusqlite::Result<Booking<'_>> {
        let work = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Booking { work, sums: Rollup::new(), now, index, unindexed: 0 })
    }
}

/// One transaction.
pub(crate) struct Booking<'a> {
    work: Transaction<'a>,
    sums: Rollup,
    now: Timestamp,
    /// Whether detail records are indexed.
    index: bool,
    /// Detail records that were not.
    pub(crate) unindexed: u64,
}

/// One line of the arrival table.
struct Line {
    arrivals: Arrivals,
    dropped: i64,
    forgotten: i64,
}

impl Booking<'_> {
    /// Books `batch` unless it is there already.
    pub(crate) fn book(&mut self, batch: &Batch) -> rusqlite::Result<Verdict> {
        let id = &batch.id;
        let Ok(seq) = i64::try_from(id.seq) else { return Ok(Verdict::Known(Receipt::Corrupt)) };
        let mut line = self.line(id)?;
        if line.arrivals.insert(id.seq) == Arrived::Before {
            return self.known(batch, seq, &line).map(Verdict::Known);
        }
        self.work
            .prepare_cached(
                "INSERT INTO batch (customer, sender, role, seq, closed, arrived)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                id.customer.as_str(),
                id.sender.as_str(),
                id.role.name(),
                seq,
                batch.closed.0,
                self.now.0
            ])?;
        self.write_line(batch, &line)?;
        for counter in &batch.counters {
            let minute = plausible(counter.minute, self.now);
            self.sums.add(&id.customer, &Counter { minute, ..counter.clone() });
        }
        if self.index {
            batch.records.iter().try_for_each(|record| self.index_record(id, record))?;
        } else {
            self.unindexed += batch.records.len() as u64;
        }
        Ok(Verdict::New)
    }

    /// What to say of a batch whose number has arrived before.
    fn known(&self, batch: &Batch, seq: i64, line: &Line) -> rusqlite::Result<Receipt> {
        let id = &batch.id;
        let closed: Option<i64> = self
            .work
            .prepare_cached(
                "SELECT closed FROM batch
                 WHERE customer = ?1 AND sender = ?2 AND role = ?3 AND seq = ?4",
            )?
            .query_row(
                params![id.customer.as_str(), id.sender.as_str(), id.role.name(), seq],
                |row| row.get(0),
            )
            .optional()?;
        let same = match closed {
            Some(closed) => closed == batch.closed.0,
            // No longer listed: what was closed later than everything forgotten is another batch.
            None => batch.closed.0 <= line.forgotten,
        };
        let last = line.arrivals.last().unwrap_or(id.seq);
        Ok(if same { Receipt::Duplicate } else { Receipt::Taken { last } })
    }

    fn line(&self, id: &BatchId) -> rusqlite::Result<Line> {
        let found = self
            .work
            .prepare_cached(
                "SELECT ranges, lost, dropped, forgotten FROM arrival
                 WHERE customer = ?1 AND sender = ?2 AND role = ?3",
            )?
            .query_row(params![id.customer.as_str(), id.sender.as_str(), id.role.name()], |row| {
                let ranges: String = row.get(0)?;
                Ok(Line {
                    arrivals: arrivals(&ranges, row.get(1)?)?,
                    dropped: row.get(2)?,
                    forgotten: row.get(3)?,
                })
            })
            .optional()?;
        Ok(found.unwrap_or(Line { arrivals: Arrivals::new(), dropped: 0, forgotten: i64::MIN }))
    }

    fn write_line(&self, batch: &Batch, line: &Line) -> rusqlite::Result<()> {
        let id = &batch.id;
        let ranges = serde_json::to_string(line.arrivals.ranges())
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        self.work
            .prepare_cached(
                "INSERT OR REPLACE INTO arrival
                     (customer, sender, role, ranges, lost, last_at, dropped, forgotten)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                id.customer.as_str(),
                id.sender.as_str(),
                id.role.name(),
                ranges,
                signed(line.arrivals.lost()),
                self.now.0,
                line.dropped.saturating_add(signed(batch.dropped)),
                line.forgotten
            ])?;
        Ok(())
    }

    fn index_record(&self, id: &BatchId, record: &Record) -> rusqlite::Result<()> {
        let decision = match record {
            Record::Decision(decision) => Some(decision.id.cast_signed()),
            Record::Access(_) | Record::Event(_) => None,
        };
        let ts = question::time(record).min(self.now.after(AHEAD_MAX));
        self.work
            .prepare_cached(
                "INSERT INTO record (kind, customer, ts, site, sender, decision, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                kind_number(question::kind(record)),
                id.customer.as_str(),
                ts.0,
                question::site(record),
                id.sender.as_str(),
                decision,
                encode(Conversation::Logging, record)
            ])?;
        Ok(())
    }

    /// Adds the group's counters and makes everything durable.
    pub(crate) fn commit(self) -> rusqlite::Result<()> {
        {
            // min(): a sum beyond the range would turn into a rounded number.
            let mut add = self.work.prepare_cached(
                "INSERT INTO counter VALUES
                     (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
                 ON CONFLICT DO UPDATE SET
                     requests     = min(requests     + excluded.requests,     9223372036854775807),
                     bytes_out    = min(bytes_out    + excluded.bytes_out,    9223372036854775807),
                     bytes_in     = min(bytes_in     + excluded.bytes_in,     9223372036854775807),
                     bytes_origin = min(bytes_origin + excluded.bytes_origin, 9223372036854775807),
                     hits         = min(hits         + excluded.hits,         9223372036854775807),
                     hit_bytes    = min(hit_bytes    + excluded.hit_bytes,    9223372036854775807),
                     s1           = min(s1           + excluded.s1,           9223372036854775807),
                     s2           = min(s2           + excluded.s2,           9223372036854775807),
                     s3           = min(s3           + excluded.s3,           9223372036854775807),
                     s4           = min(s4           + excluded.s4,           9223372036854775807),
                     s5           = min(s5           + excluded.s5,           9223372036854775807),
                     queries      = min(queries      + excluded.queries,      9223372036854775807)",
            )?;
            for (customer, row) in self.sums.rows() {
                let Counter { minute, site, pop, status: [s1, s2, s3, s4, s5], .. } = row;
                add.execute(params![
                    customer.as_str(),
                    minute,
                    site.as_str(),
                    pop.as_str(),
                    signed(row.requests),
                    signed(row.bytes_out),
                    signed(row.bytes_in),
                    signed(row.bytes_origin),
                    signed(row.hits),
                    signed(row.hit_bytes),
                    signed(*s1),
                    signed(*s2),
                    signed(*s3),
                    signed(*s4),
                    signed(*s5),
                    signed(row.queries)
                ])?;
            }
        }
        self.work.commit()
    }
}

/// The minute to book under. A counter from a clock that was not set yet, or runs far ahead, is
/// booked when it arrives: under its own minute it would be out of every bill.
fn plausible(minute: i64, now: Timestamp) -> i64 {
    let arrival = now.unix_seconds().div_euclid(60);
    let range = arrival.saturating_sub(MINUTES_LATE_MAX)..arrival.saturating_add(MINUTES_AHEAD_MAX);
    if range.contains(&minute) { minute } else { arrival }
}

/// SQLite's integers are signed; counters end at its largest.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// A kind as the table has it.
fn kind_number(kind: RecordKind) -> i64 {
    match kind {
        RecordKind::Access => 1,
        RecordKind::Decision => 2,
        RecordKind::Event => 3,
    }
}

/// Arrivals as the table has them. A damaged text is an error, not an empty list: batches that have
/// arrived must not be booked again.
fn arrivals(ranges: &str, lost: i64) -> rusqlite::Result<Arrivals> {
    let parsed = serde_json::from_str(ranges).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(3, Type::Text, Box::new(error))
    })?;
    Ok(Arrivals::from_parts(parsed, unsigned(lost)))
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(BUSY_MAX)?;
    Ok(db)
}

/// Counts by customer.
type ByCustomer = BTreeMap<String, u64>;

#[cfg(test)]
mod tests {
    use popnet_terms::{Role, SiteName};
    use popnet_wire::asking::{RecordKind, Scope};
    use popnet_wire::logging::{Counter, Event};

    use popnet_tally::question::{Counted, Wanted};

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
    const DAY: i64 = 86_400_000_000;
    const MINUTE: i64 = NOW.0 / 60_000_000;

    struct Books {
        folder: tempfile::TempDir,
        ledger: Ledger,
    }

    impl Books {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let ledger = Ledger::open(&folder.path().join("ledger.db")).unwrap();
            Self { folder, ledger }
        }

        fn reader(&self) -> Reader {
            Reader::new(self.folder.path().join("ledger.db"))
        }

        fn book(&mut self, batch: &Batch, now: Timestamp) -> Verdict {
            let mut booking = self.ledger.begin(now, true).unwrap();
            let verdict = booking.book(batch).unwrap();
            booking.commit().unwrap();
            verdict
        }

        fn rows(&self) -> Vec<Counter> {
            let all = Counted { from: i64::MIN, to: i64::MAX, site: None };
            let rows = self.reader().counters(&Scope::Network, &all).unwrap().unwrap();
            rows.into_iter().map(|(_, counter)| counter).collect()
        }

        fn events(&self) -> Vec<i64> {
            let wanted = Wanted { kind: RecordKind::Event, site: None, before: None, limit: 1_000 };
            let rows = self.reader().records(&Scope::Network, &wanted).unwrap();
            rows.iter().map(|(_, _, record)| question::time(record).0).collect()
        }
    }

    fn batch(seq: u64, minute: i64, requests: u64, events: &[i64]) -> Batch {
        let counter =
            Counter { requests, ..Counter::new(minute, SiteName::new("a.test"), "fra1".into()) };
        let event = |ts: &i64| {
            Record::Event(Event {
                ts: Timestamp(*ts),
                kind: "test".into(),
                subject: "".into(),
                from: "".into(),
                to: "".into(),
                reason: "".into(),
            })
        };
        Batch {
            id: BatchId {
                sender: "edge1.fra1".into(),
                role: Role::Webcache,
                customer: "acme".into(),
                seq,
            },
            closed: Timestamp(NOW.0 + i64::try_from(seq).unwrap()),
            counters: vec![counter],
            records: events.iter().map(event).collect(),
            dropped: 1,
        }
    }

    #[test]
    fn sums_end_at_the_largest_number() {
        let mut books = Books::new();
        for seq in 1..=3 {
            books.book(&batch(seq, MINUTE, u64::MAX / 2, &[]), NOW);
        }
        assert_eq!(books.rows()[0].requests, u64::try_from(i64::MAX).unwrap());
    }

    #[test]
    fn a_wrong_clock_does_not_lose_a_counter() {
        let mut books = Books::new();
        for (seq, minute) in [(1, 0), (2, MINUTE), (3, i64::MAX), (4, i64::MIN), (5, MINUTE - 60)] {
            books.book(&batch(seq, minute, 1, &[]), NOW);
        }
        let rows: Vec<(i64, u64)> = books.rows().iter().map(|c| (c.minute, c.requests)).collect();
        assert_eq!(rows, [(MINUTE - 60, 1), (MINUTE, 4)]);
    }

    #[test]
    fn forgotten_batches_are_still_told_from_new_ones() {
        let mut books = Books::new();
        let keep = Keep::of(&popnet_config::network::Logs::default());
        for seq in 1..=3 {
            assert_eq!(books.book(&batch(seq, MINUTE, 1, &[]), NOW), Verdict::New);
        }
        let later = Timestamp(NOW.0 + 8 * DAY);
        assert_eq!(books.ledger.tidy(&keep, later).unwrap(), Kept::AsWished);
        let listed: i64 =
            books.ledger.db.query_row("SELECT count(*) FROM batch", (), |row| row.get(0)).unwrap();
        assert_eq!(listed, 0);
        let again = books.book(&batch(2, MINUTE, 1, &[]), later);
        assert_eq!(again, Verdict::Known(Receipt::Duplicate));
        let mut other = batch(2, MINUTE, 1, &[]);
        other.closed = later;
        let said = books.book(&other, later);
        assert_eq!(said, Verdict::Known(Receipt::Taken { last: 3 }));
        assert_eq!(books.rows()[0].requests, 3);
        let arrivals = books.reader().completeness(&Scope::Network).unwrap();
        assert_eq!((arrivals[0].last_seq, arrivals[0].missing, arrivals[0].dropped), (3, 0, 3));
    }

    #[test]
    fn old_and_many_records_go_and_counters_stay() {
        let mut books = Books::new();
        let mut keep = Keep::of(&popnet_config::network::Logs::default());
        let times: Vec<i64> = (0..50).map(|n| NOW.0 - n * DAY).collect();
        books.book(&batch(1, MINUTE, 1, &times), NOW);
        books.ledger.tidy(&keep, NOW).unwrap();
        assert_eq!(books.events().len(), 31, "thirty days and today");
        keep.limit_records(4);
        books.ledger.tidy(&keep, NOW).unwrap();
        assert_eq!(books.events(), times[..4]);
        assert_eq!(books.rows().len(), 1);
        let after = Timestamp(NOW.0 + 801 * DAY);
        assert_eq!(books.ledger.tidy(&keep, after).unwrap(), Kept::More);
        assert_eq!((books.events().len(), books.rows().len()), (0, 0));
    }

    #[test]
    fn a_later_layout_is_left_alone() {
        let books = Books::new();
        let path = books.folder.path().join("ledger.db");
        assert!(Ledger::open(&path).is_ok(), "our own");
        books.ledger.db.execute("INSERT INTO schema (version) VALUES (9)", ()).unwrap();
        assert!(matches!(Ledger::open(&path), Err(LedgerError::Newer(9))));
        let path = books.folder.path().join("other.db");
        std::fs::write(&path, b"not a database, but long enough to look at").unwrap();
        assert!(matches!(Ledger::open(&path), Err(LedgerError::Database(_))));
    }
}
