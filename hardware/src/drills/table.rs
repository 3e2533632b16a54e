//! Outcomes for people.

use std::time::Duration;

use billing_sim::table::short;

use super::outcome::Outcome;
use crate::show::median_and_worst;

/// An outcome in one line.
pub fn line(outcome: &Outcome) -> String {
    let mut parts = Vec::new();
    if outcome.served.is_some() {
        parts.push(format!("served again {}", median_and_worst(outcome.served)));
    }
    parts.push(format!("billing waited {}", maybe(outcome.waited)));
    parts.push(format!("{} failures, {} moves", outcome.failures, outcome.moves));
    parts.push(format!("{} lost, {} doubled", outcome.lost, outcome.doubled));
    parts.extend(outcome.notes.iter().cloned());
    parts.join("; ")
}

fn maybe(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), short)
}
