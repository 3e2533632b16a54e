//! Everything that passes in a run, in its order: what a journal keeps, what `--events` prints and
//! what a progress bar follows.
use std::time::Duration;

use billing::SimEvent;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::verdict::Verdict;
use crate::core::event::micros;

/// One thing that passed. As JSON: one object with `at_us`, `event` and the fields of its kind;
/// times in microseconds since boot, bytes from the line as hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, since boot.
    #[serde(rename = "at_us", with = "micros")]
    pub at: Duration,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The run began.
    Started,
    /// Bytes were handed to the port, faults included.
    Out {
        /// They.
        #[serde(rename = "hex", with = "hex")]
        bytes: Bytes,
    },
    /// Bytes were read from the port, before any fault.
    In {
        /// They.
        #[serde(rename = "hex", with = "hex")]
        bytes: Bytes,
    },
    /// The billing system did or saw something.
    Saw(Seen),
    /// A fault was injected.
    Fault {
        /// As it is written in a scenario: `nak count=2`.
        fault: String,
    },
    /// The judge found something.
    Found(Finding),
    /// Nothing more is sent or expected; late bytes are awaited.
    Settling,
    /// The run is over.
    Ended {
        /// Why.
        why: End,
    },
}

/// What the billing system did or saw, flat: the fields that this kind has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Which of the [`SimEvent`]s, in snake case: `posted`.
    pub what: String,
    /// The item of the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// The number on the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The attempt, the numbers left out, or the number before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Text of a record or bytes of a frame; what is not printable ASCII is escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether the link came up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<bool>,
}

/// One thing the judge found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is.
    pub verdict: Verdict,
    /// How many at once.
    pub count: u64,
    /// The same for people, with the numbers and bytes seen.
    pub detail: String,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All that was asked for has passed.
    Done,
    /// The time asked for was over.
    Duration,
    /// Told to stop.
    Stopped,
    /// Something was wanted and nothing came of it for the time of patience.
    Silent,
    /// More passed than can be remembered and compared.
    Full,
    /// The port disappeared.
    Gone,
}

/// Somebody who is told of everything that passes, at once and in order. The run waits for nobody:
/// an implementation that may block has a thread of its own.
pub trait Sink: Send {
    /// The next entry.
    fn take(&mut self, entry: &Entry);
}

/// Nobody.
impl Sink for () {
    fn take(&mut self, _entry: &Entry) {}
}

/// A list: for tests and short runs.
impl Sink for Vec<Entry> {
    fn take(&mut self, entry: &Entry) {
        self.push(entry.clone());
    }
}

impl End {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Done => "all done",
            Self::Duration => "time over",
            Self::Stopped => "told to stop",
            Self::Silent => "gateway silent",
            Self::Full => "too much to remember",
            Self::Gone => "port gone",
        }
    }
}

impl From<&SimEvent> for Seen {
    fn from(event: &SimEvent) -> Self {
        let named = |what: &str| Self { what: what.to_owned(), ..Self::default() };
        let item = |what, serial: u64| Self { serial: Some(serial), ..named(what) };
        let charge = |what, number: u64| Self { number: Some(number), ..named(what) };
        let bytes = |what, bytes: &[u8]| Self { text: escaped(bytes), ..named(what) };
        match event {
            SimEvent::Queued { serial, text } => {
                Self { text: escaped(text), ..item("queued", *serial) }
            }
            SimEvent::Sent { serial, attempt } => {
                Self { count: Some((*attempt).into()), ..item("sent", *serial) }
            }
            SimEvent::Confirmed { serial } => item("confirmed", *serial),
            SimEvent::Answered { serial, text } => {
                Self { text: escaped(text), ..item("answered", *serial) }
            }
            SimEvent::GaveUp { serial } => item("gave_up", *serial),
            SimEvent::Overwritten { serial } => item("overwritten", *serial),
            SimEvent::Posted { number, text, .. } => {
                Self { text: escaped(text), ..charge("posted", *number) }
            }
            SimEvent::Repeated { number } => charge("repeated", *number),
            SimEvent::Conflict { number, text } => {
                Self { text: escaped(text), ..charge("conflict", *number) }
            }
            SimEvent::Declined { number, answer } => {
                Self { text: escaped(answer), ..charge("declined", *number) }
            }
            SimEvent::Gap { after, count } => Self { count: Some(*count), ..charge("gap", *after) },
            SimEvent::Abandoned { after, count } => {
                Self { count: Some(*count), ..charge("abandoned", *after) }
            }
            SimEvent::Reordered { number, after } => {
                Self { count: Some(*after), ..charge("reordered", *number) }
            }
            SimEvent::BadCheck { bytes: all } => bytes("bad_check", all),
            SimEvent::Interleave { bytes: all } => bytes("interleave", all),
            SimEvent::Partial { bytes: all } => bytes("partial", all),
            SimEvent::AnswerReplayed => named("answer_replayed"),
            SimEvent::LateAnswer { bytes: all } => bytes("late_answer", all),
            SimEvent::Link { up } => Self { up: Some(*up), ..named("link") },
        }
    }
}

fn escaped(bytes: &[u8]) -> Option<String> {
    Some(bytes.escape_ascii().to_string())
}

/// Bytes as pairs of hexadecimal digits.
mod hex {
    use super::{Bytes, Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{bytes:x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        let digits = digits.filter(|digits| digits.len() % 2 == 0);
        let digits = digits.ok_or_else(|| {
            serde::de::Error::custom("bytes are pairs of hexadecimal digits, as 0203")
        })?;
        Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_lines_of_json_and_come_back() {
        let posted = SimEvent::Posted {
            number: 7,
            content: Bytes::from_static(b"x"),
            text: Bytes::from_static(b"PS|\x80"),
        };
        let finding = Finding {
            verdict: Verdict::LostBySender,
            count: 2,
            detail: "items 3 and 4".to_owned(),
        };
        for (what, json) in [
            (What::Started, r#"{"at_us":5,"event":"started"}"#),
            (
                What::Out { bytes: Bytes::from_static(&[2, 0xab, 3]) },
                r#"{"at_us":5,"event":"out","hex":"02ab03"}"#,
            ),
            (
                What::Saw((&posted).into()),
                r#"{"at_us":5,"event":"saw","what":"posted","number":7,"text":"PS|\\x80"}"#,
            ),
            (
                What::Found(finding),
                r#"{"at_us":5,"event":"found","verdict":"lost_by_sender","count":2,"detail":"items 3 and 4"}"#,
            ),
            (What::Ended { why: End::Done }, r#"{"at_us":5,"event":"ended","why":"done"}"#),
        ] {
            let entry = Entry { at: Duration::from_micros(5), what };
            assert_eq!(serde_json::to_string(&entry).unwrap(), json);
            assert_eq!(serde_json::from_str::<Entry>(json).unwrap(), entry);
        }
        for bad in ["020", "0g", "é1"] {
            let json = format!(r#"{{"at_us":5,"event":"in","hex":"{bad}"}}"#);
            assert!(serde_json::from_str::<Entry>(&json).is_err(), "{bad}");
        }
    }
}
