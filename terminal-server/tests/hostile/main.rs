//! The real program among strangers that mean harm, clients that stall, and clients that die: the
//! others keep their service, memory stays bounded, and nothing reaches a line that should not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(unreachable_pub, reason = "nothing is outside of a test")]

mod client;
mod connects;
mod frames;
mod half_open;
mod isolation;
mod observers;
mod scene;
mod stand;
mod swaps;
mod telnet;
mod witness;
