//! The configuration file: TOML for one node, its networks and its lines, read into checked options.
//!
//! - [`mod@file`]: the whole file
//! - `node`: the keys of `[node]`
//! - `network`: the keys of `[[network]]`
//! - `line`: the keys of `[[line]]`
//! - `billing`: those of a line with the built-in gateway
//! - `commands`: the keys of `[check]` and `[[hook]]`
//! - [`keys`]: where keys come from
//! - [`values`]: what the texts in it mean
//! - `advice`: what is allowed and unwise
//! - [`summary`]: what a checked file comes to
//!
//! How tables are read and errors told is [`daemon::config`]'s. Every key is explained in
//! `docs/failover-node.toml`.

mod advice;
mod billing;
pub(crate) mod commands;
pub mod file;
pub mod keys;
mod line;
mod network;
mod node;
pub mod summary;
pub mod values;

pub use file::Config;
pub use keys::KeyReader;
