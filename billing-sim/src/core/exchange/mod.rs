//! A run in one of the billing dialects, as values.
//!
//! - [`verdict`]: what can be wrong, and what of it fails a run.
//! - [`entry`]: everything that passes, for journals and whoever follows a run.

pub mod entry;
pub mod verdict;
