//! What is posted next, and what becomes of charges that were numbered and not settled. The table
//! of all cases, with reasons, is in `docs/store.md`.

use billing::ledger::{Knowledge, MAX_RECENT};
use billing::{Charge, Ledger, Posting};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::StoreError;
use super::error::Fault;
use super::interface::LastSent;
use super::sqlite::{Held, Judged, SqliteStore};
use super::writes::{doubt, elsewhere, give_back};

/// A charge that has a number and no end.
struct Row {
    id: i64,
    number: u64,
    key: String,
    text: Vec<u8>,
    incarnation: Option<i64>,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It goes out with its number.
    Send,
    /// It was never on the line, and its number can't be used any more.
    GiveBack,
    /// Another node has seen its end.
    Elsewhere,
    /// Nobody can know.
    Doubt,
}

/// Judges what a predecessor left, then gives the oldest charge.
pub(super) fn next(
    store: &mut SqliteStore,
    ledger: &Ledger,
) -> Result<Option<Posting>, StoreError> {
    // One at a time: the gateway goes on with what is outstanding by itself.
    if ledger.outstanding().is_some() {
        return Ok(None);
    }
    judge_new(store, ledger)?;
    let held = store.held()?;
    let rows = store.read(|db| numbered(db, held.line))?;
    let judged: Vec<_> = rows.iter().map(|row| (row.id, judge(row, &held, ledger))).collect();
    if judged.iter().any(|(_, verdict)| *verdict != Verdict::Send) {
        store.fenced(|tx, _| judged.iter().try_for_each(|(id, v)| carry_out(tx, *id, *v)))?;
    }
    let sent = judged.iter().position(|(_, verdict)| *verdict == Verdict::Send);
    if let Some(Row { number, key, text, .. }) = sent.and_then(|at| rows.into_iter().nth(at)) {
        return Ok(Some(Posting::Numbered { number, key, text: Bytes::from(text) }));
    }
    oldest(store, held.line, ledger)
}

/// Judges the charges without a number that were not looked at yet in this tenure. It must be done
/// when they come: until one is at the front, the ledger may have forgotten that somebody else has
/// sent it.
fn judge_new(store: &mut SqliteStore, ledger: &Ledger) -> Result<(), StoreError> {
    let held = store.held()?;
    let (verdicts, row) = store.read(|db| new_verdicts(db, &held, ledger))?;
    let judged = Judged { row, clear: ledger.last(), is_ours: true };
    // Within a tenure this goes with the next number that is given.
    if !held.judged.is_ours || !verdicts.is_empty() {
        store.fenced(|tx, held| {
            verdicts.iter().try_for_each(|(id, verdict)| carry_out(tx, *id, *verdict))?;
            let sql = "UPDATE line SET number = max(number, ?2), clear = ?2, judged = ?3
                 WHERE id = ?1";
            tx.execute(sql, params![held.line, ledger.last().cast_signed(), row])?;
            Ok(())
        })?;
    }
    store.set_judged(judged);
    Ok(())
}

/// What can't be sent of the new charges, and the last new charge's row.
fn new_verdicts(
    db: &Connection,
    held: &Held,
    ledger: &Ledger,
) -> Result<(Vec<(i64, Verdict)>, i64), Fault> {
    let mut select = db.prepare(
        "SELECT id, key, epoch, known FROM outbox INDEXED BY outbox_new
         WHERE line = ?1 AND state = 'new' AND id > ?2 ORDER BY id",
    )?;
    let from = if held.judged.is_ours { held.judged.row } else { 0 };
    let (mut verdicts, mut last) = (Vec::new(), held.judged.row);
    let mut rows = select.query(params![held.line, from])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        last = last.max(id);
        let key = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        let is_ours = row.get(2) == Ok(Some(held.tenure.epoch.0.cast_signed()));
        // From which number on somebody else may have sent it.
        let clear = if id <= held.judged.row {
            held.judged.clear
        } else {
            row.get::<_, i64>(3)?.cast_unsigned().saturating_sub(SECOND_TRY)
        };
        if ledger.has_sent(key) {
            verdicts.push((id, Verdict::Elsewhere));
        } else if !is_ours && held.may_have_missed(clear, ledger) {
            verdicts.push((id, Verdict::Doubt));
        }
    }
    Ok((verdicts, last))
}

impl Held {
    /// Whether numbers after `clear` were used by others and forgotten since.
    fn may_have_missed(&self, clear: u64, ledger: &Ledger) -> bool {
        // With a new stream the ledger began anew, and says nothing about what was before.
        !self.tenure.shared
            && !self.is_new_stream
            && clear < ledger.last()
            && ledger.knowledge(clear + 1, "") == Knowledge::Unknown
    }
}

fn judge(row: &Row, held: &Held, ledger: &Ledger) -> Verdict {
    let proof = held.proves(row.incarnation);
    match ledger.knowledge(row.number, &row.key) {
        // Outstanding can't be here; if it were, sending it again would be right.
        Knowledge::Outstanding => Verdict::Send,
        Knowledge::Settled => Verdict::Elsewhere,
        Knowledge::Unknown => Verdict::Doubt,
        Knowledge::Unused | Knowledge::Taken if !proof => Verdict::Doubt,
        Knowledge::Unused | Knowledge::Taken if ledger.has_sent(&row.key) => Verdict::Elsewhere,
        Knowledge::Unused if held.tenure.shared || row.number == ledger.last() + 1 => Verdict::Send,
        // Numbers are given one by one: this ledger does not know of all that went out.
        Knowledge::Unused => Verdict::Doubt,
        Knowledge::Taken => Verdict::GiveBack,
    }
}

fn carry_out(tx: &Transaction<'_>, id: i64, verdict: Verdict) -> Result<(), Fault> {
    match verdict {
        Verdict::Send => Ok(()),
        Verdict::GiveBack => give_back(tx, id),
        Verdict::Elsewhere => elsewhere(tx, id),
        Verdict::Doubt => doubt(tx, id),
    }
}

/// The oldest charge without a number that nobody has sent.
fn oldest(
    store: &mut SqliteStore,
    line: i64,
    ledger: &Ledger,
) -> Result<Option<Posting>, StoreError> {
    while let Some((id, key, charge)) = store.read(|db| first_new(db, line))? {
        if ledger.has_sent(&key) {
            store.fenced(|tx, _| elsewhere(tx, id))?;
            continue;
        }
        match charge.and_then(|charge| serde_json::from_str::<Charge>(&charge).ok()) {
            Some(charge) => return Ok(Some(Posting::New { id: id.cast_unsigned(), charge })),
            // Somebody has written into the file; a person has to look.
            None => store.fenced(|tx, _| doubt(tx, id))?,
        }
    }
    Ok(None)
}

/// The record that went out last: what a person has said of this input stream, unless a charge was
/// numbered since; else that with the highest number here, if all nodes' numbers are here.
pub(super) fn last_sent(db: &Connection, held: &Held) -> Result<LastSent, Fault> {
    let told = db.query_row(
        "SELECT told FROM line WHERE id = ?1 AND told_of = ?2 AND told_at = number",
        params![held.line, held.tenure.incarnation.cast_signed()],
        |row| row.get::<_, String>(0),
    );
    if let Some(told) = told.optional()? {
        return Ok(LastSent::Known(told.into()));
    }
    // The highest number that the line has had, by its notes too, and the highest one here.
    let (number, here): (i64, i64) = db.query_row(
        "SELECT number, (SELECT coalesce(max(number), 0) FROM outbox INDEXED BY outbox_number
            WHERE line = l.id AND number IS NOT NULL) FROM line l WHERE id = ?1",
        [held.line],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if !held.tenure.shared || number != here {
        return Ok(if number == 0 { LastSent::Unused } else { LastSent::Unknown });
    }
    // What did not fit its record has no text, and never was on the line.
    let text = db.query_row(
        "SELECT text FROM outbox INDEXED BY outbox_number
         WHERE line = ?1 AND number IS NOT NULL AND length(text) > 0 ORDER BY number DESC LIMIT 1",
        [held.line],
        |row| row.get::<_, Vec<u8>>(0),
    );
    Ok(LastSent::Known(text.optional()?.unwrap_or_default().into()))
}

fn numbered(db: &Connection, line: i64) -> Result<Vec<Row>, Fault> {
    let mut select = db.prepare(
        "SELECT id, number, key, text, incarnation FROM outbox INDEXED BY outbox_numbered
         WHERE line = ?1 AND state = 'numbered' ORDER BY number",
    )?;
    let rows = select.query_map([line], |row| {
        Ok(Row {
            id: row.get(0)?,
            number: row.get::<_, i64>(1)?.cast_unsigned(),
            key: row.get(2)?,
            text: row.get(3)?,
            incarnation: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

type NewRow = (i64, String, Option<String>);

fn first_new(db: &Connection, line: i64) -> Result<Option<NewRow>, Fault> {
    let first = db.query_row(
        "SELECT id, key, charge FROM outbox INDEXED BY outbox_new
         WHERE line = ?1 AND state = 'new' ORDER BY id LIMIT 1",
        [line],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    );
    Ok(first.optional()?)
}

/// A caller's second try at another node is known for one if it comes before so many further charges
/// were sent. The other half of what a ledger remembers is for the time until it is judged.
const SECOND_TRY: u64 = (MAX_RECENT / 2) as u64;
