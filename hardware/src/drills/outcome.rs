//! What became of a drill.

use std::time::Duration;

use serde::Serialize;

use super::case::{Case, Moves};
use super::plan::Plan;
use crate::drill::Drill;
use crate::ledger::Ledger;
use crate::report::{LabReport, Spread};
use crate::timeline::maybe_micros;

/// What a drill's own code has found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// The failures that the line had to recover from.
    pub(crate) drills: Vec<Drill>,
    /// What should not be.
    pub(crate) faults: Vec<String>,
    /// What a reader may want to know.
    pub(crate) notes: Vec<String>,
}

/// A drill, done and judged. Times as JSON: whole microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// What was done.
    pub case: Case,
    /// With how many nodes.
    pub nodes: usize,
    /// Their times.
    pub profile: String,
    /// How many failures the line had to recover from.
    pub failures: usize,
    /// From a failure until the line had a holder whose payload had its first input.
    pub served: Option<Spread>,
    /// From a failure until the billing system had the first answer of the new holder.
    pub answered: Option<Spread>,
    /// The longest that the billing system waited for an answer in the whole run.
    #[serde(rename = "waited_us", serialize_with = "maybe_micros")]
    pub waited: Option<Duration>,
    /// The longest that is promised for `served`.
    #[serde(rename = "bound_us", serialize_with = "maybe_micros")]
    pub bound: Option<Duration>,
    /// Grants after the first one.
    pub moves: usize,
    /// Those of them that nothing called for.
    pub needless: usize,
    /// Whole records without an answer.
    pub lost: u64,
    /// Records answered more than once.
    pub doubled: u64,
    /// Bytes on the line, each with its owner.
    pub bytes: u64,
    /// All that should not be.
    pub faults: Vec<String>,
    /// What a reader may want to know.
    pub notes: Vec<String>,
}

impl Outcome {
    pub(crate) fn new(
        case: Case,
        plan: &Plan,
        found: Found,
        report: &LabReport,
        ledger: &Ledger,
    ) -> Self {
        let Found { drills, mut faults, notes } = found;
        let moves = report.holders.tenures.len().saturating_sub(1);
        let called_for = match case.moves() {
            Moves::None => 0,
            Moves::Each => drills.len(),
            Moves::Counted => moves,
        };
        let needless = moves.saturating_sub(called_for);
        faults.extend(report.failures.iter().cloned());
        faults.extend(report.holders.violations.iter().cloned());
        for drill in drills.iter().filter(|drill| !drill.recovered()) {
            let failure = drill.failure.as_deref().unwrap_or_default();
            faults.push(format!("{} of {}: {failure}", drill.kind, drill.victim));
        }
        if needless > 0 {
            faults.push(format!("{needless} needless moves"));
        }
        let bytes = ledger.turns.iter().map(|turn| turn.until - turn.from).sum();
        let (mut lost, mut doubled, mut waited) = (0, 0, None);
        if let Some(billing) = &report.billing {
            let verdicts = &billing.outcome.verdicts;
            (lost, doubled) = (verdicts.lost, verdicts.doubled);
            waited = billing.outcome.latency.map(|latency| latency.max);
            if !billing.pass {
                faults.push(format!("the billing system found {verdicts:?}"));
            }
            let received = billing.outcome.received.bytes;
            if received != bytes {
                faults.push(format!("{bytes} bytes have an owner, {received} arrived"));
            }
        }
        Self {
            case,
            nodes: plan.nodes,
            profile: plan.profile.to_string(),
            failures: drills.len(),
            served: Spread::of(drills.iter().filter_map(|drill| drill.unserved)),
            answered: Spread::of(drills.iter().filter_map(|drill| drill.first_answer)),
            waited,
            bound: case.bound(&plan.profile),
            moves,
            needless,
            lost,
            doubled,
            bytes,
            faults,
            notes,
        }
    }

    /// Whether a promise about bytes or holders was broken, or the line was not served again.
    pub fn failed(&self) -> bool {
        !self.faults.is_empty()
    }

    /// By how much the longest time is over its bound; nothing if it is not.
    pub fn late(&self) -> Option<Duration> {
        let worst = self.served?.max;
        worst.checked_sub(self.bound?).filter(|late| !late.is_zero())
    }
}
