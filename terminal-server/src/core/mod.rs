//! The terminal server's heart, sans-IO: no socket, clock, task, file or random number inside.
//!
//! - [`mod@line`]: one line, the calling contract, and what happens when
//! - [`arbiter`]: who holds the line, under which epoch, until when
//! - [`input`]: the numbered ring of what was read
//! - [`output`]: records on their way to the tty, paced
//! - `pace`: how fast that goes
//! - `packing`: when input that has come is sent on
//! - [`deed`]: what clients ask of the device beside sending bytes
//! - [`telnet`]: one telnet client and RFC 2217
//! - [`client`]: one connection's place in the protocol and what waits to be sent to it
//! - [`announcer`]: when which beacon goes out
//! - [`saved`]: what outlives the process

#![deny(clippy::disallowed_methods)]

pub mod announcer;
pub mod arbiter;
pub mod client;
pub mod config;
pub mod deed;
pub mod input;
pub mod line;
pub mod output;
mod pace;
mod packing;
pub mod saved;
pub mod telnet;

pub use announcer::Announcer;
pub use client::{ClientId, ClientKind};
pub use config::{FrameEnd, GroupKeys, LineConfig, ObserverLag, OnBusy, Packing};
pub use deed::{Deed, Outcome, SpoolEntry};
pub use line::{Action, Counters, Line, Occurrence};
pub use saved::{Saved, Start};
pub use telnet::TelnetOptions;
