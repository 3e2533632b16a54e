//! Between the line protocol's frames and plain bytes, for those who know no frames. Sans-IO.
//!
//! Input is acknowledged when its bytes were written to the taker, not before: what it does with
//! them nobody knows. What it says becomes OUTPUT, a record at a time, within the output window.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use wire::frame::{MAX_OUTPUT, OUTPUT_WINDOW};
use wire::{Ack, EventKind, Frame, Grant, Input, Output, Time};

use super::options::Stream;

/// The state of one grant.
#[derive(Debug)]
pub(crate) struct StreamCodec {
    gap: Duration,
    /// Input that waits for the taker, in pieces without a hole.
    input: VecDeque<(u64, BytesMut)>,
    waiting: usize,
    /// Input before this offset has come in.
    received: u64,
    /// Input before this offset was written to the taker, and was acknowledged.
    written: u64,
    acked: u64,
    /// Position of the next OUTPUT, and how far the terminal server has taken it.
    position: u64,
    accepted: u64,
    /// The record that is not at its end yet, and when it will be.
    record: BytesMut,
    due: Option<Time>,
    outputs: VecDeque<Frame>,
    counts: StreamCounts,
}

/// What was counted under one grant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StreamCounts {
    /// Bytes that a predecessor was given without acknowledging them: the taker sees them again.
    pub(crate) in_doubt: u64,
    /// Bytes written to the taker, and so acknowledged.
    pub(crate) taken: u64,
    /// Bytes of output made of what the taker said.
    pub(crate) said: u64,
    /// Bytes of input that the terminal server has lost, as far as it knows.
    pub(crate) lost: u64,
    /// Gaps, breaks and line errors, none of which plain bytes can show.
    pub(crate) events: u64,
}

impl StreamCodec {
    /// Before a grant.
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            gap: stream.gap,
            input: VecDeque::new(),
            waiting: 0,
            received: 0,
            written: 0,
            acked: 0,
            position: 0,
            accepted: 0,
            record: BytesMut::new(),
            due: None,
            outputs: VecDeque::new(),
            counts: StreamCounts::default(),
        }
    }

    /// The grant says where both directions begin.
    pub(crate) fn begin(&mut self, grant: &Grant) {
        (self.received, self.written, self.acked) = (grant.acked, grant.acked, grant.acked);
        (self.position, self.accepted) = (grant.position, grant.position);
        self.counts.in_doubt = grant.delivered.saturating_sub(grant.acked);
    }

    /// A frame has come for the taker.
    pub(crate) fn handle_frame(&mut self, frame: &Frame) {
        match frame {
            Frame::Input(input) => self.receive(input),
            Frame::Written(written) => self.accepted = self.accepted.max(written.accepted),
            Frame::Event(event) => {
                self.counts.events += 1;
                if let EventKind::Gap(bytes) = event.kind {
                    self.counts.lost = self.counts.lost.saturating_add(bytes);
                }
            }
            _ => {}
        }
    }

    fn receive(&mut self, input: &Input) {
        // What has come before is not given twice.
        let known = self.received.saturating_sub(input.offset).min(input.bytes.len() as u64);
        let bytes = &input.bytes[known as usize..];
        if bytes.is_empty() {
            return;
        }
        let offset = input.offset + known;
        match self.input.back_mut() {
            Some((start, piece)) if *start + piece.len() as u64 == offset => {
                piece.extend_from_slice(bytes);
            }
            _ => self.input.push_back((offset, BytesMut::from(bytes))),
        }
        self.waiting += bytes.len();
        self.received = input.end();
    }

    /// Bytes that wait for the taker; bounded by the input window.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// What to write to the taker next. Empty: nothing at present.
    pub(crate) fn to_write(&self) -> &[u8] {
        self.input.front().map_or(&[], |(_, piece)| piece)
    }

    /// The first so many bytes of [`Self::to_write`] were written.
    pub(crate) fn handle_written(&mut self, count: usize) {
        let Some((offset, piece)) = self.input.front_mut() else { return };
        let count = count.min(piece.len());
        piece.advance(count);
        *offset += count as u64;
        self.written = *offset;
        self.waiting -= count;
        self.counts.taken += count as u64;
        if piece.is_empty() {
            self.input.pop_front();
        }
    }

    /// Nothing more is written: what waits stays unacknowledged, and so at the terminal server.
    pub(crate) fn keep_the_rest(&mut self) {
        self.input.clear();
        self.waiting = 0;
    }

    /// How many bytes may be read from the taker: what the output window has room for.
    pub(crate) fn room(&self) -> usize {
        let end = self.position + self.record.len() as u64;
        OUTPUT_WINDOW.saturating_sub(end.saturating_sub(self.accepted)) as usize
    }

    /// The taker has said this, at most [`Self::room`] bytes.
    pub(crate) fn handle_read(&mut self, bytes: &[u8], now: Time) {
        self.record.extend_from_slice(bytes);
        while self.record.len() >= MAX_OUTPUT {
            self.end_record(MAX_OUTPUT);
        }
        self.due = (!self.record.is_empty()).then(|| now + self.gap);
        self.handle_timeout(now);
    }

    /// The taker says nothing more, so its last record is at its end.
    pub(crate) fn finish(&mut self) {
        self.end_record(self.record.len());
        self.due = None;
    }

    /// When [`Self::handle_timeout`] is to be called: a record may have ended. With a full window
    /// nobody listens, so silence is no end; at least 6 KiB are on their way and make room again.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.due.filter(|_| self.room() > 0)
    }

    /// The time has come, or not yet.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.finish();
        }
    }

    fn end_record(&mut self, len: usize) {
        let bytes: Bytes = self.record.split_to(len).freeze();
        if bytes.is_empty() {
            return;
        }
        self.counts.said += len as u64;
        let position = self.position;
        self.position += len as u64;
        self.outputs.push_back(Frame::Output(Output { position, ack: None, note: None, bytes }));
    }

    /// Whether [`Self::poll_frame`] has something.
    pub(crate) fn has_frame(&self) -> bool {
        self.written > self.acked || !self.outputs.is_empty()
    }

    /// The next frame for the line: ACK or OUTPUT.
    pub(crate) fn poll_frame(&mut self) -> Option<Frame> {
        if self.written > self.acked {
            self.acked = self.written;
            return Some(Frame::Ack(Ack { offset: self.acked, note: None }));
        }
        self.outputs.pop_front()
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> StreamCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use wire::frame::{LineEvent, Written};
    use wire::{Epoch, LastFrame, Mac};

    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_nanos(micros * 1000)
    }

    fn grant(acked: u64, delivered: u64, position: u64) -> Grant {
        Grant {
            epoch: Epoch::new(1, 1),
            lease_ms: 400,
            incarnation: 7,
            acked,
            delivered,
            end: delivered,
            position,
            last: LastFrame::default(),
            note: Bytes::new(),
            mac: Mac::default(),
        }
    }

    fn codec(gap_ms: u64) -> StreamCodec {
        let mut codec = StreamCodec::new(Stream { gap: Duration::from_millis(gap_ms) });
        codec.begin(&grant(100, 130, 1000));
        codec
    }

    fn input(offset: u64, bytes: &[u8]) -> Frame {
        Frame::Input(Input { offset, bytes: Bytes::copy_from_slice(bytes) })
    }

    fn ack(offset: u64) -> Option<Frame> {
        Some(Frame::Ack(Ack { offset, note: None }))
    }

    fn written(accepted: u64) -> Frame {
        Frame::Written(Written { accepted, drained: accepted })
    }

    fn record(frame: Option<Frame>) -> (u64, Bytes) {
        let Some(Frame::Output(output)) = frame else { panic!("{frame:?} is no OUTPUT") };
        (output.position, output.bytes)
    }

    #[test]
    fn only_what_was_written_is_acknowledged() {
        let mut codec = codec(2);
        assert_eq!(codec.counts().in_doubt, 30);
        codec.handle_frame(&input(100, b"abc"));
        codec.handle_frame(&input(103, b"def"));
        assert_eq!(codec.poll_frame(), None);
        assert_eq!(codec.to_write(), b"abcdef");
        codec.handle_written(4);
        assert_eq!(codec.poll_frame(), ack(104));
        assert_eq!(codec.poll_frame(), None);
        codec.keep_the_rest();
        assert_eq!((codec.to_write(), codec.waiting()), (&b""[..], 0));
        assert_eq!(codec.poll_frame(), None);
    }

    #[test]
    fn a_gap_is_counted_and_what_comes_after_it_keeps_its_offset() {
        let mut codec = codec(2);
        codec.handle_frame(&input(100, b"ab"));
        codec.handle_frame(&Frame::Event(LineEvent { offset: 110, kind: EventKind::Gap(8) }));
        codec.handle_frame(&input(110, b"cd"));
        codec.handle_frame(&input(110, b"cde"));
        assert_eq!(codec.to_write(), b"ab");
        codec.handle_written(2);
        assert_eq!(codec.to_write(), b"cde");
        codec.handle_written(1);
        assert_eq!(codec.poll_frame(), ack(111));
        assert_eq!((codec.counts().lost, codec.counts().events), (8, 1));
    }

    #[test]
    fn a_record_ends_after_a_pause_or_when_it_is_full() {
        let mut codec = codec(2);
        codec.handle_read(b"ab", at(0));
        codec.handle_read(b"cd", at(1999));
        assert_eq!(codec.poll_timeout(), Some(at(3999)));
        codec.handle_timeout(at(3998));
        assert_eq!(codec.poll_frame(), None);
        codec.handle_timeout(at(3999));
        assert_eq!(record(codec.poll_frame()), (1000, "abcd".into()));
        assert_eq!(codec.poll_timeout(), None);
        codec.handle_read(&[b'x'; MAX_OUTPUT + 1], at(5000));
        assert_eq!(record(codec.poll_frame()).1.len(), MAX_OUTPUT);
        assert_eq!(codec.poll_frame(), None);
        codec.finish();
        assert_eq!(record(codec.poll_frame()), (1004 + MAX_OUTPUT as u64, "x".into()));
    }

    #[test]
    fn without_a_gap_each_read_is_a_record() {
        let mut codec = codec(0);
        codec.handle_read(b"ab", at(7));
        assert_eq!(record(codec.poll_frame()), (1000, "ab".into()));
        assert_eq!(codec.poll_timeout(), None);
    }

    #[test]
    fn the_taker_is_not_read_while_the_window_is_full() {
        let mut codec = codec(0);
        codec.handle_read(&vec![0; codec.room()], at(0));
        assert_eq!(codec.room(), 0);
        codec.handle_frame(&written(1000 + 5));
        assert_eq!(codec.room(), 5);
    }

    #[test]
    fn a_full_window_ends_no_record() {
        for gap_ms in [0, 2] {
            let mut codec = codec(gap_ms);
            codec.handle_read(b"first", at(0));
            codec.handle_timeout(at(2000));
            assert_eq!(record(codec.poll_frame()), (1000, "first".into()));
            codec.handle_read(&vec![b'x'; codec.room()], at(3000));
            for count in 0..3 {
                let (position, bytes) = record(codec.poll_frame());
                assert_eq!((position, bytes.len()), (1005 + count * 2048, MAX_OUTPUT));
            }
            // The taker may be in the middle of a message; nobody listens to it now.
            assert_eq!(codec.poll_timeout(), None);
            codec.handle_timeout(at(1_000_000));
            assert_eq!(codec.poll_frame(), None);
            codec.handle_frame(&written(1005));
            assert_eq!(codec.room(), 5);
            codec.handle_read(b"the ", at(1_000_000));
            codec.handle_timeout(at(1_002_000));
            let (position, bytes) = record(codec.poll_frame());
            assert_eq!((position, bytes.len()), (1005 + 6144, 2048 - 5 + 4));
            assert!(bytes.ends_with(b"xthe "));
        }
    }

    /// Any chunks in, by any steps, and the same bytes come out; the window holds at each of them.
    #[test]
    fn any_chunking_gives_the_same_bytes_within_the_window() {
        for seed in 0..200 {
            chunks_of_a_seed(seed);
        }
    }

    fn chunks_of_a_seed(seed: u64) {
        println!("seed {seed}");
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        let (mut said, mut out) = (Vec::new(), Vec::new());
        let mut codec = codec(seed % 3);
        let (mut accepted, mut now) = (1000, 0);
        for _ in 0..300 {
            now += random.random_range(0..3000);
            match random.random_range(0..5) {
                0 => {
                    let bytes: Vec<u8> =
                        (0..random.random_range(1..700)).map(|n| n as u8).collect();
                    codec.handle_frame(&input(100 + sent.len() as u64, &bytes));
                    sent.extend(bytes);
                }
                1 => {
                    let count = random.random_range(0..=codec.to_write().len());
                    got.extend_from_slice(&codec.to_write()[..count]);
                    codec.handle_written(count);
                }
                2 => {
                    let count = random.random_range(0..=codec.room().min(5000));
                    let bytes: Vec<u8> = (0..count).map(|_| random.random()).collect();
                    codec.handle_read(&bytes, at(now));
                    said.extend(bytes);
                }
                3 => codec.handle_timeout(at(now)),
                _ => {
                    accepted = random.random_range(accepted..=1000 + out.len() as u64);
                    codec.handle_frame(&written(accepted));
                }
            }
            while let Some(frame) = codec.poll_frame() {
                match frame {
                    Frame::Ack(ack) => assert_eq!(ack.offset, 100 + got.len() as u64),
                    frame => {
                        let (position, bytes) = record(Some(frame));
                        assert_eq!(position, 1000 + out.len() as u64);
                        assert!((1..=MAX_OUTPUT).contains(&bytes.len()));
                        out.extend_from_slice(&bytes);
                        assert!(1000 + out.len() as u64 - accepted <= OUTPUT_WINDOW);
                    }
                }
            }
        }
        codec.finish();
        while let Some(frame) = codec.poll_frame() {
            out.extend_from_slice(&record(Some(frame)).1);
        }
        assert_eq!(got, sent[..got.len()]);
        assert_eq!(out, said);
    }
}
