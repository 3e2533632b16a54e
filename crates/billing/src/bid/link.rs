//! The two roles of a bid-and-acknowledge line, and contention between them.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::check::{ENQ, EOT, frame, spoiled};
use super::profile::{Answers, Profile};
use super::scan::{Answer, Found, Listen, Said, Scan};
use super::state::{State, Turn};

/// One end of the line.
///
/// The calling contract: **one step at a time.** A step is [`Self::handle_byte`],
/// [`Self::handle_timeout`], [`Self::advance`], [`Self::accept`] or [`Self::reject`]. After each,
/// drain [`Self::poll_event`] (a [`Event::Text`] is answered at once, with `accept` or `reject`; the
/// answer leaves when its owner lets it), then [`Self::take_transmit`]. A step has at most one
/// frame, so [`Self::state`] and [`Self::settled`] after it belong to that frame. Call
/// [`Self::advance`] until it says that there is no more to do.
#[derive(Debug)]
pub struct Link {
    profile: Profile,
    scan: Scan,
    state: State,
    /// The text that is being sent or waits for its turn.
    text: Option<Bytes>,
    /// Texts that still go out with a wrong check.
    spoil: u32,
    transmit: Option<Bytes>,
    events: VecDeque<Event>,
    /// Frames taken and frames written, since this value was made.
    taken: u64,
    written: u64,
    /// The timer that starts when all that was taken has been written.
    timer: Option<Duration>,
    deadline: Option<Duration>,
    /// One of several bids was answered; the text goes out when the other answers have come.
    is_granted: bool,
    /// The peer asked to speak: no bid before.
    held_until: Option<Duration>,
}

/// What a link tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A good text came, from `start` to before `end`. Answer it now.
    Text { start: u64, end: u64, text: Bytes },
    /// Our text begins to go out.
    Sending,
    /// The peer has taken our text.
    Delivered,
    /// Our text was given up as the profile says. `silent`: for want of an answer.
    GaveUp { silent: bool },
    /// The peer bid for the line.
    Bidden,
    /// The peer answered something.
    Answered,
    /// A text whose check is wrong, framing and all; it was refused.
    BadCheck { start: u64, end: u64, bytes: Bytes },
    /// Bytes that make no text. `inside`: another text or a bid came before its end.
    Partial { start: u64, end: u64, bytes: Bytes, inside: bool },
    /// An answer that nothing waits for.
    Late { bytes: Bytes },
}

impl Link {
    /// A link in this state whose next byte has the offset `at`. `text` is what `state` says is
    /// being sent; `None` if the two don't fit.
    pub fn resume(
        profile: Profile,
        state: State,
        text: Option<Bytes>,
        at: u64,
        now: Duration,
    ) -> Option<Self> {
        let selected = matches!(state.turn, Turn::Selected { .. });
        if state.sending != text.is_some() || (selected && !profile.receives) {
            return None;
        }
        let span = match state.turn {
            Turn::Idle => None,
            Turn::Bid | Turn::Ask => Some(profile.bid_timeout),
            Turn::Pause => Some(profile.bid_pause.min(profile.text_pause)),
            Turn::Text => Some(profile.text_timeout),
            Turn::Selected { .. } => Some(profile.turn_timeout),
        };
        let scan = Scan::new(profile.check, profile.text_silence, at);
        let (transmit, events, timer, held_until) = (None, VecDeque::new(), None, None);
        let (spoil, taken, written, is_granted) = (0, 0, 0, false);
        let deadline = span.map(|span| now + span);
        Some(Self {
            profile,
            scan,
            state,
            text,
            spoil,
            transmit,
            events,
            taken,
            written,
            timer,
            deadline,
            is_granted,
            held_until,
        })
    }

    /// A link that has nothing to send on a line that nobody has.
    pub fn new(profile: Profile, at: u64) -> Self {
        let new = Self::resume(profile, State::IDLE, None, at, Duration::ZERO);
        new.expect("an idle state has no text and is not selected")
    }

    /// Takes the next byte.
    pub fn handle_byte(&mut self, byte: u8, now: Duration) {
        self.scan.handle_byte(byte, self.listen(), now);
        self.hear(now);
    }

    /// What is being received is damaged.
    pub fn handle_damage(&mut self, now: Duration) {
        self.scan.handle_damage();
        self.hear(now);
    }

    /// Input before `at` that did not come never will.
    pub fn handle_gap(&mut self, at: u64, now: Duration) {
        if at > self.scan.at() {
            self.scan.resume_at(at);
            self.hear(now);
        }
    }

    /// So many frames have left.
    pub fn handle_written(&mut self, frames: u64, now: Duration) {
        self.written = self.written.max(frames);
        self.start_timer(now);
    }

    /// Does what fell due.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.scan.handle_timeout(now);
        self.hear(now);
        if self.deadline.is_some_and(|deadline| deadline <= now) && self.transmit.is_none() {
            self.deadline = None;
            self.expire(now);
        }
    }

    /// Bids, if there is a text and the line is free. Whether it did.
    pub fn advance(&mut self, now: Duration) -> bool {
        let held = self.held_until.is_some_and(|until| until > now);
        let free = self.state.turn == Turn::Idle && self.scan.is_quiet() && !held;
        if !free || !self.state.sending || self.transmit.is_some() {
            return false;
        }
        self.held_until = None;
        self.bid();
        true
    }

    /// Queues a text; it is an error of the owner to do so before the last was delivered, given up
    /// or cancelled, and replaces it.
    pub fn send(&mut self, text: Bytes) {
        self.cancel();
        self.text = Some(text);
        self.state.sending = true;
    }

    /// There is no more need to send the text. What of it has left is left.
    pub fn cancel(&mut self) {
        self.text = None;
        let turn = match self.state.turn {
            Turn::Selected { .. } => self.state.turn,
            _ => Turn::Idle,
        };
        if turn == Turn::Idle {
            self.free();
        }
        self.state = State { turn, ..State::IDLE };
    }

    /// The next `count` texts go out with a wrong check.
    pub fn spoil(&mut self, count: u32) {
        self.spoil = count;
    }

    /// The text of the last event is taken.
    pub fn accept(&mut self) {
        let answer = match (self.profile.answers, self.state.turn) {
            (Answers::Plain, _) => Answer::Ack,
            (Answers::Alternating, Turn::Selected { last: Answer::Ack1 }) => Answer::Ack0,
            (Answers::Alternating, _) => Answer::Ack1,
        };
        self.answer(answer);
        if self.profile.answers == Answers::Plain {
            // The next text has a bid of its own.
            (self.state.turn, self.timer, self.deadline) = (Turn::Idle, None, None);
        }
    }

    /// The text of the last event is refused; the peer will send it again.
    pub fn reject(&mut self) {
        let before = self.state.turn;
        self.answer(Answer::Nak);
        // A refusal keeps the parity, by which the next good text is answered.
        if matches!(before, Turn::Selected { .. }) {
            self.state.turn = before;
        }
    }

    /// Offset before which nothing has to be seen again by whoever knows [`Self::state`].
    pub fn settled(&self) -> u64 {
        self.scan.settled()
    }

    /// Offset of the next byte.
    pub fn at(&self) -> u64 {
        self.scan.at()
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The frame of this step.
    pub fn take_transmit(&mut self) -> Option<Bytes> {
        let bytes = self.transmit.take()?;
        self.taken += 1;
        Some(bytes)
    }

    /// The frame of this step was lost on purpose.
    pub fn lose_transmit(&mut self, now: Duration) {
        self.transmit = None;
        self.start_timer(now);
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let idle = self.state.turn == Turn::Idle && self.state.sending;
        let held = self.held_until.filter(|_| idle);
        [self.deadline, self.scan.poll_timeout(), held].into_iter().flatten().min()
    }

    fn listen(&self) -> Listen {
        match self.state.turn {
            Turn::Bid | Turn::Text | Turn::Ask => Listen::Answers,
            Turn::Selected { .. } => Listen::Texts,
            // With plain answers a text without a bid does no harm: its number tells all.
            Turn::Idle | Turn::Pause
                if self.profile.answers == Answers::Plain && self.profile.receives =>
            {
                Listen::Texts
            }
            Turn::Idle | Turn::Pause => Listen::Bids,
        }
    }

    fn start_timer(&mut self, now: Duration) {
        let has_left = self.transmit.is_none() && self.written >= self.taken;
        if has_left && let Some(span) = self.timer.take() {
            self.deadline = Some(now + span);
        }
    }

    fn hear(&mut self, now: Duration) {
        while let Some(Found { start, end, said }) = self.scan.poll_found() {
            match said {
                Said::Enq => self.hear_bid(),
                Said::Eot => self.hear_end(),
                Said::Answer(answer) => self.hear_answer(answer, now),
                Said::Text(text) => self.events.push_back(Event::Text { start, end, text }),
                Said::Bad(bytes) => {
                    self.events.push_back(Event::BadCheck { start, end, bytes });
                    self.reject();
                }
                Said::Tail(bytes) => {
                    self.events.push_back(Event::Partial { start, end, bytes, inside: false });
                    // Its sender waits for an answer to a text that has lost its head.
                    if matches!(self.state.turn, Turn::Selected { .. }) {
                        self.reject();
                    }
                }
                Said::Torn { bytes, inside } => {
                    self.events.push_back(Event::Partial { start, end, bytes, inside });
                }
                Said::Noise(bytes) => {
                    self.events.push_back(Event::Partial { start, end, bytes, inside: false });
                }
            }
        }
    }

    fn hear_bid(&mut self) {
        if !self.profile.receives {
            return self.events.push_back(Event::Late { bytes: Bytes::from_static(&[ENQ]) });
        }
        let plain = self.profile.answers == Answers::Plain;
        let answer = match self.state.turn {
            Turn::Selected { last } if !plain => last,
            // The peer gives way; its answer to our bid is on the way, or a timer will tell.
            Turn::Bid | Turn::Text | Turn::Ask if !self.profile.yields => return,
            _ if plain => Answer::Ack,
            _ => Answer::Ack0,
        };
        self.state.bids = 0;
        self.events.push_back(Event::Bidden);
        self.answer(answer);
    }

    fn hear_end(&mut self) {
        if matches!(self.state.turn, Turn::Selected { .. }) {
            (self.state.turn, self.timer, self.deadline) = (Turn::Idle, None, None);
        }
    }

    fn hear_answer(&mut self, answer: Answer, now: Duration) {
        let waiting = matches!(self.state.turn, Turn::Bid | Turn::Text | Turn::Ask);
        // What comes before our last byte has left answers something else.
        if !waiting || self.timer.is_some() || self.is_granted {
            return self.events.push_back(Event::Late { bytes: answer.bytes() });
        }
        self.events.push_back(Event::Answered);
        match self.state.turn {
            Turn::Bid => self.bid_answered(answer, now),
            _ => self.text_answered(answer, now),
        }
    }

    fn bid_answered(&mut self, answer: Answer, now: Duration) {
        match (self.profile.answers, answer) {
            // With plain answers the next one would count for the text.
            (Answers::Plain, Answer::Ack) if self.state.bids > 1 => {
                (self.is_granted, self.deadline) = (true, Some(now + SETTLE));
            }
            (Answers::Plain, Answer::Ack) | (Answers::Alternating, Answer::Ack0) => {
                (self.state.bids, self.state.asks) = (0, 0);
                self.send_text();
            }
            // The answer to the last text of a conversation that the peer believes to go on.
            (Answers::Alternating, Answer::Ack1) if self.state.bids < self.profile.bid_tries => {
                self.free();
                self.transmit = Some(Bytes::from_static(&[EOT]));
            }
            (_, Answer::Wack | Answer::Rvi) if self.state.waits < MAX_WAITS => {
                self.state.waits += 1;
                self.state.bids = self.state.bids.saturating_sub(1);
                self.pause(self.profile.bid_pause, now);
            }
            (_, Answer::Nak) if self.state.bids < self.profile.bid_tries => {
                self.pause(self.profile.bid_pause, now);
            }
            (Answers::Alternating, Answer::Ack) | (Answers::Plain, Answer::Ack0 | Answer::Ack1) => {
                self.events.push_back(Event::Late { bytes: answer.bytes() });
            }
            _ => self.give_up(false),
        }
    }

    fn text_answered(&mut self, answer: Answer, now: Duration) {
        let plain = self.profile.answers == Answers::Plain;
        match answer {
            Answer::Ack if plain => self.delivered(),
            Answer::Ack1 if !plain => self.delivered(),
            Answer::Rvi => {
                self.held_until = Some(now + self.profile.turn_timeout);
                self.delivered();
            }
            Answer::Wack if self.state.waits < MAX_WAITS => {
                self.state.waits += 1;
                self.state.turn = Turn::Text;
                self.deadline = Some(now + self.profile.text_timeout);
            }
            // Asked again, the peer repeats its answer to our bid: the text has not arrived.
            Answer::Ack0 if !plain && self.state.turn == Turn::Ask => self.repeat_text(now),
            Answer::Nak => self.repeat_text(now),
            Answer::Wack => self.give_up(false),
            Answer::Ack | Answer::Ack0 | Answer::Ack1 => {
                self.events.push_back(Event::Late { bytes: answer.bytes() });
            }
        }
    }

    fn repeat_text(&mut self, now: Duration) {
        if self.state.texts >= self.profile.text_tries {
            self.give_up(false);
        } else if self.profile.answers == Answers::Plain {
            self.pause(self.profile.text_pause, now);
        } else {
            self.send_text();
        }
    }

    fn expire(&mut self, now: Duration) {
        let plain = self.profile.answers == Answers::Plain;
        let Profile { bid_tries, text_tries, .. } = self.profile;
        match self.state.turn {
            Turn::Idle => {}
            Turn::Pause => self.bid(),
            Turn::Bid if self.is_granted => {
                (self.state.bids, self.state.asks) = (0, 0);
                self.send_text();
            }
            Turn::Bid if self.state.bids < bid_tries => self.bid(),
            Turn::Text if plain && self.state.texts < text_tries => self.bid(),
            Turn::Text if !plain => self.ask(),
            Turn::Ask if self.state.asks < bid_tries => self.ask(),
            Turn::Bid | Turn::Text | Turn::Ask => self.give_up(true),
            Turn::Selected { .. } if self.scan.is_quiet() => self.state.turn = Turn::Idle,
            Turn::Selected { .. } => self.deadline = Some(now + self.profile.turn_timeout),
        }
    }

    fn bid(&mut self) {
        self.state.bids = self.state.bids.saturating_add(1);
        self.wait(Turn::Bid, Bytes::from_static(&[ENQ]), self.profile.bid_timeout);
    }

    fn ask(&mut self) {
        self.state.asks = self.state.asks.saturating_add(1);
        self.wait(Turn::Ask, Bytes::from_static(&[ENQ]), self.profile.bid_timeout);
    }

    fn send_text(&mut self) {
        let Some(text) = &self.text else { return self.free() };
        let make = if self.spoil > 0 { spoiled } else { frame };
        self.spoil = self.spoil.saturating_sub(1);
        let bytes = make(self.profile.check, text);
        self.state.texts = self.state.texts.saturating_add(1);
        self.events.push_back(Event::Sending);
        self.wait(Turn::Text, bytes, self.profile.text_timeout);
    }

    fn answer(&mut self, answer: Answer) {
        self.wait(Turn::Selected { last: answer }, answer.bytes(), self.profile.turn_timeout);
    }

    fn wait(&mut self, turn: Turn, bytes: Bytes, timeout: Duration) {
        self.state.turn = turn;
        self.transmit = Some(bytes);
        self.is_granted = false;
        (self.timer, self.deadline) = (Some(timeout), None);
    }

    fn pause(&mut self, span: Duration, now: Duration) {
        self.state.turn = Turn::Pause;
        self.deadline = Some(now + span);
    }

    fn delivered(&mut self) {
        self.end(Event::Delivered);
    }

    fn give_up(&mut self, silent: bool) {
        self.end(Event::GaveUp { silent });
    }

    fn end(&mut self, event: Event) {
        self.text = None;
        self.state = State::IDLE;
        self.free();
        self.events.push_back(event);
        if self.profile.eot {
            self.transmit = Some(Bytes::from_static(&[EOT]));
        }
    }

    fn free(&mut self) {
        self.is_granted = false;
        (self.state.turn, self.timer, self.deadline) = (Turn::Idle, None, None);
    }
}

/// How far the answers to several bids may be apart: a busy peer gives them all at once.
const SETTLE: Duration = Duration::from_millis(200);
/// "Wait" answers in a row that are believed: as many as the most patient published link allows.
pub const MAX_WAITS: u8 = 15;
