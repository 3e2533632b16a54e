//! What a commit does, write by write.

use billing::Write;
use billing::gateway::{HandledBy, Outcome, Record, Reply};
use rusqlite::{OptionalExtension, Transaction, params};

use super::error::Fault;
use super::inbox;
use super::interface::Handling;
use super::sqlite::{Held, now};
use super::state::{InState, OutState};

/// Does all of them, in order.
pub(super) fn apply(tx: &Transaction<'_>, held: &Held, writes: &[Write]) -> Result<(), Fault> {
    let commit = Commit { tx, held, now: now() };
    for write in writes {
        match write {
            Write::Receive(record) => commit.receive(record)?,
            Write::Number { id, number, text } => commit.number(*id, *number, text)?,
            Write::Adopt { number, key, text } => commit.adopt(*number, key, text)?,
            Write::Settle { number, outcome, answer } => {
                commit.settle(*number, *outcome, answer)?;
            }
        }
    }
    Ok(())
}

struct Commit<'a> {
    tx: &'a Transaction<'a>,
    held: &'a Held,
    now: i64,
}

impl Commit<'_> {
    /// A record that came before is the same row. A command that was thought to be another node's
    /// affair is not, and one that waited for a handler is answered where there is none any more.
    fn receive(&self, record: &Record) -> Result<(), Fault> {
        let tenure = &self.held.tenure;
        let (line, incarnation) = (self.held.line, tenure.incarnation.cast_signed());
        let state = match (record.handled_by, tenure.handling) {
            (HandledBy::Nobody, _) => InState::Kept,
            (HandledBy::Handler, Handling::Nobody) => InState::Handled,
            (HandledBy::Handler, _) => InState::New,
        };
        let is_handled = state == InState::Handled;
        let reply = record.number.filter(|_| is_handled).map(|_| inbox::encode(&Reply::Ok));
        self.tx.execute(
            "INSERT INTO inbox (line, incarnation, start, length, kind, number, text, state, epoch,
                node, received_at, reply, handled_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (line, incarnation, start)
                DO UPDATE SET state = excluded.state, reply = excluded.reply,
                    handled_at = excluded.handled_at
                WHERE (state = 'kept' AND excluded.state = 'new')
                    OR (state = 'new' AND excluded.state = 'handled' AND excluded.reply IS NOT NULL)",
            params![
                line,
                incarnation,
                record.start.cast_signed(),
                record.end.saturating_sub(record.start).cast_signed(),
                record.kind,
                record.number.map(u64::cast_signed),
                &record.text[..],
                state,
                tenure.epoch.0.cast_signed(),
                tenure.node.as_str(),
                self.now,
                reply,
                is_handled.then_some(self.now),
            ],
        )?;
        Ok(())
    }

    /// Gives a charge its number: once, for ever.
    fn number(&self, id: u64, number: u64, text: &[u8]) -> Result<(), Fault> {
        let (id, number) = (id.cast_signed(), number.cast_signed());
        let before = self.tx.query_row(
            "SELECT state, number, text FROM outbox WHERE id = ?1 AND line = ?2",
            params![id, self.held.line],
            |row| {
                Ok((
                    row.get::<_, OutState>(0)?,
                    row.get::<_, Option<i64>>(1)?,
                    row.get::<_, Option<Vec<u8>>>(2)?,
                ))
            },
        );
        match before.optional()? {
            Some((OutState::New, ..)) => {
                self.give(id, number, text)?;
                let judged = "UPDATE line SET clear = ?2, judged = ?3 WHERE id = ?1";
                self.tx.execute(judged, params![self.held.line, number, self.held.judged.row])?;
                Ok(())
            }
            Some((OutState::Numbered, Some(known), Some(known_text)))
                if known == number && known_text == text =>
            {
                Ok(())
            }
            Some((state, known, _)) => Err(Fault::Misuse(format!(
                "charge {id} was to be given number {number}, and is {state} with {known:?}"
            ))),
            None => Err(Fault::Misuse(format!("number {number} for charge {id}: there is none"))),
        }
    }

    /// Takes over what the note says is outstanding. The note has been on the line and is right;
    /// a number that the store has given to the same charge meanwhile has not.
    fn adopt(&self, number: u64, key: &str, text: &[u8]) -> Result<(), Fault> {
        let number = number.cast_signed();
        let known = self.tx.query_row(
            "SELECT id, state, number FROM outbox WHERE line = ?1 AND key = ?2",
            params![self.held.line, key],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, OutState>(1)?, row.get(2)?)),
        );
        let (id, state, known): (_, _, Option<i64>) = match known.optional()? {
            Some(known) => known,
            None => {
                self.tx.execute(
                    "INSERT INTO outbox (line, key, state, accepted_at) VALUES (?1, ?2, 'new', ?3)",
                    params![self.held.line, key, self.now],
                )?;
                (self.tx.last_insert_rowid(), OutState::New, None)
            }
        };
        // A predecessor has seen its end and could not say so any more. Its answer will come again.
        let ended = matches!(state, OutState::Posted | OutState::Refused);
        if ended && known == Some(number) { Ok(()) } else { self.give(id, number, text) }
    }

    fn give(&self, id: i64, number: i64, text: &[u8]) -> Result<(), Fault> {
        self.displace(id, number)?;
        let tenure = &self.held.tenure;
        self.tx.execute(
            "UPDATE outbox SET state = 'numbered', number = ?2, text = ?3, incarnation = ?4,
                epoch = ?5, node = ?6, numbered_at = ?7, settled_at = NULL, answer = NULL
             WHERE id = ?1",
            params![
                id,
                number,
                text,
                tenure.incarnation.cast_signed(),
                tenure.epoch.0.cast_signed(),
                tenure.node.as_str(),
                self.now
            ],
        )?;
        let highest = "UPDATE line SET number = max(number, ?2) WHERE id = ?1";
        self.tx.execute(highest, params![self.held.line, number])?;
        Ok(())
    }

    /// Another charge that waits under the same number was never sent under it.
    fn displace(&self, id: i64, number: i64) -> Result<(), Fault> {
        let other = self.tx.query_row(
            "SELECT id, incarnation FROM outbox
             WHERE line = ?1 AND number = ?2 AND state = 'numbered' AND id <> ?3",
            params![self.held.line, number, id],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?)),
        );
        match other.optional()? {
            None => Ok(()),
            Some((other, incarnation)) if self.held.proves(incarnation) => {
                give_back(self.tx, other)
            }
            Some((other, _)) => doubt(self.tx, other),
        }
    }

    /// A charge that was settled before keeps its first end.
    fn settle(&self, number: u64, outcome: Outcome, answer: &[u8]) -> Result<(), Fault> {
        let state = match outcome {
            Outcome::Posted => OutState::Posted,
            Outcome::Refused => OutState::Refused,
        };
        let (line, number) = (self.held.line, number.cast_signed());
        self.tx.execute(
            "UPDATE outbox SET state = ?3, answer = ?4, settled_at = ?5
             WHERE line = ?1 AND number = ?2 AND state = 'numbered'",
            params![line, number, state, answer, self.now],
        )?;
        Ok(())
    }
}

impl Held {
    /// Whether what the line knows says anything about a number that was given under that stream.
    pub(super) fn proves(&self, incarnation: Option<i64>) -> bool {
        self.tenure.shared || incarnation.map(i64::cast_unsigned) == Some(self.tenure.incarnation)
    }
}

/// The charge was never on the line: it is as if it had no number yet. One whose content only another
/// node knows can't begin anew.
pub(super) fn give_back(tx: &Transaction<'_>, id: i64) -> Result<(), Fault> {
    tx.execute(
        "UPDATE outbox SET state = CASE WHEN charge IS NULL THEN 'doubt' ELSE 'new' END,
            number = CASE WHEN charge IS NULL THEN number END,
            text = CASE WHEN charge IS NULL THEN text END,
            incarnation = NULL, numbered_at = NULL
         WHERE id = ?1",
        [id],
    )?;
    Ok(())
}

/// Only a person can decide about it.
pub(super) fn doubt(tx: &Transaction<'_>, id: i64) -> Result<(), Fault> {
    tx.execute("UPDATE outbox SET state = 'doubt' WHERE id = ?1", [id])?;
    Ok(())
}

/// Another node has sent it and seen its end.
pub(super) fn elsewhere(tx: &Transaction<'_>, id: i64) -> Result<(), Fault> {
    let sql = "UPDATE outbox SET state = 'elsewhere', settled_at = ?2 WHERE id = ?1";
    tx.execute(sql, params![id, now()])?;
    Ok(())
}
