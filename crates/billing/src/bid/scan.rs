//! From bytes to what they say, each with its place in the stream.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::gateway::SETTLE_WITHIN;

use super::check::{ACK, Check, DLE, ENQ, EOT, ETX, NAK, STX};

/// An answer to a bid or to a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `06`.
    Ack,
    /// `10 30`.
    Ack0,
    /// `10 31`.
    Ack1,
    /// `15`.
    Nak,
    /// `10 3B`: yes, but wait.
    Wack,
    /// `10 3C`: yes, but let me speak next.
    Rvi,
}

impl Answer {
    /// Its bytes.
    pub fn bytes(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Ack => &[ACK],
            Self::Ack0 => &[DLE, 0x30],
            Self::Ack1 => &[DLE, 0x31],
            Self::Nak => &[NAK],
            Self::Wack => &[DLE, 0x3b],
            Self::Rvi => &[DLE, 0x3c],
        })
    }

    fn after_dle(byte: u8) -> Option<Self> {
        Some(match byte {
            0x30 => Self::Ack0,
            0x31 => Self::Ack1,
            0x3b => Self::Wack,
            0x3c => Self::Rvi,
            _ => return None,
        })
    }
}

/// What the bytes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// ENQ.
    Enq,
    /// EOT.
    Eot,
    /// An answer.
    Answer(Answer),
    /// A whole text with a good check.
    Text(Bytes),
    /// A whole text with a wrong check, or with bytes that no text has; framing and all.
    Bad(Bytes),
    /// A text that nobody has bid for, or the rest of one without its head, to its end.
    Tail(Bytes),
    /// The beginning of a text without its end. `inside`: another one, or a bid, came instead.
    Torn { bytes: Bytes, inside: bool },
    /// Bytes that say nothing here.
    Noise(Bytes),
}

/// Something said, and where: from `start` to before `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Offset of its first byte.
    pub start: u64,
    /// Offset after its last byte.
    pub end: u64,
    /// What it is.
    pub said: Said,
}

/// What this end listens for. It decides what the same bytes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// A sender's: answers and bids. Whatever else comes is noise, byte by byte, so that it can't
    /// hide an answer.
    Answers,
    /// Bids; a text is passed over to its end, so that its check can't be taken for a bid.
    Bids,
    /// Texts.
    Texts,
}

#[derive(Debug)]
enum Stage {
    Between,
    Escape,
    Text { damaged: bool },
    Check { damaged: bool },
    Skip,
    SkipCheck { left: usize },
}

/// Finds what is said in a stream that may start anywhere and may be damaged. Holds at most
/// [`MAX_TEXT`] bytes and a frame's ends.
#[derive(Debug)]
pub struct Scan {
    check: Check,
    silence: Duration,
    stage: Stage,
    /// Offset of the next byte.
    at: u64,
    /// The bytes since the last finding.
    held: Vec<u8>,
    deadline: Option<Duration>,
    /// When the first of them came.
    begun: Duration,
    found: VecDeque<Found>,
}

impl Scan {
    /// A scanner whose next byte has the offset `at`; `silence` inside a text ends it.
    pub fn new(check: Check, silence: Duration, at: u64) -> Self {
        let (stage, held, found) = (Stage::Between, Vec::new(), VecDeque::new());
        let (deadline, begun) = (None, Duration::ZERO);
        Self { check, silence, stage, at, held, deadline, begun, found }
    }

    /// Offset before which all bytes are in findings; what follows must be seen again by whoever
    /// continues from a note.
    pub fn settled(&self) -> u64 {
        self.at - self.held.len() as u64
    }

    /// Offset of the next byte.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadline
    }

    /// The next finding.
    pub fn poll_found(&mut self) -> Option<Found> {
        self.found.pop_front()
    }

    /// Takes the next byte.
    pub fn handle_byte(&mut self, byte: u8, listen: Listen, now: Duration) {
        self.at += 1;
        match self.stage {
            Stage::Between => self.begin(byte, listen),
            Stage::Escape => self.escaped(byte, listen),
            Stage::Text { damaged } => self.in_text(byte, damaged, listen),
            Stage::Check { damaged } => self.in_check(byte, damaged),
            Stage::Skip => self.in_skip(byte, listen),
            Stage::SkipCheck { left } => {
                self.held.push(byte);
                self.stage = Stage::SkipCheck { left: left - 1 };
                if left == 1 {
                    self.find(Said::Tail);
                }
            }
        }
        if self.held.len() == 1 {
            self.begun = now;
        }
        let deadline = (now + self.silence).min(self.begun + SETTLE_WITHIN);
        self.deadline = (!self.held.is_empty()).then_some(deadline);
    }

    /// Silence, or no end for too long: what was begun is torn.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.tear();
        }
    }

    /// What is being received is damaged; its end is still awaited, to know its check from a bid.
    pub fn handle_damage(&mut self) {
        match self.stage {
            Stage::Text { .. } => self.stage = Stage::Text { damaged: true },
            Stage::Check { .. } => self.stage = Stage::Check { damaged: true },
            _ => self.tear(),
        }
    }

    /// The next byte has the offset `at`; what was begun will never end.
    pub fn resume_at(&mut self, at: u64) {
        self.tear();
        self.at = at;
    }

    /// Gives up what was begun.
    pub fn tear(&mut self) {
        if !self.held.is_empty() {
            self.find(|bytes| Said::Torn { bytes, inside: false });
        }
        self.stage = Stage::Between;
        self.deadline = None;
    }

    /// Nothing has begun.
    pub fn is_quiet(&self) -> bool {
        self.held.is_empty()
    }

    fn begin(&mut self, byte: u8, listen: Listen) {
        self.held.push(byte);
        match (byte, listen) {
            (ENQ, _) => self.find(|_| Said::Enq),
            (EOT, _) => self.find(|_| Said::Eot),
            (ACK, _) => self.find(|_| Said::Answer(Answer::Ack)),
            (NAK, _) => self.find(|_| Said::Answer(Answer::Nak)),
            (DLE, _) => self.stage = Stage::Escape,
            (_, Listen::Answers) => self.find(Said::Noise),
            (STX, Listen::Texts) => self.stage = Stage::Text { damaged: false },
            (ETX, _) => self.stage = Stage::SkipCheck { left: self.check.width() },
            _ => self.stage = Stage::Skip,
        }
    }

    fn escaped(&mut self, byte: u8, listen: Listen) {
        if let Some(answer) = Answer::after_dle(byte) {
            self.held.push(byte);
            return self.find(|_| Said::Answer(answer));
        }
        self.at -= 1;
        self.find(Said::Noise);
        self.at += 1;
        self.begin(byte, listen);
    }

    fn in_text(&mut self, byte: u8, damaged: bool, listen: Listen) {
        match byte {
            STX | ENQ | EOT => return self.interrupted(byte, listen),
            ETX => self.stage = Stage::Check { damaged },
            0x20..=0x7e | 0x80.. => {}
            _ => self.stage = Stage::Text { damaged: true },
        }
        self.held.push(byte);
        if self.held.len() > MAX_TEXT + 2 {
            self.find(|bytes| Said::Torn { bytes, inside: false });
            self.stage = Stage::Skip;
        }
    }

    fn in_check(&mut self, byte: u8, damaged: bool) {
        self.held.push(byte);
        let etx = self.held.iter().position(|b| *b == ETX).unwrap_or_default();
        if self.held.len() - etx <= self.check.width() {
            return;
        }
        let value = self.held[etx + 1..].iter().fold(0, |value, b| value << 8 | u16::from(*b));
        if damaged || value != self.check.of(&self.held[1..etx]) {
            self.find(Said::Bad);
        } else {
            self.find(|bytes| Said::Text(bytes.slice(1..etx)));
        }
    }

    fn in_skip(&mut self, byte: u8, listen: Listen) {
        match byte {
            STX | ENQ | EOT => return self.interrupted(byte, listen),
            ETX => self.stage = Stage::SkipCheck { left: self.check.width() },
            _ => {}
        }
        self.held.push(byte);
        if self.held.len() > MAX_TEXT {
            self.find(Said::Noise);
            self.stage = Stage::Skip;
        }
    }

    /// A head, a bid or an end comes where a text's next byte was expected: never splice.
    fn interrupted(&mut self, byte: u8, listen: Listen) {
        self.at -= 1;
        if !self.held.is_empty() {
            self.find(|bytes| match bytes[0] {
                STX => Said::Torn { bytes, inside: byte != EOT },
                _ => Said::Noise(bytes),
            });
        }
        self.at += 1;
        self.stage = Stage::Between;
        self.begin(byte, listen);
    }

    fn find(&mut self, said: impl FnOnce(Bytes) -> Said) {
        let start = self.settled();
        let said = said(Bytes::from(std::mem::take(&mut self.held)));
        self.found.push_back(Found { start, end: self.at, said });
        self.stage = Stage::Between;
    }
}

/// Longest text: four times what any record of these dialects has, so that noise is cut off early.
pub const MAX_TEXT: usize = 256;

#[cfg(test)]
mod tests {
    use super::super::check::frame;
    use super::*;
    use proptest::prelude::*;

    const NOW: Duration = Duration::ZERO;

    fn scan(bytes: &[u8], listen: Listen) -> Vec<Said> {
        let mut scan = Scan::new(Check::Xor, Duration::from_secs(3), 0);
        bytes.iter().for_each(|byte| scan.handle_byte(*byte, listen, NOW));
        scan.tear();
        std::iter::from_fn(|| scan.poll_found()).map(|found| found.said).collect()
    }

    fn torn(bytes: &'static [u8], inside: bool) -> Said {
        Said::Torn { bytes: Bytes::from_static(bytes), inside }
    }

    #[test]
    fn a_check_is_known_by_its_place_whatever_it_looks_like() {
        for text in ["GI|RN1069|GNDoe|GSN|", "GI|RN1008|GNDoe|GSN|", "GI|RN168|GNDoe|"] {
            let bytes = frame(Check::Xor, text.as_bytes());
            assert_eq!(scan(&bytes, Listen::Texts), [Said::Text(Bytes::from(text))]);
            // Without its head it is passed over to the end, and its check is no bid.
            assert_eq!(scan(&bytes[1..], Listen::Texts), [Said::Tail(bytes.slice(1..))]);
            assert_eq!(scan(&bytes, Listen::Bids), [Said::Tail(bytes)]);
        }
    }

    #[test]
    fn f2_a_bid_or_a_head_inside_a_text_abandons_it() {
        let whole = [b"\x02417C H\x02".as_slice(), b"A\x03\x42"].concat();
        let good = Said::Text(Bytes::from_static(b"A"));
        assert_eq!(scan(&whole, Listen::Texts), [torn(b"\x02417C H", true), good]);
        assert_eq!(scan(b"\x02417\x05", Listen::Texts), [torn(b"\x02417", true), Said::Enq]);
        assert_eq!(scan(b"\x02417\x04", Listen::Texts), [torn(b"\x02417", false), Said::Eot]);
    }

    #[test]
    fn f1_silence_ends_a_text() {
        let mut scan = Scan::new(Check::Xor, Duration::from_secs(3), 7);
        scan.handle_byte(STX, Listen::Texts, NOW);
        scan.handle_byte(b'4', Listen::Texts, Duration::from_secs(2));
        scan.handle_timeout(Duration::from_secs(4));
        assert_eq!((scan.poll_found(), scan.settled(), scan.at()), (None, 7, 9));
        scan.handle_timeout(Duration::from_secs(5));
        let said = torn(b"\x024", false);
        assert_eq!(scan.poll_found(), Some(Found { start: 7, end: 9, said }));
        assert_eq!((scan.settled(), scan.poll_timeout()), (9, None));
    }

    #[test]
    fn what_begins_after_a_long_silence_has_its_whole_time() {
        let answer = Said::Answer(Answer::Ack0);
        let good = Said::Text(Bytes::from_static(b"A"));
        let text = frame(Check::Xor, b"A");
        for (silent, first) in [(60, &b"\x06"[..]), (1000, b"")] {
            for (bytes, listen, said) in
                [(&b"\x10\x30"[..], Listen::Answers, &answer), (&text[..], Listen::Texts, &good)]
            {
                let mut scan = Scan::new(Check::Xor, Duration::from_secs(3), 0);
                first.iter().for_each(|byte| scan.handle_byte(*byte, listen, NOW));
                let findings = std::iter::from_fn(|| scan.poll_found()).count();
                assert_eq!(findings, first.len());
                let mut now = Duration::from_secs(silent);
                for byte in bytes {
                    scan.handle_byte(*byte, listen, now);
                    now += Duration::from_millis(1);
                    scan.handle_timeout(now);
                }
                let found = scan.poll_found().map(|found| found.said);
                assert_eq!(found.as_ref(), Some(said), "after {silent} s");
            }
        }
    }

    #[test]
    fn what_trickles_in_is_given_up_before_its_holder_is_taken_to_be_stuck() {
        for (first, listen) in [(STX, Listen::Texts), (STX, Listen::Bids), (b'x', Listen::Texts)] {
            let mut scan = Scan::new(Check::Xor, Duration::from_secs(3), 0);
            let mut begun = Duration::ZERO;
            for second in 0..300 {
                let now = Duration::from_secs(second);
                while let Some(deadline) = scan.poll_timeout().filter(|at| *at <= now) {
                    scan.handle_timeout(deadline);
                }
                if scan.poll_found().is_some() {
                    begun = now;
                }
                assert!(now - begun <= SETTLE_WITHIN, "{listen:?} at {now:?}");
                scan.handle_byte(if second == 0 { first } else { b'x' }, listen, now);
            }
            assert!(begun > Duration::from_secs(270));
        }
    }

    #[test]
    fn a_text_with_control_bytes_or_a_wrong_check_or_a_line_error_is_bad() {
        for bytes in [&b"\x02A\x06B\x03\x06"[..], b"\x02A\x03\x43"] {
            assert_eq!(scan(bytes, Listen::Texts), [Said::Bad(Bytes::from_static(bytes))]);
        }
        let mut scan = Scan::new(Check::Xor, Duration::from_secs(3), 0);
        scan.handle_byte(STX, Listen::Texts, NOW);
        scan.handle_damage();
        b"A\x03\x42".iter().for_each(|byte| scan.handle_byte(*byte, Listen::Texts, NOW));
        assert!(matches!(scan.poll_found(), Some(Found { said: Said::Bad(_), .. })));
    }

    #[test]
    fn noise_hides_no_answer_from_a_sender() {
        let said = scan(b"x\x02\x10\x10\x31", Listen::Answers);
        assert_eq!(said.last(), Some(&Said::Answer(Answer::Ack1)));
        assert_eq!(said.len(), 4);
    }

    proptest! {
        #[test]
        fn findings_touch_and_cover_all_bytes(
            bytes in prop::collection::vec(prop_oneof![0..0x20_u8, any::<u8>()], 0..1500),
            listen in prop_oneof![Just(Listen::Answers), Just(Listen::Bids), Just(Listen::Texts)],
        ) {
            let mut scan = Scan::new(Check::Sum2, Duration::from_secs(3), 100);
            let mut at = 100;
            for byte in &bytes {
                scan.handle_byte(*byte, listen, NOW);
                while let Some(found) = scan.poll_found() {
                    prop_assert_eq!(found.start, at);
                    prop_assert!(found.end > at);
                    at = found.end;
                }
                prop_assert_eq!(scan.settled(), at);
                prop_assert!(scan.at() - at <= MAX_TEXT as u64 + 4);
            }
        }
    }
}
