//! Drills on real processes: what must hold when programs are killed, stopped, flooded and deceived.
//!
//! Each test prints what it measured. Those that start a chain run one at a time: see [`common`].

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod answerer;
mod busy;
mod common;
mod company;
mod deceit;
mod fitness;
mod intrusion;
mod killed;
mod loss;
mod network;
mod networks;
mod partition;
mod planned;
mod power;
mod program;
mod quiet;
mod releases;
mod rollover;
mod server;
mod standby;
mod start;
mod stopped;
