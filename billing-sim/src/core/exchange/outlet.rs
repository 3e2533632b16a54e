//! Frames on their way to the line, at the line's own pace.
use std::collections::VecDeque;
use std::time::Duration;

use super::dice::Dice;
use super::fault::{Tamper, TamperKind};
use crate::core::generator::{CATCH_UP, FAST_CHUNK, GRAIN};

/// How fast bytes leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// Time of one character on the line; `None` sends as fast as bytes are taken.
    pub char_time: Option<Duration>,
    /// Longest extra gap before a character, drawn evenly.
    pub jitter: Duration,
}

/// Turns whole frames into bytes when they are due, and counts the frames that have left.
///
/// A byte is due when its stop bit would be over. Bytes that are late by no more than [`CATCH_UP`]
/// delay none after them.
///
/// Contract: report what `poll_bytes` yields with `handle_written` before polling for more.
#[derive(Debug)]
pub struct Outlet {
    pace: Pace,
    dice: Dice,
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that were handed out.
    at: usize,
    /// When the bytes handed out so far will have left a true line.
    line_free: Duration,
    /// How long the next byte takes, gap and all.
    next_takes: Duration,
    last_poll: Option<Duration>,
    handed: u64,
    written: u64,
    /// Ends of frames handed out whole, as positions in the output, and for how many each stands.
    ends: VecDeque<(u64, u64)>,
    /// Frames that have left.
    left: u64,
    /// Answers for which there was no room.
    dropped: u64,
    tampers: VecDeque<Tamper>,
    stall: Option<Duration>,
}

#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    /// Characters that it takes when a fault has left nothing of it: the line was busy all the same.
    lost: u32,
    /// Before which byte it stops, and for how long.
    stall: Option<(usize, Duration)>,
    /// Itself, and the answers dropped behind it: they count as left when it has.
    stands_for: u64,
}

impl Outlet {
    /// Nothing is under way. `seed` draws the gaps and the places of faults.
    pub fn new(pace: Pace, seed: u64, now: Duration) -> Self {
        Self {
            pace,
            dice: Dice::new(seed, 1000),
            frames: VecDeque::new(),
            at: 0,
            line_free: now,
            next_takes: Duration::ZERO,
            last_poll: None,
            handed: 0,
            written: 0,
            ends: VecDeque::new(),
            left: 0,
            dropped: 0,
            tampers: VecDeque::new(),
            stall: None,
        }
    }

    /// The next record is to be tampered with.
    pub fn tamper(&mut self, tamper: Tamper) {
        if self.tampers.len() < MAX_ARMED {
            self.tampers.push_back(tamper);
        }
    }

    /// The next record is to stop in the middle.
    pub fn stall(&mut self, lasting: Duration) {
        self.stall = Some(lasting);
    }

    /// A frame to send. An answer is dropped when [`MAX_FRAMES`] wait, and counts as left.
    pub fn push(&mut self, bytes: &[u8], now: Duration) {
        let mut frame = Frame { bytes: bytes.to_vec(), lost: 0, stall: None, stands_for: 1 };
        // An answer of a byte or two is no record.
        let is_record = bytes.len() >= LEAST_RECORD;
        if !is_record
            && self.frames.len() >= MAX_FRAMES
            && let Some(last) = self.frames.back_mut()
        {
            last.stands_for += 1;
            self.dropped += 1;
            return;
        }
        if is_record {
            if let Some(tamper) = self.tampers.pop_front() {
                spoil(&mut frame.bytes, tamper, &mut self.dice);
                frame.lost = if frame.bytes.is_empty() { bytes.len() as u32 } else { 0 };
            }
            // A fault may have left nothing of it.
            let inner = (frame.bytes.len() as u64).saturating_sub(1);
            let middle = 1 + self.dice.below(inner) as usize;
            frame.stall = self.stall.take().map(|lasting| (middle, lasting));
        }
        if self.frames.is_empty() {
            self.line_free = self.line_free.max(now);
        }
        self.frames.push_back(frame);
        if self.frames.len() == 1 {
            self.draw_gap();
        }
    }

    /// The bytes due at `now`.
    pub fn poll_bytes(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.written < self.handed {
            return None;
        }
        let late = CATCH_UP + self.next_takes;
        self.line_free = self.line_free.max(now.saturating_sub(late));
        let mut due = Vec::new();
        while due.len() < FAST_CHUNK
            && self.line_free + self.next_takes <= now
            && let Some(frame) = self.frames.front()
        {
            due.extend(frame.bytes.get(self.at));
            self.line_free += self.next_takes;
            self.at += 1;
            if self.at >= frame.bytes.len() {
                self.ends.push_back((self.handed + due.len() as u64, frame.stands_for));
                self.frames.pop_front();
                self.at = 0;
            }
            self.draw_gap();
        }
        self.handed += due.len() as u64;
        self.count_left();
        self.last_poll = Some(now);
        (!due.is_empty()).then_some(due)
    }

    /// The next `len` of the bytes handed out were written.
    ///
    /// # Panics
    /// More than was handed out.
    pub fn handle_written(&mut self, len: usize) {
        self.written += len as u64;
        assert!(self.written <= self.handed, "more written than was handed out");
        self.count_left();
    }

    /// Frames that have left to their last byte.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Answers for which there was no room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.frames.is_empty() && self.written == self.handed
    }

    /// When bytes fall due.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.frames.is_empty() || self.written < self.handed {
            return None;
        }
        let due = self.line_free + self.next_takes;
        // Coalesced, or a fast line would wake the machine for each byte.
        Some(due.max(self.last_poll.map_or(due, |last| last + GRAIN)))
    }

    fn count_left(&mut self) {
        while let Some((_, frames)) = self.ends.front().filter(|(end, _)| *end <= self.written) {
            self.left += frames;
            self.ends.pop_front();
        }
    }

    fn draw_gap(&mut self) {
        let Some(frame) = self.frames.front() else { return };
        let nanos = u64::try_from(self.pace.jitter.as_nanos()).unwrap_or(u64::MAX);
        let jitter = match nanos {
            0 => Duration::ZERO,
            nanos => Duration::from_nanos(self.dice.below(nanos)),
        };
        let stall = frame.stall.filter(|(at, _)| *at == self.at).map(|(_, lasting)| lasting);
        let takes = self.pace.char_time.unwrap_or_default() * frame.lost.max(1);
        self.next_takes = takes + jitter + stall.unwrap_or_default();
    }
}

/// Tampers with bytes of a record, at places that `dice` draws.
fn spoil(bytes: &mut Vec<u8>, tamper: Tamper, dice: &mut Dice) {
    for _ in 0..tamper.count {
        if bytes.is_empty() {
            return;
        }
        let at = dice.below(bytes.len() as u64) as usize;
        match tamper.kind {
            TamperKind::Flip => bytes[at] ^= 1 << dice.below(8),
            TamperKind::Drop => drop(bytes.remove(at)),
            TamperKind::Insert => bytes.insert(at, dice.below(256) as u8),
        }
    }
}

/// Bytes from the line, on their way to the billing system: what faults do to them.
#[derive(Debug)]
pub struct Inlet {
    dice: Dice,
    /// Faults that wait, each with the place in a burst where it begins.
    tampers: VecDeque<(Tamper, usize)>,
    /// Bytes that came without a pause of `gap`, and while the billing system said nothing.
    burst: usize,
    gap: Duration,
    last: Duration,
}

impl Inlet {
    /// Nothing is to be spoilt yet. `char_time` is the line's, if it is paced by it.
    pub fn new(seed: u64, char_time: Option<Duration>) -> Self {
        let dice = Dice::new(seed, 1001);
        let gap = LATE_READ + char_time.unwrap_or_default() * 2;
        Self { dice, tampers: VecDeque::new(), burst: 0, gap, last: Duration::ZERO }
    }

    /// The next record is to be tampered with.
    pub fn tamper(&mut self, tamper: Tamper) {
        if self.tampers.len() < MAX_ARMED {
            // Past what is only an answer, yet within any record.
            let at = LEAST_RECORD / 2 + self.dice.below(LEAST_RECORD as u64) as usize;
            self.tampers.push_back((tamper, at));
        }
    }

    /// The billing system has sent something: what comes now begins a burst, however soon.
    pub fn handle_sent(&mut self) {
        self.burst = 0;
    }

    /// What becomes of bytes that were read at `now`.
    pub fn pass(&mut self, bytes: &[u8], now: Duration) -> Vec<u8> {
        if now.saturating_sub(self.last) > self.gap {
            self.burst = 0;
        }
        self.last = now;
        let mut passed = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.burst += 1;
            match self.tampers.front_mut() {
                Some((tamper, at)) if self.burst > *at => {
                    match tamper.kind {
                        TamperKind::Flip => passed.push(byte ^ 1 << self.dice.below(8)),
                        TamperKind::Drop => {}
                        TamperKind::Insert => {
                            passed.extend([self.dice.below(256) as u8, *byte]);
                        }
                    }
                    tamper.count = tamper.count.saturating_sub(1);
                    if tamper.count == 0 {
                        self.tampers.pop_front();
                    }
                }
                _ => passed.push(*byte),
            }
        }
        passed
    }
}

/// Frames shorter than this are answers on the link, not records: no dialect's answer is longer
/// than two bytes, and no record so short.
const LEAST_RECORD: usize = 8;
/// Byte faults that wait for a record at most: a schedule may strike where no record comes.
const MAX_ARMED: usize = 64;
/// Answers and records that may wait to go out: seconds of any line's time. Each noise that comes in
/// may ask for an answer, and whoever makes it may be faster than the line, or hold it back.
pub const MAX_FRAMES: usize = 4096;
/// How late a scheduler may let a byte be read. A pause that is longer than this and two characters
/// ends a burst of input; between records that wait for an answer it is longer still.
const LATE_READ: Duration = Duration::from_millis(30);

#[cfg(test)]
mod tests {
    use super::super::fault::Side;
    use super::*;

    const CHAR: Duration = Duration::from_millis(1);

    fn run(outlet: &mut Outlet, mut now: Duration) -> Vec<(Duration, Vec<u8>)> {
        let mut out = Vec::new();
        while let Some(at) = outlet.poll_timeout() {
            now = at.max(now);
            while let Some(bytes) = outlet.poll_bytes(now) {
                outlet.handle_written(bytes.len());
                out.push((now, bytes));
            }
        }
        out
    }

    fn all(out: &[(Duration, Vec<u8>)]) -> Vec<u8> {
        out.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    #[test]
    fn bytes_leave_at_character_time_and_frames_are_counted() {
        let start = Duration::from_secs(9);
        let mut outlet = Outlet::new(Pace { char_time: Some(CHAR), ..Pace::default() }, 1, start);
        outlet.push(b"\x06", start);
        outlet.push(b"0123456789", start);
        assert_eq!(outlet.left(), 0);
        let out = run(&mut outlet, start);
        assert_eq!(all(&out), b"\x060123456789");
        for (count, (at, bytes)) in (1..).zip(&out) {
            assert_eq!((*at, bytes.len()), (start + CHAR * count, 1));
        }
        assert!(outlet.is_idle());
        assert_eq!((outlet.left(), outlet.written()), (2, 11));
    }

    #[test]
    fn without_a_pace_all_leaves_at_once() {
        let mut outlet = Outlet::new(Pace::default(), 1, Duration::ZERO);
        outlet.push(b"0123456789", CHAR);
        outlet.push(b"ab", CHAR);
        assert_eq!(outlet.poll_bytes(CHAR).as_deref(), Some(&b"0123456789ab"[..]));
        assert_eq!((outlet.poll_bytes(CHAR), outlet.left()), (None, 0));
        outlet.handle_written(11);
        assert_eq!(outlet.left(), 1);
        outlet.handle_written(1);
        assert_eq!(outlet.left(), 2);
    }

    #[test]
    fn jitter_makes_gaps_and_loses_nothing() {
        let pace = Pace { char_time: Some(CHAR), jitter: CHAR * 4 };
        let mut outlet = Outlet::new(pace, 1, Duration::ZERO);
        outlet.push(&[7; 100], Duration::ZERO);
        let out = run(&mut outlet, Duration::ZERO);
        assert_eq!(all(&out), [7; 100]);
        let took = out[out.len() - 1].0;
        assert!((CHAR * 200..CHAR * 400).contains(&took), "{took:?}");
    }

    #[test]
    fn a_stall_is_inside_one_record_and_spares_answers() {
        let mut outlet = Outlet::new(Pace::default(), 1, Duration::ZERO);
        outlet.stall(CHAR * 500);
        for frame in [&b"\x06"[..], b"0123456789", b"0123456789"] {
            outlet.push(frame, Duration::ZERO);
        }
        let out = run(&mut outlet, Duration::ZERO);
        assert_eq!(all(&out), b"\x0601234567890123456789");
        let [(first, head), (second, tail)] = &out[..] else { panic!("{out:?}") };
        assert_eq!(*second - *first, CHAR * 500);
        assert!((2..11).contains(&head.len()) && tail.len() > 10);
    }

    #[test]
    fn a_record_of_which_a_fault_leaves_nothing_has_left() {
        let mut outlet = Outlet::new(Pace::default(), 3, Duration::ZERO);
        outlet.tamper(Tamper { kind: TamperKind::Drop, count: 10, side: Side::Out });
        outlet.stall(CHAR);
        outlet.push(b"0123456789", Duration::ZERO);
        assert_eq!((outlet.poll_bytes(Duration::ZERO), outlet.left()), (None, 1));
        assert!(outlet.is_idle());
    }

    #[test]
    fn answers_that_find_no_room_are_counted_and_have_left() {
        let pace = Pace { char_time: Some(CHAR), ..Pace::default() };
        let mut outlet = Outlet::new(pace, 1, Duration::ZERO);
        for _ in 0..MAX_FRAMES + 10 {
            outlet.push(b"\x15", Duration::ZERO);
        }
        outlet.push(b"0123456789", Duration::ZERO);
        assert_eq!(outlet.dropped(), 10);
        assert_eq!(all(&run(&mut outlet, Duration::ZERO)).len(), MAX_FRAMES + 10);
        assert_eq!(outlet.left(), MAX_FRAMES as u64 + 11);
    }

    #[test]
    fn a_burst_on_a_slow_line_is_one() {
        let slow = Duration::from_millis(91);
        let mut inlet = Inlet::new(3, Some(slow));
        inlet.tamper(Tamper { kind: TamperKind::Drop, count: 1, side: Side::In });
        let came = (1..20).flat_map(|n| inlet.pass(b"x", slow * n)).count();
        assert_eq!(came, 18);
    }

    #[test]
    fn quick_answers_are_no_burst() {
        let mut inlet = Inlet::new(3, None);
        inlet.tamper(Tamper { kind: TamperKind::Drop, count: 1, side: Side::In });
        for n in 1..100 {
            inlet.handle_sent();
            assert_eq!(inlet.pass(b"\x06", CHAR * n), b"\x06");
        }
        assert_eq!(inlet.pass(b"0123456789abcdef", CHAR * 100).len(), 15);
    }

    #[test]
    fn a_record_of_which_nothing_is_left_takes_its_time() {
        let mut outlet =
            Outlet::new(Pace { char_time: Some(CHAR), ..Pace::default() }, 3, Duration::ZERO);
        outlet.tamper(Tamper { kind: TamperKind::Drop, count: 10, side: Side::Out });
        outlet.push(b"0123456789", Duration::ZERO);
        outlet.push(b"\x06", Duration::ZERO);
        assert_eq!((outlet.poll_bytes(CHAR * 9), outlet.left()), (None, 0));
        assert_eq!(outlet.poll_timeout(), Some(CHAR * 10));
        assert_eq!((outlet.poll_bytes(CHAR * 10), outlet.left()), (None, 1));
        assert_eq!(outlet.poll_bytes(CHAR * 11).as_deref(), Some(&b"\x06"[..]));
    }

    #[test]
    fn tampering_changes_one_record_only() {
        for (kind, lens) in
            [(TamperKind::Flip, 23), (TamperKind::Drop, 21), (TamperKind::Insert, 25)]
        {
            let mut outlet = Outlet::new(Pace::default(), 3, Duration::ZERO);
            outlet.tamper(Tamper { kind, count: 2, side: Side::Out });
            for frame in [&b"ACK"[..], b"0123456789", b"0123456789"] {
                outlet.push(frame, Duration::ZERO);
            }
            let out = all(&run(&mut outlet, Duration::ZERO));
            assert_eq!(out.len(), lens, "{kind:?}");
            assert!(out.starts_with(b"ACK") && out.ends_with(b"0123456789"), "{kind:?}");
            assert_ne!(out[3..13], b"0123456789"[..], "{kind:?}");
            assert_eq!(outlet.left(), 3);

            let mut inlet = Inlet::new(3, None);
            inlet.tamper(Tamper { kind, count: 2, side: Side::In });
            let at = |n: u32| CHAR * 100 * n;
            assert_eq!(inlet.pass(b"ACK", at(1)), b"ACK");
            let spoilt = inlet.pass(b"0123456789abcdef", at(2));
            assert_eq!(spoilt.len() + 7, lens, "{kind:?}");
            assert_ne!(spoilt, b"0123456789abcdef");
            assert_eq!(inlet.pass(b"0123456789abcdef", at(3)), b"0123456789abcdef");
        }
    }
}
