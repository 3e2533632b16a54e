//! The simulated world: the real cores of node and terminal server in a false world that breaks.
//!
//! Everything comes from one seed: the times, the network, the faults. The same seed gives the
//! same run to the last event, so a failing schedule replays alone.
//!
//! - [`setting`]: what the seed decides at first: how many nodes, which times, what kind of faults
//! - [`clock`]: each host's own boot clock, with its own rate
//! - [`queue`]: what is going to happen
//! - [`network`]: datagrams that are lost, doubled and late; connections that stall and break
//! - [`billing`]: records into the line, and what a component answers
//! - [`oracle`]: the invariants, judged from outside
//! - [`beliefs`]: what a node may believe of its peers and of the line
//! - [`payload`], [`tenure`]: the component, and the guard that ends it
//! - [`nodes`], [`server`]: the two drivers, as hostile as drivers can be
//! - [`strangers`]: other groups, other keys, a false terminal server
//! - [`faults`], [`deeds`]: what is done to whom, and how
//! - [`coverage`]: what the schedules met
//! - [`schedule`]: one run from its seed to its verdict

pub mod beliefs;
pub mod billing;
pub mod clock;
pub mod coverage;
pub mod deeds;
pub mod faults;
pub mod network;
pub mod nodes;
pub mod oracle;
pub mod payload;
pub mod queue;
pub mod schedule;
pub mod server;
pub mod setting;
pub mod strangers;
pub mod tenure;

pub use coverage::{Class, Coverage};
pub use faults::Fault;
pub use schedule::{Outcome, World, run};
pub use setting::{Kind, Setting};
