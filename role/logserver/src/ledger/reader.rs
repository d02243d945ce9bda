//! Questions to the ledger, beside the writing. No function here works without a scope, and every
//! answer passes the scope twice: in the query, and in the core.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use popnet_tally::question::{self, COUNTERS_MAX, Counted, RECORDS_MAX, Wanted};
use popnet_terms::{CustomerId, NodeName, Role, Timestamp};
use popnet_wire::asking::{Arrival, RecordKind, Scope};
use popnet_wire::frame::{Conversation, decode};
use popnet_wire::logging::{Counter, Record};
use rusqlite::types::{Type, Value};
use rusqlite::{Connection, Row, params_from_iter};

use super::{arrivals, kind_number, open_reader, unsigned};

/// Connections kept open between questions.
const IDLE_MAX: usize = 4;

/// The reading side.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// A query with the values for its question marks.
struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    /// `select`, narrowed to what `scope` may see.
    fn within(scope: &Scope, select: &str) -> Self {
        match scope {
            Scope::Network => Self { sql: format!("{select} WHERE 1"), values: Vec::new() },
            Scope::Customer(own) => Self {
                sql: format!("{select} WHERE customer = ?"),
                values: vec![Value::Text(own.as_str().to_owned())],
            },
        }
    }

    fn and(mut self, condition: &str, value: impl Into<Value>) -> Self {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push(value.into());
        self
    }

    fn and_maybe(self, condition: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.and(condition, value),
            None => self,
        }
    }

    fn then(mut self, end: &str) -> Self {
        self.sql.push_str(end);
        self
    }

    fn rows<T>(
        &self,
        db: &Connection,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let mut statement = db.prepare_cached(&self.sql)?;
        statement.query_map(params_from_iter(&self.values), read)?.collect()
    }
}

impl Reader {
    /// Reads the ledger at `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default() }
    }

    fn with<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let db = idle.map_or_else(|| open_reader(&self.path), Ok)?;
        let answer = ask(&db)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(db);
        }
        Ok(answer)
    }

    /// Counters; `None` when there are more than an answer may have.
    pub(crate) fn counters(
        &self,
        scope: &Scope,
        asked: &Counted,
    ) -> rusqlite::Result<Option<Vec<(CustomerId, Counter)>>> {
        let query = Query::within(
            scope,
            "SELECT customer, minute, site, pop, requests, bytes_out, bytes_in, bytes_origin,
                    hits, hit_bytes, s1, s2, s3, s4, s5, queries FROM counter",
        )
        .and("minute >= ?", asked.from)
        .and("minute < ?", asked.to)
        .and_maybe("site = ?", asked.site.as_ref().map(|site| site.as_str().to_owned()))
        .then(&format!(" LIMIT {}", COUNTERS_MAX + 1));
        let rows = self.with(|db| query.rows(db, counter))?;
        Ok(question::counters(scope, asked, rows))
    }

    /// The newest detail records, newest first.
    pub(crate) fn records(
        &self,
        scope: &Scope,
        wanted: &Wanted,
    ) -> rusqlite::Result<Vec<(CustomerId, NodeName, Record)>> {
        let query = Query::within(scope, "SELECT customer, sender, body FROM record")
            .and("kind = ?", kind_number(wanted.kind))
            .and_maybe("site = ?", wanted.site.as_ref().map(|site| site.as_str().to_owned()))
            .and_maybe("ts < ?", wanted.before.map(|before| before.0))
            .then(&format!(" ORDER BY ts DESC, id DESC LIMIT {}", wanted.limit.min(RECORDS_MAX)));
        let rows = self.with(|db| query.rows(db, record))?;
        Ok(question::records(scope, wanted, rows.into_iter().flatten()))
    }

    /// The decision by the number `id`, if it is kept and within the scope.
    pub(crate) fn decision(
        &self,
        scope: &Scope,
        id: u64,
    ) -> rusqlite::Result<Vec<(CustomerId, NodeName, Record)>> {
        let query = Query::within(scope, "SELECT customer, sender, body FROM record")
            .and("decision = ?", id.cast_signed())
            .then(" ORDER BY ts DESC LIMIT 1");
        let rows = self.with(|db| query.rows(db, record))?;
        let wanted = Wanted { kind: RecordKind::Decision, site: None, before: None, limit: 1 };
        Ok(question::records(scope, &wanted, rows.into_iter().flatten()))
    }

    /// What has arrived from whom, and what is missing.
    pub(crate) fn completeness(&self, scope: &Scope) -> rusqlite::Result<Vec<Arrival>> {
        let query = Query::within(
            scope,
            "SELECT customer, sender, role, ranges, lost, last_at, dropped FROM arrival",
        )
        .then(" ORDER BY customer, sender, role");
        let rows = self.with(|db| query.rows(db, arrival))?;
        Ok(rows.into_iter().filter(|row| question::sees(scope, &row.customer)).collect())
    }
}

fn name<T: for<'a> From<&'a str>>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    Ok(T::from(row.get_ref(at)?.as_str()?))
}

fn counter(row: &Row<'_>) -> rusqlite::Result<(CustomerId, Counter)> {
    let count = |at: usize| row.get::<_, i64>(at).map(unsigned);
    let mut counter = Counter::new(row.get(1)?, name(row, 2)?, name(row, 3)?);
    counter.requests = count(4)?;
    counter.bytes_out = count(5)?;
    counter.bytes_in = count(6)?;
    counter.bytes_origin = count(7)?;
    counter.hits = count(8)?;
    counter.hit_bytes = count(9)?;
    counter.status = [count(10)?, count(11)?, count(12)?, count(13)?, count(14)?];
    counter.queries = count(15)?;
    Ok((name(row, 0)?, counter))
}

/// A record whose frame cannot be read any more is left out.
fn record(row: &Row<'_>) -> rusqlite::Result<Option<(CustomerId, NodeName, Record)>> {
    let body = row.get_ref(2)?.as_blob()?;
    match decode(Conversation::Logging, body) {
        Ok(record) => Ok(Some((name(row, 0)?, name(row, 1)?, record))),
        Err(error) => {
            tracing::debug!(%error, "a detail record in the ledger cannot be read");
            Ok(None)
        }
    }
}

fn arrival(row: &Row<'_>) -> rusqlite::Result<Arrival> {
    let arrivals = arrivals(row.get_ref(3)?.as_str()?, row.get(4)?)?;
    let role: Role = row.get_ref(2)?.as_str()?.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(2, Type::Text, Box::new(error))
    })?;
    let note: Arc<str> = match arrivals.first() {
        Some(first) if first > 1 => {
            format!("starts at number {first}: earlier ones are at another log server, or lost")
                .into()
        }
        Some(_) | None => "".into(),
    };
    Ok(Arrival {
        customer: name(row, 0)?,
        sender: name(row, 1)?,
        role,
        last_seq: arrivals.last().unwrap_or(0),
        missing: arrivals.missing(),
        last_at: Timestamp(row.get(5)?),
        dropped: unsigned(row.get(6)?),
        note,
    })
}
