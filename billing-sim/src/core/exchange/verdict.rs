//! What can be wrong between a billing system and a gateway, and what of it fails a run.
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A verdict of the judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Wanted by one side and never had by the other.
    Lost,
    /// Given up by its sender, as the dialect's rules say, or overwritten in its buffer.
    LostBySender,
    /// The same number and content was posted, or taken, twice.
    DuplicatePosted,
    /// A record came again and was recognised: answered, and not done again.
    DupSuppressed,
    /// A number below one that had been used before it, or records taken in another order.
    Reordered,
    /// Numbers left out.
    Gap,
    /// A number that belongs to another content.
    SeqConflict,
    /// A record that began inside another one: two writers. Or one that the gateway has taken and
    /// nobody has sent.
    Interleave,
    /// Bytes that make no record: a torn one, or noise.
    Partial,
    /// A record whose check is wrong.
    BadCheck,
    /// The answer to an earlier record was asked for again, as if it were that to a newer one.
    AckReplayedAcrossTakeover,
    /// An answer that nothing waited for any more.
    LateAnswer,
    /// Two numbers with one content: the same charge, renumbered.
    DoubleContent,
}

/// What a verdict means for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// A single one fails it, unless it was expected or allowed.
    Failure,
    /// It is counted and told.
    Info,
}

/// How often each verdict was given. Those never given are not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts(BTreeMap<Verdict, u64>);

impl Verdict {
    /// All, in the order of reports.
    pub const ALL: [Self; 13] = [
        Self::Lost,
        Self::LostBySender,
        Self::DuplicatePosted,
        Self::DoubleContent,
        Self::Reordered,
        Self::Gap,
        Self::SeqConflict,
        Self::Interleave,
        Self::BadCheck,
        Self::AckReplayedAcrossTakeover,
        Self::LateAnswer,
        Self::Partial,
        Self::DupSuppressed,
    ];

    /// Its name in files, options and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::LostBySender => "lost_by_sender",
            Self::DuplicatePosted => "duplicate_posted",
            Self::DupSuppressed => "dup_suppressed",
            Self::Reordered => "reordered",
            Self::Gap => "gap",
            Self::SeqConflict => "seq_conflict",
            Self::Interleave => "interleave",
            Self::Partial => "partial",
            Self::BadCheck => "bad_check",
            Self::AckReplayedAcrossTakeover => "ack_replayed_across_takeover",
            Self::LateAnswer => "late_answer",
            Self::DoubleContent => "double_content",
        }
    }

    /// What it means, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Lost => "wanted by one side, never had by the other",
            Self::LostBySender => "given up by its sender's rules, or overwritten in its buffer",
            Self::DuplicatePosted => "the same number and content, posted or taken twice",
            Self::DupSuppressed => "came again, recognised, answered and not done again",
            Self::Reordered => "out of order",
            Self::Gap => "numbers left out",
            Self::SeqConflict => "a number that belongs to another content",
            Self::Interleave => "a record begun inside another one, or taken and never sent",
            Self::Partial => "bytes that make no record",
            Self::BadCheck => "records whose check is wrong",
            Self::AckReplayedAcrossTakeover => "an old answer asked for as if it were a new one",
            Self::LateAnswer => "answers that nothing waited for any more",
            Self::DoubleContent => "two numbers with one content: a charge renumbered",
        }
    }

    /// What it means for a run.
    ///
    /// A record that came again and was recognised is the protocol at work. A torn one is what a
    /// takeover may leave; whether it was lost is said by whether it comes again, whole.
    pub fn grade(self) -> Grade {
        match self {
            Self::DupSuppressed | Self::Partial => Grade::Info,
            _ => Grade::Failure,
        }
    }
}

impl Counts {
    /// Counts `count` more of `verdict`.
    pub fn add(&mut self, verdict: Verdict, count: u64) {
        if count > 0 {
            *self.0.entry(verdict).or_default() += count;
        }
    }

    /// How often `verdict` was given.
    pub fn get(&self, verdict: Verdict) -> u64 {
        self.0.get(&verdict).copied().unwrap_or_default()
    }
}

impl FromIterator<(Verdict, u64)> for Counts {
    fn from_iter<I: IntoIterator<Item = (Verdict, u64)>>(all: I) -> Self {
        let mut counts = Self::default();
        for (verdict, count) in all {
            counts.add(verdict, count);
        }
        counts
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("give a verdict: {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_one_name_everywhere() {
        for verdict in Verdict::ALL {
            assert_eq!(verdict.name().parse(), Ok(verdict));
            let json = serde_json::to_value(verdict).unwrap();
            assert_eq!(json, verdict.name());
        }
        assert!("doubled".parse::<Verdict>().unwrap_err().contains("duplicate_posted"));
    }
}
