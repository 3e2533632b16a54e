//! What happened in a run, as it happens. Stamps are microseconds since boot, so that a lab can lay
//! them beside those of other processes of the same host.
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One thing that happened. As JSON: one object with `event` and the fields in snake case, times in
/// microseconds since boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run began.
    Started {
        /// When.
        #[serde(rename = "at_us", with = "micros")]
        at: Duration,
    },
    /// The last byte of a record left.
    Sent {
        /// When.
        #[serde(rename = "at_us", with = "micros")]
        at: Duration,
        /// The record.
        number: u32,
        /// Whole records without an answer, this one included.
        outstanding: usize,
    },
    /// A whole, right answer arrived.
    Answered {
        /// When its last byte was read.
        #[serde(rename = "at_us", with = "micros")]
        at: Duration,
        /// The record answered.
        number: u32,
        /// Since the record's last byte left.
        #[serde(rename = "latency_us", with = "micros")]
        latency: Duration,
        /// Whole records still without an answer.
        outstanding: usize,
    },
    /// The judge found something.
    Found(Finding),
    /// A span over the threshold, in which records waited and no answer came, is over.
    Unserved(Span),
    /// Nothing more is sent; late answers are awaited.
    Settling {
        /// Since when.
        #[serde(rename = "at_us", with = "micros")]
        at: Duration,
    },
    /// The run is over.
    Ended {
        /// When.
        #[serde(rename = "at_us", with = "micros")]
        at: Duration,
        /// Why.
        why: End,
    },
}

/// One thing the judge found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// When it was noticed.
    #[serde(rename = "at_us", with = "micros")]
    pub at: Duration,
    /// What it is.
    pub verdict: Verdict,
    /// The record concerned, where one is.
    pub number: Option<u32>,
    /// The same for people, with the bytes seen.
    pub detail: String,
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its beginning.
    #[serde(rename = "from_us", with = "micros")]
    pub from: Duration,
    /// Its end.
    #[serde(rename = "to_us", with = "micros")]
    pub to: Duration,
}

/// What can be wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Never answered.
    Lost,
    /// Answered more than once.
    Doubled,
    /// A well-formed answer with a good check that proves another content, or answers a number
    /// never sent: a cut or damaged record was taken as good.
    Torn,
    /// An answer cut off before its end, with a fresh start after it. Not a failure: the record is
    /// judged by whether a whole answer follows.
    Partial,
    /// Answered after a record with a higher number was.
    Reordered,
    /// Bytes that are neither an answer nor the beginning of one: two writers, or noise.
    Mixed,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All records asked for were sent.
    Count,
    /// The time asked for was over.
    Duration,
    /// Told to stop.
    Stopped,
    /// As many records as allowed were outstanding and no answer came for the settle time.
    Silent,
    /// A write made no progress: the far end does not read, or flow control holds the line.
    Blocked,
    /// The port disappeared.
    Gone,
}

impl Span {
    /// Its length.
    pub fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Torn => "torn",
            Self::Partial => "partial",
            Self::Reordered => "reordered",
            Self::Mixed => "mixed",
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Count => "all records sent",
            Self::Duration => "time over",
            Self::Stopped => "told to stop",
            Self::Silent => "gateway silent",
            Self::Blocked => "line blocked",
            Self::Gone => "port gone",
        })
    }
}

/// Durations as whole microseconds.
pub(crate) mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        // 2^64 microseconds are half a million years of uptime.
        to.serialize_u64(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Ok(Duration::from_micros(u64::deserialize(from)?))
    }
}
