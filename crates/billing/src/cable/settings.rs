//! What a site may choose.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use crate::bid::{Answers, Check, Profile, values};
use crate::settings::{Key, key};

/// Settings of `cable`, the same at both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How texts are checked.
    pub check: Check,
    /// The character before a command; what comes before it is ignored.
    pub start_char: Option<u8>,
    /// Spaces behind a command that are no part of it.
    pub trailing_spaces: u8,
    /// Codes that a command to authorise or deauthorise may have.
    pub auth: Auth,
    /// Commands carry a unit; this one's are answered, all are carried out.
    pub unit_id: Option<[u8; 2]>,
    /// Commands are taken only after `LO` with this name.
    pub logon: Option<String>,
    /// Silence after which the gateway forgets a logon.
    pub idle_logoff: Option<Duration>,
    /// The first response after a takeover says so.
    pub takeover_notice: bool,
    /// How long an answer may take.
    pub answer_timeout: Duration,
    /// Bids without success before giving up.
    pub bid_tries: u8,
    /// Transmissions of a text before giving up.
    pub text_tries: u8,
    /// How long the billing system waits for a response.
    pub response_timeout: Duration,
    /// How often it sends a command again before giving it up.
    pub resends: u8,
}

/// Sets of authorisation codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// Whatever is sent.
    #[default]
    Any,
    /// 00 basic, 01 pay.
    Base,
    /// 39 and 40; of both, 40 wins.
    ExtC,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            check: Check::Xor,
            start_char: None,
            trailing_spaces: 0,
            auth: Auth::Any,
            unit_id: None,
            logon: None,
            idle_logoff: None,
            takeover_notice: false,
            answer_timeout: Duration::from_secs(3),
            bid_tries: 3,
            // The first, and three retries.
            text_tries: 4,
            response_timeout: Duration::from_secs(30),
            resends: 3,
        }
    }
}

impl Settings {
    /// The link's parameters at one end. The billing system yields.
    pub fn profile(&self, yields: bool) -> Profile {
        Profile {
            check: self.check,
            answers: Answers::Alternating,
            eot: true,
            receives: true,
            yields,
            bid_timeout: self.answer_timeout,
            bid_pause: self.answer_timeout,
            bid_tries: self.bid_tries,
            text_timeout: self.answer_timeout,
            text_pause: self.answer_timeout,
            text_tries: self.text_tries,
            text_silence: self.answer_timeout,
            // A sender that is still there asks again before.
            turn_timeout: 2 * self.answer_timeout,
        }
    }
}

impl crate::Settings for Settings {
    const DIALECT: &'static str = "cable";

    const KEYS: &'static [Key] = &[
        key(
            "check",
            "xor",
            "xor | sum | sum2",
            "Check behind ETX: exclusive or, sum modulo 256, or sum modulo 65,536 in two bytes, the high one first.",
        ),
        key(
            "start_char",
            "none",
            "none | one printable character",
            "Character before a command; what comes before it is ignored.",
        ),
        key("trailing_spaces", "0", "0 to 9", "Spaces behind a command that are no part of it."),
        key(
            "auth",
            "any",
            "any | base | ext-c",
            "Codes of `AU` and `DA`: any, 00 and 01, or 39 and 40 (of both, 40 wins). Others are answered `ER CD`.",
        ),
        key(
            "unit_id",
            "none",
            "none | two letters or digits",
            "Commands carry a unit behind their number: all are carried out, this unit's are answered.",
        ),
        key(
            "logon",
            "none",
            "none | 1 to 8 letters or digits",
            "Commands are taken only after `LO` with this name; before they are answered `ER LO`.",
        ),
        key(
            "idle_logoff",
            "off",
            "off | 1s to 24h",
            "Silence after which the gateway forgets a logon.",
        ),
        key(
            "takeover_notice",
            "no",
            "yes | no",
            "The first response after a takeover ends with ` TK`.",
        ),
        key("answer_timeout", "3s", "100ms to 120s", "Answer to ENQ or to a text."),
        key("bid_tries", "3", "1 to 99", "ENQs without success before giving up."),
        key(
            "text_tries",
            "4",
            "1 to 99",
            "Transmissions of a text before giving up: three retries.",
        ),
        key(
            "response_timeout",
            "30s",
            "100ms to 120s",
            "Wait of the billing system for a response; then the same command again.",
        ),
        key(
            "resends",
            "3",
            "1 to 99",
            "How often the billing system sends a command again before giving it up.",
        ),
    ];

    fn set_known(&mut self, key: &Key, value: &str) -> Option<()> {
        let word = |longest: usize| {
            let fits = (1..=longest).contains(&value.len());
            (fits && value.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(value)
        };
        let is_none = value == "none";
        match key.name {
            "check" => self.check = values::check(value)?,
            "start_char" if is_none => self.start_char = None,
            "start_char" => match value.as_bytes() {
                [byte @ 0x21..=0x7e] => self.start_char = Some(*byte),
                _ => return None,
            },
            "trailing_spaces" => {
                self.trailing_spaces = value.parse().ok().filter(|spaces| *spaces <= 9)?;
            }
            "auth" => {
                self.auth = match value {
                    "any" => Auth::Any,
                    "base" => Auth::Base,
                    "ext-c" => Auth::ExtC,
                    _ => return None,
                }
            }
            "unit_id" if is_none => self.unit_id = None,
            "unit_id" => self.unit_id = Some(word(2)?.as_bytes().try_into().ok()?),
            "logon" if is_none => self.logon = None,
            "logon" => self.logon = Some(word(8)?.to_owned()),
            "idle_logoff" if value == "off" => self.idle_logoff = None,
            "idle_logoff" => {
                let range = Duration::from_secs(1)..=Duration::from_secs(86_400);
                self.idle_logoff = Some(values::time(value, range)?);
            }
            "takeover_notice" => self.takeover_notice = values::yes(value)?,
            "answer_timeout" => self.answer_timeout = values::answer_time(value)?,
            "bid_tries" => self.bid_tries = values::tries(value)?,
            "text_tries" => self.text_tries = values::tries(value)?,
            "response_timeout" => self.response_timeout = values::answer_time(value)?,
            "resends" => self.resends = values::tries(value)?,
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings as _;

    const PAGE: &str = include_str!("../../../../docs/cable.md");

    #[test]
    fn the_page_lists_every_setting() {
        for key in Settings::KEYS {
            let values = key.values.replace('|', "\\|");
            let row =
                format!("| `{}` | {} | {values} | {} |\n", key.name, key.default, key.meaning);
            assert!(PAGE.contains(&row), "docs/cable.md has no row\n{row}");
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
