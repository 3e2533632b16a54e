//! The real program: real processes, sockets and pseudo terminals on this machine.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(unreachable_pub, reason = "nothing is outside of a test")]

mod adapters;
mod beacons;
mod client;
mod config;
mod daemon;
mod device;
mod keys;
mod life;
#[allow(dead_code, reason = "tests of crates/sys use the rest")]
#[path = "../../../crates/sys/src/machine.rs"]
mod machine;
mod many;
mod observe;
mod plain;
mod raw;
mod refusals;
mod reload;
mod restart;
mod start;
