//! Where the stores are, and what is in them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use failover_node::billing::store::SqliteStore;
use failover_node::billing::store::desk::{Counter, Wanted};
use rusqlite::Connection;
use tempfile::TempDir;
use wire::Name;

use super::setting::{Setting, Stores};

/// A directory of stores that many runs share, each with a line of its own.
pub struct Place {
    dir: TempDir,
    runs: Cell<u64>,
    /// One that stays open for each file: the last one that closes it would tidy it up each time.
    desks: RefCell<BTreeMap<PathBuf, Rc<Connection>>>,
}

/// A row of an inbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InRow {
    /// The input stream.
    pub incarnation: u64,
    /// Where it began.
    pub start: u64,
    /// For the books only.
    pub is_kept: bool,
    /// A handler is done with it.
    pub is_handled: bool,
    /// What it is.
    pub kind: String,
    /// Its text.
    pub text: Vec<u8>,
}

/// A row of an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutRow {
    /// The caller's key.
    pub key: String,
    /// How far it is.
    pub state: String,
    /// Its number.
    pub number: Option<u64>,
}

impl Default for Place {
    /// In memory, where there is such a directory: what a disk does is not in question here.
    ///
    /// # Panics
    /// There is no room for a directory.
    fn default() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        Self { dir: dir.expect("a directory"), runs: Cell::new(0), desks: RefCell::default() }
    }
}

impl Place {
    /// The line of the next run.
    ///
    /// # Panics
    /// Never: such a name is one.
    pub fn line(&self) -> Name {
        self.runs.set(self.runs.get() + 1);
        format!("line{}", self.runs.get()).parse().expect("a name")
    }

    fn file(&self, setting: &Setting, node: usize) -> PathBuf {
        let name = match setting.stores {
            Stores::Shared => "shared".to_owned(),
            Stores::Own => format!("node{node}"),
        };
        self.dir.path().join(name)
    }

    /// The store of a node, as its process opens it.
    ///
    /// # Panics
    /// It can't be opened.
    pub fn open(&self, setting: &Setting, node: usize) -> SqliteStore {
        SqliteStore::open(&self.file(setting, node)).expect("a store")
    }

    fn desk(&self, setting: &Setting, node: usize) -> Rc<Connection> {
        let file = self.file(setting, node);
        let mut desks = self.desks.borrow_mut();
        let open = || {
            drop(self.open(setting, node));
            Rc::new(Connection::open(&file).expect("a store"))
        };
        desks.entry(file.clone()).or_insert_with(open).clone()
    }

    /// Lays the load's charges into the stores.
    ///
    /// # Panics
    /// The stores can't be written.
    pub fn post(&self, setting: &Setting, line: &Name) {
        for node in Self::nodes(setting) {
            let wanted: Vec<_> = (1..=setting.charges)
                .filter(|n| home(setting, *n) == *node)
                .filter_map(|n| setting.dialect.charge(setting.seed, n))
                .map(|charge| Wanted { charge, is_now: false })
                .collect();
            let counter = Counter { line: line.clone(), epoch: None };
            // So that it is not the last one that closes the file.
            drop(self.desk(setting, *node));
            self.open(setting, *node).add(&counter, &wanted).expect("charges more");
        }
    }

    /// A person tells a node's store the number of the last record.
    ///
    /// # Panics
    /// The store can't be written.
    pub fn tell_last(&self, setting: &Setting, line: &Name, node: usize, columns: &[u8]) {
        let counter = Counter { line: line.clone(), epoch: None };
        let columns = std::str::from_utf8(columns).expect("a number");
        self.open(setting, node).tell_last(&counter, columns).expect("a word more");
    }

    /// The inbox of a node, in the order of its rows.
    ///
    /// # Panics
    /// It can't be read.
    pub fn inbox(&self, setting: &Setting, line: &Name, node: usize) -> Vec<InRow> {
        let sql =
            "SELECT incarnation, start, state = 'kept', state = 'handled', kind, text FROM inbox
            WHERE line = (SELECT id FROM line WHERE name = ?1) ORDER BY id";
        self.rows(setting, line, node, sql, |row| {
            Ok(InRow {
                incarnation: row.get::<_, i64>(0)?.cast_unsigned(),
                start: row.get::<_, i64>(1)?.cast_unsigned(),
                is_kept: row.get(2)?,
                is_handled: row.get(3)?,
                kind: row.get(4)?,
                text: row.get(5)?,
            })
        })
    }

    /// The outbox of a node, in the order of its rows.
    ///
    /// # Panics
    /// It can't be read.
    pub fn outbox(&self, setting: &Setting, line: &Name, node: usize) -> Vec<OutRow> {
        let sql = "SELECT key, state, number FROM outbox
            WHERE line = (SELECT id FROM line WHERE name = ?1) ORDER BY id";
        self.rows(setting, line, node, sql, |row| {
            let number = row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned);
            Ok(OutRow { key: row.get(0)?, state: row.get(1)?, number })
        })
    }

    /// Which nodes have a store.
    pub fn nodes(setting: &Setting) -> &'static [usize] {
        match setting.stores {
            Stores::Shared => &[0],
            Stores::Own => &[0, 1],
        }
    }

    fn rows<T>(
        &self,
        setting: &Setting,
        line: &Name,
        node: usize,
        sql: &str,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Vec<T> {
        let db = self.desk(setting, node);
        let mut select = db.prepare(sql).expect("a question");
        let rows = select.query_map([line.as_str()], read).expect("rows");
        rows.collect::<Result<_, _>>().expect("all rows")
    }
}

/// The node whose callers bring charge `n`.
fn home(setting: &Setting, n: u64) -> usize {
    match setting.stores {
        Stores::Shared => 0,
        Stores::Own => usize::from(n.is_multiple_of(2)),
    }
}
