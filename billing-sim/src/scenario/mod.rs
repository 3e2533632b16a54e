//! What a run in a dialect is to do, from a file or from options.
//!
//! - [`mod@file`]: the scenario file, in TOML.
//! - [`words`]: faults as words, the same in a file and after `--fault`.

pub mod file;
pub mod words;

pub use file::Scenario;
