//! `terminal-server attach`: a console on a line.
//!
//! - [`core`]: what it decides, sans-IO
//! - [`attach`]: its command line
//! - `driver`: its loop
//! - `screen`: what is shown

pub mod attach;
pub mod core;
mod driver;
mod screen;
