//! The numbered ring: every byte read from the line has one offset, and is kept until the holder
//! has taken responsibility for it (I3).

use std::collections::VecDeque;

use bytes::Bytes;
use wire::{EventKind, Guard, LineEvent, guard};

/// Most events kept beside the input; beyond it the oldest that is no gap gives way.
const MAX_EVENTS: usize = 256;

/// An event, and whether the present holder was told of it.
#[derive(Debug, Clone, Copy)]
struct Mark {
    event: LineEvent,
    told: bool,
}

impl Mark {
    fn new(offset: u64, kind: EventKind) -> Self {
        Self { event: LineEvent { offset, kind }, told: false }
    }
}

/// Input that nobody has acknowledged yet, and what happened between its bytes.
#[derive(Debug)]
pub struct Input {
    incarnation: u64,
    /// Offset of the first byte in `bytes`; all before it is acknowledged or in a reported gap.
    acked: u64,
    /// Offset after the last byte that was handed to somebody.
    delivered: u64,
    bytes: VecDeque<u8>,
    events: VecDeque<Mark>,
    capacity: usize,
    throttled: bool,
    lost: u64,
}

impl Input {
    /// An empty stream. `unclean` marks that an unknown number of bytes was lost before it.
    pub(crate) fn new(incarnation: u64, capacity: usize, unclean: bool) -> Self {
        let gap = Mark::new(0, EventKind::Gap(u64::MAX));
        Self {
            incarnation,
            acked: 0,
            delivered: 0,
            bytes: VecDeque::new(),
            events: unclean.then_some(gap).into_iter().collect(),
            capacity,
            throttled: false,
            lost: 0,
        }
    }

    /// A stream that goes on after a clean stop.
    pub(crate) fn resume(
        (incarnation, acked, delivered): (u64, u64, u64),
        kept: &[u8],
        events: &[LineEvent],
        capacity: usize,
    ) -> Self {
        Self {
            incarnation,
            acked,
            delivered,
            bytes: kept.iter().copied().collect(),
            events: events.iter().map(|event| Mark { event: *event, told: false }).collect(),
            capacity,
            throttled: false,
            lost: 0,
        }
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The stream's name may have been used before: it goes on under a new one, and nobody knows
    /// what was lost before it.
    pub(crate) fn rename(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
        self.events.push_front(Mark::new(self.acked, EventKind::Gap(u64::MAX)));
    }

    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(crate) fn end(&self) -> u64 {
        self.acked + self.bytes.len() as u64
    }

    /// Bytes lost to the ring's bound since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = LineEvent> {
        self.events.iter().map(|mark| mark.event)
    }

    /// A new holder is told everything again from `first_offset` on.
    pub(crate) fn restart_telling(&mut self) {
        self.events.iter_mut().for_each(|mark| mark.told = false);
    }

    /// The next event that the holder, having got all input before `offset`, must be told.
    pub(crate) fn tell(&mut self, offset: u64) -> Option<LineEvent> {
        let mark = self.events.iter_mut().find(|m| !m.told && m.event.offset <= offset)?;
        mark.told = true;
        Some(mark.event)
    }

    /// Where a new holder starts.
    pub(crate) fn first_offset(&self) -> u64 {
        if guard::on(Guard::ForgetOnlyAcked) { self.acked } else { self.delivered }
    }

    /// Appends what was read. Where it does not fit, the oldest bytes go and leave a gap event.
    pub(crate) fn push(&mut self, read: &[u8]) {
        self.bytes.extend(read);
        let excess = self.bytes.len().saturating_sub(self.capacity);
        if excess > 0 {
            self.bytes.drain(..excess);
            self.lose(excess as u64);
        }
    }

    fn lose(&mut self, count: u64) {
        self.lost += count;
        self.acked += count;
        self.delivered = self.delivered.max(self.acked);
        let mut lost = count;
        // What was marked inside the gap is part of it.
        while let Some(event) = self.events.front().filter(|m| m.event.offset < self.acked) {
            if let EventKind::Gap(earlier) = event.event.kind {
                lost = lost.saturating_add(earlier);
            }
            self.events.pop_front();
        }
        self.events.push_front(Mark::new(self.acked, EventKind::Gap(lost)));
    }

    /// Marks what happened on the line after the last byte read.
    pub(crate) fn mark(&mut self, kind: EventKind) {
        if self.events.len() >= MAX_EVENTS {
            let oldest =
                self.events.iter().position(|m| !matches!(m.event.kind, EventKind::Gap(_)));
            self.events.remove(oldest.unwrap_or(0));
        }
        self.events.push_back(Mark::new(self.end(), kind));
    }

    /// Forgets what the holder took responsibility for. Older offsets change nothing.
    ///
    /// Events before `offset` go with it. One at `offset` itself stays: whether the holder has
    /// acted on it is not known before it acknowledges what follows.
    pub(crate) fn ack(&mut self, offset: u64) {
        let count = offset.min(self.end()).saturating_sub(self.acked);
        self.bytes.drain(..count as usize);
        self.acked += count;
        self.delivered = self.delivered.max(self.acked);
        while self.events.front().is_some_and(|m| m.event.offset < self.acked) {
            self.events.pop_front();
        }
    }

    /// Up to `max` bytes from `offset` on, not beyond the next event; they count as handed out.
    pub(crate) fn take(&mut self, offset: u64, max: usize) -> Bytes {
        let fence = self.events.iter().map(|m| m.event.offset).find(|o| *o > offset);
        let until = self.end().min(fence.unwrap_or(u64::MAX)).min(offset + max as u64);
        let from = offset.max(self.acked);
        if from >= until {
            return Bytes::new();
        }
        let range = (from - self.acked) as usize..(until - self.acked) as usize;
        self.delivered = self.delivered.max(until);
        self.copy(range)
    }

    /// Everything that is kept.
    pub(crate) fn kept(&self) -> Bytes {
        self.copy(0..self.bytes.len())
    }

    fn copy(&self, range: std::ops::Range<usize>) -> Bytes {
        let (front, back) = self.bytes.as_slices();
        if range.end <= front.len() {
            return Bytes::copy_from_slice(&front[range]);
        }
        if range.start >= front.len() {
            let shift = front.len();
            return Bytes::copy_from_slice(&back[range.start - shift..range.end - shift]);
        }
        self.bytes.range(range).copied().collect()
    }

    /// Whether more may be read from a line that can be throttled, with hysteresis: stop at three
    /// quarters, go on at half.
    pub(crate) fn wants_more(&mut self) -> bool {
        if self.bytes.len() >= self.capacity / 4 * 3 {
            self.throttled = true;
        } else if self.bytes.len() <= self.capacity / 2 {
            self.throttled = false;
        }
        !self.throttled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i3_offsets_grow_and_only_acknowledged_bytes_are_forgotten() {
        let mut input = Input::new(1, 16, false);
        input.push(b"abcdef");
        assert_eq!(&input.take(0, 4)[..], b"abcd");
        assert_eq!((input.acked(), input.delivered(), input.end()), (0, 4, 6));
        input.ack(2);
        assert_eq!(&input.take(2, 99)[..], b"cdef");
        input.ack(1);
        assert_eq!(input.acked(), 2, "an older acknowledgement changes nothing");
    }

    #[test]
    fn a_full_ring_loses_the_oldest_and_says_exactly_what() {
        let mut input = Input::new(1, 4, false);
        input.push(b"abcdef");
        input.push(b"g");
        let events: Vec<_> = input.events().collect();
        assert_eq!(events, [LineEvent { offset: 3, kind: EventKind::Gap(3) }]);
        assert_eq!(&input.take(3, 99)[..], b"defg");
        assert_eq!(input.lost(), 3);
    }

    #[test]
    fn input_stops_at_an_event_so_that_its_offset_is_exact() {
        let mut input = Input::new(1, 16, false);
        input.push(b"ab");
        input.mark(EventKind::Down);
        input.push(b"cd");
        assert_eq!(&input.take(0, 99)[..], b"ab");
        assert_eq!(&input.take(2, 99)[..], b"cd");
    }

    #[test]
    fn throttling_has_hysteresis() {
        let mut input = Input::new(1, 8, false);
        input.push(b"abcde");
        assert!(input.wants_more());
        input.push(b"f");
        assert!(!input.wants_more());
        input.ack(1);
        assert!(!input.wants_more());
        input.ack(2);
        assert!(input.wants_more());
    }
}
