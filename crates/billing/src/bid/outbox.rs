//! Outputs with the acknowledgement and the note that belong to them.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;

use bytes::Bytes;

use crate::gateway::Output;

/// Outputs on their way to the terminal server; remembers what it was told last.
#[derive(Debug)]
pub struct Outbox {
    outputs: VecDeque<Output>,
    acked: u64,
    note: Bytes,
}

impl Outbox {
    /// The terminal server knows this acknowledgement and this note.
    pub fn new(acked: u64, note: Bytes) -> Self {
        Self { outputs: VecDeque::new(), acked, note }
    }

    /// A frame, and what is true once it has left.
    pub fn frame(&mut self, bytes: Bytes, ack: u64, note: Bytes) {
        self.acked = self.acked.max(ack);
        let note = (note != self.note).then(|| {
            self.note = note.clone();
            note
        });
        self.outputs.push_back(Output { bytes, ack: self.acked, note });
    }

    /// Says what is true without a frame, if it is news.
    pub fn bare(&mut self, ack: u64, note: Bytes) {
        if ack > self.acked || note != self.note {
            self.frame(Bytes::new(), ack, note);
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_never_falls_and_a_note_is_said_once() {
        let note = |text: &'static str| Bytes::from_static(text.as_bytes());
        let mut outbox = Outbox::new(10, note("a"));
        outbox.bare(10, note("a"));
        assert_eq!(outbox.poll_output(), None);
        outbox.frame(note("x"), 9, note("b"));
        outbox.bare(12, note("b"));
        let first = Output { bytes: note("x"), ack: 10, note: Some(note("b")) };
        let second = Output { bytes: Bytes::new(), ack: 12, note: None };
        assert_eq!((outbox.poll_output(), outbox.poll_output()), (Some(first), Some(second)));
    }
}
