//! The end of the line that sends records: the billing system.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use super::frame::Record;
use super::parser::{Parser, Received};
use crate::engine::{LinkEngine, Transmit};

/// Sends records as fast as it is given them and reports the answers. It waits for none: pacing and
/// judging are its owner's.
#[derive(Debug)]
pub struct Source {
    parser: Parser,
    transmits: VecDeque<Transmit>,
}

impl Source {
    /// A source whose stream of answers starts at offset 0.
    pub fn new() -> Self {
        Self { parser: Parser::new(0), transmits: VecDeque::new() }
    }

    /// Queues `record` for the line.
    pub fn send(&mut self, record: &Record) {
        self.transmits.push_back(Transmit { bytes: record.to_bytes().into(), ack: None });
    }

    /// Bytes of the answer stream that are not yet part of any event: a cut answer, at the end.
    pub fn pending(&self) -> &[u8] {
        self.parser.pending()
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::new()
    }
}

impl LinkEngine for Source {
    type Event = Received;

    fn handle_bytes(&mut self, bytes: &[u8], _now: Duration) {
        self.parser.handle_bytes(bytes);
    }

    fn handle_timeout(&mut self, _now: Duration) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    fn poll_event(&mut self) -> Option<Received> {
        self.parser.poll_event()
    }

    /// Always `None`: the dialect has no timers.
    fn poll_timeout(&self) -> Option<Duration> {
        None
    }
}
