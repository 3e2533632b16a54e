//! The heartbeat function's sockets: all that a standby has.
//!
//! - `networks`: heartbeats out on every path, heartbeats and beacons in
//! - `path`: one receiving socket, and what it needs to be opened
//! - `links`: opening paths, and again when interfaces come, go or change
//! - `refusals`: what was refused, counted
//! - `diagnose`: the facts for [`crate::core::Diagnosis`], and its findings into the log
//! - [`report`]: paths and findings for `status`

mod diagnose;
mod links;
mod networks;
mod path;
mod refusals;
pub mod report;

pub(crate) use networks::{Heard, Networks};

#[cfg(test)]
mod tests;
