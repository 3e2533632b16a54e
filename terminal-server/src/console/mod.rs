//! `terminal-server attach`: a console on a line.
//!
//! - [`core`]: what it decides, sans-IO
//! - [`attach`]: its command line
//! - `driver`: its loop
//! - [`terminal`]: the user's own terminal
//! - [`keyboard`]: what is typed, or piped in
//! - `screen`: what is shown

pub mod attach;
pub mod core;
mod driver;
pub mod keyboard;
mod screen;
pub mod terminal;
