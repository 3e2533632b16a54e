//! The terminal server: bridges serial lines to TCP and decides who may have each of them.
//!
//! - [`core`]: what it decides, sans-IO
//! - [`driver`]: what it does, around the core
//! - [`cli`], [`program`]: the command line, and what the binary does with it
//! - [`table`]: what it prints

pub mod cli;
pub mod core;
pub mod driver;
pub mod program;
pub mod table;

pub use driver::{Access, BeaconOptions, Options, PortOptions, Server, run};
