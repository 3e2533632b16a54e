//! The numbered ring: every byte read from the line has one offset, and is kept until the holder
//! has taken responsibility for it (I3), and for observers a little longer.

use std::collections::VecDeque;

use wire::frame::INPUT_WINDOW;
use wire::{EventKind, Guard, LineEvent, guard};

/// Most events kept beside the input; beyond it the oldest that is no gap gives way.
const MAX_EVENTS: usize = 256;

/// Memory that a line keeps once it has needed it.
const LARGE: usize = 64 * 1024;

/// An event, and who was told of it.
#[derive(Debug, Clone, Copy)]
struct Mark {
    event: LineEvent,
    /// Grows from mark to mark, so that an observer knows how far it was told. 0: input lost to the
    /// ring's bound, which an observer sees by its own cursor.
    number: u64,
    /// The present holder was told of it.
    told: bool,
}

/// Input that nobody has acknowledged yet, the last that was, and what happened between its bytes.
#[derive(Debug)]
pub struct Input {
    incarnation: u64,
    /// Offset of the first byte in `bytes`.
    base: u64,
    /// All before it is acknowledged or in a reported gap.
    acked: u64,
    /// Offset after the last byte that was handed to a holder.
    delivered: u64,
    /// What comes after it waits for its packet to be complete.
    released: u64,
    bytes: VecDeque<u8>,
    events: VecDeque<Mark>,
    /// Number of the last mark.
    marks: u64,
    bounds: Bounds,
    throttled: bool,
    lost: u64,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes in all.
    pub(crate) ring: usize,
    /// Of them, acknowledged ones.
    pub(crate) history: usize,
    /// Input is released by [`Input::release`] and not as it comes.
    pub(crate) packed: bool,
}

impl Input {
    /// An empty stream. `unclean` marks that an unknown number of bytes was lost before it.
    pub(crate) fn new(incarnation: u64, bounds: Bounds, unclean: bool) -> Self {
        let mut input = Self::resume((incarnation, 0, 0), &[], &[], bounds);
        if unclean {
            input.mark(EventKind::Gap(u64::MAX));
        }
        input
    }

    /// A stream that goes on after a clean stop.
    pub(crate) fn resume(
        (incarnation, acked, delivered): (u64, u64, u64),
        kept: &[u8],
        events: &[LineEvent],
        bounds: Bounds,
    ) -> Self {
        let mark = |(i, event): (usize, &LineEvent)| Mark {
            event: *event,
            number: i as u64 + 1,
            told: false,
        };
        let mut input = Self {
            incarnation,
            base: acked,
            acked,
            delivered,
            released: acked + kept.len() as u64,
            bytes: kept.iter().copied().collect(),
            events: events.iter().enumerate().map(mark).collect(),
            marks: events.len() as u64,
            bounds,
            throttled: false,
            lost: 0,
        };
        input.forget_oldest(input.bytes.len().saturating_sub(bounds.ring));
        input
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The stream's name may have been used before: it goes on under a new one, and nobody knows
    /// what was lost before it.
    pub(crate) fn rename(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
        let event = LineEvent { offset: self.acked, kind: EventKind::Gap(u64::MAX) };
        let place = self.events.iter().position(|mark| mark.event.offset >= self.acked);
        let place = place.unwrap_or(self.events.len());
        self.events.insert(place, Mark { event, number: 0, told: false });
    }

    /// Offset of the oldest byte that is kept.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(crate) fn released(&self) -> u64 {
        self.released
    }

    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Bytes lost to the ring's bound since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// What the next holder must be told.
    pub(crate) fn events(&self) -> impl Iterator<Item = LineEvent> {
        self.events.iter().map(|mark| mark.event).filter(|event| event.offset >= self.acked)
    }

    /// A new holder is told everything again from `first_offset` on.
    pub(crate) fn restart_telling(&mut self) {
        let from = self.acked;
        self.events.iter_mut().for_each(|mark| mark.told = mark.event.offset < from);
    }

    /// The next event that the holder, having got all input before `offset`, must be told.
    pub(crate) fn tell(&mut self, offset: u64) -> Option<LineEvent> {
        let mark = self.events.iter_mut().find(|m| !m.told && m.event.offset <= offset)?;
        mark.told = true;
        Some(mark.event)
    }

    /// The same for an observer, which was told all up to the mark of number `told`.
    pub(crate) fn tell_observer(&self, told: &mut u64, offset: u64) -> Option<LineEvent> {
        let mark = self.events.iter().find(|m| m.number > *told && m.event.offset <= offset)?;
        *told = mark.number;
        Some(mark.event)
    }

    /// The mark before the first one that an observer which begins at `offset` is told.
    pub(crate) fn marks_before(&self, offset: u64) -> u64 {
        let next = self.events.iter().find(|m| m.number > 0 && m.event.offset >= offset);
        next.map_or(self.marks, |mark| mark.number - 1)
    }

    /// Where a new holder starts.
    pub(crate) fn first_offset(&self) -> u64 {
        if guard::on(Guard::ForgetOnlyAcked) { self.acked } else { self.delivered }
    }

    /// Appends what was read. Where it does not fit, the oldest bytes go; those that nobody has
    /// acknowledged leave a gap event.
    pub(crate) fn push(&mut self, read: &[u8]) {
        self.bytes.extend(read);
        if !self.bounds.packed {
            self.released = self.end();
        }
        self.forget_oldest(self.bytes.len().saturating_sub(self.bounds.ring));
    }

    /// Makes do with less, but never with less than a window.
    pub(crate) fn shrink(&mut self, excess: usize) {
        let least = (INPUT_WINDOW as usize).min(self.bounds.ring);
        self.forget_oldest(excess.min(self.bytes.len().saturating_sub(least)));
    }

    fn forget_oldest(&mut self, count: usize) {
        self.forget(count);
        if self.base > self.acked {
            self.lose(self.base - self.acked);
        }
    }

    /// Input before `offset` may be sent on.
    pub(crate) fn release(&mut self, offset: u64) {
        self.released = self.released.max(offset.min(self.end()));
    }

    fn forget(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.base += count as u64;
        // What was needed once is given back.
        if self.bytes.capacity() > LARGE && self.bytes.len() < self.bytes.capacity() / 4 {
            self.bytes.shrink_to(self.bytes.capacity() / 2);
        }
        self.released = self.released.max(self.base);
        let base = self.base.min(self.acked);
        while self.events.front().is_some_and(|m| m.event.offset < base) {
            self.events.pop_front();
        }
    }

    fn lose(&mut self, count: u64) {
        self.lost += count;
        self.acked += count;
        self.delivered = self.delivered.max(self.acked);
        let mut lost = count;
        // What was marked inside the gap is part of it.
        while let Some(mark) = self.events.front().filter(|m| m.event.offset < self.acked) {
            if let EventKind::Gap(earlier) = mark.event.kind {
                lost = lost.saturating_add(earlier);
            }
            self.events.pop_front();
        }
        let event = LineEvent { offset: self.acked, kind: EventKind::Gap(lost) };
        self.events.push_front(Mark { event, number: 0, told: false });
    }

    /// Marks what happened on the line after the last byte read.
    pub(crate) fn mark(&mut self, kind: EventKind) {
        if self.events.len() >= MAX_EVENTS {
            let oldest =
                self.events.iter().position(|m| !matches!(m.event.kind, EventKind::Gap(_)));
            self.events.remove(oldest.unwrap_or(0));
        }
        self.marks += 1;
        let event = LineEvent { offset: self.end(), kind };
        self.events.push_back(Mark { event, number: self.marks, told: false });
    }

    /// By the last mark about it, the device is gone.
    pub(crate) fn ends_down(&self) -> bool {
        let mut kinds = self.events.iter().rev().map(|mark| mark.event.kind);
        let last = kinds.find(|k| matches!(k, EventKind::Down | EventKind::Up));
        last == Some(EventKind::Down)
    }

    /// The holder took responsibility for what is before `offset`. Older offsets change nothing.
    ///
    /// Events before `offset` go with it. One at `offset` itself stays: whether the holder has
    /// acted on it is not known before it acknowledges what follows.
    pub(crate) fn ack(&mut self, offset: u64) {
        self.acked = self.acked.max(offset.min(self.end()));
        self.delivered = self.delivered.max(self.acked);
        let acked = (self.acked - self.base) as usize;
        self.forget(acked.saturating_sub(self.bounds.history));
    }

    /// Up to `max` bytes from `offset` on for the holder: they count as handed out.
    pub(crate) fn take(&mut self, offset: u64, max: usize) -> &[u8] {
        let until = offset + self.run(offset, max).len() as u64;
        self.delivered = self.delivered.max(until);
        self.run(offset, max)
    }

    /// Up to `max` bytes from `offset` on that are released, not beyond the next event; perhaps
    /// less than there is, never nothing where there is something.
    pub(crate) fn run(&self, offset: u64, max: usize) -> &[u8] {
        let fence = self.events.iter().map(|m| m.event.offset).find(|o| *o > offset);
        let until = self.released.min(fence.unwrap_or(u64::MAX)).min(offset + max as u64);
        let from = offset.max(self.base);
        if from >= until {
            return &[];
        }
        let (from, until) = ((from - self.base) as usize, (until - self.base) as usize);
        let (front, back) = self.bytes.as_slices();
        match from.checked_sub(front.len()) {
            Some(from) => &back[from..until - front.len()],
            None => &front[from..until.min(front.len())],
        }
    }

    /// Everything that nobody has acknowledged.
    pub(crate) fn kept(&self) -> Vec<u8> {
        self.bytes.range((self.acked - self.base) as usize..).copied().collect()
    }

    /// What came after `offset`, in two pieces.
    pub(crate) fn since(&self, offset: u64) -> (&[u8], &[u8]) {
        let from = (offset.max(self.base) - self.base) as usize;
        let (front, back) = self.bytes.as_slices();
        (&front[from.min(front.len())..], &back[from.saturating_sub(front.len())..])
    }

    /// Bytes that are kept.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether more may be read from a line that can be throttled, with hysteresis: stop when three
    /// quarters are taken by what nobody has acknowledged, go on at half.
    pub(crate) fn wants_more(&mut self) -> bool {
        let kept = (self.end() - self.acked) as usize;
        if kept >= self.bounds.ring / 4 * 3 {
            self.throttled = true;
        } else if kept <= self.bounds.ring / 2 {
            self.throttled = false;
        }
        !self.throttled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(ring: usize, history: usize) -> Bounds {
        Bounds { ring, history, packed: false }
    }

    #[test]
    fn i3_offsets_grow_and_only_acknowledged_bytes_are_forgotten() {
        let mut input = Input::new(1, bounds(16, 0), false);
        input.push(b"abcdef");
        assert_eq!(input.take(0, 4), b"abcd");
        assert_eq!((input.acked(), input.delivered(), input.end()), (0, 4, 6));
        input.ack(2);
        assert_eq!(input.take(2, 99), b"cdef");
        input.ack(1);
        assert_eq!(input.acked(), 2, "an older acknowledgement changes nothing");
    }

    #[test]
    fn a_full_ring_loses_the_oldest_and_says_exactly_what() {
        let mut input = Input::new(1, bounds(4, 0), false);
        input.push(b"abcdef");
        input.push(b"g");
        let events: Vec<_> = input.events().collect();
        assert_eq!(events, [LineEvent { offset: 3, kind: EventKind::Gap(3) }]);
        assert_eq!(input.take(3, 99), b"defg");
        assert_eq!(input.lost(), 3);
    }

    #[test]
    fn input_stops_at_an_event_so_that_its_offset_is_exact() {
        let mut input = Input::new(1, bounds(16, 0), false);
        input.push(b"ab");
        input.mark(EventKind::Down);
        input.push(b"cd");
        assert_eq!(input.take(0, 99), b"ab");
        assert_eq!(input.take(2, 99), b"cd");
    }

    #[test]
    fn throttling_has_hysteresis() {
        let mut input = Input::new(1, bounds(8, 0), false);
        input.push(b"abcde");
        assert!(input.wants_more());
        input.push(b"f");
        assert!(!input.wants_more());
        input.ack(1);
        assert!(!input.wants_more());
        input.ack(2);
        assert!(input.wants_more());
    }

    #[test]
    fn history_is_kept_for_observers_and_gives_way_first() {
        let mut input = Input::new(1, bounds(8, 4), false);
        input.push(b"abcdef");
        input.ack(5);
        assert_eq!((input.base(), input.acked()), (1, 5));
        assert_eq!(input.run(1, 99), b"bcdef");
        input.push(b"ghi");
        assert_eq!((input.base(), input.lost()), (1, 0));
        input.push(b"jklm");
        assert_eq!((input.base(), input.acked(), input.lost()), (5, 5, 0), "history went");
        input.push(b"n");
        assert_eq!((input.base(), input.acked(), input.lost()), (6, 6, 1));
        assert_eq!(input.kept(), b"ghijklmn");
    }

    #[test]
    fn an_observer_is_told_each_event_once_and_in_its_place() {
        let mut input = Input::new(1, bounds(16, 16), false);
        input.push(b"ab");
        input.mark(EventKind::Break);
        input.push(b"cd");
        input.ack(4);
        let mut told = input.marks_before(0);
        assert_eq!(input.tell_observer(&mut told, 1), None);
        let event = LineEvent { offset: 2, kind: EventKind::Break };
        assert_eq!(input.tell_observer(&mut told, 2), Some(event));
        assert_eq!(input.tell_observer(&mut told, 4), None);
        assert_eq!(input.marks_before(3), 1, "whoever begins later is not told");
        input.mark(EventKind::Down);
        assert!(input.tell_observer(&mut told, 4).is_some());
    }
}
