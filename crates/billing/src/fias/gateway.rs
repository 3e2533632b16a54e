//! The gateway: what the vendor's system does on the line.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::link::{Event, Link, Memory};
use super::note::{Note, Owed, Phase, Sending, Stage};
use super::posting;
use super::settings::{Resync, Settings};
use crate::charge::MAX_KEY;
use crate::civil::WallClock;
use crate::gateway::{LineNews, Notice, Output, Posting, Reply, Resume, Write};
use crate::ledger::{Ledger, Outstanding};

mod course;
mod receipt;

/// The gateway's end: [`crate::Gateway`] has the contract. A new value may have writes and outputs
/// at once.
///
/// Its own rules beside the dialect's:
///
/// - A charge is done with when `PA` says so, not when the link acknowledged it. What the link's
///   rules give up is sent again with the same number.
/// - After a takeover it never enquires after the predecessor's record: the answer could belong to
///   an earlier one. It waits twice timer 1 and sends the same record again.
/// - Records that come before the link is up are received like others: the peer may know the link
///   to be up when the gateway has lost its note.
#[derive(Debug)]
pub struct Gateway {
    settings: Settings,
    wall: WallClock,
    now: Duration,
    link: Link,
    phase: Phase,
    /// When the phase has lasted long enough.
    phase_until: Option<Duration>,
    sending: Option<Sending>,
    owed: Option<Owed>,
    ledger: Ledger,
    stage: Stage,
    /// When the charge's stage has lasted long enough.
    stage_until: Option<Duration>,
    /// Times the outstanding charge was sent.
    attempts: u32,
    /// An answer to the outstanding charge named another room.
    is_doubted: bool,
    resync_due: bool,
    /// The peer tells all its guests; until then at the latest.
    resync_until: Option<Duration>,
    /// When the peer was last heard of.
    heard: Duration,
    /// Until when the peer may answer whether it is there.
    check_until: Option<Duration>,
    /// Records given up in a row.
    failures: u32,
    /// Digest of the last record, and until when the same text is that record sent again.
    last_record: (u64, Duration),
    /// Nothing may be sent before: the peer may be inside a frame that was cut off.
    quiet_until: Duration,
    /// When input has to be acknowledged if nothing else does.
    ack_at: Option<Duration>,
    acked: u64,
    /// The note last handed out.
    noted: Bytes,
    writes: VecDeque<Write>,
    outputs: VecDeque<Output>,
    notices: VecDeque<Notice>,
}

impl Gateway {
    /// A gateway that goes on where the last one stood.
    pub fn new(settings: Settings, resume: Resume, now: Duration) -> Self {
        let Resume { acked, note, cut, last_number, wall } = resume;
        let is_refused = note.is_some();
        let known = note.clone().and_then(Note::decode);
        let memory = known.as_ref().map_or(Memory::None, |note| note.memory);
        let quiet_until = if cut { now + settings.record_time() } else { now };
        let mut gateway = Self {
            link: Link::new(settings.clone(), acked, memory, now),
            phase: Phase::Listening,
            phase_until: Some(now + LISTEN),
            sending: None,
            owed: None,
            ledger: Ledger::new(last_number),
            stage: Stage::Due,
            stage_until: None,
            attempts: 0,
            is_doubted: false,
            resync_due: settings.resync == Resync::OnUnknown,
            resync_until: None,
            heard: now,
            check_until: None,
            failures: 0,
            last_record: (0, now),
            quiet_until,
            ack_at: None,
            acked,
            noted: note.unwrap_or_default(),
            writes: VecDeque::new(),
            outputs: VecDeque::new(),
            notices: VecDeque::new(),
            settings,
            wall,
            now,
        };
        match known {
            Some(note) => gateway.adopt(note, cut),
            None if is_refused => gateway.notices.push_back(Notice::NoteRefused),
            None => {}
        }
        gateway.proceed();
        gateway
    }

    fn adopt(&mut self, note: Note, cut: bool) {
        let Note { phase, memory: _, in_flight, stage, owed, resync_due, resync_runs, .. } = note;
        let now = self.now;
        let last_part = self.settings.records.len() + 1;
        self.phase = match phase {
            Phase::Describing(next) if usize::from(next) > last_part => Phase::Describing(0),
            phase => phase,
        };
        self.phase_until = match self.phase {
            Phase::Listening => Some(now + LISTEN),
            Phase::Starting => Some(now + 2 * self.settings.t1),
            Phase::Finishing => Some(now + self.settings.answer_timeout),
            Phase::Ended => Some(now + self.settings.alive_interval),
            Phase::Describing(_) | Phase::Alive => None,
        };
        (self.owed, self.resync_due) = (owed, resync_due);
        self.resync_until = resync_runs.then_some(now + self.settings.answer_timeout);
        self.last_record = (note.last_record, now + self.repeat_window());
        self.ledger = note.ledger;
        self.stage = stage;
        self.stage_until = match stage {
            Stage::Due | Stage::Sent => None,
            Stage::Taken => Some(now + self.settings.answer_timeout),
            Stage::Held => Some(now + self.settings.retry_after),
        };
        if let Some(Outstanding { number, key, text }) = self.ledger.outstanding().cloned() {
            self.attempts = u32::from(stage != Stage::Due);
            self.writes.push_back(Write::Adopt { number, key, text });
        }
        if let Some((sending, sent)) = in_flight {
            // A frame that was cut is not answered.
            let until = if cut { self.quiet_until } else { now + 2 * self.settings.t1 };
            let text = self.compose(sending);
            self.sending = Some(sending);
            self.link.resume(&text, u32::from(sent), until);
        }
    }

    /// Sends what is due, and sees to it that input is acknowledged.
    fn proceed(&mut self) {
        self.take_events();
        if let Some((at, sending)) = self.due()
            && at <= self.now
        {
            let text = self.compose(sending);
            match sending {
                Sending::Start => self.phase_until = None,
                Sending::Alive | Sending::End => self.owed = None,
                Sending::Resync => self.resync_due = false,
                Sending::Charge => (self.stage, self.stage_until) = (Stage::Sent, None),
                Sending::Check | Sending::Description(_) => {}
            }
            self.sending = Some(sending);
            self.link.send(&text);
            self.take_events();
        }
        if self.link.consumed() > self.acked {
            self.ack_at.get_or_insert(self.now + ACK_DELAY);
        }
    }

    /// Does what the link reports, one thing after the other, each output with the state after it.
    fn take_events(&mut self) {
        while let Some(event) = self.link.poll_event() {
            self.take_event(event);
            self.flush();
        }
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(bytes) = self.link.poll_transmit() {
            self.output(bytes);
        }
    }

    fn output(&mut self, bytes: Bytes) {
        self.acked = self.link.consumed();
        self.ack_at = None;
        let note = self.note().encode();
        let is_new = note != self.noted;
        let note = is_new.then(|| {
            self.noted = note.clone();
            note
        });
        self.outputs.push_back(Output { bytes, ack: self.acked, note });
    }

    fn note(&self) -> Note {
        let sent = self.link.outstanding().map(|sent| u8::try_from(sent).unwrap_or(u8::MAX));
        Note {
            phase: self.phase,
            memory: self.link.memory(),
            in_flight: self.sending.zip(sent),
            stage: self.stage,
            owed: self.owed,
            resync_due: self.resync_due,
            resync_runs: self.resync_until.is_some(),
            last_record: self.last_record.0,
            ledger: self.ledger.clone(),
        }
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Record { start, end, text } => {
                self.receive(start, end, text);
                self.link.accept();
            }
            Event::Enquiry { .. } => self.link.repeat(self.now),
            Event::BadCheck { start, end, .. } => {
                self.notices.push_back(Notice::BadCheck { start, end });
            }
            Event::Interleave { start, end, .. } | Event::Partial { start, end, .. } => {
                self.notices.push_back(Notice::Partial { start, end });
            }
            Event::Sent { .. } => {
                if let (Some(Sending::Charge), Some(charge)) =
                    (self.sending, self.ledger.outstanding())
                {
                    self.attempts += 1;
                    let (number, attempt) = (charge.number, self.attempts);
                    self.notices.push_back(Notice::Sending { number, attempt });
                }
            }
            Event::Delivered => self.delivered(),
            Event::GaveUp => self.gave_up(),
            Event::Stray { .. } => {
                self.notices.push_back(Notice::Unexpected { what: "an answer to no record" });
            }
        }
    }

    /// Does what the phase and the charge's stage come to in time.
    fn expire(&mut self) {
        let now = self.now;
        let is_over = |until: Option<Duration>| until.is_some_and(|until| until <= now);
        if is_over(self.phase_until) {
            match self.phase {
                Phase::Listening | Phase::Ended => {
                    (self.phase, self.phase_until) = (Phase::Starting, Some(now));
                }
                Phase::Finishing => self.restart("the description was not answered"),
                Phase::Starting | Phase::Describing(_) | Phase::Alive => {}
            }
        }
        if self.stage == Stage::Taken && is_over(self.stage_until) {
            (self.stage, self.stage_until) = (Stage::Due, None);
        }
        if is_over(self.resync_until) {
            self.resync_until = None;
        }
        if is_over(self.check_until) {
            self.restart("the other end does not say that it is there");
        }
        if is_over(self.ack_at) {
            self.output(Bytes::new());
        }
    }
}

impl crate::gateway::Gateway for Gateway {
    fn handle_input(&mut self, offset: u64, bytes: &[u8], now: Duration) {
        self.now = now;
        if offset > self.link.offset() {
            self.link.handle_gap(offset);
        }
        let seen = usize::try_from(self.link.offset().saturating_sub(offset)).unwrap_or(usize::MAX);
        for byte in bytes.get(seen..).unwrap_or_default() {
            self.link.handle_byte(*byte, now);
            self.proceed();
        }
        self.proceed();
    }

    fn handle_line(&mut self, news: LineNews, now: Duration) {
        self.now = now;
        match news {
            LineNews::Gap { offset } => self.link.handle_gap(offset),
            LineNews::Damage | LineNews::Down => self.link.handle_damage(),
            LineNews::Up => {}
        }
        self.proceed();
    }

    fn handle_written(&mut self, outputs: u64, now: Duration) {
        self.now = now;
        self.link.handle_written(outputs, now);
        self.proceed();
    }

    fn handle_charge(&mut self, posting: Posting, now: Duration) {
        self.now = now;
        let (id, number, key, text) = match posting {
            Posting::New { id, charge } => {
                let number = self.ledger.last() + 1;
                let text = posting::charge(&charge, number);
                (Some(id), number, charge.key, text)
            }
            Posting::Numbered { number, key, text } => (None, number, key, text),
        };
        let fits = (1..=MAX_KEY).contains(&key.len()) && text.len() <= super::frame::MAX_TEXT;
        if !self.wants_charge() || number <= self.ledger.last() || !fits {
            self.notices.push_back(Notice::Unexpected { what: "a charge that can't be sent now" });
            return;
        }
        if let Some(id) = id {
            self.writes.push_back(Write::Number { id, number, text: text.clone() });
        }
        self.ledger.send(Outstanding { number, key, text });
        (self.stage, self.stage_until, self.attempts) = (Stage::Due, None, 0);
        self.proceed();
    }

    /// The dialect has no commands.
    fn handle_reply(&mut self, _number: u64, _reply: Reply, _now: Duration) {}

    fn handle_timeout(&mut self, now: Duration) {
        self.now = now;
        self.link.handle_timeout(now);
        self.take_events();
        self.expire();
        self.proceed();
    }

    fn set_wall_clock(&mut self, wall: WallClock) {
        self.wall = wall;
    }

    fn poll_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }

    fn poll_output(&mut self) -> Option<Output> {
        if self.now < self.quiet_until { None } else { self.outputs.pop_front() }
    }

    fn poll_event(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    fn poll_timeout(&self) -> Option<Duration> {
        let quiet = (!self.outputs.is_empty()).then_some(self.quiet_until);
        let phase = self.phase_until.filter(|_| self.phase != Phase::Starting);
        let stage = self.stage_until.filter(|_| self.stage == Stage::Taken);
        let own = [phase, stage, self.resync_until, self.check_until, self.ack_at, quiet];
        let due = self.due().map(|(at, _)| at);
        own.into_iter().chain([due, self.link.poll_timeout()]).flatten().min()
    }

    fn wants_charge(&self) -> bool {
        self.phase == Phase::Alive
            && self.ledger.outstanding().is_none()
            && self.resync_until.is_none()
            && !self.resync_due
            && self.sending != Some(Sending::Resync)
    }

    fn ledger(&self) -> Option<&Ledger> {
        Some(&self.ledger)
    }

    fn awaits_reply(&self) -> Option<u64> {
        None
    }
}

/// How long a gateway that knows nothing listens before it speaks.
const LISTEN: Duration = Duration::from_secs(3);
/// Input that nothing else acknowledges is acknowledged after so long: most often an answer or the
/// next record takes it along.
const ACK_DELAY: Duration = Duration::from_millis(50);
