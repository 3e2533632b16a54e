//! What distinguishes the dialects of the engine.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use super::check::Check;

/// How a good bid and a good text are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// ACK to both. Which of them an ACK belongs to says only its time.
    Plain,
    /// ACK0 to a bid, then ACK1, ACK0, … to its texts. ENQ asks for the last answer again, and the
    /// answer's parity says whether the text has arrived.
    Alternating,
}

/// A dialect's parameters, the same at both ends but for `yields` and `receives`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// How texts are checked.
    pub check: Check,
    /// How bids and texts are answered.
    pub answers: Answers,
    /// Whether a sender ends with EOT.
    pub eot: bool,
    /// Whether this end takes texts. One that does not leaves bids without an answer.
    pub receives: bool,
    /// Whether this end gives way when both bid at once.
    pub yields: bool,
    /// How long a bid may remain without an answer.
    pub bid_timeout: Duration,
    /// Wait after a bid that was answered "not now".
    pub bid_pause: Duration,
    /// Bids without success before giving up.
    pub bid_tries: u8,
    /// How long a text may remain without an answer.
    pub text_timeout: Duration,
    /// Wait after a refused text before the next bid (plain answers only).
    pub text_pause: Duration,
    /// Transmissions of a text before giving up.
    pub text_tries: u8,
    /// Silence inside a text that ends it.
    pub text_silence: Duration,
    /// How long a receiver waits for its sender's next word before the line is free again.
    pub turn_timeout: Duration,
}
