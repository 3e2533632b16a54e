//! What the stores hold, beside what the billing system saw.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use billing::Dialect;
use billing_sim::exchange::report::Report;
use bytes::Bytes;
use failover_node::billing::store::listing::{Filter, InRow, Page};
use failover_node::billing::store::{OutState, SqliteStore, StoreError};
use serde::Serialize;

use crate::error::{LabError, Result};

/// The books of a run in a dialect, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Audit {
    /// Whether all agree.
    pub pass: bool,
    /// The billing system's verdict: what it posted beside what the till wanted, and what it sent
    /// beside what the stores have.
    pub billing: Report,
    /// Charges that the till had taken by a node.
    pub taken: u64,
    /// Charges in the stores, by state. One that two stores know is there twice.
    pub charges: BTreeMap<String, u64>,
    /// Records in the stores.
    pub records: u64,
    /// What the stores say that cannot be.
    pub findings: Vec<String>,
}

impl Audit {
    /// Compares.
    ///
    /// # Errors
    /// A store can't be read.
    pub(crate) fn new(billing: Report, taken: u64, stores: &[PathBuf]) -> Result<Self> {
        let mut findings = Vec::new();
        let mut charges: BTreeMap<String, u64> = BTreeMap::new();
        let mut ends: BTreeMap<String, Vec<(OutState, Option<u64>)>> = BTreeMap::new();
        for row in all(stores, SqliteStore::outbox)? {
            *charges.entry(row.state.to_string()).or_default() += 1;
            ends.entry(row.key).or_default().push((row.state, row.number));
        }
        for (key, ends) in &ends {
            // A node that lost the line with a charge numbered learns of its end when it next has the
            // line; until then its row says what it knew.
            let numbers: BTreeSet<_> = ends.iter().filter_map(|(_, number)| *number).collect();
            let posted = ends.iter().any(|(state, _)| *state == OutState::Posted);
            let open = |state| matches!(state, OutState::New | OutState::Doubt | OutState::Refused);
            if !posted || ends.iter().any(|(state, _)| open(*state)) {
                findings.push(format!("charge {key} is not posted for good: {ends:?}"));
            } else if numbers.len() > 1 {
                findings.push(format!("charge {key} has several numbers: {ends:?}"));
            }
        }
        if ends.len() as u64 != taken {
            findings
                .push(format!("the till posted {taken} charges, the stores know {}", ends.len()));
        }
        findings.truncate(MAX_FINDINGS);
        let records = inbox_once(stores)?.len() as u64;
        let pass = billing.pass && findings.is_empty();
        Ok(Self { pass, billing, taken, charges, records, findings })
    }
}

/// The first store that has a charge which no store knows the end of.
pub(crate) fn unsettled(stores: &[PathBuf]) -> Result<Option<&PathBuf>> {
    let mut open = BTreeMap::new();
    let mut settled = BTreeSet::new();
    for path in stores {
        for row in all(std::slice::from_ref(path), SqliteStore::outbox)? {
            if row.state.is_settled() {
                settled.insert(row.key);
            } else {
                open.entry(row.key).or_insert(path);
            }
        }
    }
    Ok(open.into_iter().find(|(key, _)| !settled.contains(key)).map(|(_, path)| path))
}

/// Charges that are settled, or records that were taken. What two stores have counts twice.
pub(crate) fn done(stores: &[PathBuf], charges: bool) -> Result<u64> {
    let mut done = 0;
    for path in stores {
        let tally = open(path)?.tally().map_err(unreadable)?;
        done += if charges { tally.settled } else { tally.records };
    }
    Ok(done)
}

/// The texts of the records that the gateways have taken, each once, in the order of the line.
pub(crate) fn records(dialect: &Dialect, stores: &[PathBuf]) -> Result<Vec<Bytes>> {
    let rows = inbox_once(stores)?.into_values().filter(|row| dialect.takes(&row.kind));
    Ok(rows.map(|row| Bytes::from(row.text)).collect())
}

/// Each record once, by its name for good: two nodes may both have taken one whose
/// acknowledgement came too late.
fn inbox_once(stores: &[PathBuf]) -> Result<BTreeMap<(u64, u64), InRow>> {
    let rows = all(stores, SqliteStore::inbox)?;
    Ok(rows.into_iter().map(|row| ((row.incarnation, row.start), row)).collect())
}

/// One of the store's two listings.
type Listing<T> = fn(&SqliteStore, &Filter, Page) -> std::result::Result<Vec<T>, StoreError>;

fn all<T>(stores: &[PathBuf], read: Listing<T>) -> Result<Vec<T>> {
    let mut rows = Vec::new();
    for path in stores {
        let page = Page::After { row: 0, limit: u32::MAX };
        rows.extend(read(&open(path)?, &Filter::default(), page).map_err(unreadable)?);
    }
    Ok(rows)
}

fn open(path: &Path) -> Result<SqliteStore> {
    SqliteStore::open_read_only(path).map_err(unreadable)
}

fn unreadable(error: StoreError) -> LabError {
    LabError::Misuse(error.to_string())
}

/// What is shown of a run that went wrong.
const MAX_FINDINGS: usize = 20;
