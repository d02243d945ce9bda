//! The ledger's tables and their version.

use rusqlite::{Connection, OptionalExtension};

use super::LedgerError;

/// The layout that this program writes.
pub(super) const VERSION: i64 = 1;

/// Layout 1. Counters and arrivals are for billing and small; records are an index of the newest
/// details, bounded by age and count, whose whole is in the raw files.
const V1: &str = "
CREATE TABLE arrival (
    customer  TEXT NOT NULL,
    sender    TEXT NOT NULL,
    role      TEXT NOT NULL,
    ranges    TEXT NOT NULL,               -- [[first, last], ...] of the numbers that are here
    lost      INTEGER NOT NULL,            -- numbers in gaps closed for good
    last_at   INTEGER NOT NULL,            -- when the newest arrived, microseconds
    dropped   INTEGER NOT NULL,            -- detail records its sender gave up
    forgotten INTEGER NOT NULL,            -- newest closing time among batches no longer listed
    PRIMARY KEY (customer, sender, role)
) WITHOUT ROWID;
CREATE TABLE batch (
    customer TEXT NOT NULL,
    sender   TEXT NOT NULL,
    role     TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    closed   INTEGER NOT NULL,             -- with the number, names the batch for good
    arrived  INTEGER NOT NULL,
    PRIMARY KEY (customer, sender, role, seq)
) WITHOUT ROWID;
CREATE INDEX batch_by_arrival ON batch (arrived);
CREATE TABLE counter (
    customer     TEXT NOT NULL,
    minute       INTEGER NOT NULL,
    site         TEXT NOT NULL,
    pop          TEXT NOT NULL,
    requests     INTEGER NOT NULL,
    bytes_out    INTEGER NOT NULL,
    bytes_in     INTEGER NOT NULL,
    bytes_origin INTEGER NOT NULL,
    hits         INTEGER NOT NULL,
    hit_bytes    INTEGER NOT NULL,
    s1           INTEGER NOT NULL,
    s2           INTEGER NOT NULL,
    s3           INTEGER NOT NULL,
    s4           INTEGER NOT NULL,
    s5           INTEGER NOT NULL,
    queries      INTEGER NOT NULL,
    PRIMARY KEY (customer, minute, site, pop)
) WITHOUT ROWID;
CREATE INDEX counter_by_minute ON counter (minute);
CREATE TABLE record (
    id       INTEGER PRIMARY KEY,
    kind     INTEGER NOT NULL,             -- 1 access, 2 decision, 3 event
    customer TEXT NOT NULL,
    ts       INTEGER NOT NULL,
    site     TEXT NOT NULL,
    sender   TEXT NOT NULL,
    decision INTEGER,                      -- a decision's id, its bits as a signed number
    body     BLOB NOT NULL                 -- a frame of the record
);
CREATE INDEX record_by_customer ON record (kind, customer, ts);
CREATE INDEX record_by_time ON record (kind, ts);
CREATE INDEX record_by_decision ON record (decision) WHERE decision IS NOT NULL;
";

/// A table without rows: as long as it is there, raw batches may be missing in the ledger.
const UNBUILT: &str = "CREATE TABLE unbuilt (unused INTEGER)";

/// Whether raw batches may be missing.
pub(super) fn is_unbuilt(db: &Connection) -> Result<bool, LedgerError> {
    Ok(db.table_exists(None, "unbuilt")?)
}

/// Every raw batch is booked.
pub(super) fn built(db: &Connection) -> Result<(), LedgerError> {
    Ok(db.execute_batch("DROP TABLE IF EXISTS unbuilt")?)
}

/// Makes the tables, or brings older ones up to [`VERSION`].
pub(super) fn prepare(db: &mut Connection) -> Result<(), LedgerError> {
    let work = db.transaction()?;
    work.execute_batch("CREATE TABLE IF NOT EXISTS schema (version INTEGER NOT NULL)")?;
    let found: Option<i64> = work
        .query_row("SELECT max(version) FROM schema", (), |row| row.get(0))
        .optional()?
        .flatten();
    match found.unwrap_or(0) {
        0 => {
            work.execute_batch(V1)?;
            work.execute("INSERT INTO schema (version) VALUES (?1)", [VERSION])?;
            work.execute_batch(UNBUILT)?;
        }
        VERSION => {}
        newer => return Err(LedgerError::Newer(newer)),
    }
    work.commit()?;
    Ok(())
}
