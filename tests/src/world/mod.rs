//! The simulated world: the real cores of node and terminal server in a false world that breaks.
//!
//! Everything comes from one seed: the times, the network, the faults. The same seed gives the
//! same run to the last event, so a failing schedule replays alone.
//!
//! - [`clock`]: each host's own boot clock, with its own rate
//! - [`network`]: datagrams that are lost, doubled and late; connections that stall and break
//! - [`billing`]: records into the line, and what a component answers
//! - [`oracle`]: the invariants, judged from outside
//! - [`payload`]: the component and the guard that ends it
//! - [`nodes`], [`server`]: the two drivers, as hostile as drivers can be
//! - [`faults`]: what is done to whom, and when
//! - [`schedule`]: one run from its seed to its verdict

pub mod billing;
pub mod clock;
pub mod faults;
pub mod network;
pub mod nodes;
pub mod oracle;
pub mod payload;
pub mod schedule;
pub mod server;

pub use faults::Fault;
pub use schedule::{Outcome, World, run};
