//! Forgetting what was done with long ago, and keeping the files small.

use std::time::Duration;

use rusqlite::params;

use super::StoreError;
use super::sqlite::{SqliteStore, now};

/// One small step; whether there is more to do.
pub(super) fn tidy(store: &mut SqliteStore, retain: Duration) -> Result<bool, StoreError> {
    let retain = i64::try_from(retain.as_millis()).unwrap_or(i64::MAX);
    let before = now().saturating_sub(retain);
    let old = "SELECT EXISTS (SELECT 1 FROM inbox WHERE received_at < ?1 AND state <> 'new')
        OR EXISTS (SELECT 1 FROM outbox WHERE settled_at < ?1)";
    let has_old: bool = store.read(|db| Ok(db.query_row(old, [before], |row| row.get(0))?))?;
    if has_old {
        let forgotten = store.fenced(|tx, _| {
            let records = tx.execute(
                "DELETE FROM inbox WHERE id IN
                    (SELECT id FROM inbox WHERE received_at < ?1 AND state <> 'new' LIMIT ?2)",
                params![before, BATCH],
            )?;
            let charges = tx.execute(
                "DELETE FROM outbox WHERE id IN
                    (SELECT id FROM outbox WHERE settled_at < ?1
                        AND state IN ('posted', 'refused', 'elsewhere') LIMIT ?2)",
                params![before, BATCH],
            )?;
            Ok(i64::try_from(records.max(charges)).unwrap_or(BATCH))
        })?;
        return Ok(forgotten == BATCH);
    }
    Ok(false)
}

/// Rows forgotten in one step, so that nobody waits long for the lock.
const BATCH: i64 = 1000;
/// What the log beside the file may keep of the disk: SQLite moves its content into the file every
/// 1000 pages (4 MiB) and writes it anew; only a reader that does not end lets it grow.
pub(super) const MAX_WAL: i64 = 16 << 20;
