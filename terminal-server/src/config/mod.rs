//! The configuration file: TOML for hundreds of lines, read once into checked options.
//!
//! - [`mod@file`]: the whole file
//! - `line`: the keys of one line
//! - [`values`]: what the texts in it mean
//!
//! How tables are read and errors told is [`daemon::config`]'s. Every key is explained in
//! `docs/terminal-server.toml`.

pub mod file;
mod line;
pub mod values;

pub use file::{Config, KeyReader, read_key};
