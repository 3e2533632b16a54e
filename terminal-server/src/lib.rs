//! The terminal server: bridges serial lines to TCP and decides who may have each of them.

pub mod core;
