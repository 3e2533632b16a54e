//! Charges and their answers, and what answers an inquiry.
#![deny(clippy::disallowed_methods)]

use bytes::Bytes;

use super::record::{Composer, Record, Status, on_line};
use crate::charge::{Charge, Kind};
use crate::civil::Civil;

/// `PS`: the charge with this number. At most 160 bytes.
///
/// The posting type is C (direct), whatever the charge is for: the amount is known. With T and M
/// the billing system would work it out itself, from pulses or articles.
pub fn charge(charge: &Charge, number: u64) -> Bytes {
    let mut record = Composer::new("PS")
        .field("RN", &charge.room)
        .field("PT", "C")
        .field("TA", charge.amount.to_string())
        .at(charge.at)
        .field("P#", on_line(number).to_string());
    let digits = |c: &char| c.is_ascii_digit();
    if let Some(dialled) = &charge.dialled {
        let dialled: String = dialled.chars().filter(digits).take(MAX_DIALLED).collect();
        record = record.field("DD", dialled);
    }
    if let Some(duration) = charge.duration {
        let length = duration.min(LONGEST);
        let (hours, minutes, seconds) = (length / 3600, length / 60 % 60, length % 60);
        record = record.field("DU", format!("{hours:02}{minutes:02}{seconds:02}"));
    }
    let text = charge.text.as_deref().or(match charge.kind {
        Kind::Direct => None,
        Kind::Telephone => Some("Telephone"),
        Kind::Minibar => Some("Minibar"),
    });
    match text {
        Some(text) => record.field("CT", text.chars().take(MAX_CLEAR_TEXT).collect::<String>()),
        None => record,
    }
    .finish()
}

/// `PA`: the answer to a charge, a request or an inquiry. What names the request is echoed.
pub fn answer(request: &Record<'_>, status: Status, at: Civil) -> Bytes {
    let record = echo(Composer::new("PA"), request, &["WS", "SO", "RN"]);
    echo(record.field("AS", status.code()), request, &["P#"]).at(at).finish()
}

/// A guest as a list of them names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Room.
    pub room: String,
    /// Reservation number: unique, and the same all through a stay.
    pub reservation: u32,
    /// Name.
    pub name: String,
}

/// `PL`: the guests whom an inquiry found. For each the room comes first, then the reservation.
pub fn guest_list(inquiry: &Record<'_>, guests: &[Guest], at: Civil) -> Bytes {
    let mut record = echo(Composer::new("PL"), inquiry, &["WS", "SO"]);
    for Guest { room, reservation, name } in guests {
        let reservation = reservation.to_string();
        record = record.field("RN", room).field("G#", reservation).field("GN", name);
    }
    echo(record.at(at), inquiry, &["P#"]).finish()
}

/// What a `PR` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Who is meant by this.
    Inquiry(&'a [u8]),
    /// To charge the guest with this reservation.
    Charge(&'a [u8]),
}

impl<'a> Request<'a> {
    /// Reads a `PR`: without a reservation and an amount, but with something to look for, it is an
    /// inquiry, else a charge.
    ///
    /// # Errors
    /// The answer that it deserves: a number and a workstation must be there, and the parts of an
    /// amount must be its sum.
    pub fn read(record: &Record<'a>) -> Result<Self, Status> {
        let filled = |id| record.field(id).filter(|value| !value.is_empty());
        if record.number().is_none() || filled("WS").is_none() {
            return Err(Status::Unprocessable);
        }
        match (filled("G#"), filled("PI"), filled("TA")) {
            (None, Some(about), None) => Ok(Self::Inquiry(about)),
            (Some(reservation), _, Some(amount)) => {
                let sum = parts(record);
                let agrees = sum.is_none_or(|sum| money(amount) == Some(sum));
                if agrees { Ok(Self::Charge(reservation)) } else { Err(Status::Mismatch) }
            }
            _ => Err(Status::Unprocessable),
        }
    }
}

/// Subtotals, discounts, taxes, tip and service charge together, if there are any.
fn parts(record: &Record<'_>) -> Option<i64> {
    let is_part = |id: &[u8]| match id {
        [b'S' | b'D' | b'T', digit] => (b'1'..=b'9').contains(digit),
        id => id == b"TP" || id == b"SC",
    };
    let parts: Vec<_> = record.fields().filter(|(id, _)| is_part(id)).collect();
    let add = |sum: i64, (_, value): &(&[u8], &[u8])| sum.checked_add(money(value)?);
    if parts.is_empty() { None } else { parts.iter().try_fold(0, add) }
}

fn money(value: &[u8]) -> Option<i64> {
    str::from_utf8(value).ok()?.parse().ok()
}

fn echo(record: Composer, request: &Record<'_>, ids: &[&str]) -> Composer {
    let echoed = |record: Composer, id: &&str| match request.field(id) {
        Some(value) => record.field(id, value),
        None => record,
    };
    ids.iter().fold(record, echoed)
}

/// Longest `DU` in seconds: it is written like a time of day.
const LONGEST: u32 = 86_399;
/// Longest `DD`.
const MAX_DIALLED: usize = 20;
/// Longest `CT` of a charge.
const MAX_CLEAR_TEXT: usize = 20;
