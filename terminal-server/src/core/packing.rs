//! When input that has come is sent on: at once, or in packets.

use std::time::Duration;

use wire::Time;

use super::config::{PACKET, Packing};
use super::input::Input;

/// Watches the end of the input and releases whole packets.
#[derive(Debug)]
pub(crate) struct Packer {
    packing: Packing,
    /// Where the search for a packet's end goes on.
    searched: u64,
    /// When the first byte that waits came, and the last.
    waiting: Option<(Time, Time)>,
}

impl Packer {
    pub(crate) fn new(packing: Packing, end: u64) -> Self {
        Self { packing, searched: end, waiting: None }
    }

    /// Input has come.
    pub(crate) fn handle_input(&mut self, input: &mut Input, now: Time) {
        if self.packing.is_off() {
            return;
        }
        let before = input.released();
        self.search(input);
        // What is left of a chunk that completed a packet has only just come.
        let first = self.waiting.map(|(first, _)| first).filter(|_| input.released() == before);
        let waits = input.released() < input.end();
        self.waiting = waits.then(|| (first.unwrap_or(now), now));
    }

    fn search(&mut self, input: &mut Input) {
        if let Some(end) = self.after_last_delimiter(input) {
            input.release(end);
        }
        if let Some(length) = self.packing.length.filter(|length| *length > 0) {
            let waits = input.end() - input.released();
            input.release(input.end() - waits % length as u64);
        }
        self.searched = input.end();
    }

    fn after_last_delimiter(&self, input: &Input) -> Option<u64> {
        let delimiter = self.packing.delimiter?;
        let from = self.searched.max(input.base());
        let (front, back) = input.since(from);
        let last = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == delimiter);
        let at = last(back).map(|at| front.len() + at).or_else(|| last(front))?;
        Some(from + at as u64 + 1)
    }

    /// When [`Packer::handle_timeout`] is to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let (first, last) = self.waiting?;
        let due = |since: Time, span: Option<Duration>| span.map(|span| since + span);
        let longest = match (self.packing.longest, self.packing.idle) {
            (None, None) => due(first, Some(PACKET)),
            (longest, _) => due(first, longest),
        };
        wire::time::earliest([longest, due(last, self.packing.idle)])
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, input: &mut Input, now: Time) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            input.release(input.end());
            self.searched = input.end();
            self.waiting = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::input::Bounds;

    fn ms(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    struct Bench {
        packer: Packer,
        input: Input,
    }

    fn bench(packing: Packing) -> Bench {
        let bounds = Bounds { ring: 4096, history: 0, packed: true };
        Bench { packer: Packer::new(packing, 0), input: Input::new(1, bounds, false) }
    }

    impl Bench {
        fn push(&mut self, bytes: &[u8], now: Time) -> u64 {
            self.input.push(bytes);
            self.packer.handle_input(&mut self.input, now);
            self.input.released()
        }

        fn pass(&mut self, now: Time) -> u64 {
            self.packer.handle_timeout(&mut self.input, now);
            self.input.released()
        }
    }

    #[test]
    fn an_idle_gap_completes_a_packet_and_the_longest_wait_bounds_it() {
        let idle = Some(Duration::from_millis(5));
        let longest = Some(Duration::from_millis(12));
        let mut b = bench(Packing { idle, longest, ..Packing::default() });
        assert_eq!(b.push(b"abc", ms(0)), 0);
        assert_eq!(b.push(b"d", ms(4)), 0);
        assert_eq!(b.packer.poll_timeout(), Some(ms(9)));
        assert_eq!(b.pass(ms(8)), 0);
        assert_eq!(b.push(b"e", ms(8)), 0);
        assert_eq!(b.packer.poll_timeout(), Some(ms(12)), "the longest wait");
        assert_eq!(b.pass(ms(12)), 5);
        assert_eq!(b.packer.poll_timeout(), None);
        b.push(b"f", ms(20));
        assert_eq!(b.packer.poll_timeout(), Some(ms(25)));
    }

    #[test]
    fn a_delimiter_completes_a_packet() {
        let delimiter = Some(b'\n');
        let mut b = bench(Packing { delimiter, ..Packing::default() });
        assert_eq!(b.push(b"ab\r", ms(0)), 0);
        assert_eq!(b.push(b"\ncd", ms(1)), 4);
        assert_eq!(b.packer.poll_timeout(), Some(ms(1001)), "the wait of what is left");
        assert_eq!(b.push(b"\r\nef\r\ng", ms(2)), 12);
    }

    #[test]
    fn a_length_completes_a_packet() {
        let longest = Some(Duration::from_secs(1));
        let mut b = bench(Packing { longest, length: Some(4), ..Packing::default() });
        assert_eq!(b.push(b"abc", ms(0)), 0);
        assert_eq!(b.push(b"defghi", ms(0)), 8);
        assert_eq!(b.pass(ms(1000)), 9);
    }
}
