//! The terminal server's trace, understood.

use wire::Epoch;

use crate::answerer::journal::from_hex;

/// What one row of a trace says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// The line was given to somebody.
    Granted(Epoch),
    /// A grant ended.
    Ended(Epoch),
    /// Bytes were handed to the line, the first of them at this position.
    Output(u64, Vec<u8>),
    /// The disk was too slow; something is not here.
    Missing(String),
}

/// The rows of a trace that matter here, in their order.
pub fn rows(text: &str) -> Vec<Row> {
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    // The time of the day may step, so the order of rows is all that counts.
    let (_, row) = line.split_once(' ')?;
    if let Some(output) = row.strip_prefix("> ") {
        let (position, rest) = output.trim_start().split_once("  ")?;
        let is_pair = |word: &&str| word.len() == 2 && word.bytes().all(|b| b.is_ascii_hexdigit());
        // Hex and meaning stand in columns; the meaning begins behind two spaces.
        let hex = rest.split("  ").next().unwrap_or_default();
        let hex: String = hex.split(' ').take_while(is_pair).collect();
        return Some(Row::Output(position.parse().ok()?, from_hex(&hex)?));
    }
    let event = row.strip_prefix('-')?.trim();
    if event.starts_with("Granted") {
        Some(Row::Granted(epoch(event)?))
    } else if event.starts_with("Ended") {
        Some(Row::Ended(epoch(event)?))
    } else {
        event.contains("left out").then(|| Row::Missing(event.to_owned()))
    }
}

fn epoch(event: &str) -> Option<Epoch> {
    let (_, rest) = event.split_once("epoch: ")?;
    let digits: String =
        rest.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    Some(Epoch(digits.parse().ok()?))
}
