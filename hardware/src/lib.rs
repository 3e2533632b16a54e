//! The lab: the whole chain of real processes on one machine, driven through failures and judged.
//!
//! One terminal server, some nodes with the [`answerer`] as payload, a virtual cable and a billing
//! system that knows what must come back. Tests use the same chain as the binary.
//!
//! What there is:
//! - [`settings`], [`programs`], [`place`]: what a chain is made of, where its programs are, where
//!   it meets
//! - [`net`]: hosts of their own on this machine, whose frames can be made to vanish
//! - [`ear`]: listens to heartbeats and beacons
//! - [`far`]: the cable and the billing system
//! - [`process`]: a program, started, listened to and ended whatever happens
//! - [`answerer`]: the payload that the nodes run, in the lab's own dialect
//! - [`accounts`]: a chain that speaks a billing dialect
//! - [`chain`]: all of it together
//! - `commands`: how its programs are started
//!
//! What happens:
//! - [`saying`], [`deed`], [`timeline`]: what each program says and the lab does, on one clock
//! - [`history`]: who held the line
//! - [`ledger`]: whose bytes were on the line, by the terminal server's own record
//! - [`control`], [`cuts`], [`recovery`]: what can be done to the chain, and how it is seen to recover
//! - [`drill`], [`schedule`], [`session`]: a failure, many of them, a whole run
//!
//! What comes of it:
//! - [`report`], [`show`]: for machines, for people
//! - [`document`], [`drawing`]: pages with tables, pictures
//! - [`cli`], [`program`]: the binary
//! - [`drills`]: every failure that there is a promise for, in networks of their own
//! - [`mod@bench`]: the terminal server's speed and cost beside others
//! - [`error`]: why the lab cannot go on

pub mod accounts;
pub mod answerer;
pub mod bench;
pub mod chain;
pub mod cli;
mod commands;
pub mod control;
pub mod cuts;
pub mod deed;
pub mod document;
pub mod drawing;
pub mod drill;
pub mod drills;
pub mod ear;
pub mod error;
pub mod far;
pub mod history;
pub mod ledger;
pub mod net;
pub mod place;
pub mod process;
pub mod program;
pub mod programs;
pub mod recovery;
pub mod report;
pub mod saying;
pub mod schedule;
pub mod session;
pub mod settings;
pub mod show;
pub mod timeline;

pub use accounts::{Accounts, Speech};
pub use chain::Chain;
pub use drill::{Drill, Held, Kind};
pub use error::{LabError, Result};
pub use far::Wire;
pub use place::Ground;
pub use programs::Programs;
pub use report::{LabReport, Spread, Summary};
pub use schedule::Schedule;
pub use settings::Settings;
pub use timeline::{Entry, Source, Timeline, What};
