//! A run's record, read from its directory.

use std::path::Path;

use super::check::{Turn, check};
use super::rows::rows;
use crate::answerer::journal::offers;

/// Whose bytes were on the line, and what was wrong with that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Whose turn it was, in order.
    pub turns: Vec<Turn>,
    /// What must never be.
    pub violations: Vec<String>,
}

impl Ledger {
    /// From the terminal server's trace and the directory of the payloads' journals.
    pub fn read(trace: &Path, journals: &Path) -> Self {
        // Bytes of the line may be anything, but the trace writes them as digits and words.
        let Ok(text) = std::fs::read_to_string(trace) else {
            let violations = vec![format!("there is no trace in {}", trace.display())];
            return Self { turns: Vec::new(), violations };
        };
        let (turns, mut violations) = check(&rows(&text), &offers(journals));
        // One broken rule breaks many; a page of them helps nobody.
        let rest = violations.len().saturating_sub(MOST);
        violations.truncate(MOST);
        if rest > 0 {
            violations.push(format!("and {rest} more"));
        }
        Self { turns, violations }
    }
}

/// Violations that are told one by one.
const MOST: usize = 10;
