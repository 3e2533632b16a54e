//! Plausible records, each a pure function of a seed and its number.
#![deny(clippy::disallowed_methods)]

use super::frame::{MAX_NUMBER, MAX_TEXT, Record};
use crate::chance::Draw;

/// Record `number` (at most [`MAX_NUMBER`]) of the run with this seed. The text is between 0 and
/// [`MAX_TEXT`] bytes of what call-record printers, pay-television servers and hotel systems print.
///
/// # Panics
/// If `number` does not fit the eight digits.
pub fn record(seed: u64, number: u32) -> Record {
    assert!(number <= MAX_NUMBER, "record number {number} is above {MAX_NUMBER}");
    let mut draw = Draw::new(seed, number.into());
    let mut text = match draw.below(16) {
        0 => String::new(),
        1 => "KEEPALIVE".to_owned(),
        2 => format!("ALARM {:02} LINK {}", draw.below(100), draw.below(8)),
        3..=8 => call(number, &mut draw),
        9..=12 => purchase(&mut draw),
        _ => posting(&mut draw),
    };
    if draw.below(8) == 0 {
        text.push_str(" REMARK RECALLED BY OPERATOR AFTER ADVICE OF DURATION AND CHARGE");
    }
    text.truncate(MAX_TEXT);
    Record::new(number, text).expect("printable ASCII of at most MAX_TEXT bytes was made above")
}

/// The bytes on the wire of [`record`], CR LF included.
///
/// # Panics
/// If `number` does not fit the eight digits.
pub fn record_bytes(seed: u64, number: u32) -> Vec<u8> {
    record(seed, number).to_bytes()
}

/// A telephone call as an exchange prints it. Time of day follows the number: one record in 7 s.
fn call(number: u32, draw: &mut Draw) -> String {
    let second = number.wrapping_mul(7) % 86_400;
    let (day, month) = (1 + number / 12_342 % 28, 1 + number / 345_576 % 12);
    let length = draw.below(2400);
    let mut text = format!(
        "{month:02}/{day:02} {:02}:{:02}:{:02} {:02}:{:02}:{:02} T{:03} {:04} 0{}",
        second / 3600,
        second / 60 % 60,
        second % 60,
        length / 3600,
        length / 60 % 60,
        length % 60,
        draw.below(60),
        1000 + draw.below(900),
        100_000_000 + draw.below(900_000_000),
    );
    if draw.below(2) == 0 {
        text.push_str(&format!(" {:04}.{:02}", draw.below(100), draw.below(100)));
    }
    text
}

/// An order of a film from a set-top box.
fn purchase(draw: &mut Draw) -> String {
    format!(
        "PPV|SUB{:08}|STB{:06X}|EV{:05}|{}.{:02}|{}",
        draw.below(100_000_000),
        draw.below(0x100_0000),
        draw.below(100_000),
        draw.below(30),
        draw.below(100),
        ["ORDER", "CANCEL", "REFUND"][draw.below(3) as usize],
    )
}

/// A charge to a hotel room.
fn posting(draw: &mut Draw) -> String {
    let names = ["DOE", "SMITH", "RIVERA", "AL-FARSI", "O'NEIL", "VAN DER BERG"];
    format!(
        "PS|RN{:04}|GN{}|TA{}|DD{:06}|X1",
        draw.below(2000),
        names[draw.below(names.len() as u64) as usize],
        draw.below(100_000),
        draw.below(1_000_000),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_number_give_the_same_record() {
        assert_eq!(record_bytes(1, 42), record_bytes(1, 42));
        assert_ne!(record_bytes(1, 42), record_bytes(2, 42));
        assert_ne!(record(1, 42).text(), record(1, 43).text());
    }

    #[test]
    fn texts_are_of_many_lengths() {
        let mut lengths: Vec<usize> = (1..=2000).map(|n| record(1, n).text().len()).collect();
        lengths.sort_unstable();
        assert_eq!((lengths[0], lengths[1999]), (0, MAX_TEXT));
        lengths.dedup();
        assert!(lengths.len() > 15, "{lengths:?}");
    }

    #[test]
    fn the_last_number_works() {
        assert_eq!(record(7, MAX_NUMBER).number(), MAX_NUMBER);
    }
}
