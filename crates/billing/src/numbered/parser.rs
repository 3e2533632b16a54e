//! From a byte stream to frames, each with its place in the stream.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;

use super::frame::{Answer, Frame, MAX_FRAME, Misfit, Record, may_start};

/// What the parser found, in the order of the stream. Offsets count bytes since the start of the
/// stream; `start` is the first byte, `end` the one after the last. Consecutive findings touch, but
/// for gaps that [`Parser::resume_at`] was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A whole record with a good check.
    Record {
        /// The record.
        record: Record,
        /// Offset of its first byte.
        start: u64,
        /// Offset after its LF: acknowledging this forgets the record and nothing after it.
        end: u64,
    },
    /// A whole answer with a good check.
    Answer {
        /// The answer.
        answer: Answer,
        /// Offset of its first byte.
        start: u64,
        /// Offset after its LF.
        end: u64,
    },
    /// Bytes that are part of no frame.
    Damaged {
        /// Offset of the first of them.
        start: u64,
        /// Offset after the last of them.
        end: u64,
        /// The bytes themselves, at most [`MAX_FRAME`].
        bytes: Vec<u8>,
        /// What seems to have happened.
        damage: Damage,
    },
}

/// Why bytes are part of no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// A frame's shape, but its check is wrong.
    Check,
    /// Begins like a frame and is not one: its rest is missing.
    Cut,
    /// Begins like nothing known: noise, or the rest of a frame whose beginning is missing.
    Garbage,
    /// Longer than any frame, without a line end.
    Long,
    /// The bytes that would have followed never arrived.
    Gap,
}

/// Finds frames in a stream that may start anywhere and may be damaged.
///
/// Holds at most [`MAX_FRAME`] bytes. It decides at a line end, or when a line is too long to be a
/// frame, so how the stream was cut into chunks cannot matter. A frame that follows damage without
/// a line end between (the cut record of an old server, then the whole one of the new) is found.
#[derive(Debug)]
pub struct Parser {
    /// Offset of the first byte of `line`.
    start: u64,
    line: Vec<u8>,
    events: VecDeque<Received>,
}

impl Parser {
    /// A parser whose next byte has the stream offset `offset`: a record's first byte, or any byte
    /// of one, whose rest is then reported as damaged.
    pub fn new(offset: u64) -> Self {
        Self { start: offset, line: Vec::with_capacity(MAX_FRAME), events: VecDeque::new() }
    }

    /// Offset of the next byte expected.
    pub fn offset(&self) -> u64 {
        self.start + self.line.len() as u64
    }

    /// Bytes taken that are not yet part of any finding: the beginning of a frame, perhaps.
    pub fn pending(&self) -> &[u8] {
        &self.line
    }

    /// Takes the next bytes of the stream. Drain [`Parser::poll_event`] afterwards.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.line.push(*byte);
            if *byte == b'\n' {
                self.end_line();
            } else if self.line.len() == MAX_FRAME {
                let keep = self.next_start().unwrap_or(self.line.len());
                self.drop_damaged(keep, Damage::Long);
            }
        }
    }

    /// Takes notice that the next byte has the offset `offset`, because bytes before it are lost.
    /// What was pending is reported as damaged. An offset that is no later than expected changes
    /// nothing.
    pub fn resume_at(&mut self, offset: u64) {
        if offset > self.offset() {
            self.drop_damaged(self.line.len(), Damage::Gap);
            self.start = offset;
        }
    }

    /// The next finding, in the order of the stream.
    pub fn poll_event(&mut self) -> Option<Received> {
        self.events.pop_front()
    }

    fn end_line(&mut self) {
        let misfit = match Frame::parse(&self.line) {
            Ok(frame) => return self.push_frame(frame),
            Err(misfit) => misfit,
        };
        // A frame may stand at the end of a line that began as something else.
        let starts = (1..self.line.len()).filter(|at| may_start(&self.line[*at..]));
        let found = starts.filter_map(|at| Some((at, Frame::parse(&self.line[at..]).ok()?))).next();
        match found {
            Some((at, frame)) => {
                self.drop_damaged(at, kind_of(&self.line[..at]));
                self.push_frame(frame);
            }
            None if misfit == Misfit::Check => self.drop_damaged(self.line.len(), Damage::Check),
            None => self.drop_damaged(self.line.len(), kind_of(&self.line)),
        }
    }

    /// Takes the whole of `line` as `frame`.
    fn push_frame(&mut self, frame: Frame) {
        let (start, end) = (self.start, self.offset());
        self.events.push_back(match frame {
            Frame::Record(record) => Received::Record { record, start, end },
            Frame::Answer(answer) => Received::Answer { answer, start, end },
        });
        self.line.clear();
        self.start = end;
    }

    fn drop_damaged(&mut self, len: usize, damage: Damage) {
        if len == 0 {
            return;
        }
        let bytes: Vec<u8> = self.line.drain(..len).collect();
        let (start, end) = (self.start, self.start + len as u64);
        self.events.push_back(Received::Damaged { start, end, bytes, damage });
        self.start = end;
    }

    /// Where in `line`, after its first byte, a frame may yet begin.
    fn next_start(&self) -> Option<usize> {
        (1..self.line.len()).find(|at| may_start(&self.line[*at..]))
    }
}

fn kind_of(damaged: &[u8]) -> Damage {
    if may_start(damaged) { Damage::Cut } else { Damage::Garbage }
}

#[cfg(test)]
mod tests {
    use super::super::{answer_for, record, record_bytes};
    use super::*;
    use proptest::prelude::*;

    fn parse(chunks: &[&[u8]]) -> Vec<Received> {
        let mut parser = Parser::new(0);
        let mut found = Vec::new();
        for chunk in chunks {
            parser.handle_bytes(chunk);
            found.extend(std::iter::from_fn(|| parser.poll_event()));
        }
        found
    }

    fn numbers(found: &[Received]) -> Vec<u32> {
        found
            .iter()
            .filter_map(|event| match event {
                Received::Record { record, .. } => Some(record.number()),
                Received::Answer { .. } | Received::Damaged { .. } => None,
            })
            .collect()
    }

    #[test]
    fn a_cut_record_before_a_whole_one_costs_nothing_but_itself() {
        let (cut, whole) = (record_bytes(1, 5), record_bytes(1, 6));
        for keep in 1..cut.len() - 1 {
            let found = parse(&[&cut[..keep], &whole]);
            assert_eq!(numbers(&found), [6], "cut after {keep}");
            let Received::Damaged { start: 0, end, damage, .. } = &found[0] else {
                panic!("cut after {keep}: {found:?}")
            };
            assert_eq!((*end, *damage), (keep as u64, Damage::Cut));
        }
    }

    #[test]
    fn starting_inside_a_record_loses_only_that_record() {
        let (first, second) = (record_bytes(1, 5), record_bytes(1, 6));
        for skip in 1..first.len() {
            let mut parser = Parser::new(1000 + skip as u64);
            parser.handle_bytes(&first[skip..]);
            parser.handle_bytes(&second);
            let found: Vec<_> = std::iter::from_fn(|| parser.poll_event()).collect();
            assert_eq!(found.len(), 2, "skipped {skip}: {found:?}");
            assert!(matches!(found[0], Received::Damaged { .. }));
            let start = 1000 + first.len() as u64;
            let end = start + second.len() as u64;
            assert_eq!(found[1], Received::Record { record: record(1, 6), start, end });
        }
    }

    #[test]
    fn a_gap_drops_what_was_pending_and_moves_the_offset() {
        let (first, second) = (record_bytes(1, 5), record_bytes(1, 6));
        let mut parser = Parser::new(0);
        parser.handle_bytes(&first[..4]);
        parser.resume_at(100);
        parser.handle_bytes(&second);
        assert!(matches!(
            parser.poll_event(),
            Some(Received::Damaged { start: 0, end: 4, damage: Damage::Gap, .. })
        ));
        let end = 100 + second.len() as u64;
        let expected = Received::Record { record: record(1, 6), start: 100, end };
        assert_eq!(parser.poll_event(), Some(expected));
        parser.resume_at(50);
        assert_eq!(parser.offset(), end, "an offset in the past changes nothing");
    }

    #[test]
    fn endless_noise_stays_bounded_and_is_followed_by_a_record() {
        for noise in [b'R', b'A', b'7', 0xff] {
            let mut parser = Parser::new(0);
            for _ in 0..10_000 {
                parser.handle_bytes(&[noise]);
                assert!(parser.pending().len() < MAX_FRAME);
            }
            parser.handle_bytes(&record_bytes(3, 3));
            let found: Vec<_> = std::iter::from_fn(|| parser.poll_event()).collect();
            assert_eq!(numbers(&found), [3], "noise {noise:#x}");
            assert!(found.len() < 10_000, "damage comes in pieces, not in bytes");
        }
    }

    #[test]
    fn a_flipped_bit_is_a_check_failure() {
        let mut bytes = record_bytes(1, 5);
        bytes[3] = b'9';
        let found = parse(&[&bytes]);
        assert!(matches!(found[..], [Received::Damaged { damage: Damage::Check, .. }]));
    }

    /// A stream of whole records, cut records, answers and noise.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = (0..5u8, 0..400u32, prop::collection::vec(any::<u8>(), 0..150)).prop_map(
            |(kind, n, noise)| match kind {
                0 | 1 => record_bytes(9, n),
                2 => {
                    let bytes = record_bytes(9, n);
                    bytes[..noise.len().min(bytes.len())].to_vec()
                }
                3 => answer_for(&record(9, n)),
                _ => noise,
            },
        );
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_events(
            stream in stream(),
            cuts in prop::collection::vec(0..2000usize, 0..20),
        ) {
            let whole = parse(&[&stream]);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
            prop_assert_eq!(&whole, &parse(&chunks));
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(&whole, &parse(&bytes));
        }

        #[test]
        fn every_byte_is_accounted_for_once(stream in stream()) {
            let mut parser = Parser::new(17);
            parser.handle_bytes(&stream);
            let mut at = 17;
            while let Some(event) = parser.poll_event() {
                let (start, end) = match event {
                    Received::Record { record, start, end } => {
                        prop_assert_eq!(record.to_bytes().len() as u64, end - start);
                        (start, end)
                    }
                    Received::Answer { start, end, .. } => (start, end),
                    Received::Damaged { start, end, bytes, .. } => {
                        prop_assert!(bytes.len() <= MAX_FRAME);
                        prop_assert_eq!(&stream[start as usize - 17..end as usize - 17], &bytes[..]);
                        (start, end)
                    }
                };
                prop_assert_eq!(start, at);
                at = end;
            }
            prop_assert_eq!(at + parser.pending().len() as u64, 17 + stream.len() as u64);
        }

        #[test]
        fn garbage_between_records_loses_no_record(
            noise in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
        ) {
            let mut stream = Vec::new();
            for (n, noise) in noise.iter().enumerate() {
                stream.extend_from_slice(noise);
                stream.extend_from_slice(&record_bytes(4, n as u32));
            }
            let expected: Vec<u32> = (0..noise.len() as u32).collect();
            prop_assert_eq!(numbers(&parse(&[&stream])), expected);
        }
    }
}
