//! Configuration files: TOML, read once into checked values, every error with its place.
//!
//! - `section`: reads a table key by key, so that every error is told
//! - [`values`]: what the texts in it mean

mod section;
pub mod values;

pub use section::{ConfigError, ConfigErrors, Findings, Section, document};
