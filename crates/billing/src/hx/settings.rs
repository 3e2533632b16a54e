//! What a site may choose.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use crate::bid::{Answers, Check, Profile, values};
use crate::reset::{RESETS, Reset};
use crate::settings::{Key, key};

use super::number::Form;

/// Settings of `hx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How texts are checked.
    pub check: Check,
    /// How the record's number is written.
    pub seq: Form,
    /// When numbers begin again.
    pub reset: Reset,
    /// Property or maker's id, columns 6 to 8.
    pub property: [u8; 3],
    /// Whether the station stands left in its columns.
    pub station_left: bool,
    /// Columns of the dialled number: 12 or 15.
    pub dialled_width: usize,
    /// Whether the sender ends with EOT.
    pub eot: bool,
    /// How long a bid may remain without an answer.
    pub bid_timeout: Duration,
    /// Bids before giving up.
    pub bid_tries: u8,
    /// How long a text may remain without an answer.
    pub text_timeout: Duration,
    /// Wait after a refused text.
    pub text_pause: Duration,
    /// Transmissions of a text before giving up.
    pub text_tries: u8,
    /// Wait after giving up, before the same record is sent again.
    pub retry_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            check: Check::Xor,
            seq: Form::N3Letter,
            reset: Reset::Never,
            property: *b"HTL",
            station_left: false,
            dialled_width: 12,
            eot: false,
            bid_timeout: Duration::from_secs(5),
            bid_tries: 4,
            text_timeout: Duration::from_secs(11),
            text_pause: Duration::from_secs(3),
            text_tries: 3,
            retry_after: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// The link's parameters at one end.
    pub fn profile(&self, receives: bool) -> Profile {
        Profile {
            check: self.check,
            answers: Answers::Plain,
            eot: self.eot,
            receives,
            yields: true,
            bid_timeout: self.bid_timeout,
            bid_pause: self.bid_timeout,
            bid_tries: self.bid_tries,
            text_timeout: self.text_timeout,
            text_pause: self.text_pause,
            text_tries: self.text_tries,
            text_silence: Duration::from_secs(3),
            turn_timeout: Duration::from_secs(10),
        }
    }
}

impl crate::Settings for Settings {
    const DIALECT: &'static str = "hx";

    const KEYS: &'static [Key] = &[
        key(
            "check",
            "xor",
            "xor | sum | sum2",
            "Check behind ETX: exclusive or, sum modulo 256, or sum modulo 65,536 in two bytes, the high one first.",
        ),
        key(
            "seq",
            "n3+letter",
            "n3+letter | n4",
            "Record number: 000 to 999 and a letter that steps at each wrap, or four digits.",
        ),
        key(
            "reset",
            "never",
            RESETS,
            "When numbers begin again at 001A, by the local clock. Both ends must agree.",
        ),
        key(
            "property",
            "HTL",
            "3 printable characters",
            "Property or maker's id in columns 6 to 8.",
        ),
        key(
            "station",
            "right",
            "right | left",
            "Where the room or station stands in columns 16 to 20.",
        ),
        key(
            "dialled_width",
            "12",
            "12 | 15",
            "Columns of the number dialled; the call type stands in column 54 or 57.",
        ),
        key("eot", "no", "yes | no", "Whether the sender ends each record with EOT."),
        key(
            "bid_timeout",
            "5s",
            "100ms to 120s",
            "Answer to ENQ; the next ENQ follows then, after a NAK too.",
        ),
        key("bid_tries", "4", "1 to 99", "ENQs without success before giving up."),
        key(
            "text_timeout",
            "11s",
            "100ms to 120s",
            "Answer to a text; then ENQ, and the text again.",
        ),
        key(
            "text_pause",
            "3s",
            "100ms to 120s",
            "Wait after a NAK to a text, before the next ENQ.",
        ),
        key("text_tries", "3", "1 to 99", "Transmissions of a text before giving up."),
        key(
            "retry_after",
            "30s",
            "1s to 24h",
            "Wait after giving up; then the same record with the same number again.",
        ),
    ];

    fn set_known(&mut self, key: &Key, value: &str) -> Option<()> {
        match key.name {
            "check" => self.check = values::check(value)?,
            "seq" => self.seq = Form::named(value)?,
            "reset" => self.reset = value.parse().ok()?,
            "property" => {
                let printable = value.bytes().all(|b| (0x20..0x7f).contains(&b));
                self.property = value.as_bytes().try_into().ok().filter(|_| printable)?;
            }
            "station" => {
                self.station_left = match value {
                    "left" => true,
                    "right" => false,
                    _ => return None,
                }
            }
            "dialled_width" => {
                self.dialled_width = value.parse().ok().filter(|n| matches!(n, 12 | 15))?;
            }
            "eot" => self.eot = values::yes(value)?,
            "bid_timeout" => self.bid_timeout = values::answer_time(value)?,
            "bid_tries" => self.bid_tries = values::tries(value)?,
            "text_timeout" => self.text_timeout = values::answer_time(value)?,
            "text_pause" => self.text_pause = values::answer_time(value)?,
            "text_tries" => self.text_tries = values::tries(value)?,
            "retry_after" => {
                let day = Duration::from_secs(86_400);
                self.retry_after = values::time(value, Duration::from_secs(1)..=day)?;
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings as _;

    const PAGE: &str = include_str!("../../../../docs/hx.md");

    #[test]
    fn the_page_lists_every_setting() {
        for key in Settings::KEYS {
            let values = key.values.replace('|', "\\|");
            let row =
                format!("| `{}` | {} | {values} | {} |\n", key.name, key.default, key.meaning);
            assert!(PAGE.contains(&row), "docs/hx.md has no row\n{row}");
        }
        let (_, table) = PAGE.split_once("## Settings").unwrap();
        assert_eq!(table.matches("\n| `").count(), Settings::KEYS.len());
    }

    #[test]
    fn what_is_none_of_a_keys_values_changes_nothing() {
        for key in Settings::KEYS {
            for value in ["", "nonsense, and more", "é"] {
                let mut settings = Settings::default();
                let error = settings.set(key.name, value).map_err(|error| error.to_string());
                let begins = format!("{}: `{value}` is none of its values: ", key.name);
                assert!(error.is_err_and(|error| error.starts_with(&begins)), "{begins}");
                assert_eq!(settings, Settings::default());
            }
        }
    }
}
