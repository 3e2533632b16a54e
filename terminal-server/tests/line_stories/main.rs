//! Stories over the line's core alone: no socket, no clock, no device. Each is named after the
//! rule of the design that it holds; `i1` to `i5` are its invariants.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(unreachable_pub, reason = "nothing is outside of a test")]

mod deeds;
mod grants;
mod input;
mod observers;
mod output;
mod properties;
mod refusals;
mod restart;
mod seats;
mod stage;
