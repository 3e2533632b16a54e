//! What a run of the lab amounts to, for machines.

use std::path::PathBuf;
use std::time::Duration;

use billing_sim::Report;
use serde::Serialize;

use crate::accounts::{Audit, Speech};
use crate::chain::Chain;
use crate::drill::{Drill, Kind};
use crate::history::History;
use crate::timeline::as_micros;

/// A whole run. As JSON: one object, times in microseconds, stamps since boot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabReport {
    /// Version of this shape; grows when a field changes its meaning or goes.
    pub schema: u32,
    /// Whether the run passed.
    pub pass: bool,
    /// What was run.
    pub run: Run,
    /// Each drill, in order.
    pub drills: Vec<Drill>,
    /// The drills by kind.
    pub kinds: Vec<Summary>,
    /// Who held the line when.
    pub holders: History,
    /// The billing system's verdict, if it came to one, in the lab's own dialect.
    pub billing: Option<Report>,
    /// The books, if they could be compared, in any other.
    pub accounts: Option<Audit>,
    /// What else went wrong.
    pub failures: Vec<String>,
    /// Where the logs are, if they were kept.
    pub logs: Option<PathBuf>,
}

/// What was run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// How many nodes.
    pub nodes: usize,
    /// Their times: heartbeat, lease, dead after, in milliseconds.
    pub profile: String,
    /// The line's settings.
    pub line: String,
    /// `cable`, `socat` or `serial`.
    pub wire: &'static str,
    /// From the beginning of one record to that of the next.
    #[serde(rename = "interval_us", serialize_with = "as_micros")]
    pub interval: Duration,
    /// Seed of the records and of the drills' moments.
    pub seed: u64,
}

/// All drills of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Which kind.
    pub kind: Kind,
    /// How many there were.
    pub count: usize,
    /// How many of them did not recover.
    pub failed: usize,
    /// Until the line had a holder again; nothing where nothing had to happen.
    pub granted: Option<Spread>,
    /// Until the first input of the new payload.
    pub unserved: Option<Spread>,
    /// Until the first answer at the billing system.
    pub first_answer: Option<Spread>,
    /// How long the billing system waited for an answer at most.
    pub waited: Option<Spread>,
}

/// How some lengths of time are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Half of them are no longer.
    #[serde(rename = "median_us", serialize_with = "as_micros")]
    pub median: Duration,
    /// The longest.
    #[serde(rename = "max_us", serialize_with = "as_micros")]
    pub max: Duration,
}

impl LabReport {
    /// The current version of this shape.
    pub const SCHEMA: u32 = 1;

    /// The report of a chain that was drilled.
    pub fn new(
        chain: &Chain,
        drills: Vec<Drill>,
        billing: Option<Report>,
        accounts: Option<Audit>,
        failures: Vec<String>,
    ) -> Self {
        let mut holders = chain.history();
        if chain.settings().speech == Speech::Numbered {
            // What the programs say of themselves, and what was on the line.
            holders.violations.extend(chain.ledger().violations);
        }
        let billed = billing.as_ref().is_some_and(|report| report.pass)
            || accounts.as_ref().is_some_and(|audit| audit.pass);
        let pass = failures.is_empty()
            && holders.violations.is_empty()
            && drills.iter().all(Drill::recovered)
            && billed;
        let settings = chain.settings();
        let run = Run {
            nodes: settings.nodes,
            profile: settings.profile.to_string(),
            line: settings.line.to_string(),
            wire: settings.wire.name(),
            interval: settings.interval,
            seed: settings.seed,
        };
        let kinds = Summary::of_all(&drills);
        let schema = Self::SCHEMA;
        Self { schema, pass, run, drills, kinds, holders, billing, accounts, failures, logs: None }
    }
}

impl Summary {
    /// One for each kind that was drilled.
    pub fn of_all(drills: &[Drill]) -> Vec<Self> {
        let of = |kind| {
            let drills: Vec<_> = drills.iter().filter(|drill| drill.kind == kind).collect();
            (!drills.is_empty()).then(|| Self {
                kind,
                count: drills.len(),
                failed: drills.iter().filter(|drill| !drill.recovered()).count(),
                granted: Spread::of(drills.iter().filter_map(|drill| drill.granted)),
                unserved: Spread::of(drills.iter().filter_map(|drill| drill.unserved)),
                first_answer: Spread::of(drills.iter().filter_map(|drill| drill.first_answer)),
                waited: Spread::of(drills.iter().filter_map(|drill| drill.waited)),
            })
        };
        Kind::ALL.into_iter().filter_map(of).collect()
    }
}

impl Spread {
    /// Of these; `None` if there are none.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        let max = *times.last()?;
        // Of an even number the lower one of the two in the middle.
        Some(Self { median: times[(times.len() - 1) / 2], max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let ms = Duration::from_millis;
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([ms(5)]), Some(Spread { median: ms(5), max: ms(5) }));
        let four = Spread::of([ms(9), ms(1), ms(3), ms(2)]);
        assert_eq!(four, Some(Spread { median: ms(2), max: ms(9) }));
    }
}
