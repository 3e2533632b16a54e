//! The real program: real processes, sockets and pseudo terminals on this machine.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(unreachable_pub, reason = "nothing is outside of a test")]

mod beacons;
mod client;
mod daemon;
mod device;
mod life;
mod raw;
mod refusals;
mod restart;
mod start;
