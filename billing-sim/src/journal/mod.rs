//! Journals: every byte of a run with its time, what it meant, and what the judge said of it.
//!
//! - [`file`](mod@file): lines of JSON; reading them, also when the last one is cut off.
//! - [`writer`]: writing them beside a run that never waits.
//! - [`frames`]: which of the bytes belong together.
//! - [`meaning`]: what they say, in words.
//! - [`show`]: a journal for people, and for their programs.
//! - [`replay`]: the billing system's bytes once more, and whether the same comes back.
//! - [`player`]: the same on a real port and the real clock.
//! - [`args`]: the command lines of the two.
//! - [`program`]: what the binary does with them.

pub mod args;
pub mod file;
pub mod frames;
pub mod meaning;
pub mod player;
pub mod program;
pub mod replay;
pub mod show;
pub mod writer;

pub use file::{Footer, Header, Journal, JournalError};
pub use frames::{Direction, Ended, Frame, Frames};
pub use writer::{Writer, Written};
