//! Records for the handlers, and their replies.

use billing::gateway::{HandledBy, Record, Reply};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::error::Fault;
use super::interface::{Done, Waiting};
use super::sqlite::now;

pub(super) fn waiting(db: &Connection, line: i64, limit: usize) -> Result<Vec<Waiting>, Fault> {
    let mut select = db.prepare(
        "SELECT id, incarnation, start, length, kind, number, text FROM inbox
         INDEXED BY inbox_waiting
         WHERE line = ?1 AND state = 'new' ORDER BY id LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select.query_map(params![line, limit], |row| {
        let unsigned = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
        let start = unsigned(2)?;
        Ok(Waiting {
            row: unsigned(0)?,
            incarnation: unsigned(1)?,
            record: Record {
                start,
                end: start.saturating_add(unsigned(3)?),
                kind: row.get(4)?,
                number: row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned),
                text: Bytes::from(row.get::<_, Vec<u8>>(6)?),
                handled_by: HandledBy::Handler,
            },
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn handled(tx: &Transaction<'_>, done: &[Done]) -> Result<(), Fault> {
    let now = now();
    let mut update = tx.prepare(
        "UPDATE inbox SET state = 'handled', reply = ?2, handled_at = ?3
         WHERE id = ?1 AND state = 'new'",
    )?;
    for Done { row, reply } in done {
        update.execute(params![row.cast_signed(), reply.as_ref().map(encode), now])?;
    }
    Ok(())
}

pub(super) fn reply_to(db: &Connection, line: i64, number: u64) -> Result<Option<Reply>, Fault> {
    let reply = db.query_row(
        "SELECT reply FROM inbox WHERE line = ?1 AND number = ?2 ORDER BY id DESC LIMIT 1",
        params![line, number.cast_signed()],
        |row| row.get::<_, Option<Vec<u8>>>(0),
    );
    Ok(reply.optional()?.flatten().and_then(|reply| decode(&reply)))
}

/// `OK`, or `ER` and the two characters that say why.
pub(super) fn encode(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Ok => b"OK".to_vec(),
        Reply::Error(why) => [b"ER", &why[..]].concat(),
    }
}

fn decode(reply: &[u8]) -> Option<Reply> {
    match reply {
        b"OK" => Some(Reply::Ok),
        [b'E', b'R', a, b] => Some(Reply::Error([*a, *b])),
        _ => None,
    }
}
