//! What a run amounts to, for machines.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{End, Finding, micros};
use super::judge::Tally;
use super::latency::LatencySummary;
use super::unserved::UnservedSummary;

/// A whole run. As JSON: one object, times in microseconds, stamps since boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this shape; grows when a field changes its meaning or goes.
    pub schema: u32,
    /// Whether the run passed, see [`Outcome::passed`].
    pub pass: bool,
    /// What was run.
    pub run: Run,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Events that were not delivered because the receiver was too slow. The judge saw them all.
    pub events_dropped: u64,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The dialect spoken.
    pub dialect: String,
    /// The port's path.
    pub port: String,
    /// The line's settings, as `9600,8N1`.
    pub line: String,
    /// Whether bytes were sent at true character time.
    pub paced: bool,
    /// From the beginning of one record to that of the next; 0 is back to back.
    #[serde(rename = "interval_us", with = "micros")]
    pub interval: Duration,
    /// Seed of the records.
    pub seed: u64,
    /// Number of the first record.
    pub first: u32,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Why it ended.
    pub ended: End,
    /// When it began.
    #[serde(rename = "started_us", with = "micros")]
    pub started: Duration,
    /// When it ended.
    #[serde(rename = "finished_us", with = "micros")]
    pub finished: Duration,
    /// What left.
    pub sent: Sent,
    /// What arrived.
    pub received: Received,
    /// The verdicts.
    pub verdicts: Tally,
    /// How long records waited while no answer came.
    pub unserved: UnservedSummary,
    /// The answer times, if there was an answer.
    pub latency: Option<LatencySummary>,
    /// The first findings, in order of time.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub findings_omitted: u64,
}

/// What left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Whole records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Whole, right answers, repeated ones included.
    pub answers: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Report {
    /// The current version of this shape.
    pub const SCHEMA: u32 = 1;

    /// The report of `run`, which came to `outcome`.
    pub fn new(run: Run, outcome: Outcome, events_dropped: u64) -> Self {
        Self { schema: Self::SCHEMA, pass: outcome.passed(), run, outcome, events_dropped }
    }
}

impl Outcome {
    /// Nothing lost, doubled, torn, reordered or mixed, and the run came to its intended end with
    /// at least one record answered: a run that proves nothing does not pass.
    pub fn passed(&self) -> bool {
        let intended = matches!(self.ended, End::Count | End::Duration | End::Stopped);
        intended && self.received.answers > 0 && self.verdicts.is_clean()
    }
}
