//! Forgetting what was done with long ago, and keeping the files small.

use std::time::Duration;

use rusqlite::params;

use super::StoreError;
use super::interface::Tidied;
use super::sqlite::{SqliteStore, now};

/// One small step.
pub(super) fn tidy(store: &mut SqliteStore, retain: Duration) -> Result<Tidied, StoreError> {
    let retain = i64::try_from(retain.as_millis()).unwrap_or(i64::MAX);
    let before = now().saturating_sub(retain);
    let youngest = "SELECT max(at) FROM (
        SELECT max(received_at) AS at FROM inbox WHERE received_at < ?1 AND state <> 'new'
        UNION ALL SELECT max(settled_at) FROM outbox WHERE settled_at < ?1)";
    let youngest: Option<i64> =
        store.read(|db| Ok(db.query_row(youngest, [before], |row| row.get(0))?))?;
    match youngest {
        None => return Ok(Tidied::Done),
        // Rows grow old one after the other. Where none did for so long, it may be the clock that
        // has grown; they go when rows of the new time have become old.
        Some(youngest) if before - youngest > retain / LEAP => return Ok(Tidied::Leapt),
        Some(_) => {}
    }
    store.fenced(|tx, _| {
        tx.execute(
            "DELETE FROM inbox WHERE id IN
                (SELECT id FROM inbox WHERE received_at < ?1 AND state <> 'new' LIMIT ?2)",
            params![before, BATCH],
        )?;
        tx.execute(
            // The last number that was on a line is never forgotten: numbers go on after it.
            "DELETE FROM outbox WHERE id IN
                (SELECT id FROM outbox WHERE settled_at < ?1
                 EXCEPT SELECT (SELECT id FROM outbox INDEXED BY outbox_number
                    WHERE line = l.id AND number IS NOT NULL AND length(text) > 0
                    ORDER BY number DESC LIMIT 1) FROM line l LIMIT ?2)",
            params![before, BATCH],
        )?;
        Ok(Tidied::Done)
    })
}

/// Rows forgotten in one step, so that nobody waits long for the lock.
const BATCH: i64 = 1000;
/// What part of the retention may pass without a row that becomes old: 9 of 90 days.
const LEAP: i64 = 10;
/// What the log beside the file may keep of the disk: SQLite moves its content into the file every
/// 1000 pages (4 MiB) and writes it anew; only a reader that does not end lets it grow.
pub(super) const MAX_WAL: i64 = 16 << 20;
