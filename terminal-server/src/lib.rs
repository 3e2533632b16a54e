//! The terminal server: bridges serial lines to TCP and decides who may have each of them.
//!
//! - [`core`]: what it decides, sans-IO
//! - [`driver`]: what it does, around the core
//! - [`config`]: the configuration file
//! - [`cli`], [`program`]: the command line, and what the binary does with it
//! - [`table`]: what it prints
//! - [`tools`]: what it does beside serving lines
//! - [`console`]: a console on a line, for people and scripts

pub mod cli;
pub mod config;
pub mod console;
pub mod core;
pub mod driver;
pub mod program;
pub mod table;
pub mod tools;

pub use driver::{BeaconOptions, LineOptions, ListenOptions, Options, PortOptions, Server, run};
