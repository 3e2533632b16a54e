//! The rows as they are, for `failover-node records`.

use rusqlite::{Connection, Row, params};

use super::error::Fault;
use super::sqlite::SqliteStore;
use super::{InState, OutState, StoreError};

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of this line.
    pub line: Option<String>,
    /// In this state, by its word.
    pub state: Option<String>,
    /// Of this kind: a record's, or what a charge is for.
    pub kind: Option<String>,
    /// With this number.
    pub number: Option<u64>,
    /// With this key; records have none.
    pub key: Option<String>,
    /// That came then or later, in milliseconds since 1970, UTC.
    pub since: Option<i64>,
    /// That came before then.
    pub until: Option<i64>,
}

/// A page: so many rows after a row, in order, or the last so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The first `limit` after row `row`.
    After {
        /// The row.
        row: u64,
        /// At most so many.
        limit: u32,
    },
    /// The last so many.
    Last(u32),
}

/// A record from the line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of docs/store.md")]
pub struct InRow {
    pub row: u64,
    pub line: String,
    pub incarnation: u64,
    pub start: u64,
    pub end: u64,
    pub kind: String,
    pub number: Option<u64>,
    pub text: Vec<u8>,
    pub state: InState,
    pub reply: Option<Vec<u8>>,
    pub epoch: u64,
    pub node: String,
    pub received_at: i64,
    pub handled_at: Option<i64>,
}

/// A charge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of docs/store.md")]
pub struct OutRow {
    pub row: u64,
    pub line: String,
    pub key: String,
    pub charge: Option<String>,
    pub state: OutState,
    pub number: Option<u64>,
    pub text: Option<Vec<u8>>,
    pub answer: Option<Vec<u8>>,
    pub epoch: Option<u64>,
    pub node: Option<String>,
    pub accepted_at: i64,
    pub numbered_at: Option<i64>,
    pub settled_at: Option<i64>,
}

/// How many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Records from the line.
    pub records: u64,
    /// Charges with which nothing is left to do.
    pub settled: u64,
}

impl SqliteStore {
    /// Counts, without reading what is in the rows.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn tally(&self) -> Result<Tally, StoreError> {
        let count = |db: &Connection, sql: &str| db.query_row(sql, [], |row| unsigned(row, 0));
        let settled = "SELECT count(*) FROM outbox
            WHERE state IN ('posted', 'refused', 'elsewhere')";
        self.read(|db| {
            let records = count(db, "SELECT count(*) FROM inbox")?;
            Ok(Tally { records, settled: count(db, settled)? })
        })
    }

    /// Records from the line, in the order in which they came.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn inbox(&self, filter: &Filter, page: Page) -> Result<Vec<InRow>, StoreError> {
        if filter.key.is_some() {
            return Ok(Vec::new());
        }
        let sql = "SELECT r.id, l.name, r.incarnation, r.start, r.length, r.kind, r.number, r.text,
                r.state, r.reply, r.epoch, r.node, r.received_at, r.handled_at
             FROM inbox r JOIN line l ON l.id = r.line
             WHERE (?1 IS NULL OR l.name = ?1) AND (?2 IS NULL OR r.state = ?2)
                AND (?3 IS NULL OR r.kind = ?3) AND (?4 IS NULL OR r.number = ?4)
                AND (?5 IS NULL OR r.received_at >= ?5) AND (?6 IS NULL OR r.received_at < ?6)
                AND ?7 IS NULL AND r.id > ?8 ORDER BY r.id";
        self.page(sql, filter, page, |row| {
            let start = unsigned(row, 3)?;
            Ok(InRow {
                row: unsigned(row, 0)?,
                line: row.get(1)?,
                incarnation: unsigned(row, 2)?,
                start,
                end: start.saturating_add(unsigned(row, 4)?),
                kind: row.get(5)?,
                number: perhaps(row, 6)?,
                text: row.get(7)?,
                state: row.get(8)?,
                reply: row.get(9)?,
                epoch: unsigned(row, 10)?,
                node: row.get(11)?,
                received_at: row.get(12)?,
                handled_at: row.get(13)?,
            })
        })
    }

    /// Charges, in the order in which they were accepted.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn outbox(&self, filter: &Filter, page: Page) -> Result<Vec<OutRow>, StoreError> {
        let sql = "SELECT r.id, l.name, r.key, r.charge, r.state, r.number, r.text, r.answer,
                r.epoch, r.node, r.accepted_at, r.numbered_at, r.settled_at
             FROM outbox r JOIN line l ON l.id = r.line
             WHERE (?1 IS NULL OR l.name = ?1) AND (?2 IS NULL OR r.state = ?2)
                AND (?3 IS NULL
                    OR CASE WHEN json_valid(r.charge) THEN r.charge ->> 'kind' END = ?3)
                AND (?4 IS NULL OR r.number = ?4)
                AND (?5 IS NULL OR r.accepted_at >= ?5) AND (?6 IS NULL OR r.accepted_at < ?6)
                AND (?7 IS NULL OR r.key = ?7) AND r.id > ?8 ORDER BY r.id";
        self.page(sql, filter, page, |row| {
            Ok(OutRow {
                row: unsigned(row, 0)?,
                line: row.get(1)?,
                key: row.get(2)?,
                charge: row.get(3)?,
                state: row.get(4)?,
                number: perhaps(row, 5)?,
                text: row.get(6)?,
                answer: row.get(7)?,
                epoch: perhaps(row, 8)?,
                node: row.get(9)?,
                accepted_at: row.get(10)?,
                numbered_at: row.get(11)?,
                settled_at: row.get(12)?,
            })
        })
    }

    fn page<T>(
        &self,
        sql: &str,
        filter: &Filter,
        page: Page,
        take: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let (order, after, limit) = match page {
            Page::After { row, limit } => ("", row, limit),
            Page::Last(limit) => (" DESC", 0, limit),
        };
        let mut rows = self.read(|db| {
            let mut select = db.prepare(&format!("{sql}{order} LIMIT ?9"))?;
            let rows = select.query_map(
                params![
                    filter.line,
                    filter.state,
                    filter.kind,
                    filter.number.map(u64::cast_signed),
                    filter.since,
                    filter.until,
                    filter.key,
                    after.cast_signed(),
                    limit
                ],
                take,
            )?;
            Ok::<_, Fault>(rows.collect::<Result<Vec<T>, _>>()?)
        })?;
        if matches!(page, Page::Last(_)) {
            rows.reverse();
        }
        Ok(rows)
    }
}

fn unsigned(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::cast_unsigned)
}

fn perhaps(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(i64::cast_unsigned))
}
