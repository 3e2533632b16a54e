//! The real program: real processes, sockets and pseudo terminals on this machine.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(unreachable_pub, reason = "nothing is outside of a test")]

mod beacons;
mod client;
mod config;
mod daemon;
mod device;
mod life;
mod many;
mod observe;
mod raw;
mod refusals;
mod reload;
mod restart;
mod start;
