//! The store in one SQLite file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use billing::gateway::Reply;
use billing::{Ledger, Posting, Write};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};
use sys::boottime;
use wire::Epoch;

use super::error::Fault;
use super::interface::{Done, Handling, LastSent, Standing, Store, Tenure, Tidied, Waiting};
use super::{StoreError, inbox, place, posting, schema, upkeep, writes};

/// A store in one SQLite file, in WAL mode, every transaction synced before it counts. Processes of
/// one host may share the file.
#[derive(Debug)]
pub struct SqliteStore {
    pub(super) db: Connection,
    pub(super) file: PathBuf,
    held: Option<Held>,
    /// As SQLite counted others' changes when somebody asked last.
    seen: i64,
}

/// The tenure that began last, with what the file said then.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) tenure: Tenure,
    /// The row of the line.
    pub(super) line: i64,
    /// The input stream is another one than at the line's last tenure here, or there was none.
    pub(super) is_new_stream: bool,
    /// What is known about new charges.
    pub(super) judged: Judged,
}

/// What is known about new charges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    /// Up to this row ...
    pub(super) row: i64,
    /// ... they were sent under no number up to this,
    pub(super) clear: u64,
    /// and that was looked at in this tenure.
    pub(super) is_ours: bool,
}

/// Has the file write ahead; the mode that it is in then. Only an exclusive lock lets the mode
/// change, once in a file's life, and SQLite does not wait for that one as it does for others.
fn write_ahead(db: &Connection) -> rusqlite::Result<String> {
    let deadline = boottime() + BUSY;
    loop {
        let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        if mode == "wal" {
            return Ok(mode);
        }
        match db.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0)) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && boottime() < deadline =>
            {
                std::thread::park_timeout(BETWEEN_TRIES);
            }
            changed => return changed,
        }
    }
}

impl SqliteStore {
    /// Opens the file, makes it if there is none, and brings it to this release's version.
    ///
    /// # Errors
    /// It can't be there, can't be made, or is no store.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        place::prepare(file)?;
        Self::open_made(file)
    }

    /// As [`Self::open`], if there is a file.
    ///
    /// # Errors
    /// There is none, or it is no store.
    pub fn open_existing(file: &Path) -> Result<Self, StoreError> {
        place::check(file)?;
        Self::open_made(file)
    }

    fn open_made(file: &Path) -> Result<Self, StoreError> {
        Self::connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE, |db| {
            let mode = write_ahead(db)?;
            if mode != "wal" {
                return Err(Fault::Foreign(format!("its journal stays `{mode}`, not WAL")));
            }
            // A commit is on the disk before it is acknowledged to anybody.
            db.pragma_update(None, "synchronous", "FULL")?;
            db.pragma_update(None, "foreign_keys", true)?;
            db.pragma_update(None, "journal_size_limit", upkeep::MAX_WAL)?;
            schema::migrate(db)
        })
    }

    /// Opens a file that is there, to look at it only; also while a node writes to it.
    ///
    /// # Errors
    /// It is not there, or can't be read as it is.
    pub fn open_read_only(file: &Path) -> Result<Self, StoreError> {
        place::check(file)?;
        Self::connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY, schema::check)
    }

    fn connect(
        file: &Path,
        flags: OpenFlags,
        prepare: impl FnOnce(&mut Connection) -> Result<(), Fault>,
    ) -> Result<Self, StoreError> {
        let connect = || {
            let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut db = Connection::open_with_flags(file, flags)?;
            db.busy_timeout(BUSY)?;
            prepare(&mut db)?;
            Ok(db)
        };
        let db = connect().map_err(|fault: Fault| fault.at(file))?;
        Ok(Self { db, file: file.to_owned(), held: None, seen: 0 })
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Runs `work` in a transaction that nobody else's can come between.
    pub(super) fn transact<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let Self { db, file, .. } = self;
        let run = || {
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&tx)?;
            tx.commit()?;
            Ok(done)
        };
        run().map_err(|fault: Fault| fault.at(file))
    }

    /// As [`Self::transact`], for the tenure, unless a newer one has begun.
    pub(super) fn fenced<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &Held) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let held = self.held()?;
        self.transact(|tx| {
            let epoch = "SELECT epoch FROM line WHERE id = ?1";
            let epoch: i64 = tx.query_row(epoch, [held.line], |row| row.get(0))?;
            let (begun, ours) = (Epoch(epoch.cast_unsigned()), held.tenure.epoch);
            if begun > ours {
                return Err(Fault::Superseded { held: begun, ours });
            }
            work(tx, &held)
        })
    }

    pub(super) fn held(&self) -> Result<Held, StoreError> {
        let missing = || Fault::Misuse("no tenure has begun".to_owned()).at(&self.file);
        self.held.clone().ok_or_else(missing)
    }

    /// Reads without a lock.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        work(&self.db).map_err(|fault| fault.at(&self.file))
    }

    pub(super) fn set_judged(&mut self, judged: Judged) {
        if let Some(held) = &mut self.held {
            held.judged = judged;
        }
    }
}

impl Store for SqliteStore {
    fn begin(&mut self, tenure: &Tenure) -> Result<Standing, StoreError> {
        let (held, standing) = self.transact(|tx| begin(tx, tenure))?;
        self.held = Some(held);
        Ok(standing)
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        self.fenced(|tx, held| writes::apply(tx, held, writes))
    }

    fn next_posting(&mut self, ledger: &Ledger) -> Result<Option<Posting>, StoreError> {
        posting::next(self, ledger)
    }

    fn last_sent(&mut self) -> Result<LastSent, StoreError> {
        let held = self.held()?;
        self.read(|db| posting::last_sent(db, &held))
    }

    fn waiting(&mut self, limit: usize) -> Result<Vec<Waiting>, StoreError> {
        let line = self.held()?.line;
        self.read(|db| inbox::waiting(db, line, limit))
    }

    fn handled(&mut self, done: &[Done]) -> Result<(), StoreError> {
        self.fenced(|tx, _| inbox::handled(tx, done))
    }

    fn reply_to(&mut self, number: u64) -> Result<Option<Reply>, StoreError> {
        let line = self.held()?.line;
        self.read(|db| inbox::reply_to(db, line, number))
    }

    fn changed(&mut self) -> Result<bool, StoreError> {
        let version =
            self.read(|db| Ok(db.pragma_query_value(None, "data_version", |row| row.get(0))?))?;
        Ok(std::mem::replace(&mut self.seen, version) != version)
    }

    fn tidy(&mut self, retain: Duration) -> Result<Tidied, StoreError> {
        upkeep::tidy(self, retain)
    }
}

fn begin(tx: &Transaction<'_>, tenure: &Tenure) -> Result<(Held, Standing), Fault> {
    let line = line(tx, tenure.line.as_str())?;
    let sql = "SELECT epoch, incarnation, number, judged, clear FROM line WHERE id = ?1";
    let [epoch, incarnation, number, judged, clear]: [i64; 5] =
        tx.query_row(sql, [line], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
        })?;
    let (begun, ours) = (Epoch(epoch.cast_unsigned()), tenure.epoch);
    if begun > ours {
        return Err(Fault::Superseded { held: begun, ours });
    }
    tx.execute(
        "UPDATE line SET epoch = ?2, incarnation = ?3, node = ?4 WHERE id = ?1",
        params![line, ours.0.cast_signed(), tenure.incarnation.cast_signed(), tenure.node.as_str()],
    )?;
    if tenure.handling == Handling::Commands {
        let left = "UPDATE inbox SET state = 'kept' WHERE line = ?1 AND state = 'new'";
        tx.execute(left, [line])?;
    }
    let count =
        |sql: &str| tx.query_row(sql, [line], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned);
    let unsettled = "SELECT min(number) FROM outbox WHERE line = ?1 AND state = 'numbered'";
    let unsettled: Option<i64> = tx.query_row(unsettled, [line], |row| row.get(0))?;
    let known = number.cast_unsigned();
    let standing = Standing {
        // Where this store knows all numbers, one that is not settled is sent again as it is.
        last_number: match unsettled.filter(|_| tenure.shared) {
            Some(number) => number.cast_unsigned().saturating_sub(1),
            None => known,
        },
        waiting: count("SELECT count(*) FROM inbox WHERE line = ?1 AND state = 'new'")?,
        unsettled: count(
            "SELECT count(*) FROM outbox WHERE line = ?1 AND state IN ('new', 'numbered')",
        )?,
        doubt: count("SELECT count(*) FROM outbox WHERE line = ?1 AND state = 'doubt'")?,
    };
    let held = Held {
        tenure: tenure.clone(),
        line,
        is_new_stream: incarnation.cast_unsigned() != tenure.incarnation,
        judged: Judged { row: judged, clear: clear.cast_unsigned(), is_ours: false },
    };
    Ok((held, standing))
}

/// The row of a line; it is made if there is none.
pub(super) fn line(tx: &Transaction<'_>, name: &str) -> Result<i64, Fault> {
    tx.execute("INSERT INTO line (name) VALUES (?1) ON CONFLICT (name) DO NOTHING", [name])?;
    Ok(tx.query_row("SELECT id FROM line WHERE name = ?1", [name], |row| row.get(0))?)
}

/// The time of day, for people, as the tables have it.
pub(super) fn now() -> i64 {
    i64::try_from(daemon::wall::now().as_millis()).unwrap_or(i64::MAX)
}

/// How long another process's lock is waited for: far more than any transaction here takes, and less
/// than a billing system waits for an answer.
pub(super) const BUSY: Duration = Duration::from_secs(2);
/// Between two tries for a lock that SQLite does not wait for.
const BETWEEN_TRIES: Duration = Duration::from_millis(5);
