//! The driver: sockets, devices, files and the clock, around the sans-IO core.
//!
//! - [`options`], [`policies`], [`network`]: what a terminal server is told, checked already
//! - [`server`]: the daemon's life, from what can fail to the saved lines
//! - `lines`: the lines that run, started and stopped alone or together
//! - `actor`: the loop of one line, which owns its device and its clients' sockets
//! - `peers`, `stream`: those sockets
//! - [`device`], [`opener`]: opened once, and again whenever it has gone, under whatever name
//! - `listener`, `listeners`: accept connections and find out which line each is for
//! - [`gate`]: how many from each address, and why others were turned away
//! - [`question`]: what a line's loop is asked and told
//! - [`requests`]: what the status socket is asked about single lines
//! - `beacons`, `heralds`, `targets`: tell the groups how their lines stand
//! - [`state`], [`state_file`]: what outlives the process
//! - [`asker`], [`report`]: logs and status
//! - `keeping`, `spool`: what is kept of a line beside the line
//! - [`trace`]: the traffic as text, never slowing the line
//! - `pulse`: the watchdog
//! - `clock`: the one clock

pub(crate) mod actor;
pub mod asker;
pub(crate) mod beacons;
pub(crate) mod clock;
pub mod device;
pub mod gate;
pub(crate) mod heralds;
pub(crate) mod keeping;
pub(crate) mod lines;
pub(crate) mod listener;
pub(crate) mod listeners;
pub mod network;
pub mod opener;
pub mod options;
pub(crate) mod peers;
pub mod policies;
pub(crate) mod pulse;
pub mod question;
pub mod report;
pub mod requests;
pub mod server;
pub(crate) mod spool;
pub mod state;
pub mod state_file;
pub(crate) mod stream;
pub(crate) mod targets;
pub mod trace;

pub use asker::Asker;
pub use gate::RefusalReport;
pub use network::Network;
pub use options::{
    BeaconOptions, Limits, LineOptions, ListenOptions, Missing, Options, PortOptions, Speech,
};
pub use policies::Policies;
pub use report::{LineReport, ListenerReport, ServerReport};
pub use server::{Reloads, RunError, Server, StartError, run};
