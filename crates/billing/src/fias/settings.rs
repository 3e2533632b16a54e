//! What can be set, for both ends.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use super::frame::{Check, MAX_FRAME};
use super::record::DESCRIBED;
use crate::gateway::SETTLE_WITHIN;
use crate::settings::{Key, key, time};

/// Settings of the dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What stands behind ETX.
    pub check: Check,
    /// Timer 1: how long an answer may take.
    pub t1: Duration,
    /// Timer 2: how long after that an enquiry may come.
    pub t2: Duration,
    /// Enquiries after a record.
    pub enqs: u32,
    /// Times a record is sent, the first included.
    pub transmissions: u32,
    /// What follows when no enquiry was answered.
    pub on_enq_exhausted: Exhausted,
    /// The line's rate in bits per second.
    pub baud: u32,
    /// How long the answer to a charge, or to the start of the link, may take.
    pub answer_timeout: Duration,
    /// When a charge that was declined for now, or given up by the link, is sent again.
    pub retry_after: Duration,
    /// How long the billing system may say nothing before it is asked whether it is there.
    pub alive_interval: Duration,
    /// Records in a row given up before the link counts as down.
    pub link_failures: u32,
    /// Interface family, as the billing system knows it.
    pub interface: String,
    /// Version of the vendor's system, as told to the billing system.
    pub version: String,
    /// Record types described to the billing system.
    pub records: Vec<&'static str>,
    /// When the billing system is asked for all its guests.
    pub resync: Resync,
}

/// What follows when no enquiry was answered. The published prose and the published log differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exhausted {
    /// The record is given up.
    #[default]
    Discard,
    /// It is sent again, as often as after a NAK.
    Resend,
}

/// When the billing system is asked for all its guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resync {
    /// Never.
    #[default]
    Never,
    /// When nobody knows what came before: at a start without a note.
    OnUnknown,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            check: Check::Lrc,
            t1: Duration::from_secs(3),
            t2: Duration::from_secs(3),
            enqs: 3,
            transmissions: 4,
            on_enq_exhausted: Exhausted::Discard,
            baud: 9600,
            answer_timeout: Duration::from_secs(30),
            retry_after: Duration::from_secs(10),
            alive_interval: Duration::from_secs(300),
            link_failures: 3,
            interface: "WW".to_owned(),
            version: "1.0".to_owned(),
            records: vec!["GI", "GO", "GC", "NS", "NE", "PS", "PA"],
            resync: Resync::Never,
        }
    }
}

impl Settings {
    /// Twice the time that the longest record takes, but at most 25 s.
    pub fn record_time(&self) -> Duration {
        let twice = Duration::from_secs(2 * BITS * MAX_FRAME as u64) / self.baud;
        twice.min(SETTLE_WITHIN)
    }

    /// How long after an answer its receiver may still enquire about it: until its last enquiry.
    pub fn enquiry_window(&self) -> Duration {
        self.t1 * self.enqs.max(1) + self.t2
    }
}

impl crate::settings::Settings for Settings {
    const DIALECT: &'static str = "fias";
    const KEYS: &'static [Key] = &KEYS;

    fn set_known(&mut self, key: &Key, value: &str) -> Option<()> {
        match key.name {
            "check" => self.check = one_of(value, &[("lrc", Check::Lrc), ("none", Check::None)])?,
            "t1" => self.t1 = time(value, SECOND / 10..=SECOND * 60)?,
            "t2" => self.t2 = time(value, SECOND / 10..=SECOND * 60)?,
            "enqs" => self.enqs = number(value, 0, 10)?,
            "transmissions" => self.transmissions = number(value, 1, 10)?,
            "on_enq_exhausted" => {
                let values = [("discard", Exhausted::Discard), ("resend", Exhausted::Resend)];
                self.on_enq_exhausted = one_of(value, &values)?;
            }
            "baud" => self.baud = number(value, 300, 1_000_000)?,
            "answer_timeout" => self.answer_timeout = time(value, SECOND..=SECOND * 600)?,
            "retry_after" => self.retry_after = time(value, SECOND / 10..=SECOND * 3600)?,
            "alive_interval" => {
                self.alive_interval = time(value, SECOND * 10..=SECOND * 3600)?;
            }
            "link_failures" => self.link_failures = number(value, 1, 100)?,
            "interface" => {
                let is_one = value.len() == 2 && value.bytes().all(|b| b.is_ascii_uppercase());
                self.interface = is_one.then(|| value.to_owned())?;
            }
            "version" => {
                let printable = |b| (0x20..0x7f).contains(&b) && b != b'|';
                let is_one = (1..=10).contains(&value.len()) && value.bytes().all(printable);
                self.version = is_one.then(|| value.to_owned())?;
            }
            "records" => self.records = records(value)?,
            "resync" => {
                let values = [("never", Resync::Never), ("on_unknown", Resync::OnUnknown)];
                self.resync = one_of(value, &values)?;
            }
            _ => return None,
        }
        Some(())
    }
}

fn one_of<T: Copy>(value: &str, values: &[(&str, T)]) -> Option<T> {
    values.iter().find(|(name, _)| *name == value).map(|(_, value)| *value)
}

fn number(value: &str, least: u32, most: u32) -> Option<u32> {
    value.parse().ok().filter(|number| (least..=most).contains(number))
}

/// Each once, in the order written.
fn records(value: &str) -> Option<Vec<&'static str>> {
    let mut records = Vec::new();
    for written in value.split_whitespace() {
        let (kind, _) = DESCRIBED.iter().find(|(kind, _)| *kind == written)?;
        if records.contains(kind) {
            return None;
        }
        records.push(*kind);
    }
    (!records.is_empty()).then_some(records)
}

const KEYS: [Key; 15] = [
    key("check", "lrc", "lrc | none", "What stands behind ETX."),
    key("t1", "3s", "100ms to 60s", "How long an answer on the link may take."),
    key("t2", "3s", "100ms to 60s", "How long after that an enquiry may come."),
    key("enqs", "3", "0 to 10", "Enquiries after a record that is not answered."),
    key("transmissions", "4", "1 to 10", "Times a record is sent, the first included."),
    key(
        "on_enq_exhausted",
        "discard",
        "discard | resend",
        "What follows when no enquiry was answered.",
    ),
    key("baud", "9600", "300 to 1000000", "The line's rate, for the time that a record may take."),
    key(
        "answer_timeout",
        "30s",
        "1s to 600s",
        "How long the answer to a charge, or to the start of the link, may take.",
    ),
    key(
        "retry_after",
        "10s",
        "100ms to 3600s",
        "When a charge that was declined for now, or given up by the link, is sent again.",
    ),
    key(
        "alive_interval",
        "5m",
        "10s to 3600s",
        "How long the other end may say nothing before it is asked whether it is there.",
    ),
    key("link_failures", "3", "1 to 100", "Records in a row given up that make the link down."),
    key("interface", "WW", "two capital letters", "Interface family told in LD (`IF`)."),
    key("version", "1.0", "1 to 10 characters", "Version told in LD (`V#`)."),
    key(
        "records",
        "GI GO GC NS NE PS PA",
        "some of GI GO GC RE NS NE PS PA",
        "Record types described by LR.",
    ),
    key(
        "resync",
        "never",
        "never | on_unknown",
        "Whether a gateway that starts without a note asks for all guests (DR).",
    ),
];

/// Start bit, eight data bits, stop bit.
const BITS: u64 = 10;
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{SettingError, Settings as _};

    #[test]
    fn defaults_are_as_written() {
        let mut settings = Settings { enqs: 9, ..Settings::default() };
        for key in Settings::KEYS {
            settings.set(key.name, key.default).unwrap();
        }
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn what_can_not_be_is_refused_and_says_what_could() {
        let mut settings = Settings::default();
        for (name, value) in [
            ("check", "LRC"),
            ("t1", "3"),
            ("t1", "0s"),
            ("t1", "99999999999s"),
            ("baud", "0"),
            ("interface", "w1"),
            ("version", "a|b"),
            ("records", ""),
            ("records", "GI GI"),
            ("records", "LS"),
        ] {
            let error = settings.set(name, value).unwrap_err();
            assert!(matches!(error, SettingError::Value { .. }), "{name} {value}");
        }
        assert!(matches!(settings.set("t3", "1s"), Err(SettingError::Unknown { .. })));
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn a_record_may_take_twice_as_long_as_the_longest_takes() {
        assert_eq!(Settings::default().record_time().as_millis(), 4172);
        let slow = Settings { baud: 1200, ..Settings::default() };
        assert_eq!(slow.record_time().as_secs(), 25);
    }
}
