//! The real program and other people's clients, as real processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(unreachable_pub, reason = "nothing is outside of a test")]

mod bench;
#[path = "../server/daemon.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod daemon;
mod gensio;
mod plain;
mod process;
mod pyserial;
mod python;
mod rough;
