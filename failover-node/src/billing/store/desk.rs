//! What people and their programs do with the outbox: add charges, look how they are, decide about
//! those in doubt.

use billing::Charge;
use rusqlite::{OptionalExtension, Statement, Transaction, params};
use wire::{Epoch, Name};

use super::error::Fault;
use super::sqlite::{SqliteStore, line, now};
use super::{OutState, StoreError};

/// A charge that somebody wants to have posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The charge.
    pub charge: Charge,
    /// Nobody said when it arose: the time is that of the call, and a second try may have another.
    pub is_now: bool,
}

/// Where charges go, and under what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The line.
    pub line: Name,
    /// The grant under which a node takes them; a newer one refuses them. `None`: they are laid
    /// into the file whoever leads.
    pub epoch: Option<Epoch>,
}

/// What became of a charge that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its row.
    pub row: u64,
    /// It was not there before.
    pub is_new: bool,
}

/// How a charge stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// How far it is.
    pub state: OutState,
    /// Its number.
    pub number: Option<u64>,
    /// The billing system's answer.
    pub answer: Option<Vec<u8>>,
}

/// What a person has found out about a charge in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The billing system does not have it: it is sent, as one that never was on the line.
    Again,
    /// The billing system has it.
    Done,
}

/// Why nothing was added.
#[derive(Debug)]
pub enum Declined {
    /// A key is taken by a charge with another content.
    Conflict {
        /// Which of those that were to be added.
        index: usize,
        /// What is there under its key.
        known: String,
    },
    /// The store refused.
    Store(StoreError),
}

impl From<StoreError> for Declined {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl SqliteStore {
    /// Adds all of them, or none: at most [`MAX_ADDED`]. One that is there already with the same
    /// content is no error.
    ///
    /// # Errors
    /// Nothing was added.
    pub fn add(&mut self, counter: &Counter, wanted: &[Wanted]) -> Result<Vec<Accepted>, Declined> {
        let mut conflict = None;
        let added = self.transact(|tx| {
            if wanted.len() > MAX_ADDED {
                return Err(Fault::Misuse(format!("{} charges at once", wanted.len())));
            }
            let mut till = Till::new(tx, counter)?;
            let mut accepted = Vec::with_capacity(wanted.len());
            for (index, wanted) in wanted.iter().enumerate() {
                match till.add(wanted)? {
                    Ok(added) => accepted.push(added),
                    Err(known) => {
                        conflict = Some(Declined::Conflict { index, known });
                        return Err(Fault::Misuse("a key is taken".to_owned()));
                    }
                }
            }
            Ok(accepted)
        });
        match conflict {
            Some(conflict) => Err(conflict),
            None => Ok(added?),
        }
    }

    /// How the charge in a row stands; `None`: it is not there any more.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn fate(&self, row: u64) -> Result<Option<Fate>, StoreError> {
        self.read(|db| {
            let sql = "SELECT state, number, answer FROM outbox WHERE id = ?1";
            let fate = db.query_row(sql, [row.cast_signed()], |row| {
                Ok(Fate {
                    state: row.get(0)?,
                    number: row.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned),
                    answer: row.get(2)?,
                })
            });
            Ok(fate.optional()?)
        })
    }

    /// Ends the doubt about a charge. `None`: no charge in doubt has this key.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn decide(
        &mut self,
        counter: &Counter,
        key: &str,
        decision: Decision,
    ) -> Result<Option<u64>, StoreError> {
        self.transact(|tx| {
            let line = line(tx, counter.line.as_str())?;
            fence(tx, line, counter.epoch)?;
            let row = tx.query_row(
                "SELECT id FROM outbox WHERE line = ?1 AND key = ?2 AND state = 'doubt'
                    AND (?3 OR charge IS NOT NULL)",
                params![line, key, decision == Decision::Done],
                |row| row.get::<_, i64>(0),
            );
            let Some(row) = row.optional()? else { return Ok(None) };
            match decision {
                Decision::Again => tx.execute(
                    "UPDATE outbox SET state = 'new', number = NULL, text = NULL,
                        incarnation = NULL, numbered_at = NULL WHERE id = ?1",
                    [row],
                )?,
                Decision::Done => tx.execute(
                    "UPDATE outbox SET state = 'posted', settled_at = ?2 WHERE id = ?1",
                    params![row, now()],
                )?,
            };
            Ok(Some(row.cast_unsigned()))
        })
    }

    /// A person says which number the last record on the line had, by the billing system's list.
    /// Counts for the line's present input stream, until the next charge is numbered.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn tell_last(&mut self, counter: &Counter, columns: &str) -> Result<(), StoreError> {
        self.transact(|tx| {
            let line = line(tx, counter.line.as_str())?;
            fence(tx, line, counter.epoch)?;
            let sql = "UPDATE line SET told = ?2, told_of = incarnation, told_at = number
                 WHERE id = ?1";
            tx.execute(sql, params![line, columns])?;
            Ok(())
        })
    }

    /// Checks that a node has ever had the line here.
    ///
    /// # Errors
    /// None had, or the store can't be read.
    pub fn expect_line(&self, line: &Name) -> Result<(), StoreError> {
        self.read(|db| {
            let mut select = db.prepare("SELECT name FROM line ORDER BY name")?;
            let names = select.query_map((), |row| row.get(0))?;
            let names: Vec<String> = names.collect::<Result<_, _>>()?;
            match names.iter().any(|name| name == line.as_str()) {
                true => Ok(()),
                false => {
                    Err(Fault::Foreign(format!("no line {line}; it has {}", names.join(", "))))
                }
            }
        })
    }
}

fn fence(tx: &Transaction<'_>, line: i64, ours: Option<Epoch>) -> Result<(), Fault> {
    let epoch = "SELECT epoch FROM line WHERE id = ?1";
    let epoch: i64 = tx.query_row(epoch, [line], |row| row.get(0))?;
    let held = Epoch(epoch.cast_unsigned());
    match ours {
        Some(ours) if held > ours => Err(Fault::Superseded { held, ours }),
        _ => Ok(()),
    }
}

/// What adds charges one by one.
struct Till<'a> {
    line: i64,
    epoch: Option<i64>,
    known: Statement<'a>,
    insert: Statement<'a>,
    complete: Statement<'a>,
}

impl<'a> Till<'a> {
    fn new(tx: &'a Transaction<'_>, counter: &Counter) -> Result<Self, Fault> {
        let line = line(tx, counter.line.as_str())?;
        fence(tx, line, counter.epoch)?;
        Ok(Self {
            line,
            epoch: counter.epoch.map(|epoch| epoch.0.cast_signed()),
            known: tx.prepare("SELECT id, charge FROM outbox WHERE line = ?1 AND key = ?2")?,
            insert: tx.prepare(
                "INSERT INTO outbox (line, key, charge, state, epoch, accepted_at, known)
                 SELECT id, ?2, ?3, 'new', ?4, ?5, number FROM line WHERE id = ?1",
            )?,
            complete: tx.prepare("UPDATE outbox SET charge = ?2 WHERE id = ?1")?,
        })
    }

    /// The charge in its row, or what is there under its key.
    fn add(&mut self, wanted: &Wanted) -> Result<Result<Accepted, String>, Fault> {
        let Wanted { charge, is_now } = wanted;
        let text =
            serde_json::to_string(charge).map_err(|error| Fault::Misuse(error.to_string()))?;
        let known = self.known.query_row(params![self.line, charge.key], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?))
        });
        let Some((row, known)) = known.optional()? else {
            let row =
                self.insert.insert(params![self.line, charge.key, text, self.epoch, now()])?;
            return Ok(Ok(Accepted { row: row.cast_unsigned(), is_new: true }));
        };
        match known {
            // Another node took it from the caller; here it is known by the line's note only.
            None => drop(self.complete.execute(params![row, text])?),
            Some(known) if !is_same(&known, charge, *is_now) => return Ok(Err(known)),
            Some(_) => {}
        }
        Ok(Ok(Accepted { row: row.cast_unsigned(), is_new: false }))
    }
}

fn is_same(known: &str, charge: &Charge, is_now: bool) -> bool {
    serde_json::from_str::<Charge>(known).is_ok_and(|known| {
        let at = if is_now { known.at } else { charge.at };
        Charge { at, ..charge.clone() } == known
    })
}

/// Charges added in one transaction: while it lasts no gateway can commit, so far less than
/// the 2 s for which one waits, also on a slow machine.
pub const MAX_ADDED: usize = 10_000;
