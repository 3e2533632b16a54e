//! What the payload asks of a store.

use std::time::Duration;

use billing::gateway::{Record, Reply};
use billing::{Ledger, Posting, Write};
use wire::{Epoch, Name};

use super::StoreError;

/// A store of one line, as the payload uses it from its grant on. All calls block; whoever holds one
/// is a process or a thread that may.
///
/// Every call but [`begin`](Self::begin) works for the tenure that began last. Those that write
/// check, in the same transaction, that no higher epoch has begun: a process that was stopped and
/// wakes up changes nothing ([`StoreError::Superseded`]).
pub trait Store: Send {
    /// A grant has come: raises the line's epoch here.
    ///
    /// # Errors
    /// A higher one is here already.
    fn begin(&mut self, tenure: &Tenure) -> Result<Standing, StoreError>;

    /// Makes all of it durable, or nothing. What was written before is harmless to write again.
    ///
    /// # Errors
    /// Nothing was written. The gateway that the writes are from must be dropped.
    fn commit(&mut self, writes: &[Write]) -> Result<Committed, StoreError>;

    /// What to post next, given what the line knows about numbers. First judges the rows that were
    /// numbered and not settled; see `docs/store.md`.
    ///
    /// # Errors
    /// The store can't be read, or a judgement can't be written.
    fn next_posting(&mut self, ledger: &Ledger) -> Result<Option<Posting>, StoreError>;

    /// The first records after row `after` that wait for a handler, at most `limit`.
    ///
    /// # Errors
    /// The store can't be read.
    fn waiting(&mut self, after: u64, limit: usize) -> Result<Vec<Waiting>, StoreError>;

    /// Handlers are done with these. A row that was handled before keeps its reply.
    ///
    /// # Errors
    /// Nothing was written.
    fn handled(&mut self, done: &[Done]) -> Result<(), StoreError>;

    /// The reply to the newest record with this number, if a handler gave one.
    ///
    /// # Errors
    /// The store can't be read.
    fn reply_to(&mut self, number: u64) -> Result<Option<Reply>, StoreError>;

    /// Whether somebody else has written since this was asked last; cheap enough to ask often.
    ///
    /// # Errors
    /// The store can't be read.
    fn changed(&mut self) -> Result<bool, StoreError>;

    /// Forgets a few rows that were done with longer than `retain` ago, and keeps the files small;
    /// for idle moments. Whether there is more to do.
    ///
    /// # Errors
    /// The store can't be written.
    fn tidy(&mut self, retain: Duration) -> Result<bool, StoreError>;
}

/// A grant, as a store must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
    /// The line.
    pub line: Name,
    /// The grant's number.
    pub epoch: Epoch,
    /// The name of the input stream.
    pub incarnation: u64,
    /// Who has it.
    pub node: Name,
    /// Every node that may ever have the line uses this very store, so it knows all numbers that
    /// were given, and needs no note to be sure.
    pub shared: bool,
}

/// How a store stands when a tenure begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// For `Resume::last_number`: the highest number that may be out of use.
    pub last_number: u64,
    /// Records that wait for a handler.
    pub waiting: u64,
    /// Charges that are to be posted or settled.
    pub unsettled: u64,
    /// Charges that only a person can decide about.
    pub doubt: u64,
}

/// What a commit has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// For each `Receive`, in order.
    pub received: Vec<Received>,
    /// Numbers that were to be settled and that no row here has, as after the retention's end.
    pub unknown: Vec<u64>,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its row.
    pub row: u64,
    /// It was not here before.
    pub is_new: bool,
}

/// A record that waits for a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its row: rows are handled in this order.
    pub row: u64,
    /// The input stream that it came from; with the record's start, its name for good.
    pub incarnation: u64,
    /// The record.
    pub record: Record,
}

/// A handler is done with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The record's row.
    pub row: u64,
    /// What it replied, where the dialect wants a reply.
    pub reply: Option<Reply>,
}
