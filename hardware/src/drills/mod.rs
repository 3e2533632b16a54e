//! Every failure that there is a promise for, with real processes on hosts of their own.
//!
//! Each drill lays a chain in a [`crate::net`], does its failure some times, lets the billing
//! system judge and looks the terminal server's own record through. Tests and `cargo lab drills` run
//! the same code; tests run it for a shorter time.
//!
//! - [`case`]: which there are, and what is promised
//! - [`plan`]: how many nodes, how often, how long
//! - [`processes`], [`frames`], [`networks`], [`servers`], [`fitness`], [`company`]: what is done
//! - `wall`: a wall clock of the programs' own
//! - [`mod@run`]: one drill from laying to verdict
//! - [`outcome`]: what became of it
//! - [`suite`], [`cli`]: many of them, for the binary
//! - [`table`], [`picture`]: for people

pub mod case;
pub mod cli;
pub mod company;
pub mod fitness;
pub mod frames;
pub mod networks;
pub mod outcome;
pub mod picture;
pub mod plan;
pub mod processes;
pub mod run;
pub mod servers;
pub mod suite;
pub mod table;
mod wall;

pub use case::{Case, Moves};
pub use outcome::Outcome;
pub use plan::Plan;
pub use run::{missing, run};
