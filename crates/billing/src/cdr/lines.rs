//! Bytes in any chunks to lines with their offsets.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::layout::{ETX, MAX_TEXT, STX};
use crate::gateway::SETTLE_WITHIN;

/// Finds the lines in what an exchange sends.
///
/// CR, LF or both end a line; NULs around it are filler. In the framed kind a record stands between
/// STX and ETX. Any chunking of the same bytes gives the same lines.
#[derive(Debug)]
pub struct Lines {
    framed: bool,
    timeout: Duration,
    /// Offset of the next byte.
    offset: u64,
    /// Where the line being received began, and what has come of it.
    start: u64,
    text: Vec<u8>,
    /// Within STX and ETX.
    inside: bool,
    state: State,
    /// When that was.
    began: Duration,
    /// Something in it was damaged.
    is_damaged: bool,
    /// Bytes of its text that came before the line was interrupted.
    interrupted: Option<usize>,
    /// Damage while nothing was being received: it may have been the next line's first byte.
    damaged_at: Option<Duration>,
    /// When something last happened on the line.
    last_at: Duration,
    found: VecDeque<Found>,
}

/// A byte that ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndByte {
    /// CR: an LF next is no second line.
    Cr,
    /// LF: a CR next is none.
    Lf,
}

/// What must be known to go on at a place where no line is being received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// The last byte ended a line: its counterpart belongs to it.
    pub after: Option<EndByte>,
    /// Nobody knows whether the next byte begins a line. A silence of the timeout ends that.
    pub is_suspect: bool,
    /// A line grew too long: nothing counts until its end.
    pub is_skipping: bool,
}

/// Something found on the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A line with text.
    Line {
        /// Offset of its first byte.
        start: u64,
        /// Offset after its last byte or its end.
        end: u64,
        /// Without what frames it.
        text: Bytes,
        /// How much of it there is.
        sound: Sound,
    },
    /// The end of a line without text.
    Blank,
    /// A form feed.
    FormFeed,
}

/// How much of a line there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// All.
    Whole,
    /// Its head may be missing.
    Suspect,
    /// The line was interrupted after so many bytes of it: what follows may be the rest of another
    /// one, or behind flow control its own.
    Interrupted(usize),
    /// Something is missing or damaged.
    Torn,
}

impl Lines {
    /// Lines from the byte at `offset` on. A line whose end does not come is torn `timeout` after
    /// its last byte, and 25 s after its first.
    pub fn new(framed: bool, timeout: Duration, offset: u64, state: State, now: Duration) -> Self {
        Self {
            framed,
            timeout,
            offset,
            start: offset,
            text: Vec::new(),
            inside: false,
            state,
            began: now,
            is_damaged: false,
            interrupted: None,
            damaged_at: None,
            last_at: now,
            found: VecDeque::new(),
        }
    }

    /// Takes the bytes that follow.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Duration) {
        for byte in bytes {
            match self.framed {
                true => self.framed_byte(*byte, now),
                false => self.line_byte(*byte, now),
            }
            self.offset += 1;
            self.last_at = now;
        }
    }

    /// The next byte has this offset: what lies between never comes.
    pub fn handle_gap(&mut self, offset: u64, now: Duration) {
        if offset > self.offset {
            self.tear(self.offset);
            self.offset = offset;
            self.last_at = now;
            self.state = State { is_suspect: true, ..State::default() };
        }
    }

    /// The line was away, and nobody knows what it said meanwhile: offsets go on as if nothing was
    /// missing.
    pub fn handle_interruption(&mut self, now: Duration) {
        match self.is_receiving() {
            true => self.interrupted = Some(self.text.len()),
            false => {
                self.state.is_suspect = true;
                self.last_at = now;
            }
        }
    }

    /// What is being received is damaged, or the next byte.
    pub fn handle_damage(&mut self, now: Duration) {
        match self.is_receiving() {
            true => self.is_damaged = true,
            false => self.damaged_at = Some(now),
        }
    }

    /// Tears a line that has waited too long for its end.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.tear(self.offset);
            self.last_at = now;
            self.state.is_suspect = true;
        }
    }

    /// When the line being received is torn.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let deadline = (self.last_at + self.timeout).min(self.began + SETTLE_WITHIN);
        self.is_receiving().then_some(deadline)
    }

    /// The next thing found.
    pub fn poll_found(&mut self) -> Option<Found> {
        self.found.pop_front()
    }

    /// Offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The offset before which nothing is needed any more: everything up to it has been found.
    pub fn settled(&self) -> u64 {
        if self.is_receiving() { self.start } else { self.offset }
    }

    /// What a successor needs that begins at [`Self::settled`].
    pub fn state(&self) -> State {
        match self.is_receiving() {
            // The line's first byte was no end.
            true => State { after: None, ..self.state },
            false => self.state,
        }
    }

    fn is_receiving(&self) -> bool {
        self.inside || !self.text.is_empty()
    }

    fn line_byte(&mut self, byte: u8, now: Duration) {
        let after = self.state.after.take();
        match byte {
            CR | LF => {
                let (this, other) = match byte {
                    CR => (EndByte::Cr, EndByte::Lf),
                    _ => (EndByte::Lf, EndByte::Cr),
                };
                if self.is_receiving() {
                    self.end_line(self.offset + 1);
                    self.state.after = Some(this);
                    return;
                }
                // Whatever it ended, a line begins after it.
                let is_end_of_long = std::mem::take(&mut self.state.is_skipping);
                self.state.is_suspect = false;
                if after == Some(other) {
                    return;
                }
                self.state.after = Some(this);
                if !is_end_of_long {
                    self.found.push_back(Found::Blank);
                }
            }
            NUL if self.text.is_empty() => self.state.after = after,
            FF => {
                self.end_line(self.offset);
                self.state = State::default();
                self.found.push_back(Found::FormFeed);
            }
            _ if self.state.is_skipping => {}
            _ => self.push(byte, now),
        }
    }

    fn framed_byte(&mut self, byte: u8, now: Duration) {
        match byte {
            STX => {
                // A record began within another one, or noise came before it: neither is spliced.
                self.tear(self.offset);
                self.begin(now);
                self.inside = true;
                self.state = State::default();
            }
            ETX if self.inside => self.end_line(self.offset + 1),
            ETX | CR | LF | NUL if !self.inside => self.tear(self.offset),
            _ if self.state.is_skipping => {}
            _ => self.push(byte, now),
        }
    }

    fn begin(&mut self, now: Duration) {
        (self.start, self.began) = (self.offset, now);
        self.state.is_suspect &= now.saturating_sub(self.last_at) < self.timeout;
        let damaged_at = self.damaged_at.take();
        self.is_damaged = damaged_at.is_some_and(|at| now.saturating_sub(at) < self.timeout);
    }

    fn push(&mut self, byte: u8, now: Duration) {
        if !self.is_receiving() {
            self.begin(now);
        }
        self.text.push(byte);
        if self.text.len() > MAX_TEXT {
            self.tear(self.offset + 1);
            self.state.is_skipping = true;
        }
    }

    /// The line being received ends before `end`; nothing if none is.
    fn end_line(&mut self, end: u64) {
        let sound = match (self.is_damaged, self.interrupted.take(), self.state.is_suspect) {
            (true, _, _) => Sound::Torn,
            (false, Some(at), _) => Sound::Interrupted(at),
            (false, None, true) => Sound::Suspect,
            (false, None, false) => Sound::Whole,
        };
        // Noise between framed records has no frame.
        let sound = if self.framed && !self.inside { Sound::Torn } else { sound };
        if self.is_receiving() {
            let text = std::mem::take(&mut self.text).into();
            self.found.push_back(Found::Line { start: self.start, end, text, sound });
        }
        self.inside = false;
        self.is_damaged = false;
        self.state.is_suspect = false;
    }

    fn tear(&mut self, end: u64) {
        self.is_damaged = true;
        self.end_line(end);
    }
}

const NUL: u8 = 0;
const LF: u8 = b'\n';
const FF: u8 = 0x0c;
const CR: u8 = b'\r';

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: Duration = Duration::from_secs(100);
    const TIMEOUT: Duration = Duration::from_secs(10);

    fn lines(framed: bool) -> Lines {
        Lines::new(framed, TIMEOUT, 0, State::default(), T0)
    }

    fn found(lines: &mut Lines) -> Vec<Found> {
        std::iter::from_fn(|| lines.poll_found()).collect()
    }

    fn line(start: u64, end: u64, text: &'static str, sound: Sound) -> Found {
        Found::Line { start, end, text: Bytes::from_static(text.as_bytes()), sound }
    }

    #[test]
    fn any_line_end_will_do_and_filler_counts_for_nothing() {
        let mut lines = lines(false);
        lines.handle_bytes(b"one\r\n\0\0\0two\nthree\rfour\r\n\r\n\x0c", T0);
        let expected = [
            line(0, 4, "one", Sound::Whole),
            line(8, 12, "two", Sound::Whole),
            line(12, 18, "three", Sound::Whole),
            line(18, 23, "four", Sound::Whole),
            Found::Blank,
            Found::FormFeed,
        ];
        assert_eq!(found(&mut lines), expected);
        assert_eq!(lines.settled(), 27);
    }

    #[test]
    fn a_line_without_an_end_is_torn_after_a_while() {
        let mut lines = lines(false);
        lines.handle_bytes(b"half a li", T0);
        lines.handle_timeout(T0 + TIMEOUT / 2);
        assert_eq!((found(&mut lines), lines.settled()), (vec![], 0));
        assert_eq!(lines.poll_timeout(), Some(T0 + TIMEOUT));
        lines.handle_timeout(T0 + TIMEOUT);
        lines.handle_bytes(b"ne\rwhole\r", T0 + TIMEOUT + TIMEOUT / 2);
        let expected = [
            line(0, 9, "half a li", Sound::Torn),
            line(9, 12, "ne", Sound::Suspect),
            line(12, 18, "whole", Sound::Whole),
        ];
        assert_eq!(found(&mut lines), expected);
        assert_eq!(lines.poll_timeout(), None);
    }

    /// Somebody types on the line: every byte is in time for the next.
    #[test]
    fn a_line_that_grows_slowly_is_torn_before_it_looks_stalled() {
        let mut lines = lines(false);
        let (mut now, mut pieces) = (T0, Vec::new());
        for _ in 0..40 {
            while let Some(due) = lines.poll_timeout().filter(|due| *due <= now) {
                lines.handle_timeout(due);
            }
            lines.handle_bytes(b"x", now);
            pieces.extend(found(&mut lines));
            now += TIMEOUT / 4;
        }
        assert_eq!(pieces.first(), Some(&line(0, 10, "xxxxxxxxxx", Sound::Torn)));
        assert_eq!(pieces.len(), 3, "{pieces:?}");
    }

    #[test]
    fn an_interruption_shows_where_it_fell_and_makes_the_next_line_suspect() {
        let mut lines = lines(false);
        lines.handle_bytes(b"half ", T0);
        lines.handle_interruption(T0);
        lines.handle_bytes(b"a line\r", T0);
        lines.handle_interruption(T0);
        lines.handle_bytes(b"a tail\rwhole\r", T0);
        lines.handle_interruption(T0 + TIMEOUT);
        lines.handle_bytes(b"later\r", T0 + 2 * TIMEOUT);
        let expected = [
            line(0, 12, "half a line", Sound::Interrupted(5)),
            line(12, 19, "a tail", Sound::Suspect),
            line(19, 25, "whole", Sound::Whole),
            line(25, 31, "later", Sound::Whole),
        ];
        assert_eq!(found(&mut lines), expected);
    }

    #[test]
    fn lf_and_cr_are_one_end_in_either_order() {
        let mut lines = lines(false);
        lines.handle_bytes(b"one\n\rtwo\n\r\n\rthree\n\n", T0);
        let texts: Vec<_> = found(&mut lines)
            .into_iter()
            .map(|found| match found {
                Found::Line { text, .. } => text,
                _ => Bytes::new(),
            })
            .collect();
        assert_eq!(texts, ["one", "two", "", "three", ""]);
    }

    #[test]
    fn a_silence_ends_the_doubt_whether_a_line_begins() {
        for (pause, sound) in [(TIMEOUT / 2, Sound::Suspect), (TIMEOUT, Sound::Whole)] {
            let state = State { is_suspect: true, ..State::default() };
            let mut lines = Lines::new(false, TIMEOUT, 0, state, T0);
            lines.handle_bytes(b"one\r", T0 + pause);
            assert_eq!(found(&mut lines), [line(0, 4, "one", sound)]);
        }
    }

    #[test]
    fn a_gap_is_never_spliced() {
        let mut lines = lines(false);
        lines.handle_bytes(b"begin", T0);
        lines.handle_gap(100, T0);
        lines.handle_bytes(b"end\r", T0);
        let expected = [line(0, 5, "begin", Sound::Torn), line(100, 104, "end", Sound::Suspect)];
        assert_eq!(found(&mut lines), expected);
    }

    #[test]
    fn damage_tears_the_line_it_is_in_and_an_old_one_none() {
        let mut lines = lines(false);
        lines.handle_bytes(b"da", T0);
        lines.handle_damage(T0);
        lines.handle_bytes(b"maged\r", T0);
        lines.handle_damage(T0);
        lines.handle_bytes(b"first byte\r", T0);
        lines.handle_damage(T0);
        lines.handle_bytes(b"much later\r", T0 + TIMEOUT);
        let sounds: Vec<_> = found(&mut lines)
            .into_iter()
            .map(|found| match found {
                Found::Line { sound, .. } => sound,
                _ => panic!(),
            })
            .collect();
        assert_eq!(sounds, [Sound::Torn, Sound::Torn, Sound::Whole]);
    }

    #[test]
    fn a_line_that_never_ends_takes_a_bounded_place() {
        for framed in [false, true] {
            let mut lines = lines(framed);
            lines.handle_bytes(&[STX; 1][..usize::from(framed)], T0);
            lines.handle_bytes(&[b'x'; 5000], T0);
            assert_eq!(lines.settled(), lines.offset());
            lines.handle_bytes(if framed { b"\x02good\x03" } else { b"\rgood\r" }, T0);
            let found = found(&mut lines);
            assert_eq!(found.len(), 2, "{found:?}");
            assert!(
                matches!(&found[1], Found::Line { text, sound: Sound::Whole, .. } if text == "good")
            );
        }
    }

    #[test]
    fn a_record_within_another_is_not_spliced() {
        let mut lines = lines(true);
        lines.handle_bytes(b"x\x020!a\x020!b\x03\r\n\x020!c\x03", T0);
        let expected = [
            line(0, 1, "x", Sound::Torn),
            line(1, 5, "0!a", Sound::Torn),
            line(5, 10, "0!b", Sound::Whole),
            line(12, 17, "0!c", Sound::Whole),
        ];
        assert_eq!(found(&mut lines), expected);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_lines(
            framed: bool,
            bytes in prop::collection::vec(
                prop_oneof![3 => Just(b'a'), 1 => Just(CR), 1 => Just(LF), 1 => Just(NUL),
                            1 => Just(FF), 1 => Just(STX), 1 => Just(ETX)], 0..200),
            cuts in prop::collection::vec(0..200_usize, 0..10),
        ) {
            let mut whole = lines(framed);
            whole.handle_bytes(&bytes, T0);
            let mut parts = lines(framed);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut from = 0;
            for to in cuts {
                parts.handle_bytes(&bytes[from..to], T0);
                from = to;
            }
            prop_assert_eq!(found(&mut whole), found(&mut parts));
            prop_assert_eq!(whole.settled(), parts.settled());
        }

        #[test]
        fn a_successor_goes_on_where_everything_is_found(
            bytes in prop::collection::vec(
                prop_oneof![3 => Just(b'a'), 1 => Just(CR), 1 => Just(LF), 1 => Just(NUL)], 0..100),
            at in 0..100_usize,
        ) {
            let at = at.min(bytes.len());
            let mut whole = lines(false);
            whole.handle_bytes(&bytes, T0);
            let mut first = lines(false);
            first.handle_bytes(&bytes[..at], T0);
            let settled = first.settled();
            let mut second = Lines::new(false, TIMEOUT, settled, first.state(), T0);
            second.handle_bytes(&bytes[settled as usize..], T0);
            prop_assert_eq!(found(&mut whole), [found(&mut first), found(&mut second)].concat());
        }
    }
}
