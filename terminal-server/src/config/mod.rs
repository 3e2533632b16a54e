//! The configuration file: TOML for hundreds of lines, read once into checked options.
//!
//! - [`mod@file`]: the whole file
//! - `line`: the keys of one line
//! - `section`: reads a table key by key, so that every error is told, each with its place
//! - [`values`]: what the texts in it mean
//!
//! Every key is explained in `docs/terminal-server.toml`.

pub mod file;
mod line;
mod section;
pub mod values;

pub use file::{Config, KeyReader, read_key};
pub use section::{ConfigError, ConfigErrors};
