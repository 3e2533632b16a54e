//! The seam between a dialect and whoever drives it.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;

/// One frame for the line, and what it settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The frame, whole. It is written in one piece or not at all; never merged with another, since
    /// a frame is the unit that a change of holder may drop.
    pub bytes: Bytes,
    /// End offset (bytes since the start of the input stream) of what this frame answers: all input
    /// before it is done with once the frame has left. The two must take effect together, or a
    /// successor would answer twice (acknowledged too late) or never (too early).
    pub ack: Option<u64>,
}

/// A link protocol as a value, usable from both ends of the line.
///
/// The calling contract:
///
/// 1. Tell the engine what happened with `handle_bytes`, `handle_timeout`, or a command of the
///    concrete type. `now` is the time since boot and never goes back.
/// 2. Then drain it: `poll_transmit` and `poll_event` until each returns `None`. Queues inside grow
///    with what was handed in and are bounded only by being drained before the next call.
/// 3. Then ask `poll_timeout` for the one next deadline. When it passes, call `handle_timeout`.
///    Calling it early is harmless.
///
/// Any division of the same input into chunks gives the same frames and the same events.
pub trait LinkEngine {
    /// What the engine reports to its owner.
    type Event;

    /// Takes bytes as they came from the line; any chunk, empty ones included.
    fn handle_bytes(&mut self, bytes: &[u8], now: Duration);

    /// Takes notice that the time is `now`; does what fell due.
    fn handle_timeout(&mut self, now: Duration);

    /// The next frame for the line, in order.
    fn poll_transmit(&mut self) -> Option<Transmit>;

    /// The next thing to know, in order.
    fn poll_event(&mut self) -> Option<Self::Event>;

    /// When `handle_timeout` is wanted, as time since boot; `None` while nothing is timed.
    fn poll_timeout(&self) -> Option<Duration>;
}
