//! A run in one of the billing dialects, as values.
//!
//! - [`exchange`]: the run, with a beginning and an end.
//! - [`load`]: when items are begun.
//! - [`fault`]: what goes wrong on purpose, and when.
//! - [`outlet`]: bytes at the line's own pace, and what faults do to them.
//! - [`judge`]: what the billing system saw, judged.
//! - [`truth`]: what was wanted, compared with what came.
//! - [`verdict`]: what can be wrong, and what of it fails a run.
//! - [`report`]: what a run amounts to.
//! - [`entry`]: everything that passes, for journals and whoever follows a run.
//! - [`dice`]: chance from a seed.

pub mod dice;
pub mod entry;
#[allow(clippy::module_inception, reason = "the run is the thing, and all else here is its parts")]
pub mod exchange;
pub mod fault;
pub mod judge;
pub mod load;
pub mod outlet;
pub mod report;
pub mod truth;
pub mod verdict;

pub use exchange::{Exchange, Settings};
pub use report::Report;
