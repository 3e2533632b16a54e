//! Records on their way to the tty: whole frames, one after the other, paced.
//!
//! I2 lives here: what has not started when its grant ends is dropped, what has started is
//! finished (or cut, by policy), and nothing of the next epoch comes before its end.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use wire::{Epoch, Fate, Guard, LastFrame, Output, Time, guard};

use super::config::FrameEnd;

/// The tty gets at most this much time's worth of bytes ahead of the wire, so that at a takeover
/// little is out of hand.
const AHEAD: Duration = Duration::from_millis(20);
/// Or this many bytes on slow lines, so that the wire never idles between two wake-ups.
const AHEAD_BYTES: u32 = 16;

/// One accepted OUTPUT frame.
#[derive(Debug)]
struct Record {
    epoch: Epoch,
    output: Output,
}

/// What a finished frame brings into effect.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) ack: Option<u64>,
    pub(crate) note: Option<Bytes>,
}

/// The queue of frames and the pace at which they go.
#[derive(Debug)]
pub struct OutputQueue {
    records: VecDeque<Record>,
    /// Bytes of the front record that the tty has taken.
    sent: usize,
    /// The most of it that the tty ever took: a device that vanished begins it anew.
    reached: usize,
    /// The front record has been on the wire, in part or, before the device vanished, at all.
    started: bool,
    /// The last poll gave nothing although something waits.
    held_back: bool,
    /// The front record's grant has ended and its ack was already promised to the next holder.
    promised: bool,
    /// Position after the last finished frame.
    accepted: u64,
    last: LastFrame,
    pace: Pace,
}

impl OutputQueue {
    pub(crate) fn new(position: u64, last: LastFrame, char_time: Option<Duration>) -> Self {
        let pace = Pace { char_time, busy_until: Time::ZERO };
        Self {
            records: VecDeque::new(),
            sent: 0,
            reached: 0,
            started: false,
            held_back: false,
            promised: false,
            accepted: position,
            last,
            pace,
        }
    }

    /// After a clean stop that could not finish `unfinished`: it goes first.
    pub(crate) fn resume(
        position: u64,
        last: LastFrame,
        unfinished: Bytes,
        char_time: Option<Duration>,
    ) -> Self {
        let begin = position.saturating_sub(unfinished.len() as u64);
        let mut queue = Self::new(begin, last, char_time);
        if !unfinished.is_empty() {
            let output = Output { position: begin, ack: None, note: None, bytes: unfinished };
            queue.push(last.epoch, output);
            queue.started = true;
            queue.promised = true;
        }
        queue
    }

    /// The frame that was started and not finished.
    pub(crate) fn unfinished(&self) -> Bytes {
        let front = self.records.front().filter(|_| self.started);
        front.map(|record| record.output.bytes.clone()).unwrap_or_default()
    }

    /// Position of the next byte that may be queued.
    pub(crate) fn position(&self) -> u64 {
        self.records.back().map_or(self.accepted, |r| r.output.end())
    }

    /// All before it was handed to the tty.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// All before it has left the port, by the clock.
    pub(crate) fn drained(&self, now: Time) -> u64 {
        let handed = self.accepted + self.sent as u64;
        handed.saturating_sub(self.pace.bytes_ahead(now)).min(self.accepted)
    }

    /// The last frame that was started.
    pub(crate) fn last(&self) -> LastFrame {
        self.last
    }

    /// Whether a frame has been started and not finished.
    pub(crate) fn mid_frame(&self) -> bool {
        self.started
    }

    /// Appends a frame. The caller has checked position and window.
    pub(crate) fn push(&mut self, epoch: Epoch, output: Output) {
        self.records.push_back(Record { epoch, output });
    }

    /// An ACK that came after output of the same grant takes effect after that output, or is
    /// dropped with it: it must not settle input whose answer may still be dropped. `Some` gives
    /// it back where there is no such output.
    pub(crate) fn defer(&mut self, epoch: Epoch, ack: Finished) -> Option<Finished> {
        let Some(record) = self.records.back_mut().filter(|r| r.epoch == epoch) else {
            return Some(ack);
        };
        record.output.ack = record.output.ack.max(ack.ack);
        if ack.note.is_some() {
            record.output.note = ack.note;
        }
        None
    }

    /// Bytes the tty may have now, if any.
    pub(crate) fn poll(&mut self, now: Time) -> Option<&[u8]> {
        let record = self.records.front()?;
        let rest = &record.output.bytes[self.sent..];
        let room = self.pace.room(now).min(rest.len());
        self.held_back = room == 0;
        (room > 0).then(|| &rest[..room])
    }

    /// When [`OutputQueue::poll`] will have what it held back for the sake of the pace.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        (self.held_back && !self.records.is_empty()).then(|| self.pace.room_at())
    }

    /// When all that was handed over has left the port.
    pub(crate) fn drained_at(&self) -> Time {
        self.pace.busy_until
    }

    /// The tty took `count` of the polled bytes. The frame whose last byte it was takes effect.
    pub(crate) fn written(&mut self, count: usize, now: Time) -> Option<Finished> {
        let record = self.records.front()?;
        if !self.started && count > 0 {
            self.started = true;
            let end = record.output.end();
            self.last = LastFrame { epoch: record.epoch, end, fate: Fate::Finishing };
        }
        self.sent += count;
        self.reached = self.reached.max(self.sent);
        self.pace.handed(count, now);
        if self.sent < record.output.bytes.len() {
            return None;
        }
        let record = self.records.pop_front()?;
        self.sent = 0;
        self.reached = 0;
        self.started = false;
        self.accepted = record.output.end();
        self.last.fate = Fate::Finished;
        // A promised ack took effect when the next holder was told.
        if std::mem::take(&mut self.promised) {
            return Some(Finished { ack: None, note: None });
        }
        Some(Finished { ack: record.output.ack, note: record.output.note })
    }

    /// The port still holds `count` bytes by its own account: a line that is being throttled
    /// drains slower than the clock says.
    pub(crate) fn port_holds(&mut self, count: usize, now: Time) {
        self.pace.at_least(count, now);
    }

    /// The grant has ended: what has not started is dropped. Returns how many frames that were.
    pub(crate) fn end_grant(&mut self, policy: FrameEnd) -> usize {
        let keep = usize::from(self.started && guard::on(Guard::WholeFrames));
        let dropped = self.records.len().saturating_sub(usize::from(self.started));
        self.records.truncate(keep);
        if keep == 0 {
            self.sent = 0;
            self.reached = 0;
            self.started = false;
        } else if policy == FrameEnd::Cut && !self.promised {
            self.cut();
        }
        dropped
    }

    /// A promise made at an earlier end of a grant is kept: only an unpromised frame is cut.
    fn cut(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.accepted = record.output.position + self.reached as u64;
            self.last.fate = Fate::Cut(self.reached as u16);
            self.last.end = self.accepted;
            self.sent = 0;
            self.reached = 0;
            self.started = false;
        }
    }

    /// What the frame being finished will bring into effect, given out once: it is certain to be
    /// finished, so the next holder is told as if it were.
    pub(crate) fn promise(&mut self) -> Option<Finished> {
        if !self.started || self.promised {
            return None;
        }
        self.promised = true;
        let record = self.records.front()?;
        Some(Finished { ack: record.output.ack, note: record.output.note.clone() })
    }

    /// The device has gone. A started frame is sent again, whole, when it is back: its receiver
    /// has seen a torn one, which no protocol takes for good.
    pub(crate) fn device_gone(&mut self) {
        self.sent = 0;
        self.pace.busy_until = Time::ZERO;
    }
}

/// Keeps what the tty was given within reach.
#[derive(Debug)]
struct Pace {
    /// `None`: as fast as the tty takes it.
    char_time: Option<Duration>,
    /// When the port will have sent all that it was given.
    busy_until: Time,
}

impl Pace {
    fn ahead(char_time: Duration) -> Duration {
        AHEAD.max(char_time * AHEAD_BYTES)
    }

    fn room(&self, now: Time) -> usize {
        let Some(char_time) = self.char_time else { return usize::MAX };
        let free = Self::ahead(char_time).saturating_sub(self.busy_until.since(now));
        (free.as_nanos() / char_time.as_nanos().max(1)) as usize
    }

    /// Half of what may be ahead has gone: not a wake-up a byte, and never an idle wire.
    fn room_at(&self) -> Time {
        self.busy_until - self.char_time.map_or(Duration::ZERO, |c| Self::ahead(c) / 2)
    }

    fn handed(&mut self, count: usize, now: Time) {
        if let Some(char_time) = self.char_time {
            self.busy_until = self.busy_until.max(now) + char_time * count as u32;
        }
    }

    fn at_least(&mut self, count: usize, now: Time) {
        if let Some(char_time) = self.char_time {
            self.busy_until = self.busy_until.max(now + char_time * count as u32);
        }
    }

    fn bytes_ahead(&self, now: Time) -> u64 {
        let Some(char_time) = self.char_time else { return 0 };
        self.busy_until.since(now).as_nanos().div_ceil(char_time.as_nanos().max(1)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAR: Duration = Duration::from_millis(1);

    fn record(position: u64, bytes: &'static [u8]) -> Output {
        Output { position, ack: Some(position), note: None, bytes: Bytes::from_static(bytes) }
    }

    fn queue() -> OutputQueue {
        OutputQueue::new(0, LastFrame::default(), Some(CHAR))
    }

    fn ms(ms: u64) -> Time {
        Time::ZERO + Duration::from_secs(100) + Duration::from_millis(ms)
    }

    #[test]
    fn at_most_twenty_milliseconds_are_out_of_hand() {
        let mut q = queue();
        q.push(Epoch(1), record(0, &[b'x'; 50]));
        assert_eq!(q.poll(ms(0)).map(<[u8]>::len), Some(20));
        assert_eq!(q.written(20, ms(0)), None);
        assert_eq!(q.poll(ms(0)), None);
        assert_eq!(q.poll_timeout(), Some(ms(10)));
        assert_eq!(q.poll(ms(10)).map(<[u8]>::len), Some(10));
        assert_eq!(q.drained(ms(10)), 0, "a frame counts when all of it has gone");
    }

    #[test]
    fn i2_a_started_frame_is_finished_and_the_others_are_dropped() {
        let mut q = queue();
        q.push(Epoch(1), record(0, b"0123456789012345678901234"));
        q.push(Epoch(1), record(25, b"next"));
        q.written(20, ms(0));
        assert_eq!(q.end_grant(FrameEnd::Finish), 1);
        assert_eq!(q.promise().and_then(|f| f.ack), Some(0));
        assert_eq!(q.promise(), None, "given out once");
        assert_eq!(q.position(), 25);
        assert_eq!(q.last().fate, Fate::Finishing);
        q.push(Epoch(2), record(25, b"new"));
        assert_eq!(q.poll(ms(20)), Some(&b"01234"[..]));
        assert_eq!(q.written(5, ms(20)), Some(Finished { ack: None, note: None }));
        assert_eq!(q.poll(ms(20)), Some(&b"new"[..]));
        assert_eq!(q.written(3, ms(20)), Some(Finished { ack: Some(25), note: None }));
        assert_eq!(q.last(), LastFrame { epoch: Epoch(2), end: 28, fate: Fate::Finished });
    }

    #[test]
    fn i3_an_ack_takes_effect_after_the_output_before_it() {
        let mut q = queue();
        let ack = |offset| Finished { ack: Some(offset), note: None };
        assert_eq!(q.defer(Epoch(1), ack(5)), Some(ack(5)));
        q.push(Epoch(1), record(0, b"abc"));
        assert_eq!(q.defer(Epoch(1), ack(9)), None);
        assert_eq!(q.written(3, ms(0)), Some(ack(9)));
    }

    #[test]
    fn a_frame_may_be_cut_by_policy_and_its_ack_dies_with_it() {
        let mut q = queue();
        q.push(Epoch(1), record(0, b"0123456789012345678901234"));
        q.written(20, ms(0));
        assert_eq!(q.end_grant(FrameEnd::Cut), 0);
        assert_eq!(q.promise(), None);
        assert_eq!((q.position(), q.last().fate), (20, Fate::Cut(20)));
    }

    #[test]
    fn a_frame_torn_by_a_vanishing_device_is_sent_again_whole() {
        let mut q = queue();
        q.push(Epoch(1), record(0, b"0123456789012345678901234"));
        q.written(20, ms(0));
        q.device_gone();
        assert_eq!(q.poll(ms(1)).map(<[u8]>::len), Some(20));
        q.end_grant(FrameEnd::Finish);
        assert!(q.poll(ms(1)).is_some(), "also when its grant ends meanwhile");
        q.end_grant(FrameEnd::Cut);
        assert_eq!(q.last().fate, Fate::Cut(20), "what went out before it vanished counts");
    }

    #[test]
    fn an_unpaced_line_takes_all_at_once() {
        let mut q = OutputQueue::new(0, LastFrame::default(), None);
        q.push(Epoch(1), record(0, &[b'x'; 2000]));
        assert_eq!(q.poll(ms(0)).map(<[u8]>::len), Some(2000));
        q.written(2000, ms(0));
        assert_eq!((q.accepted(), q.drained(ms(0))), (2000, 2000));
    }
}
