//! What the payload asks of a store.

use std::time::Duration;

pub use billing::gateway::LastSent;
use billing::gateway::{Record, Reply};
use billing::{Dialect, Ledger, Posting, Write};
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
    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError>;

    /// What to post next, given what the line knows about numbers. First judges the rows that were
    /// numbered and not settled; see `docs/store.md`.
    ///
    /// # Errors
    /// The store can't be read, or a judgement can't be written.
    fn next_posting(&mut self, ledger: &Ledger) -> Result<Option<Posting>, StoreError>;

    /// The record that went out last, as far as is known here.
    ///
    /// # Errors
    /// The store can't be read.
    fn last_sent(&mut self) -> Result<LastSent, StoreError>;

    /// The first records that wait for a handler, at most `limit`.
    ///
    /// # Errors
    /// The store can't be read.
    fn waiting(&mut self, limit: usize) -> Result<Vec<Waiting>, StoreError>;

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

    /// Forgets a few rows that were done with longer than `retain` ago; for idle moments.
    ///
    /// # Errors
    /// The store can't be written.
    fn tidy(&mut self, retain: Duration) -> Result<Tidied, StoreError>;
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
    /// What happens with records.
    pub handling: Handling,
}

/// What happens with records that a handler would have to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// There is no handler: they are handled when they are here, and commands answered with OK.
    Nobody,
    /// A handler sees each at least once, those of earlier tenures first.
    Records,
    /// They are commands, and a handler replies. The line's note carries the one whose reply is
    /// awaited; so what waits here from earlier tenures, and comes neither from the line nor from
    /// the note again, was carried out and answered by somebody else.
    Commands,
}

impl Handling {
    /// Of a line that speaks this dialect.
    pub fn of(dialect: &Dialect, has_handler: bool) -> Self {
        match dialect {
            _ if !has_handler => Self::Nobody,
            Dialect::Cable(_) => Self::Commands,
            _ => Self::Records,
        }
    }
}

/// How forgetting went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tidied {
    /// What was old is gone, or some of it.
    Done,
    /// All that seems to be old became so at once: the clock may have leapt, so nothing is gone.
    Leapt,
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
