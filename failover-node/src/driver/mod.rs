//! The node's body: sockets, pipes, processes and the clock, around the core.
//!
//! - [`options`]: what a node is told at its start
//! - [`network`]: heartbeats and beacons, by multicast and unicast, and what is wrong with them
//! - `connection`: the connection to the terminal server
//! - `station`: what there is for each line
//! - [`node_loop`]: the one loop
//! - `deeds`: what the core asks for, done
//! - [`requests`], [`report`]: the status socket's questions, and what it shows
//! - [`reload`]: new settings for a running node
//! - `lateness`: whether the host can keep the profile
//! - [`hooks`], [`check`]: the operator's commands, and `command`, one run of one
//! - `journal`: what happens, as log lines
//! - [`events`], `event_file`: the journal of role changes

pub mod check;
pub mod command;
pub(crate) mod connection;
mod deeds;
mod event_file;
pub mod events;
mod gate;
pub mod hooks;
mod journal;
mod lateness;
pub mod network;
pub mod node_loop;
pub mod options;
pub mod reload;
pub mod report;
pub mod requests;
pub(crate) mod station;

pub use events::RoleChange;
pub use node_loop::{Error, run, run_reloading};
pub use options::{Check, Hook, Hooks, LineOptions, Network, Options};
pub use report::NodeReport;
