//! The tables, version by version. A file of an older version is brought up when it is opened to be
//! written; one of a newer version is refused, since what it means is not known here.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::Fault;

/// The version that this release writes.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// `LKst`: says whose file it is.
const APPLICATION: i64 = 0x4c4b_7374;

/// Each brings a file from the version before to its own.
const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE line (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        -- The last tenure that began. Unsigned numbers of 64 bits stand as signed ones.
        epoch INTEGER NOT NULL DEFAULT 0,
        incarnation INTEGER NOT NULL DEFAULT 0,
        node TEXT NOT NULL DEFAULT '',
        -- The highest number known to have been given to a charge.
        number INTEGER NOT NULL DEFAULT 0,
        -- New charges up to the row `judged` are sent under no number up to `clear`.
        judged INTEGER NOT NULL DEFAULT 0,
        clear INTEGER NOT NULL DEFAULT 0
    ) STRICT;

    CREATE TABLE inbox (
        -- Never given again, so that a reader can go on after the last that it has seen.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        line INTEGER NOT NULL REFERENCES line (id),
        incarnation INTEGER NOT NULL,
        start INTEGER NOT NULL,
        length INTEGER NOT NULL,
        kind TEXT NOT NULL,
        number INTEGER,
        text BLOB NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('new', 'handled', 'kept')),
        reply BLOB,
        epoch INTEGER NOT NULL,
        node TEXT NOT NULL,
        -- Milliseconds since 1970, UTC.
        received_at INTEGER NOT NULL,
        handled_at INTEGER,
        UNIQUE (line, incarnation, start)
    ) STRICT;
    CREATE INDEX inbox_waiting ON inbox (line, id) WHERE state = 'new';
    CREATE INDEX inbox_number ON inbox (line, number) WHERE number IS NOT NULL;
    CREATE INDEX inbox_age ON inbox (received_at);

    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        line INTEGER NOT NULL REFERENCES line (id),
        key TEXT NOT NULL,
        -- JSON as it was posted; none while only another node knows it.
        charge TEXT,
        state TEXT NOT NULL CHECK
            (state IN ('new', 'numbered', 'posted', 'refused', 'elsewhere', 'doubt')),
        -- Number, text and input stream under which it went out.
        number INTEGER,
        text BLOB,
        incarnation INTEGER,
        answer BLOB,
        -- The tenure in which it was accepted, then that in which it was numbered.
        epoch INTEGER,
        node TEXT,
        -- The highest number known when it was accepted.
        known INTEGER NOT NULL DEFAULT 0,
        accepted_at INTEGER NOT NULL,
        numbered_at INTEGER,
        settled_at INTEGER,
        UNIQUE (line, key)
    ) STRICT;
    CREATE INDEX outbox_new ON outbox (line, id) WHERE state = 'new';
    CREATE UNIQUE INDEX outbox_numbered ON outbox (line, number) WHERE state = 'numbered';
    CREATE INDEX outbox_number ON outbox (line, number) WHERE number IS NOT NULL;
    CREATE INDEX outbox_age ON outbox (settled_at) WHERE settled_at IS NOT NULL;
",
    "
    -- What a person has said was the number of the last record on the line; of which input stream,
    -- and the highest number known then.
    ALTER TABLE line ADD COLUMN told TEXT;
    ALTER TABLE line ADD COLUMN told_of INTEGER;
    ALTER TABLE line ADD COLUMN told_at INTEGER;
",
];

/// Brings the file to [`VERSION`], in one transaction.
///
/// # Errors
/// It is no store, or a newer one.
pub(super) fn migrate(db: &mut Connection) -> Result<(), Fault> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = version(&tx)?;
    if version < VERSION {
        for migration in &MIGRATIONS[version..] {
            tx.execute_batch(migration)?;
        }
        tx.pragma_update(None, "application_id", APPLICATION)?;
        tx.pragma_update(None, "user_version", i64::try_from(VERSION).unwrap_or(i64::MAX))?;
    }
    Ok(tx.commit()?)
}

/// Checks that a file can be read as it is.
///
/// # Errors
/// It is no store, or one of another version.
pub(super) fn check(db: &mut Connection) -> Result<(), Fault> {
    let tx = db.transaction()?;
    match version(&tx)? {
        VERSION => Ok(()),
        0 => Err(Fault::Foreign("it is empty: no node has used it yet".to_owned())),
        older => Err(Fault::Foreign(format!(
            "it has version {older}, this release reads {VERSION}; a node or `failover-node post` \
             of this release brings it up"
        ))),
    }
}

fn version(tx: &Transaction<'_>) -> Result<usize, Fault> {
    let value = |pragma| tx.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (value("application_id")?, value("user_version")?);
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if application != APPLICATION && tables > 0 {
        let message = "it is a database of another program; name another file";
        return Err(Fault::Foreign(message.to_owned()));
    }
    match usize::try_from(version) {
        Ok(version) if version <= VERSION => Ok(version),
        _ => Err(Fault::Foreign(format!(
            "it was written by a newer release (version {version}, this one knows {VERSION}); \
             update this host's failover-node"
        ))),
    }
}
