//! Rows as a table, as JSON lines, as CSV.

use serde_json::Value;

use super::cells::{Cells, plain};
use crate::billing::calendar;
use crate::table::{flush_left, table};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Table,
    /// One object on each line.
    Json,
    /// With a line of names.
    Csv,
}

/// Some rows; `is_first`: no rows of this list were printed before.
pub(super) fn print_rows(form: Form, is_inbox: bool, rows: &[Cells], is_first: bool) -> String {
    match form {
        Form::Json => rows.iter().map(json_line).collect(),
        Form::Csv => csv(rows, is_first),
        Form::Table if rows.is_empty() => String::new(),
        Form::Table => people(is_inbox, rows, is_first),
    }
}

/// In the order of the cells; what is not there is left out.
fn json_line(row: &Cells) -> String {
    let cells = row.cells.iter().filter(|(_, value)| !value.is_null());
    let cells: Vec<_> = cells.map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}\n", cells.join(","))
}

/// As RFC 4180 has it, with plain ends of lines.
fn csv(rows: &[Cells], is_first: bool) -> String {
    let line = |fields: Vec<String>| fields.join(",") + "\n";
    let mut text = String::new();
    if let (true, Some(row)) = (is_first, rows.first()) {
        text += &line(row.cells.iter().map(|(name, _)| (*name).to_owned()).collect());
    }
    for row in rows {
        text += &line(row.cells.iter().map(|(_, value)| quoted(value)).collect());
    }
    text
}

fn quoted(value: &Value) -> String {
    let text = plain(value);
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

fn people(is_inbox: bool, rows: &[Cells], is_first: bool) -> String {
    let columns: &[&str] = if is_inbox {
        &["row", "line", "received", "state", "kind", "number", "record"]
    } else {
        &["row", "line", "accepted", "state", "key", "room", "kind", "amount", "number", "answer"]
    };
    let mut table = table();
    if is_first {
        table.set_header(columns.iter().map(|name| name.to_uppercase()));
    }
    for row in rows {
        table.add_row(columns.iter().map(|name| match *name {
            "received" | "accepted" => calendar::show(row.came).to_string(),
            "record" | "answer" => shortened(&either(row, name)),
            name => row.text(name),
        }));
    }
    flush_left(&mut table, columns.len());
    let title = if is_inbox { "inbox" } else { "outbox" };
    if is_first {
        return format!("{title}\n{}\n\n", table.trim_fmt());
    }
    format!("{}\n", table.trim_fmt())
}

/// The text, or its hex digits.
fn either(row: &Cells, name: &str) -> String {
    let text = row.text(name);
    if text.is_empty() { row.text(&format!("{name}_hex")) } else { text }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= WIDEST {
        return text.to_owned();
    }
    text.chars().take(WIDEST - 1).chain(['…']).collect()
}

/// What a table shows of a record; JSON and CSV have all of it.
const WIDEST: usize = 60;
