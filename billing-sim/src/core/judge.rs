//! What was sent, what must come back, and what did.
use std::collections::VecDeque;
use std::time::Duration;

use billing::numbered::frame::ANSWER_LEN;
use billing::numbered::{Answer, Parser, Received, answer_for, record};
use serde::{Deserialize, Serialize};

use super::event::{Event, Finding, Verdict};
use super::generator::Sent;
use super::latency::Latency;
use super::unserved::Unserved;

/// How often each verdict was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Records never answered by the end of the settle time.
    pub lost: u64,
    /// Answers to records already answered.
    pub doubled: u64,
    /// Answers that prove another content, or that answer a number never sent.
    pub torn: u64,
    /// Answers cut off, with a fresh start after them. Not a failure.
    pub partial: u64,
    /// Answers that came after one with a higher number.
    pub reordered: u64,
    /// Stretches of bytes that are neither an answer nor the beginning of one.
    pub mixed: u64,
}

/// Knows every record sent and the exact bytes of every answer, and judges the answer stream.
///
/// Contract: report each record with `handle_sent` when its last byte left and before the answer
/// to it can arrive, the input with `handle_bytes` in any chunks, and the end of the settle time
/// with `handle_end`, after which nothing more is judged. Drain `poll_event` after each.
///
/// It holds one small entry for each record from the oldest unanswered one on, at most [`WINDOW`].
#[derive(Debug)]
pub struct Judge {
    seed: u64,
    first: u32,
    /// Number of `window`'s first entry. All before it are answered or given up.
    base: u32,
    window: VecDeque<Entry>,
    outstanding: usize,
    /// The highest number answered.
    highest: Option<u32>,
    parser: Parser,
    /// Where in the answer stream the last stretch that was found mixed ends.
    mixed_until: Option<u64>,
    answers: u64,
    tally: Tally,
    latency: Latency,
    unserved: Unserved,
    last_answer: Option<Duration>,
    events: VecDeque<Event>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    sent: Duration,
    answered: bool,
}

impl Tally {
    /// Nothing lost, doubled, torn, reordered or mixed.
    pub fn is_clean(&self) -> bool {
        let Self { lost, doubled, torn, partial: _, reordered, mixed } = *self;
        [lost, doubled, torn, reordered, mixed] == [0; 5]
    }

    /// The count of one verdict.
    pub fn get(&self, verdict: Verdict) -> u64 {
        match verdict {
            Verdict::Lost => self.lost,
            Verdict::Doubled => self.doubled,
            Verdict::Torn => self.torn,
            Verdict::Partial => self.partial,
            Verdict::Reordered => self.reordered,
            Verdict::Mixed => self.mixed,
        }
    }

    fn count_mut(&mut self, verdict: Verdict) -> &mut u64 {
        match verdict {
            Verdict::Lost => &mut self.lost,
            Verdict::Doubled => &mut self.doubled,
            Verdict::Torn => &mut self.torn,
            Verdict::Partial => &mut self.partial,
            Verdict::Reordered => &mut self.reordered,
            Verdict::Mixed => &mut self.mixed,
        }
    }
}

impl Judge {
    /// A judge of records that [`record`] makes from `seed`, numbered from `first` on without a
    /// hole. Unserved spans of at least `unserved_over` are listed.
    pub fn new(seed: u64, first: u32, unserved_over: Duration) -> Self {
        Self {
            seed,
            first,
            base: first,
            window: VecDeque::new(),
            outstanding: 0,
            highest: None,
            parser: Parser::new(0),
            mixed_until: None,
            answers: 0,
            tally: Tally::default(),
            latency: Latency::default(),
            unserved: Unserved::new(unserved_over),
            last_answer: None,
            events: VecDeque::new(),
        }
    }

    /// The last byte of the next record left.
    pub fn handle_sent(&mut self, sent: Sent) {
        assert_eq!(sent.number, self.next(), "records are sent in order and without holes");
        self.window.push_back(Entry { sent: sent.at, answered: false });
        self.outstanding += 1;
        self.unserved.handle_sent(sent.at);
        let (number, outstanding) = (sent.number, self.outstanding);
        self.events.push_back(Event::Sent { at: sent.at, number, outstanding });
        if self.window.len() > WINDOW {
            self.give_up_oldest(sent.at);
        }
    }

    /// Bytes of the answer stream that were read at `now`.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Duration) {
        self.parser.handle_bytes(bytes);
        while let Some(received) = self.parser.poll_event() {
            match received {
                Received::Answer { answer, .. } => self.judge_answer(answer, now),
                Received::Damaged { start, end, bytes, .. } => {
                    self.judge_damage(&bytes, start, end, now);
                }
                Received::Record { record, start, end } => {
                    self.judge_damage(&record.to_bytes(), start, end, now);
                }
            }
        }
    }

    /// The settle time is over: what is unanswered is lost, what is unfinished stays so.
    pub fn handle_end(&mut self, now: Duration) {
        let pending = self.parser.pending().to_vec();
        if !pending.is_empty() {
            let end = self.parser.offset();
            self.judge_damage(&pending, end - pending.len() as u64, end, now);
        }
        let unanswered =
            (self.base..).zip(&self.window).filter(|(_, entry)| !entry.answered).map(|(n, _)| n);
        for (from, to) in runs(unanswered) {
            self.tally.lost += u64::from(to - from) + 1;
            let detail = match from == to {
                true => format!("record {from} was never answered"),
                false => format!("records {from} to {to} were never answered"),
            };
            self.push_finding(now, Verdict::Lost, Some(from), detail);
        }
        self.base = self.next();
        self.window.clear();
        self.outstanding = 0;
        let span = self.unserved.handle_end(now);
        self.events.extend(span.map(Event::Unserved));
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Number of the next record to be sent.
    pub fn next(&self) -> u32 {
        self.base + self.window.len() as u32
    }

    /// Whole records without an answer.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whole, right answers that arrived, repeated ones included.
    pub fn answers(&self) -> u64 {
        self.answers
    }

    /// Bytes of the answer stream.
    pub fn bytes(&self) -> u64 {
        self.parser.offset()
    }

    /// When the last whole, right answer arrived.
    pub fn last_answer(&self) -> Option<Duration> {
        self.last_answer
    }

    /// The verdicts so far; `lost` is only known after `handle_end`.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The answer times so far.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// The unserved spans so far.
    pub fn unserved(&self) -> &Unserved {
        &self.unserved
    }

    fn judge_answer(&mut self, answer: Answer, now: Duration) {
        let number = answer.number;
        if number < self.first || number >= self.next() {
            let detail = format!("answer to record {number}, which was not sent whole");
            return self.give(now, Verdict::Torn, Some(number), detail);
        }
        let right = record(self.seed, number).digest();
        if answer.digest != right {
            let digest = answer.digest;
            let detail =
                format!("answer to record {number} has digest {digest:08x}, not {right:08x}");
            return self.give(now, Verdict::Torn, Some(number), detail);
        }
        self.answers += 1;
        self.last_answer = Some(now);
        let entry = number.checked_sub(self.base).map(|index| &mut self.window[index as usize]);
        match entry.filter(|entry| !entry.answered) {
            Some(entry) => {
                entry.answered = true;
                let latency = now.saturating_sub(entry.sent);
                self.accept(number, latency, now);
            }
            None => {
                let detail = format!("record {number} was answered again");
                self.give(now, Verdict::Doubled, Some(number), detail);
            }
        }
        let span = self.unserved.handle_answer(now, self.outstanding > 0);
        self.events.extend(span.map(Event::Unserved));
    }

    /// Takes the first right answer to a record.
    fn accept(&mut self, number: u32, latency: Duration, now: Duration) {
        self.outstanding -= 1;
        self.forget_answered();
        self.latency.add(latency);
        let outstanding = self.outstanding;
        self.events.push_back(Event::Answered { at: now, number, latency, outstanding });
        match self.highest {
            Some(highest) if number < highest => {
                let detail = format!("record {number} was answered after record {highest}");
                self.give(now, Verdict::Reordered, Some(number), detail);
            }
            Some(_) | None => self.highest = Some(number),
        }
    }

    /// Judges bytes of the answer stream that are no answer.
    fn judge_damage(&mut self, bytes: &[u8], start: u64, end: u64, now: Duration) {
        // An answer holds the letter `A` only as its first byte, so this finds every fresh start.
        let mut pieces = bytes.split(|byte| *byte == b'A');
        let clean = pieces.next().is_some_and(<[u8]>::is_empty)
            && pieces.clone().all(|rest| self.cut_answer(rest).is_some());
        if clean {
            for rest in pieces {
                let number = self.cut_answer(rest).flatten();
                let detail = format!("answer cut off after \"A{}\"", rest.escape_ascii());
                self.give(now, Verdict::Partial, number, detail);
            }
            return;
        }
        // The parser hands out long damage in pieces; it is one finding.
        if self.mixed_until != Some(start) {
            let detail = format!("\"{}\" at byte {start} is no answer", bytes.escape_ascii());
            self.give(now, Verdict::Mixed, None, detail);
        }
        self.mixed_until = Some(end);
    }

    /// If `A` and `rest` are the beginning, not the whole, of the answer to a record that was sent:
    /// the record's number, as far as it can be known.
    fn cut_answer(&self, rest: &[u8]) -> Option<Option<u32>> {
        let digits = &rest[..rest.len().min(DIGITS)];
        if rest.len() + 1 >= ANSWER_LEN || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let value = digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        let unknown = 10_u32.pow((DIGITS - digits.len()) as u32);
        let (least, most) = (value * unknown, value * unknown + (unknown - 1));
        if most < self.first || least >= self.next() {
            return None;
        }
        if digits.len() < DIGITS {
            return Some(None);
        }
        let whole = answer_for(&record(self.seed, value));
        whole[1..].starts_with(rest).then_some(Some(value))
    }

    /// Forgets the oldest entry, which is unanswered, so that memory stays bounded.
    fn give_up_oldest(&mut self, now: Duration) {
        let number = self.base;
        self.window.pop_front();
        self.base += 1;
        self.outstanding -= 1;
        let detail = format!("record {number} is unanswered after {WINDOW} more");
        self.give(now, Verdict::Lost, Some(number), detail);
        self.forget_answered();
    }

    /// Moves the window up to the oldest unanswered record.
    fn forget_answered(&mut self) {
        while self.window.front().is_some_and(|entry| entry.answered) {
            self.window.pop_front();
            self.base += 1;
        }
    }

    /// Counts a verdict and reports it.
    fn give(&mut self, at: Duration, verdict: Verdict, number: Option<u32>, detail: String) {
        *self.tally.count_mut(verdict) += 1;
        self.push_finding(at, verdict, number, detail);
    }

    fn push_finding(
        &mut self,
        at: Duration,
        verdict: Verdict,
        number: Option<u32>,
        detail: String,
    ) {
        self.events.push_back(Event::Found(Finding { at, verdict, number, detail }));
    }
}

/// Joins consecutive numbers into (first, last).
fn runs(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            Some(_) | None => runs.push((number, number)),
        }
    }
    runs
}

/// Entries held at most, from the oldest unanswered record on: some 4 MiB, and at 9600 bauds four
/// hours in which a record may wait. One that waits longer is lost, and if it is answered yet, that
/// counts as doubled.
pub const WINDOW: usize = 1 << 18;

/// Digits of a number.
const DIGITS: usize = 8;
