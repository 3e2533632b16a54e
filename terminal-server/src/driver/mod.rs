//! The driver: sockets, the device, files and the clock, around the sans-IO core.
//!
//! - [`options`]: what a terminal server is told at its start
//! - [`server`]: the daemon's life, from what can fail to the saved line
//! - `actor`: the loop of one line, which owns its device and its clients' sockets
//! - `peers`: those sockets
//! - [`device`]: opened once, and again whenever it has gone
//! - `listener`: accepts connections and finds out which line each is for
//! - [`question`]: what a line's loop is asked and told
//! - [`requests`]: what the status socket is asked about single lines
//! - `beacons`: tells the group how its lines stand
//! - [`state`], [`state_file`]: what outlives the process
//! - [`report`]: logs and status
//! - [`trace`]: the traffic as text, never slowing the line
//! - `clock`: the one clock

pub(crate) mod actor;
pub(crate) mod beacons;
pub(crate) mod clock;
pub mod device;
pub(crate) mod listener;
pub mod options;
pub(crate) mod peers;
pub mod question;
pub mod report;
pub mod requests;
pub mod server;
pub mod state;
pub mod state_file;
pub mod trace;

pub use options::{Access, BeaconOptions, Options, PortOptions};
pub use report::{CounterReport, LineReport, ServerReport};
pub use server::{Asker, RunError, Server, StartError, run};
