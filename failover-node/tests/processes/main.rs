//! Real processes: a guard with its payload (I7), and whole nodes before a line of the tests' own.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod bridges;
mod commands;
mod gates;
mod gateways;
mod guard;
mod headend;
mod line;
mod node;
mod operations;
mod standby;
mod stores;
mod streams;
mod support;
