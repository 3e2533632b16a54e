//! The link: full duplex, one unanswered record in each direction.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::frame::{ACK, ENQ, NAK, Parser, Symbol, encode};
use super::settings::{Exhausted, Settings};

/// One end of the link.
///
/// The contract is that of [`LinkEngine`](crate::LinkEngine), but for two things. Bytes come one by
/// one, with everything drained in between, since what follows a record depends on its answer. And:
///
/// - A record or an enquiry is answered only by its owner ([`Link::accept`], [`Link::reject`],
///   [`Link::repeat`]), so that nothing is confirmed before it is durable.
/// - Timers for an answer start with [`Link::handle_written`].
/// - Each transmission is one whole frame. Answers are queued behind the record being sent, so none
///   can get inside it.
#[derive(Debug)]
pub struct Link {
    settings: Settings,
    parser: Parser,
    memory: Memory,
    /// Whether nothing but answers and enquiries came since the last record was acknowledged.
    is_last: bool,
    /// Until when an enquiry may be about the last answer; `None`: that has not left yet.
    enquiry_until: Option<Duration>,
    /// Number of the last answer among the transmissions.
    answer: u64,
    /// A record or an enquiry waits for its owner.
    is_asked: bool,
    outbound: Option<Outbound>,
    /// No record before this time: a second answer to an enquiry may be on its way, and would be
    /// taken for an answer to that record.
    ready_at: Duration,
    /// Enquiries before this time were made while nobody was here: one answer serves them all.
    gathered_until: Duration,
    /// Bytes that belong to nothing, and since when.
    noise: Option<Noise>,
    queued: u64,
    written: u64,
    transmits: VecDeque<Bytes>,
    events: VecDeque<Event>,
}

/// The last answer given, as an enquiry is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Memory {
    /// None was given yet.
    #[default]
    None,
    /// The last record was good.
    Ack,
    /// It was not, or something came after it.
    Nak,
}

/// What an owner has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A good record: to be answered. What came before it and was not answered no longer is waited
    /// for.
    Record {
        /// Offset of its STX.
        start: u64,
        /// Offset after its last byte.
        end: u64,
        /// Its text.
        text: Bytes,
    },
    /// A record whose check or bytes are wrong; it has been answered.
    BadCheck {
        /// Offset of its STX.
        start: u64,
        /// Offset after its last byte.
        end: u64,
        /// The frame.
        bytes: Bytes,
    },
    /// A record that began anew before it ended.
    Interleave {
        /// Offset of its STX.
        start: u64,
        /// Offset of the next STX.
        end: u64,
        /// What was there of it.
        bytes: Bytes,
    },
    /// Bytes that make no record.
    Partial {
        /// Offset of the first.
        start: u64,
        /// Offset after the last.
        end: u64,
        /// The bytes, as far as they were kept.
        bytes: Bytes,
    },
    /// The peer asks for the last answer: to be repeated. `late`: no rule lets it ask for that so
    /// late, so it means a record that was lost.
    Enquiry {
        /// See above.
        late: bool,
    },
    /// The record goes out, for the `attempt`th time.
    Sent {
        /// From 1.
        attempt: u32,
    },
    /// The record was acknowledged.
    Delivered,
    /// The record was given up.
    GaveUp,
    /// An answer that nothing waits for.
    Stray {
        /// ACK or NAK.
        byte: u8,
    },
}

/// The record that waits for an answer.
#[derive(Debug)]
struct Outbound {
    frame: Bytes,
    /// Times it was sent.
    sent: u32,
    /// Enquiries since it was last sent.
    enquiries: u32,
    /// Number of the transmission that is to be answered.
    awaited: u64,
    /// When the wait ends; `None`: the transmission has not left.
    deadline: Option<Duration>,
    /// An answer that came before we knew that the record had left.
    early: Option<u8>,
    /// Whether this value sent it. Enquiring after a predecessor's record could bring an answer to
    /// one before that.
    is_own: bool,
}

/// Bytes between records that mean nothing.
#[derive(Debug)]
struct Noise {
    start: u64,
    since: Duration,
    bytes: Vec<u8>,
}

impl Link {
    /// A link whose next input byte has this offset. `memory` is the last answer given by whoever
    /// was here before.
    pub fn new(settings: Settings, offset: u64, memory: Memory, now: Duration) -> Self {
        Self {
            parser: Parser::new(settings.check, offset),
            enquiry_until: Some(now + settings.enquiry_window()),
            settings,
            memory,
            is_last: memory == Memory::Ack,
            answer: 0,
            is_asked: false,
            outbound: None,
            ready_at: now,
            gathered_until: now + SETTLE,
            noise: None,
            queued: 0,
            written: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Sends a record. The link [is idle](Self::is_idle).
    pub fn send(&mut self, text: &[u8]) {
        let frame = encode(text, self.settings.check);
        self.outbound = Some(Outbound::new(frame, 0));
        self.transmit_record();
    }

    /// Goes on waiting for the answer to a record that a predecessor sent `sent` times. It is sent
    /// again at `until`, and is never enquired after before that.
    pub fn resume(&mut self, text: &[u8], sent: u32, until: Duration) {
        let frame = encode(text, self.settings.check);
        let deadline = Some(until);
        self.outbound = Some(Outbound { deadline, ..Outbound::new(frame, sent) });
    }

    /// Whether a record may be sent.
    pub fn is_idle(&self, now: Duration) -> bool {
        self.outbound.is_none() && now >= self.ready_at
    }

    /// How often the record that waits for an answer was sent.
    pub fn outstanding(&self) -> Option<u32> {
        self.outbound.as_ref().map(|outbound| outbound.sent)
    }

    /// What would make the link idle, if only time is missing.
    pub fn ready_at(&self) -> Option<Duration> {
        self.outbound.is_none().then_some(self.ready_at)
    }

    /// The record that waits for an answer was answered by other means.
    pub fn forget(&mut self, now: Duration) {
        if let Some(outbound) = self.outbound.take() {
            self.rest(&outbound, now);
        }
    }

    /// Acknowledges the last record.
    pub fn accept(&mut self) {
        self.is_last = true;
        self.answer(Memory::Ack);
    }

    /// Refuses the last record.
    pub fn reject(&mut self) {
        self.answer(Memory::Nak);
    }

    /// Takes the last record for good without saying so, as if the answer had been lost.
    pub fn withhold(&mut self, now: Duration) {
        self.is_asked = false;
        self.memory = Memory::Ack;
        self.is_last = true;
        self.enquiry_until = Some(now + self.settings.enquiry_window());
    }

    /// Answers an enquiry.
    pub fn repeat(&mut self, now: Duration) {
        let valid = self.enquiry_until.is_none_or(|until| now < until);
        let memory = if valid && self.memory == Memory::Ack { Memory::Ack } else { Memory::Nak };
        self.answer(memory);
    }

    /// Whether a record was acknowledged and nothing but answers and enquiries came since.
    pub fn is_last_acknowledged(&self) -> bool {
        self.is_last
    }

    /// The last answer given.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Input before this has been dealt with.
    pub fn consumed(&self) -> u64 {
        self.parser.consumed()
    }

    /// Offset of the next byte expected.
    pub fn offset(&self) -> u64 {
        self.parser.offset()
    }

    /// So many transmissions, counted since the start, have left to their last byte.
    pub fn handle_written(&mut self, transmits: u64, now: Duration) {
        self.written = self.written.max(transmits.min(self.queued));
        if self.enquiry_until.is_none() && self.written >= self.answer {
            self.enquiry_until = Some(now + self.settings.enquiry_window());
        }
        let Some(outbound) = &mut self.outbound else { return };
        if outbound.deadline.is_none() && self.written >= outbound.awaited {
            outbound.deadline = Some(now + self.settings.t1);
            if let Some(byte) = outbound.early.take() {
                self.take_answer(byte, now);
            }
        }
    }

    /// What is being received was damaged on its way.
    pub fn handle_damage(&mut self) {
        self.parser.damage();
        self.forget_answer();
    }

    /// Input before `offset` is lost.
    pub fn handle_gap(&mut self, offset: u64) {
        self.flush_noise();
        self.abandon();
        self.parser.jump(offset);
        self.forget_answer();
    }

    /// Takes a byte from the line.
    pub fn handle_byte(&mut self, byte: u8, now: Duration) {
        // No text has an ENQ: the peer is through with the record and wonders about its answer.
        if byte == ENQ && !self.parser.is_at_check() {
            self.abandon();
        }
        let before = self.parser.began();
        let symbol = self.parser.push(byte, now);
        if self.parser.began() != before || !matches!(symbol, None | Some(Symbol::Byte { .. })) {
            self.flush_noise();
        }
        match symbol {
            None => {}
            Some(Symbol::Torn { start, end, bytes }) => {
                self.forget_answer();
                self.events.push_back(Event::Interleave { start, end, bytes });
            }
            Some(Symbol::Record { start, end, good: true, bytes }) => {
                self.is_asked = true;
                let text = bytes.slice(1..bytes.len() - 1 - self.check_len());
                self.events.push_back(Event::Record { start, end, text });
            }
            Some(Symbol::Record { start, end, good: false, bytes }) => {
                self.reject();
                self.events.push_back(Event::BadCheck { start, end, bytes });
            }
            Some(Symbol::Byte { at, byte }) => self.take_control(at, byte, now),
        }
    }

    fn check_len(&self) -> usize {
        usize::from(self.settings.check == super::frame::Check::Lrc)
    }

    fn take_control(&mut self, at: u64, byte: u8, now: Duration) {
        match byte {
            ENQ => {
                self.flush_noise();
                self.enquire(now);
            }
            ACK | NAK => {
                self.flush_noise();
                // Also an answer resets the memory. What has been said of our record shows nothing
                // of theirs, but a record of theirs that was wholly lost is then asked for again.
                if self.memory != Memory::None {
                    self.memory = Memory::Nak;
                }
                self.answered(byte, now);
            }
            byte => {
                self.forget_answer();
                let since = now;
                let noise = self.noise.get_or_insert(Noise { start: at, since, bytes: vec![] });
                noise.bytes.push(byte);
                if noise.bytes.len() >= MAX_NOISE {
                    self.flush_noise();
                }
                self.hear_noise(now);
            }
        }
    }

    fn enquire(&mut self, now: Duration) {
        // The answer that is still to leave will serve; and one to each of many would be taken for
        // answers to the peer's next records.
        let is_served = self.answer > 0 && now < self.gathered_until;
        if self.is_asked || self.enquiry_until.is_none() || is_served {
            return;
        }
        self.is_asked = true;
        let late = self.enquiry_until.is_some_and(|until| now >= until);
        self.events.push_back(Event::Enquiry { late });
    }

    fn answered(&mut self, byte: u8, now: Duration) {
        match &mut self.outbound {
            None => self.events.push_back(Event::Stray { byte }),
            Some(outbound) if outbound.deadline.is_none() => {
                // An enquiry brings its own answer; this one would leave that to the next record.
                if outbound.enquiries == 0 {
                    outbound.early = Some(byte);
                }
            }
            Some(_) => self.take_answer(byte, now),
        }
    }

    fn take_answer(&mut self, byte: u8, now: Duration) {
        if byte == NAK {
            self.retransmit(now);
        } else if let Some(outbound) = self.outbound.take() {
            self.rest(&outbound, now);
            self.events.push_back(Event::Delivered);
        }
    }

    /// A byte that is no answer, while one is awaited, is reason to enquire: soon, since more of
    /// the kind may follow, and one enquiry is enough for all of them.
    fn hear_noise(&mut self, now: Duration) {
        if let Some(outbound) = self.outbound.as_mut().filter(|outbound| outbound.is_own) {
            outbound.deadline = outbound.deadline.map(|deadline| deadline.min(now + SETTLE));
        }
    }

    fn expire(&mut self, now: Duration) {
        let Some(outbound) = &mut self.outbound else { return };
        if !outbound.is_own {
            self.transmit_record();
        } else if outbound.enquiries < self.settings.enqs {
            outbound.enquiries += 1;
            outbound.deadline = None;
            outbound.awaited = self.queued + 1;
            self.transmit(Bytes::from_static(&[ENQ]));
        } else if self.settings.on_enq_exhausted == Exhausted::Resend {
            self.retransmit(now);
        } else {
            self.give_up(now);
        }
    }

    fn retransmit(&mut self, now: Duration) {
        let sent = self.outbound.as_ref().map_or(0, |outbound| outbound.sent);
        if sent < self.settings.transmissions {
            self.transmit_record();
        } else {
            self.give_up(now);
        }
    }

    fn give_up(&mut self, now: Duration) {
        self.forget(now);
        self.events.push_back(Event::GaveUp);
    }

    fn transmit_record(&mut self) {
        let Some(outbound) = &mut self.outbound else { return };
        outbound.sent += 1;
        outbound.enquiries = 0;
        outbound.is_own = true;
        outbound.early = None;
        outbound.deadline = None;
        outbound.awaited = self.queued + 1;
        let (frame, attempt) = (outbound.frame.clone(), outbound.sent);
        self.transmit(frame);
        self.events.push_back(Event::Sent { attempt });
    }

    fn rest(&mut self, outbound: &Outbound, now: Duration) {
        if outbound.enquiries > 0 {
            self.ready_at = now + SETTLE;
        }
    }

    fn answer(&mut self, memory: Memory) {
        self.is_asked = false;
        self.memory = memory;
        self.is_last &= memory == Memory::Ack;
        self.enquiry_until = None;
        self.answer = self.queued + 1;
        self.transmit(Bytes::from_static(if memory == Memory::Ack { &[ACK] } else { &[NAK] }));
        // It came late: the next record has begun, and this is no answer to that.
        if self.parser.began().is_some() {
            self.forget_answer();
        }
    }

    fn transmit(&mut self, bytes: Bytes) {
        self.queued += 1;
        self.transmits.push_back(bytes);
    }

    fn forget_answer(&mut self) {
        if self.memory == Memory::Ack {
            self.memory = Memory::Nak;
        }
        self.is_last = false;
    }

    fn abandon(&mut self) {
        if let Some((start, end, bytes)) = self.parser.abandon() {
            self.forget_answer();
            self.events.push_back(Event::Partial { start, end, bytes });
        }
    }

    fn flush_noise(&mut self) {
        if let Some(Noise { start, bytes, .. }) = self.noise.take() {
            let end = start + bytes.len() as u64;
            self.events.push_back(Event::Partial { start, end, bytes: bytes.into() });
        }
    }

    fn record_until(&self) -> Option<Duration> {
        self.parser.began().map(|began| began + self.settings.record_time())
    }

    fn noise_until(&self) -> Option<Duration> {
        self.noise.as_ref().map(|noise| noise.since + self.settings.t1)
    }

    fn answer_until(&self) -> Option<Duration> {
        self.outbound.as_ref().and_then(|outbound| outbound.deadline)
    }

    /// Takes notice that the time is `now`; does what fell due.
    pub fn handle_timeout(&mut self, now: Duration) {
        let is_over = |until: Option<Duration>| until.is_some_and(|until| until <= now);
        if is_over(self.noise_until()) {
            self.flush_noise();
        }
        if is_over(self.record_until()) {
            self.abandon();
        }
        if is_over(self.answer_until()) {
            self.expire(now);
        }
    }

    /// The next frame for the line.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmits.pop_front()
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When `handle_timeout` is wanted, as time since boot.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let deadlines = [self.noise_until(), self.record_until(), self.answer_until()];
        deadlines.into_iter().flatten().min()
    }
}

impl Outbound {
    fn new(frame: Bytes, sent: u32) -> Self {
        let (enquiries, awaited) = (0, 0);
        Self { frame, sent, enquiries, awaited, deadline: None, early: None, is_own: false }
    }
}

/// How long the line must be quiet before what follows is not taken for what came before.
pub(super) const SETTLE: Duration = Duration::from_millis(200);
/// Bytes of noise reported at once: as many as a record may have.
const MAX_NOISE: usize = super::frame::MAX_FRAME;
