//! A row as named cells, the same for every form.

use std::time::Duration;

use billing::Charge;
use serde_json::{Value, json};
use wire::Epoch;

use crate::billing::store::listing::{InRow, OutRow};

/// A row.
pub(super) struct Cells {
    /// Its number in its table.
    pub(super) row: u64,
    /// When it came, in milliseconds since 1970, UTC.
    pub(super) came: i64,
    /// All there is to know, in the order of the documentation.
    pub(super) cells: Vec<(&'static str, Value)>,
}

/// A record from the line.
pub(super) fn in_cells(row: &InRow) -> Cells {
    let (record, record_hex) = text(Some(&row.text));
    let (reply, _) = text(row.reply.as_deref());
    let cells = vec![
        ("box", json!("in")),
        ("row", json!(row.row)),
        ("line", json!(row.line)),
        ("received", stamp(Some(row.received_at))),
        ("state", json!(row.state.as_str())),
        ("kind", json!(row.kind)),
        ("number", json!(row.number)),
        ("record", record),
        ("record_hex", record_hex),
        // More digits than a reader of JSON can be trusted with.
        ("incarnation", json!(row.incarnation.to_string())),
        ("start", json!(row.start)),
        ("end", json!(row.end)),
        ("handled", stamp(row.handled_at)),
        ("reply", reply),
        ("epoch", json!(Epoch(row.epoch).to_string())),
        ("node", json!(row.node)),
    ];
    Cells { row: row.row, came: row.received_at, cells }
}

/// A charge.
pub(super) fn out_cells(row: &OutRow) -> Cells {
    let charge = row.charge.as_ref().and_then(|text| serde_json::from_str::<Charge>(text).ok());
    let charge = charge.as_ref();
    let kind = charge.and_then(|charge| serde_json::to_value(charge.kind).ok());
    let (record, record_hex) = text(row.text.as_deref());
    let (answer, answer_hex) = text(row.answer.as_deref());
    let cells = vec![
        ("box", json!("out")),
        ("row", json!(row.row)),
        ("line", json!(row.line)),
        ("accepted", stamp(Some(row.accepted_at))),
        ("state", json!(row.state.as_str())),
        ("key", json!(row.key)),
        ("room", json!(charge.map(|charge| &charge.room))),
        ("kind", json!(kind)),
        ("amount", json!(charge.map(|charge| charge.amount))),
        ("at", json!(charge.map(|charge| charge.at))),
        ("duration", json!(charge.and_then(|charge| charge.duration))),
        ("dialled", json!(charge.and_then(|charge| charge.dialled.as_deref()))),
        ("text", json!(charge.and_then(|charge| charge.text.as_deref()))),
        ("number", json!(row.number)),
        ("record", record),
        ("record_hex", record_hex),
        ("numbered", stamp(row.numbered_at)),
        ("answer", answer),
        ("answer_hex", answer_hex),
        ("settled", stamp(row.settled_at)),
        ("epoch", json!(row.epoch.map(|epoch| Epoch(epoch).to_string()))),
        ("node", json!(row.node)),
    ];
    Cells { row: row.row, came: row.accepted_at, cells }
}

impl Cells {
    /// What a cell holds, as text; nothing for what is not there.
    pub(super) fn text(&self, name: &str) -> String {
        let cell = self.cells.iter().find(|(cell, _)| *cell == name);
        cell.map(|(_, value)| plain(value)).unwrap_or_default()
    }
}

/// A value without quotes.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Bytes as text where they are printable, else as hex digits.
fn text(bytes: Option<&[u8]>) -> (Value, Value) {
    let Some(bytes) = bytes else { return (Value::Null, Value::Null) };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => (json!(text), Value::Null),
        _ => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            (Value::Null, json!(hex))
        }
    }
}

fn stamp(millis: Option<i64>) -> Value {
    let wall = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    json!(millis.map(|millis| daemon::wall::stamp(wall(millis))))
}
