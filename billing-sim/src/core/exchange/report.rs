//! What a run in a dialect amounts to, for machines; the table renders it for people.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::entry::{End, Finding};
use super::judge::Tally;
use super::verdict::{Counts, Grade, Verdict};
use crate::core::event::{Span, micros};
use crate::core::latency::LatencySummary;

/// A whole run. As JSON: one object, times in microseconds, stamps since boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this shape; grows when a field changes its meaning or goes.
    pub schema: u32,
    /// Whether the run passed, see [`Report::new`].
    pub pass: bool,
    /// What was run.
    pub run: Run,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What was to be expected.
    #[serde(flatten)]
    pub expectations: Expectations,
    /// Events that were not delivered because the receiver was too slow. The judge saw them all.
    pub events_dropped: u64,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Run {
    /// The dialect spoken.
    pub dialect: String,
    /// Its settings that were set, in their order.
    pub settings: Vec<(String, String)>,
    /// The scenario's name, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The port's path.
    pub port: String,
    /// The line's settings, as `9600,8N1`.
    pub line: String,
    /// Whether bytes were sent at true character time.
    pub paced: bool,
    /// Seed of load, gaps and faults.
    pub seed: u64,
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
    /// How much passed.
    pub tally: Tally,
    /// Bytes that left.
    pub bytes_out: u64,
    /// Bytes that came.
    pub bytes_in: u64,
    /// Faults injected.
    pub faults: u64,
    /// From an item's first way out until the gateway had it.
    pub latency: Option<LatencySummary>,
    /// The longest time in which something was wanted and nothing was settled: a failover is one.
    pub standstill: Option<Span>,
    /// Answers that were not sent, since too many waited already.
    pub answers_dropped: u64,
    /// Items that were taken back when it was told to stop: they had not gone out.
    pub withdrawn: u64,
    /// What speaks against it as a proof, though it ended as it was to.
    pub doubts: Vec<String>,
    /// The verdicts.
    pub verdicts: Counts,
    /// The first findings, in order of time.
    pub findings: Vec<Found>,
    /// How many more there were.
    pub findings_omitted: u64,
}

/// A finding, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// When it was noticed.
    #[serde(rename = "at_us", with = "micros")]
    pub at: Duration,
    /// What.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Which verdicts a run is to give. What is not named here must not be given, if it is a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectations {
    /// So often each, no more and no less.
    pub expected: BTreeMap<Verdict, Amount>,
    /// As often as they like.
    pub allowed: BTreeSet<Verdict>,
}

/// From so many to so many. As text: `3`, `1..`, `2..5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Amount {
    least: u64,
    most: u64,
}

/// What a count of a verdict means in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// None, and none was expected.
    Ok,
    /// Some, and they are no failure.
    Noted,
    /// As many as expected.
    Expected,
    /// Some, and they were allowed.
    Allowed,
    /// Too many, or too few.
    Failed,
}

impl Report {
    /// The current version of this shape.
    pub const SCHEMA: u32 = 1;

    /// The report of `run`. It passed if it came to its intended end, something was posted or
    /// confirmed (a run that proves nothing does not pass), and every verdict is as expected.
    pub fn new(run: Run, outcome: Outcome, expectations: Expectations) -> Self {
        let mut report = Self {
            schema: Self::SCHEMA,
            pass: false,
            run,
            outcome,
            expectations,
            events_dropped: 0,
        };
        let mark = |verdict| report.expectations.mark(verdict, &report.outcome.verdicts);
        let is_expected = Verdict::ALL.into_iter().all(|verdict| mark(verdict) != Mark::Failed);
        report.pass = is_expected && report.complaint().is_none();
        report
    }

    /// Why the run as a whole is no proof, whatever the verdicts.
    pub fn complaint(&self) -> Option<String> {
        let tally = self.outcome.tally;
        let by_end = match self.outcome.ended {
            End::Silent => Some("the gateway settled nothing for the time of patience"),
            End::Full => Some("more passed than can be remembered and compared"),
            End::Gone => Some("the port disappeared"),
            End::Done | End::Duration | End::Stopped
                if tally.posted + tally.confirmed + tally.answered == 0 =>
            {
                Some("nothing was posted or confirmed: such a run proves nothing")
            }
            End::Done | End::Duration | End::Stopped => None,
        };
        let doubts = self.outcome.doubts.iter().map(String::as_str);
        let all: Vec<_> = by_end.into_iter().chain(doubts).collect();
        if all.is_empty() { None } else { Some(all.join("; ")) }
    }
}

impl Expectations {
    /// What the count of `verdict` means.
    pub fn mark(&self, verdict: Verdict, counts: &Counts) -> Mark {
        let count = counts.get(verdict);
        if self.allowed.contains(&verdict) {
            return if count == 0 { Mark::Ok } else { Mark::Allowed };
        }
        match (self.expected.get(&verdict), verdict.grade()) {
            (Some(amount), _) if amount.contains(count) => Mark::Expected,
            (Some(_), _) => Mark::Failed,
            (None, _) if count == 0 => Mark::Ok,
            (None, Grade::Info) => Mark::Noted,
            (None, Grade::Failure) => Mark::Failed,
        }
    }
}

impl Amount {
    /// Just so many.
    pub fn exactly(count: u64) -> Self {
        Self { least: count, most: count }
    }

    /// Whether `count` is one of them.
    pub fn contains(self, count: u64) -> bool {
        (self.least..=self.most).contains(&count)
    }
}

impl Mark {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Noted => "noted",
            Self::Expected => "expected",
            Self::Allowed => "allowed",
            Self::Failed => "FAILED",
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (least, most) if least == most => write!(f, "{least}"),
            (least, u64::MAX) => write!(f, "{least}.."),
            (least, most) => write!(f, "{least}..{most}"),
        }
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = || "give a number, or from and to, as 3, 1.. or 2..5".to_owned();
        let number = |text: &str| text.parse::<u64>().map_err(|_| help());
        let amount = match text.split_once("..") {
            None => Self::exactly(number(text)?),
            Some((least, "")) => Self { least: number(least)?, most: u64::MAX },
            Some((least, most)) => Self { least: number(least)?, most: number(most)? },
        };
        if amount.least <= amount.most { Ok(amount) } else { Err(help()) }
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.to_string()
    }
}

impl TryFrom<String> for Amount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_text_and_come_back() {
        for text in ["0", "3", "1..", "2..5"] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), text);
        }
        for text in ["", "..", "..3", "5..2", "-1", "x"] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
        let some: Amount = "2..5".parse().unwrap();
        assert_eq!([1, 2, 5, 6].map(|count| some.contains(count)), [false, true, true, false]);
    }

    #[test]
    fn a_count_means_what_was_expected_of_it() {
        let counts: Counts =
            [(Verdict::Gap, 2), (Verdict::Partial, 1), (Verdict::Lost, 1)].into_iter().collect();
        let mut expectations = Expectations::default();
        let mark = |expectations: &Expectations, verdict| expectations.mark(verdict, &counts);
        assert_eq!(mark(&expectations, Verdict::Gap), Mark::Failed);
        assert_eq!(mark(&expectations, Verdict::Partial), Mark::Noted);
        assert_eq!(mark(&expectations, Verdict::Reordered), Mark::Ok);
        expectations.allowed.insert(Verdict::Lost);
        expectations.expected.insert(Verdict::Gap, Amount::exactly(2));
        expectations.expected.insert(Verdict::DupSuppressed, Amount::exactly(1));
        assert_eq!(mark(&expectations, Verdict::Lost), Mark::Allowed);
        assert_eq!(mark(&expectations, Verdict::Gap), Mark::Expected);
        // What was expected and did not come is a failure, too: the scenario did not happen.
        assert_eq!(mark(&expectations, Verdict::DupSuppressed), Mark::Failed);
    }
}
