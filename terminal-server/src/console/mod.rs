//! `terminal-server attach`: a console on a line.
//!
//! - [`terminal`]: the user's own terminal
//! - [`keyboard`]: what is typed, or piped in

pub mod keyboard;
pub mod terminal;
