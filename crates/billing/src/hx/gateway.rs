//! The end that sends charges.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::bid::outbox::Outbox;
use crate::bid::state::State;
use crate::bid::{Event, Link};
use crate::charge::Charge;
use crate::civil::WallClock;
use crate::gateway::{LastSent, LineNews, Notice, Outcome, Output, Posting, Reply, Resume, Write};
use crate::ledger::{Ledger, Outstanding};

use super::note::{Note, Place};
use super::record;
use super::settings::Settings;

/// The gateway's end of `hx`.
///
/// A charge is in the note from its first bid on. So whoever continues sends this very record, and
/// an ACK that the billing system gave to a predecessor's text is right for its own.
///
/// Nor does an ACK say that the number was free: a number that the billing system knows with another
/// text is acknowledged, and the charge is not posted. So nothing is sent before it is known which
/// number was last: from the note; from the store, where nobody else can have sent anything since;
/// or because the line was never used, which a number in the store or a gap at its beginning denies.
#[derive(Debug)]
pub struct Gateway {
    settings: Settings,
    link: Link,
    ledger: Ledger,
    attempts: u32,
    /// Where the numbers on the line stand, if that is known.
    place: Option<Place>,
    /// Until when it is listened for a gap. If there is none, the line was never used.
    listens: Option<Duration>,
    wall: WallClock,
    is_up: Option<bool>,
    is_device_there: bool,
    retry_at: Option<Duration>,
    outbox: Outbox,
    writes: VecDeque<Write>,
    notices: VecDeque<Notice>,
}

impl Gateway {
    /// A gateway that continues from `resume`.
    ///
    /// A cut frame needs nothing: what made the predecessor send it lies behind the last
    /// acknowledgement and comes again, or a timer makes it go out again.
    pub fn new(settings: Settings, resume: Resume, now: Duration) -> Self {
        let profile = settings.profile(false);
        let note = resume.note.clone().map(Note::decode);
        let mut notices = VecDeque::new();
        if note == Some(None) {
            notices.push_back(Notice::NoteRefused);
        }
        let known = note.flatten();
        // A note that can't be read was lost.
        let listens = resume.note.is_none().then_some(now + LISTEN);
        let told = known.as_ref().and(resume.note).unwrap_or_default();
        let note = known.unwrap_or_else(|| Note {
            link: State::IDLE,
            attempts: 0,
            place: None,
            ledger: Ledger::new(resume.last_number),
        });
        let outstanding = note.ledger.outstanding();
        let text = outstanding.filter(|_| note.link.sending).map(|o| o.text.clone());
        let link = Link::resume(profile, note.link, text, resume.acked, now);
        let mut writes = VecDeque::new();
        if let Some(Outstanding { number, key, text }) = outstanding.cloned() {
            writes.push_back(Write::Adopt { number, key, text });
        }
        let mut gateway = Self {
            settings,
            link: link.unwrap_or_else(|| Link::new(profile, resume.acked)),
            ledger: note.ledger,
            attempts: note.attempts,
            place: note.place,
            listens,
            wall: resume.wall,
            is_up: None,
            is_device_there: true,
            retry_at: None,
            outbox: Outbox::new(resume.acked, told),
            writes,
            notices,
        };
        // A new bid is harmless, so a predecessor's pause after giving up need not be waited for.
        gateway.send_outstanding();
        gateway.advance(now);
        gateway
    }

    /// Queues the outstanding charge unless it is on its way.
    fn send_outstanding(&mut self) {
        self.retry_at = None;
        let is_on_its_way = self.link.state().sending;
        if let Some(outstanding) = self.ledger.outstanding().filter(|_| !is_on_its_way) {
            self.link.send(outstanding.text.clone());
        }
    }

    fn number_charge(&mut self, id: u64, charge: &Charge, now: Duration) {
        let number = self.ledger.last().saturating_add(1);
        let key = charge.key.clone();
        match record::content(charge, &self.settings) {
            Ok(content) => {
                let text = record::compose(self.next_columns(now), &content);
                self.writes.push_back(Write::Number { id, number, text: text.clone() });
                self.send_first(Outstanding { number, key, text });
            }
            Err(misfit) => {
                // It is never on the line. So that the billing system sees no gap, the number on the
                // line is given to the next one.
                let text = Bytes::new();
                self.writes.push_back(Write::Number { id, number, text: text.clone() });
                self.ledger.send(Outstanding { number, key, text });
                self.settle(Outcome::Refused, Bytes::from_static(misfit.0.as_bytes()));
            }
        }
    }

    /// The number after the last, or the first of a new period. A clock that goes back begins none:
    /// the first numbers of that period are given.
    fn next_columns(&mut self, now: Duration) -> [u8; 4] {
        let Place { last, period } = self.place.unwrap_or_default();
        let (seq, new) = (self.settings.seq, self.period(now));
        let last = if new > period { 1 } else { last % seq.count() + 1 };
        self.place = Some(Place { last, period: period.max(new) });
        seq.write(last)
    }

    /// A predecessor has numbered this record, and died before it could say so in the note.
    fn follow(&mut self, text: &Bytes, now: Duration) {
        let period = self.period(now);
        if let (Some(last), Some(place)) = (self.columns(text), &mut self.place) {
            place.last = last;
            if last == 1 {
                place.period = place.period.max(period);
            }
        }
    }

    fn period(&self, now: Duration) -> i64 {
        self.settings.reset.period(self.wall.show(now).seconds())
    }

    fn columns(&self, text: &[u8]) -> Option<u64> {
        self.settings.seq.read(text.get(..record::NUMBER)?)
    }

    /// The last number is known. Without a note nobody knows when numbers began again: they go on
    /// until the next period.
    fn begin_after(&mut self, last: u64, now: Duration) {
        let period = self.period(now);
        (self.place, self.listens) = (Some(Place { last, period }), None);
    }

    /// Nobody knows the last number: charges wait.
    fn hold(&mut self) {
        self.listens = None;
        self.notices.push_back(Notice::NumbersUnknown);
    }

    fn send_first(&mut self, outstanding: Outstanding) {
        self.attempts = 0;
        self.ledger.send(outstanding);
        self.send_outstanding();
    }

    fn settle(&mut self, outcome: Outcome, answer: Bytes) {
        self.attempts = 0;
        if let Some(Outstanding { number, .. }) = self.ledger.settle() {
            self.writes.push_back(Write::Settle { number, outcome, answer });
            self.notices.push_back(Notice::Settled { number, outcome });
        }
    }

    /// What a step of the link has to say, and its frame with the state after it.
    fn drain(&mut self, now: Duration) {
        while let Some(event) = self.link.poll_event() {
            self.hear(event, now);
        }
        if let Some(bytes) = self.link.take_transmit() {
            let note = self.note();
            self.outbox.frame(bytes, self.link.settled(), note);
        }
    }

    fn hear(&mut self, event: Event, now: Duration) {
        let number = self.ledger.outstanding().map(|outstanding| outstanding.number);
        match event {
            Event::Sending => {
                self.attempts = self.attempts.saturating_add(1);
                let (number, attempt) = (number.unwrap_or_default(), self.attempts);
                self.notices.push_back(Notice::Sending { number, attempt });
            }
            Event::Delivered => self.settle(Outcome::Posted, Bytes::from_static(b"ACK")),
            Event::GaveUp { silent } => {
                self.notices.push_back(Notice::GaveUp { number });
                self.retry_at = Some(now + self.settings.retry_after);
                if silent {
                    self.set_up(false, "no answer to bids and texts");
                }
            }
            Event::Answered => self.set_up(true, ""),
            Event::Partial { start, end, .. } => {
                self.notices.push_back(Notice::Partial { start, end });
            }
            Event::BadCheck { start, end, .. } => {
                self.notices.push_back(Notice::BadCheck { start, end });
            }
            Event::Late { .. } => {
                self.notices.push_back(Notice::Unexpected { what: "a bid or an answer" });
            }
            // A link that takes no texts has neither.
            Event::Text { .. } => self.link.reject(),
            Event::Bidden => {}
        }
    }

    fn set_up(&mut self, up: bool, why: &'static str) {
        if self.is_up != Some(up) {
            self.is_up = Some(up);
            self.notices.push_back(if up { Notice::LinkUp } else { Notice::LinkDown { why } });
        }
    }

    /// Bids if it can, and says what is news without a frame.
    fn advance(&mut self, now: Duration) {
        self.drain(now);
        while self.link.advance(now) {
            self.drain(now);
        }
        // Who comes before it is known whether there is a gap has to listen, too.
        if self.listens.is_none() {
            let note = self.note();
            self.outbox.bare(self.link.settled(), note);
        }
    }

    fn note(&self) -> Bytes {
        let (link, ledger) = (self.link.state(), self.ledger.clone());
        Note { link, attempts: self.attempts, place: self.place, ledger }.encode()
    }
}

impl crate::Gateway for Gateway {
    fn handle_input(&mut self, offset: u64, bytes: &[u8], now: Duration) {
        self.link.handle_gap(offset, now);
        self.drain(now);
        let seen = usize::try_from(self.link.at().saturating_sub(offset)).unwrap_or(usize::MAX);
        for byte in bytes.iter().skip(seen) {
            self.link.handle_byte(*byte, now);
            self.drain(now);
            while self.link.advance(now) {
                self.drain(now);
            }
        }
        self.advance(now);
    }

    fn handle_line(&mut self, news: LineNews, now: Duration) {
        match news {
            LineNews::Gap { offset } => {
                // What a device that was away has lost says nothing about numbers.
                if self.is_device_there && self.listens.is_some() {
                    self.hold();
                }
                self.link.handle_gap(offset, now);
            }
            LineNews::Damage => self.link.handle_damage(now),
            LineNews::Down => {
                self.is_device_there = false;
                self.link.handle_damage(now);
                self.set_up(false, "the device is gone");
            }
            LineNews::Up => {
                self.is_device_there = true;
                self.send_outstanding();
            }
        }
        self.advance(now);
    }

    fn handle_written(&mut self, outputs: u64, now: Duration) {
        self.link.handle_written(outputs, now);
    }

    fn handle_charge(&mut self, posting: Posting, now: Duration) {
        let is_free = self.ledger.outstanding().is_none() && self.place.is_some();
        match posting {
            Posting::New { id, charge } if is_free => self.number_charge(id, &charge, now),
            Posting::Numbered { number, key, text } if is_free && number > self.ledger.last() => {
                self.follow(&text, now);
                self.send_first(Outstanding { number, key, text });
            }
            _ => self.notices.push_back(Notice::Unexpected { what: "a charge out of turn" }),
        }
        self.advance(now);
    }

    fn handle_reply(&mut self, _number: u64, _reply: Reply, _now: Duration) {}

    fn handle_last(&mut self, last: &LastSent, now: Duration) {
        if self.place.is_some() {
            return;
        }
        let known = match last {
            LastSent::Known(text) if text.is_empty() => Some(0),
            LastSent::Known(text) => self.columns(text),
            LastSent::Unused | LastSent::Unknown => None,
        };
        match known {
            Some(last) => self.begin_after(last, now),
            None if *last == LastSent::Unused && self.listens.is_some() => {}
            None => self.hold(),
        }
        self.advance(now);
    }

    fn handle_timeout(&mut self, now: Duration) {
        if self.listens.is_some_and(|until| until <= now) {
            self.begin_after(0, now);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.send_outstanding();
        }
        self.link.handle_timeout(now);
        self.advance(now);
    }

    fn set_wall_clock(&mut self, wall: WallClock) {
        self.wall = wall;
    }

    fn poll_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outbox.poll_output()
    }

    fn poll_event(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    fn poll_timeout(&self) -> Option<Duration> {
        [self.link.poll_timeout(), self.retry_at, self.listens].into_iter().flatten().min()
    }

    fn wants_charge(&self) -> bool {
        self.is_device_there && self.place.is_some() && self.ledger.outstanding().is_none()
    }

    fn needs_last(&self) -> bool {
        self.place.is_none() && self.listens.is_none()
    }

    fn ledger(&self) -> Option<&Ledger> {
        Some(&self.ledger)
    }

    fn awaits_reply(&self) -> Option<u64> {
        None
    }
}

/// How long a gateway without a note listens, as it is published for a takeover. What the terminal
/// server has to say about the line's beginning comes right behind the grant.
const LISTEN: Duration = Duration::from_secs(3);
