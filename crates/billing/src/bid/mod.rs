//! Bid and acknowledge: the link engine of `hx` and `cable`, usable from both ends of the line.
//!
//! ```text
//! sender                          receiver
//! ENQ                 ──▶                       may I?
//!                     ◀──         ACK (ACK0)    go ahead
//! STX text ETX check  ──▶
//!                     ◀──         ACK (ACK1)    it is mine now
//! EOT                 ──▶                       where the profile has it
//! ```
//!
//! One text is outstanding at a time, so the engine's whole state is a few counters and the text:
//! small enough for a note, and a successor goes on in the middle of a conversation.
//!
//! - [`check`]: the check of a text, and the bytes of a frame.
//! - [`profile`]: what distinguishes the dialects: answers, timers, counts, who yields.
//! - [`scan`]: from bytes to what they say, each with its place in the stream.
//! - [`link`]: the two roles, and contention between them; [`state`]: where it stands, for a note.
//! - [`outbox`]: outputs with the acknowledgement and the note that belong to them.
//! - [`mischief`]: what a billing system can be told to do wrong.
//! - [`values`]: settings from text.

pub mod check;
pub mod link;
pub mod mischief;
pub mod outbox;
pub mod profile;
pub mod scan;
pub mod state;
pub mod values;

#[cfg(test)]
pub(crate) mod abuse;
#[cfg(test)]
pub(crate) mod chain;
#[cfg(test)]
mod link_tests;

pub use check::{Check, frame};
pub use link::{Event, Link};
pub use profile::{Answers, Profile};
pub use scan::{Answer, MAX_TEXT};
