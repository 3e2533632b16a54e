//! Records on their way to the tty: whole frames, one after the other, paced; and between them what
//! clients ask of the device.
//!
//! I2 lives here: what has not started when its grant ends is dropped, what has started is
//! finished (or cut, by policy), and nothing of the next epoch comes before its end.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use wire::{Epoch, Fate, Guard, LastFrame, Output, Time, guard};

use super::config::FrameEnd;
use super::deed::{Deed, Task};
use super::pace::Pace;

/// A line that takes nothing for so long is being held back by its far end: what a client asks of
/// the device is done nevertheless, so that it is answered within 100 ms (checklist O1, O5).
const STALLED: Duration = Duration::from_millis(80);
/// Most tasks in the queue; a client that may wait is not read beyond it.
pub(crate) const MAX_TASKS: usize = 64;

/// One accepted OUTPUT frame.
#[derive(Debug)]
struct Record {
    epoch: Epoch,
    output: Output,
}

/// What goes out in order.
#[derive(Debug)]
enum Item {
    Record(Record),
    Task(Task),
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
    items: VecDeque<Item>,
    /// Tasks among the items.
    tasks: usize,
    /// The task that is being done: nothing goes out meanwhile.
    doing: Option<Task>,
    /// Position of the next byte that may be queued.
    queued: u64,
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
    /// When the tty took something last, or a task came first into the queue.
    moved_at: Time,
    /// What the port held when it was asked last.
    holds: usize,
}

impl OutputQueue {
    pub(crate) fn new(position: u64, last: LastFrame, pace: Pace) -> Self {
        Self {
            items: VecDeque::new(),
            tasks: 0,
            doing: None,
            queued: position,
            sent: 0,
            reached: 0,
            started: false,
            held_back: false,
            promised: false,
            accepted: position,
            last,
            pace,
            moved_at: Time::ZERO,
            holds: 0,
        }
    }

    /// After a clean stop that could not finish `unfinished`: it goes first.
    pub(crate) fn resume(position: u64, last: LastFrame, unfinished: Bytes, pace: Pace) -> Self {
        let begin = position.saturating_sub(unfinished.len() as u64);
        let mut queue = Self::new(begin, last, pace);
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
        let front = self.front().filter(|_| self.started);
        front.map(|record| record.output.bytes.clone()).unwrap_or_default()
    }

    /// Position of the next byte that may be queued.
    pub(crate) fn position(&self) -> u64 {
        self.queued
    }

    fn front(&self) -> Option<&Record> {
        match self.items.front() {
            Some(Item::Record(record)) => Some(record),
            _ => None,
        }
    }

    /// All before it was handed to the tty.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// All before it has left the port, by the clock.
    pub(crate) fn drained(&self, now: Time) -> u64 {
        self.handed().saturating_sub(self.pace.bytes_ahead(now)).min(self.accepted)
    }

    /// Position of the next byte for the tty.
    pub(crate) fn handed(&self) -> u64 {
        self.accepted + self.sent as u64
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
        self.queued = output.end();
        self.items.push_back(Item::Record(Record { epoch, output }));
    }

    /// Appends something that is to be done with the device after the output before it.
    pub(crate) fn push_task(&mut self, task: Task, now: Time) {
        if self.tasks == 0 {
            self.moved_at = self.moved_at.max(now);
        }
        self.tasks += 1;
        self.items.push_back(Item::Task(task));
    }

    /// Whether tasks wait or are being done.
    pub(crate) fn has_tasks(&self) -> bool {
        self.tasks > 0 || self.doing.is_some()
    }

    /// Tasks that wait.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks
    }

    /// The next thing to be done with the device, if it is time: the output before it has left the
    /// port, or the line is held back. Then nothing goes out until [`OutputQueue::done`].
    pub(crate) fn poll_task(&mut self, up: bool, now: Time) -> Option<Deed> {
        if self.doing.is_some() || self.task_due(up).is_none_or(|due| due > now) {
            return None;
        }
        let first = self.items.iter().position(|item| matches!(item, Item::Task(_)))?;
        let Some(Item::Task(mut task)) = self.items.remove(first) else { return None };
        self.tasks -= 1;
        while let Some(Item::Task(next)) = self.items.get(first)
            && task.merge(next)
        {
            self.items.remove(first);
            self.tasks -= 1;
        }
        let deed = task.deed;
        self.doing = Some(task);
        Some(deed)
    }

    /// What is being done.
    pub(crate) fn doing(&self) -> Option<&Deed> {
        self.doing.as_ref().map(|task| &task.deed)
    }

    /// The task is done; who asked for it.
    pub(crate) fn done(&mut self, now: Time) -> Option<Task> {
        // While it was being done nothing could move: that is no sign of a line that is held back.
        self.moved_at = self.moved_at.max(now);
        self.doing.take()
    }

    /// The line is set to another speed.
    pub(crate) fn set_char_time(&mut self, char_time: Duration) {
        self.pace.char_time = char_time;
    }

    /// When the first task is to be done.
    fn task_due(&self, up: bool) -> Option<Time> {
        if self.tasks == 0 || self.doing.is_some() {
            return None;
        }
        // Nothing leaves a device that is not there.
        if !up {
            return Some(Time::ZERO);
        }
        let patience = STALLED + self.pace.char_time * 2;
        let stalled = self.moved_at.max(self.pace.sent_until).max(self.pace.rest_until) + patience;
        let first = matches!(self.items.front(), Some(Item::Task(_)));
        let drained = if first { self.pace.busy_until } else { Time::NEVER };
        Some(drained.min(stalled))
    }

    /// Drops what the holder of `epoch` has queued and, of a plain byte stream, what is left of the
    /// piece that was started. Tasks stay.
    pub(crate) fn purge(&mut self, epoch: Epoch) {
        let keep_front = self.started && self.front().is_some_and(|r| r.epoch != epoch);
        let front = if keep_front { self.items.pop_front() } else { None };
        self.items.retain(|item| matches!(item, Item::Task(_)));
        if let Some(front) = front {
            self.items.push_front(front);
            self.queued = self.front().map_or(self.accepted, |record| record.output.end());
        } else {
            if self.started {
                let sent = u16::try_from(self.reached).unwrap_or(u16::MAX);
                self.last.fate = Fate::Cut(sent);
                self.last.end = self.accepted + u64::from(sent);
            }
            self.forget_front();
            self.accepted = self.queued;
        }
    }

    fn forget_front(&mut self) {
        self.sent = 0;
        self.reached = 0;
        self.started = false;
    }

    /// An ACK that came after output of the same grant takes effect after that output, or is
    /// dropped with it: it must not settle input whose answer may still be dropped. `Some` gives
    /// it back where there is no such output.
    pub(crate) fn defer(&mut self, epoch: Epoch, ack: Finished) -> Option<Finished> {
        let last = self.items.iter_mut().rev().find_map(|item| match item {
            Item::Record(record) => Some(record),
            Item::Task(_) => None,
        });
        let Some(record) = last.filter(|r| r.epoch == epoch) else {
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
        self.held_back = false;
        if self.doing.is_some() {
            return None;
        }
        let room = self.pace.room(now);
        let Some(Item::Record(record)) = self.items.front() else { return None };
        let rest = self.pace.chunk(&record.output.bytes[self.sent..]);
        let room = room.min(rest.len());
        self.held_back = room == 0;
        (room > 0).then(|| &rest[..room])
    }

    /// When [`OutputQueue::poll`] will have what it held back for the sake of the pace, or
    /// [`OutputQueue::poll_task`] something to do.
    pub(crate) fn poll_timeout(&self, up: bool) -> Option<Time> {
        let bytes = (up && self.held_back && !self.items.is_empty()).then(|| self.pace.room_at());
        wire::time::earliest([bytes, self.task_due(up)])
    }

    /// When all that was handed over has left the port.
    pub(crate) fn drained_at(&self) -> Time {
        self.pace.busy_until
    }

    /// The tty took `count` of the polled bytes. The frame whose last byte it was takes effect.
    pub(crate) fn written(&mut self, count: usize, now: Time) -> Option<Finished> {
        let Some(Item::Record(record)) = self.items.front() else { return None };
        if !self.started && count > 0 {
            self.started = true;
            let end = record.output.end();
            self.last = LastFrame { epoch: record.epoch, end, fate: Fate::Finishing };
        }
        self.pace.handed(&record.output.bytes[self.sent..][..count], now);
        self.moved_at = now;
        self.sent += count;
        self.reached = self.reached.max(self.sent);
        if self.sent < record.output.bytes.len() {
            return None;
        }
        let Some(Item::Record(record)) = self.items.pop_front() else { return None };
        self.forget_front();
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
        if count < self.holds {
            self.moved_at = now;
        }
        self.holds = count;
        self.pace.at_least(count, now);
    }

    /// The grant has ended: what has not started is dropped. Returns how many frames that were.
    pub(crate) fn end_grant(&mut self, policy: FrameEnd) -> usize {
        let keep = usize::from(self.started && guard::on(Guard::WholeFrames));
        let records = self.items.len() - self.tasks;
        let dropped = records.saturating_sub(usize::from(self.started));
        // A stalled line lets a task overtake a record, so a started one is in front all the same.
        self.items.truncate(keep);
        self.tasks = 0;
        self.queued = self.front().map_or(self.accepted, |record| record.output.end());
        if keep == 0 {
            self.forget_front();
        } else if policy == FrameEnd::Cut && !self.promised {
            self.cut();
        }
        dropped
    }

    /// A promise made at an earlier end of a grant is kept: only an unpromised frame is cut.
    fn cut(&mut self) {
        if let Some(Item::Record(record)) = self.items.pop_front() {
            self.accepted = record.output.position + self.reached as u64;
            self.queued = self.accepted;
            self.last.fate = Fate::Cut(self.reached as u16);
            self.last.end = self.accepted;
            self.forget_front();
        }
    }

    /// What the frame being finished will bring into effect, given out once: it is certain to be
    /// finished, so the next holder is told as if it were.
    pub(crate) fn promise(&mut self) -> Option<Finished> {
        if !self.started || self.promised {
            return None;
        }
        self.promised = true;
        let record = self.front()?;
        Some(Finished { ack: record.output.ack, note: record.output.note.clone() })
    }

    /// The device has gone. A started frame is sent again, whole, when it is back: its receiver
    /// has seen a torn one, which no protocol takes for good.
    pub(crate) fn device_gone(&mut self) {
        self.sent = 0;
        self.pace.busy_until = Time::ZERO;
        self.pace.sent_until = Time::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::LineConfig;

    const CHAR: Duration = Duration::from_millis(1);

    fn record(position: u64, bytes: &'static [u8]) -> Output {
        Output { position, ack: Some(position), note: None, bytes: Bytes::from_static(bytes) }
    }

    fn queue() -> OutputQueue {
        OutputQueue::new(0, LastFrame::default(), pace(true))
    }

    fn pace(paced: bool) -> Pace {
        let name = |text: &str| text.parse().unwrap();
        let base = LineConfig::new(name("line"), name("server"));
        Pace::new(&LineConfig { char_time: CHAR, pace: paced, ..base })
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
        assert_eq!(q.poll_timeout(true), Some(ms(10)));
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
        let mut q = OutputQueue::new(0, LastFrame::default(), pace(false));
        q.push(Epoch(1), record(0, &[b'x'; 2000]));
        assert_eq!(q.poll(ms(0)).map(<[u8]>::len), Some(2000));
        q.written(2000, ms(0));
        assert_eq!((q.accepted(), q.drained(ms(0))), (2000, 2000));
    }

    fn task(break_ms: u64) -> Task {
        let break_for = Some(Duration::from_millis(break_ms));
        Task { deed: Deed { break_for, ..Deed::default() }, askers: Vec::new() }
    }

    #[test]
    fn o1_a_task_waits_until_the_output_before_it_has_left_the_port() {
        let mut q = queue();
        q.push(Epoch(1), record(0, b"0123456789"));
        q.push_task(task(1), ms(0));
        q.push(Epoch(1), record(10, b"after"));
        assert_eq!(q.poll_task(true, ms(0)), None);
        q.written(10, ms(0));
        assert_eq!(q.poll_task(true, ms(9)), None);
        assert_eq!(q.poll(ms(9)), None, "what follows it waits for it");
        assert_eq!(q.poll_timeout(true), Some(ms(10)));
        assert_eq!(q.poll_task(true, ms(10)), Some(task(1).deed));
        assert_eq!(q.poll(ms(20)), None, "and until it is done");
        assert!(q.done(ms(20)).is_some());
        assert_eq!(q.poll(ms(20)), Some(&b"after"[..]));
    }

    #[test]
    fn o5_a_held_back_line_keeps_a_task_for_less_than_100_ms() {
        let mut q = queue();
        q.push(Epoch(1), record(0, &[b'x'; 30]));
        q.push_task(task(1), ms(0));
        q.written(20, ms(0));
        // The port took 20 and nothing more: its far end says wait.
        assert_eq!(q.poll_task(true, ms(60)), None);
        let due = q.task_due(true).unwrap();
        assert!(due > ms(20) && due < ms(20 + 100), "{due}");
        assert!(q.poll_task(true, due).is_some());
        q.done(due);
        assert_eq!(q.poll(due).map(<[u8]>::len), Some(10), "the rest goes on after it");
        q.push_task(task(2), due);
        assert_eq!(q.poll_task(false, due), Some(task(2).deed), "without a device at once");
    }

    #[test]
    fn the_end_of_a_grant_drops_its_tasks_too() {
        let mut q = queue();
        q.push(Epoch(1), record(0, b"0123456789012345678901234"));
        q.push_task(task(1), ms(0));
        q.push(Epoch(1), record(25, b"next"));
        q.written(20, ms(0));
        assert_eq!(q.end_grant(FrameEnd::Finish), 1);
        assert!(!q.has_tasks());
        assert_eq!(q.position(), 25);
    }

    #[test]
    fn a_purge_drops_the_holders_bytes_and_nothing_of_another() {
        let mut q = queue();
        q.push(Epoch(1), record(0, b"0123456789012345678901234"));
        q.push(Epoch(1), record(25, b"more"));
        q.written(20, ms(0));
        q.purge(Epoch(2));
        assert_eq!(q.unfinished().len(), 25, "another grant's started frame stays");
        q.push(Epoch(2), record(25, b"abc"));
        q.purge(Epoch(1));
        assert_eq!((q.position(), q.accepted()), (28, 28));
        assert_eq!(q.poll(ms(99)), None);
    }

    #[test]
    fn slow_devices_get_their_rests() {
        let name = |text: &str| text.parse().unwrap();
        let rests = LineConfig {
            char_time: CHAR,
            line_delay: Duration::from_millis(50),
            ..LineConfig::new(name("line"), name("server"))
        };
        let mut q = OutputQueue::new(0, LastFrame::default(), Pace::new(&rests));
        q.push(Epoch(1), record(0, b"ab\r\ncd"));
        assert_eq!(q.poll(ms(0)), Some(&b"ab\r\n"[..]));
        q.written(4, ms(0));
        assert_eq!(q.poll(ms(53)), None);
        assert_eq!(q.poll_timeout(true), Some(ms(54)));
        assert_eq!(q.poll(ms(54)), Some(&b"cd"[..]));
        let rests = LineConfig { char_delay: Duration::from_millis(3), ..rests };
        let mut q = OutputQueue::new(0, LastFrame::default(), Pace::new(&rests));
        q.push(Epoch(1), record(0, b"ab"));
        assert_eq!(q.poll(ms(0)), Some(&b"a"[..]));
        q.written(1, ms(0));
        assert_eq!(q.poll(ms(3)), None);
        assert_eq!(q.poll(ms(4)), Some(&b"b"[..]));
    }
}
