//! The real program at a UART with modem lines, break, parity and line errors, as `tests/shim` gives
//! them to a pseudo terminal.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(unreachable_pub, reason = "nothing is outside of a test")]

#[path = "../peers/bench.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod bench;
mod breaks;
mod client;
#[path = "../server/daemon.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod daemon;
mod errors;
mod formats;
mod port;
#[path = "../peers/process.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod process;
#[path = "../peers/python.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod python;
mod returns;
#[path = "../../../tests/shim/uart.rs"]
mod uart;
mod wires;
