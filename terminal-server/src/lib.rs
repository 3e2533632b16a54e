//! The terminal server: bridges serial lines to TCP and decides who may have each of them.
//!
//! - [`core`]: what it decides, sans-IO
//! - [`driver`]: what it does, around the core

pub mod core;
pub mod driver;

pub use driver::{Access, BeaconOptions, Options, PortOptions, Server};
