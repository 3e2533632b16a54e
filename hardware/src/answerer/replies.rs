//! The answerer's thinking, as a value.

use std::collections::VecDeque;
use std::time::Duration;

use billing::LinkEngine;
use billing::numbered::{Gateway, Received};
use bytes::Bytes;
use wire::frame::OUTPUT_WINDOW;
use wire::{Ack, EventKind, Frame, Output};

use super::misdeeds::Misdeeds;

/// Turns what the node hands to its payload into what the payload has to say.
///
/// Contract: call [`Replies::handle_frame`], then send all that [`Replies::poll_frame`] yields.
#[derive(Debug)]
pub struct Replies {
    misdeeds: Misdeeds,
    gateway: Option<Gateway>,
    /// Answers that are not handed out: the window is full.
    waiting: VecDeque<Answer>,
    position: u64,
    /// Output before this position was handed to the tty.
    accepted: u64,
    /// Noise acknowledged by itself.
    acked: u64,
    handed_out: u64,
}

#[derive(Debug)]
struct Answer {
    bytes: Bytes,
    ack: Option<u64>,
    /// The number of the record, for the successor.
    note: Bytes,
}

/// The node said what it must not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} has no place here")]
pub struct Misplaced(&'static str);

impl Replies {
    /// Before the grant.
    pub fn new(misdeeds: Misdeeds) -> Self {
        Self {
            misdeeds,
            gateway: None,
            waiting: VecDeque::new(),
            position: 0,
            accepted: 0,
            acked: 0,
            handed_out: 0,
        }
    }

    /// Takes a frame from the node.
    ///
    /// # Errors
    /// The frame is none for a payload, or comes before GRANT. Nothing was changed.
    pub fn handle_frame(&mut self, frame: Frame) -> Result<(), Misplaced> {
        match (&mut self.gateway, frame) {
            (gateway @ None, Frame::Grant(grant)) => {
                *gateway = Some(Gateway::new(grant.acked));
                self.position = grant.position;
                self.accepted = grant.position;
            }
            (Some(gateway), Frame::Input(input)) => {
                gateway.handle_input(input.offset, &input.bytes, NO_TIME);
                self.collect();
            }
            (Some(gateway), Frame::Event(event)) => {
                if let EventKind::Gap(_) = event.kind {
                    gateway.handle_gap(event.offset);
                    self.collect();
                }
            }
            (Some(_), Frame::Written(written)) => self.accepted = written.accepted,
            (_, other) => return Err(Misplaced(other.name())),
        }
        Ok(())
    }

    /// The next frame for the node, if the window has room for it.
    pub fn poll_frame(&mut self) -> Option<Frame> {
        let Some(next) = self.waiting.front() else { return self.noise() };
        let end = self.position + next.bytes.len() as u64;
        if end - self.accepted > OUTPUT_WINDOW || self.hangs() {
            return None;
        }
        let Answer { bytes, ack, note } = self.waiting.pop_front()?;
        let output = Output { position: self.position, ack, note: Some(note), bytes };
        self.position = end;
        self.handed_out += 1;
        Some(Frame::Output(output))
    }

    /// Whether it is time to crash.
    pub fn crashes(&self) -> bool {
        self.misdeeds.crash_after.is_some_and(|after| self.handed_out >= after)
    }

    fn hangs(&self) -> bool {
        self.misdeeds.hang_after.is_some_and(|after| self.handed_out >= after)
    }

    fn collect(&mut self) {
        let Some(gateway) = &mut self.gateway else { return };
        let mut numbers = VecDeque::new();
        while let Some(event) = gateway.poll_event() {
            if let Received::Record { record, .. } = event {
                numbers.push_back(record.number());
            }
        }
        // Events and answers come in the same order, one answer a record.
        while let Some(transmit) = gateway.poll_transmit() {
            let number = u64::from(numbers.pop_front().unwrap_or_default());
            let note: Bytes = format!("last {number}").into();
            let Self { misdeeds, waiting, .. } = self;
            if misdeeds.lose_every.is_some_and(|every| number.is_multiple_of(every.get())) {
                continue;
            }
            let answer =
                || Answer { bytes: transmit.bytes.clone(), ack: transmit.ack, note: note.clone() };
            waiting.push_back(answer());
            if misdeeds.double_every.is_some_and(|every| number.is_multiple_of(every.get())) {
                waiting.push_back(answer());
            }
        }
    }

    /// An acknowledgement for noise that no answer has carried, once every answer has left: noise
    /// alone must not look like a payload that stalls.
    fn noise(&mut self) -> Option<Frame> {
        let offset = self.gateway.as_ref()?.unanswered_damage()?;
        if self.accepted < self.position || offset <= self.acked {
            return None;
        }
        self.acked = offset;
        Some(Frame::Ack(Ack { offset, note: None }))
    }
}

/// The dialect has no timers.
const NO_TIME: Duration = Duration::ZERO;

#[cfg(test)]
mod tests {
    use billing::numbered::{answer_for, record, record_bytes};
    use wire::{Epoch, Grant, Input, LastFrame, LineEvent, Written};

    use super::*;

    fn granted(misdeeds: Misdeeds, acked: u64, position: u64) -> Replies {
        let mut replies = Replies::new(misdeeds);
        let grant = Grant {
            epoch: Epoch::new(1, 1),
            lease_ms: 400,
            incarnation: 1,
            acked,
            delivered: acked,
            end: acked,
            position,
            last: LastFrame::default(),
            note: Bytes::new(),
            mac: [0; 32],
        };
        replies.handle_frame(Frame::Grant(grant)).unwrap();
        replies
    }

    fn input(offset: u64, bytes: Vec<u8>) -> Frame {
        Frame::Input(Input { offset, bytes: bytes.into() })
    }

    fn outputs(replies: &mut Replies) -> Vec<Output> {
        let frames = std::iter::from_fn(|| replies.poll_frame());
        let output = |frame| match frame {
            Frame::Output(output) => output,
            other => panic!("{other:?}"),
        };
        frames.map(output).collect()
    }

    #[test]
    fn an_answer_follows_on_and_carries_its_acknowledgement_and_note() {
        let mut replies = granted(Misdeeds::default(), 100, 7);
        let (one, two) = (record_bytes(1, 41), record_bytes(1, 42));
        let (end_one, end_two) = (100 + one.len() as u64, 100 + (one.len() + two.len()) as u64);
        replies.handle_frame(input(100, [one, two].concat())).unwrap();
        let out = outputs(&mut replies);
        assert_eq!(out[0].bytes, answer_for(&record(1, 41)));
        assert_eq!((out[0].position, out[0].ack), (7, Some(end_one)));
        assert_eq!((out[1].position, out[1].ack), (out[0].end(), Some(end_two)));
        assert_eq!(out[1].note.as_deref(), Some(&b"last 42"[..]));
    }

    #[test]
    fn no_more_is_handed_out_than_the_window_allows() {
        let mut replies = granted(Misdeeds::default(), 0, 0);
        let mut offset = 0;
        for number in 1..=400 {
            let bytes = record_bytes(1, number);
            let end = offset + bytes.len() as u64;
            replies.handle_frame(input(offset, bytes)).unwrap();
            offset = end;
        }
        let first = outputs(&mut replies);
        let accepted = first.last().unwrap().end();
        assert!(accepted <= OUTPUT_WINDOW && accepted + 29 > OUTPUT_WINDOW);
        let written = Written { accepted, drained: 0 };
        replies.handle_frame(Frame::Written(written)).unwrap();
        assert_eq!(first.len() + outputs(&mut replies).len(), 400);
    }

    #[test]
    fn a_gap_is_not_spliced_and_noise_alone_is_acknowledged() {
        let mut replies = granted(Misdeeds::default(), 0, 0);
        let one = record_bytes(1, 1);
        replies.handle_frame(input(0, one[..10].to_vec())).unwrap();
        let gap = LineEvent { offset: 12, kind: EventKind::Gap(2) };
        replies.handle_frame(Frame::Event(gap)).unwrap();
        replies.handle_frame(input(12, one[12..].to_vec())).unwrap();
        let ack = Ack { offset: one.len() as u64, note: None };
        assert_eq!(replies.poll_frame(), Some(Frame::Ack(ack)));
        assert_eq!(replies.poll_frame(), None);
    }

    #[test]
    fn nothing_comes_before_the_grant() {
        let mut replies = Replies::new(Misdeeds::default());
        assert_eq!(replies.handle_frame(input(0, vec![b'R'])), Err(Misplaced("INPUT")));
    }

    #[test]
    fn misdeeds_are_done() {
        let every = std::num::NonZeroU64::new(2);
        let stream = (1..=4).flat_map(|n| record_bytes(1, n)).collect::<Vec<_>>();
        let count = |misdeeds| {
            let mut replies = granted(misdeeds, 0, 0);
            replies.handle_frame(input(0, stream.clone())).unwrap();
            (outputs(&mut replies).len(), replies.crashes())
        };
        assert_eq!(count(Misdeeds::default()), (4, false));
        assert_eq!(count(Misdeeds { lose_every: every, ..Misdeeds::default() }), (2, false));
        assert_eq!(count(Misdeeds { double_every: every, ..Misdeeds::default() }), (6, false));
        assert_eq!(count(Misdeeds { hang_after: Some(3), ..Misdeeds::default() }), (3, false));
        assert_eq!(count(Misdeeds { crash_after: Some(3), ..Misdeeds::default() }), (4, true));
    }
}
