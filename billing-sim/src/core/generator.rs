//! Records for the line, at the line's own pace.
use std::collections::VecDeque;
use std::time::Duration;

use billing::numbered::{MAX_NUMBER, record_bytes};

/// What to send, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Seed of the records' texts.
    pub seed: u64,
    /// Number of the first record.
    pub first: u32,
    /// How many records; `None` is until told to stop.
    pub count: Option<u32>,
    /// How long records begin, from the start; `None` is until told to stop.
    pub duration: Option<Duration>,
    /// From the beginning of one record to that of the next; `None` is back to back. A record that
    /// cannot begin in time, because the line was busy, begins as soon as it can.
    pub interval: Option<Duration>,
    /// Time of one character on the line; `None` sends as fast as bytes are taken.
    pub char_time: Option<Duration>,
}

/// A record whose last byte has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its number.
    pub number: u32,
    /// When its last byte left.
    pub at: Duration,
}

/// Why a generator begins no more records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The count is reached, or the numbers are used up.
    Count,
    /// The duration is over.
    Duration,
    /// [`Generator::stop`] was called.
    Stopped,
}

/// Emits numbered records byte by byte as a UART would.
///
/// A byte is due when its stop bit would be over. `poll_transmit` never yields a byte before it is
/// due and catches up with bytes that are late by no more than [`CATCH_UP`]: the line of a machine
/// that slept does not make up for it afterwards. A record once begun is always finished.
///
/// Contract: after `poll_transmit` yields bytes, report the written ones with `handle_written`, in
/// order, and only then poll for more; then drain `poll_sent`.
#[derive(Debug)]
pub struct Generator {
    plan: Plan,
    start: Duration,
    /// Number of the next record to begin.
    next: u32,
    /// The record being sent and how many of its bytes were handed out.
    current: Option<(Vec<u8>, usize)>,
    /// When the bytes handed out so far will have left a true line.
    line_free: Duration,
    /// The last time bytes were handed out, for [`GRAIN`].
    last_poll: Option<Duration>,
    /// Ends of records handed out, as positions in the output, and their numbers.
    ends: VecDeque<(u64, u32)>,
    handed: u64,
    written: u64,
    sent: VecDeque<Sent>,
    /// Records from this number on wait.
    limit: u32,
    finish: Option<Finish>,
}

impl Generator {
    /// A generator whose first record begins at `now`.
    pub fn new(plan: Plan, now: Duration) -> Self {
        let mut generator = Self {
            plan,
            start: now,
            next: plan.first,
            current: None,
            line_free: now,
            last_poll: None,
            ends: VecDeque::new(),
            handed: 0,
            written: 0,
            sent: VecDeque::new(),
            limit: u32::MAX,
            finish: None,
        };
        generator.check_count();
        generator
    }

    /// Begins no more records. The one being sent is finished.
    pub fn stop(&mut self) {
        self.finish.get_or_insert(Finish::Stopped);
    }

    /// Holds back the records from `number` on until a later limit is set.
    pub fn set_limit(&mut self, number: u32) {
        self.limit = number;
    }

    /// Whether the limit alone keeps the next record back.
    pub fn is_held(&self) -> bool {
        self.finish.is_none() && self.current.is_none() && self.next >= self.limit
    }

    /// Takes notice of the time: the duration may be over.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.end().is_some_and(|end| now >= end) {
            self.finish.get_or_insert(Finish::Duration);
        }
    }

    /// Takes notice that the next `len` of the bytes handed out were written at `now`.
    pub fn handle_written(&mut self, len: usize, now: Duration) {
        self.written += len as u64;
        assert!(self.written <= self.handed, "more written than was handed out");
        while let Some(&(end, number)) = self.ends.front()
            && end <= self.written
        {
            self.ends.pop_front();
            self.sent.push_back(Sent { number, at: now });
        }
    }

    /// The bytes due at `now`; at most [`FAST_CHUNK`] and one record.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.line_free = self.line_free.max(now.saturating_sub(CATCH_UP));
        let mut due = Vec::new();
        while due.len() < FAST_CHUNK && self.begin(now) {
            let Some((bytes, at)) = &mut self.current else { break };
            let left = bytes.len() - *at;
            let len = match self.plan.char_time {
                None => left,
                Some(char_time) => {
                    let late = now.saturating_sub(self.line_free).as_nanos();
                    let chars = late / char_time.as_nanos().max(1);
                    let len = usize::try_from(chars).unwrap_or(left).min(left);
                    self.line_free += char_time * len as u32;
                    len
                }
            };
            if len == 0 {
                break;
            }
            due.extend_from_slice(&bytes[*at..*at + len]);
            *at += len;
            self.handed += len as u64;
            if *at < bytes.len() {
                break;
            }
            self.current = None;
            self.ends.push_back((self.handed, self.next - 1));
            self.check_count();
        }
        if due.is_empty() {
            return None;
        }
        self.last_poll = Some(now);
        Some(due)
    }

    /// The next record whose last byte has left, in order.
    pub fn poll_sent(&mut self) -> Option<Sent> {
        self.sent.pop_front()
    }

    /// When bytes fall due, or the duration is over.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let char_time = self.plan.char_time.unwrap_or_default();
        let due = match &self.current {
            Some(_) => Some(self.line_free + char_time),
            None if self.is_held() || self.finish.is_some() => None,
            None => Some(self.line_free.max(self.begins(self.next)) + char_time),
        };
        // Coalesced, or a fast line would wake the machine for each byte.
        let due = due.map(|due| due.max(self.last_poll.map_or(due, |last| last + GRAIN)));
        let end = if self.finish.is_none() { self.end() } else { None };
        [due, end].into_iter().flatten().min()
    }

    /// Why no more records begin, if none do.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// Whether every byte of every record begun was handed out and written.
    pub fn is_drained(&self) -> bool {
        self.current.is_none() && self.written == self.handed
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Makes sure there is a record to send, if one may begin by `now`.
    fn begin(&mut self, now: Duration) -> bool {
        if self.current.is_some() {
            return true;
        }
        self.handle_timeout(now);
        let begins = self.begins(self.next);
        if self.next >= self.limit || self.finish.is_some() || begins > now {
            return false;
        }
        self.line_free = self.line_free.max(begins);
        self.current = Some((record_bytes(self.plan.seed, self.next), 0));
        self.next += 1;
        true
    }

    fn begins(&self, number: u32) -> Duration {
        let index = number.saturating_sub(self.plan.first);
        self.start + self.plan.interval.unwrap_or_default().saturating_mul(index)
    }

    fn end(&self) -> Option<Duration> {
        self.plan.duration.map(|duration| self.start.saturating_add(duration))
    }

    fn check_count(&mut self) {
        let begun = self.next - self.plan.first;
        if self.plan.count.is_some_and(|count| begun >= count) || self.next > MAX_NUMBER {
            self.finish.get_or_insert(Finish::Count);
        }
    }
}

/// How late a byte may be and yet not delay those after it. Above the scheduler's usual delays, so
/// that a loaded host keeps the line's speed; below anything that a line would not do.
pub const CATCH_UP: Duration = Duration::from_millis(20);

/// Bytes falling due within this time go out together: one byte at 9600, eleven at 115200.
pub const GRAIN: Duration = Duration::from_millis(1);

/// Bytes handed out at once, at least, when nothing is paced: what a PTY takes in one piece.
pub const FAST_CHUNK: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const CHAR: Duration = Duration::from_micros(1042);

    fn plan() -> Plan {
        Plan {
            seed: 1,
            first: 1,
            count: Some(5),
            duration: None,
            interval: None,
            char_time: Some(CHAR),
        }
    }

    /// Runs by the generator's own deadlines until it wants no more; yields (time, bytes).
    fn run(generator: &mut Generator, mut now: Duration) -> Vec<(Duration, Vec<u8>)> {
        let mut out = Vec::new();
        loop {
            generator.handle_timeout(now);
            while let Some(bytes) = generator.poll_transmit(now) {
                generator.handle_written(bytes.len(), now);
                out.push((now, bytes));
            }
            match generator.poll_timeout() {
                Some(at) => now = at.max(now),
                None => return out,
            }
        }
    }

    fn sent(generator: &mut Generator) -> Vec<Sent> {
        std::iter::from_fn(|| generator.poll_sent()).collect()
    }

    #[test]
    fn every_byte_leaves_at_its_true_character_time() {
        let start = Duration::from_secs(100);
        let mut generator = Generator::new(plan(), start);
        let out = run(&mut generator, start);
        let mut position = 0;
        for (at, bytes) in &out {
            assert_eq!(bytes.len(), 1);
            position += 1;
            assert_eq!(*at, start + CHAR * position);
        }
        let stream: Vec<u8> = (1..=5).flat_map(|n| record_bytes(1, n)).collect();
        assert_eq!(out.concat_bytes(), stream);
        let last = sent(&mut generator)[4];
        assert_eq!(last, Sent { number: 5, at: start + CHAR * stream.len() as u32 });
        assert_eq!(generator.finish(), Some(Finish::Count));
        assert!(generator.is_drained());
    }

    #[test]
    fn a_fast_line_is_served_in_grains_and_never_ahead() {
        let char_time = Duration::from_nanos(86_805);
        let mut generator =
            Generator::new(Plan { char_time: Some(char_time), ..plan() }, Duration::ZERO);
        let out = run(&mut generator, Duration::ZERO);
        let mut position = 0;
        for (at, bytes) in &out {
            position += bytes.len() as u32;
            assert!(*at >= char_time * position, "ahead of the line at {at:?}");
            assert!(*at <= char_time * position + GRAIN + char_time);
        }
        assert!(out.len() < position as usize / 8);
    }

    #[test]
    fn records_begin_at_the_rate_and_queue_when_the_line_is_busy() {
        let interval = Duration::from_millis(250);
        let mut generator =
            Generator::new(Plan { interval: Some(interval), ..plan() }, Duration::ZERO);
        run(&mut generator, Duration::ZERO);
        for (index, sent) in sent(&mut generator).iter().enumerate() {
            let length = record_bytes(1, sent.number).len() as u32;
            assert_eq!(sent.at, interval * index as u32 + CHAR * length);
        }
        // Three times more than the line can carry: back to back.
        let interval = Duration::from_millis(20);
        let mut generator =
            Generator::new(Plan { interval: Some(interval), ..plan() }, Duration::ZERO);
        let length = run(&mut generator, Duration::ZERO).concat_bytes().len() as u32;
        assert_eq!(sent(&mut generator)[4].at, CHAR * length);
    }

    #[test]
    fn time_slept_is_not_made_up_for() {
        let mut generator = Generator::new(plan(), Duration::ZERO);
        generator.poll_transmit(CHAR);
        generator.handle_written(1, CHAR);
        let late = Duration::from_secs(3);
        let bytes = generator.poll_transmit(late).unwrap();
        assert_eq!(bytes.len() as u128, CATCH_UP.as_nanos() / CHAR.as_nanos());
        assert_eq!(generator.poll_transmit(late), None);
    }

    #[test]
    fn a_record_once_begun_is_finished_after_stop() {
        let mut generator = Generator::new(plan(), Duration::ZERO);
        generator.poll_transmit(CHAR);
        generator.handle_written(1, CHAR);
        generator.stop();
        assert!(!generator.is_drained());
        run(&mut generator, CHAR);
        assert!(generator.is_drained());
        assert_eq!(generator.written(), record_bytes(1, 1).len() as u64);
        assert_eq!(generator.finish(), Some(Finish::Stopped));
    }

    #[test]
    fn duration_ends_the_run_on_time() {
        let duration = Some(Duration::from_millis(700));
        let interval = Some(Duration::from_millis(300));
        let plan = Plan { count: None, duration, interval, ..plan() };
        let mut generator = Generator::new(plan, Duration::ZERO);
        run(&mut generator, Duration::ZERO);
        assert_eq!(sent(&mut generator).len(), 3);
        assert_eq!(generator.finish(), Some(Finish::Duration));
    }

    #[test]
    fn unpaced_and_limited() {
        let mut generator = Generator::new(Plan { char_time: None, ..plan() }, Duration::ZERO);
        generator.set_limit(1);
        assert_eq!((generator.poll_transmit(CHAR), generator.poll_timeout()), (None, None));
        generator.set_limit(3);
        let bytes = generator.poll_transmit(CHAR).unwrap();
        assert_eq!(bytes, [record_bytes(1, 1), record_bytes(1, 2)].concat());
        assert!(generator.is_held());
        generator.handle_written(bytes.len(), CHAR);
        assert_eq!(std::iter::from_fn(|| generator.poll_sent()).count(), 2);
        generator.set_limit(100);
        let bytes = generator.poll_transmit(CHAR).unwrap();
        assert_eq!(bytes, (3..=5).flat_map(|n| record_bytes(1, n)).collect::<Vec<_>>());
        // A record counts as sent when its last byte was written, not when it was handed out.
        let first = record_bytes(1, 3).len();
        generator.handle_written(first - 1, CHAR);
        assert_eq!(generator.poll_sent(), None);
        generator.handle_written(1, CHAR * 2);
        assert_eq!(generator.poll_sent(), Some(Sent { number: 3, at: CHAR * 2 }));
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl Concat for Vec<(Duration, Vec<u8>)> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
        }
    }
}
