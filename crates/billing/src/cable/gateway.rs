//! The end that receives commands and answers them.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::bid::outbox::Outbox;
use crate::bid::state::State;
use crate::bid::{Event, Link};
use crate::civil::WallClock;
use crate::gateway::{HandledBy, LineNews, Notice, Output, Posting, Record, Reply, Resume, Write};
use crate::ledger::Ledger;

use super::command::{self, BEFORE_LOGON, Command, NO_LOGON, NUMBER_TAKEN, Parsed};
use super::note::{Last, Note, Stage};
use super::settings::Settings;

/// The gateway's end of `cable`.
///
/// One command at a time: until its reply is known, a command with another number is refused with
/// NAK. It would be lost in a takeover, since a note knows one.
#[derive(Debug)]
pub struct Gateway {
    settings: Settings,
    link: Link,
    last: Option<Last>,
    is_logged_on: bool,
    /// The next response is the first after a takeover.
    is_new_here: bool,
    log_off_at: Option<Duration>,
    is_up: Option<bool>,
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
        let told = known.as_ref().and(resume.note).unwrap_or_default();
        let is_new_here = settings.takeover_notice && known.is_some();
        let none = Note { link: State::IDLE, is_logged_on: false, last: None };
        let Note { link, is_logged_on, last } = known.unwrap_or(none);
        let text = match last.as_ref().map(|last| &last.stage) {
            Some(Stage::Answering(response)) => Some(response.clone()),
            Some(Stage::Objecting(_)) => last.as_ref().map(|last| objection(last.number)),
            _ => None,
        };
        let link = Link::resume(profile, link, text, resume.acked, now);
        let mut gateway = Self {
            link: link.unwrap_or_else(|| Link::new(profile, resume.acked)),
            last,
            is_logged_on,
            is_new_here,
            log_off_at: settings.idle_logoff.filter(|_| is_logged_on).map(|span| now + span),
            is_up: None,
            outbox: Outbox::new(resume.acked, told),
            writes: VecDeque::new(),
            notices,
            settings,
        };
        gateway.receive_again();
        gateway.advance(now);
        gateway
    }

    /// A handler of this node has to see the command that a reply is awaited for. The store knows it
    /// already if it is the predecessor's.
    fn receive_again(&mut self) {
        let Some(last) = self.last.clone().filter(|last| last.stage == Stage::Awaited) else {
            return;
        };
        let kind = match command::parse(&last.text, &self.settings) {
            Some(Parsed::Command(command)) => command.kind,
            _ => String::new(),
        };
        let Last { number, start, end, text, .. } = last;
        self.receive(start, end, kind, Some(number), text, HandledBy::Handler);
    }

    fn receive(
        &mut self,
        start: u64,
        end: u64,
        kind: String,
        number: Option<u64>,
        text: Bytes,
        handled_by: HandledBy,
    ) {
        let record = Record { start, end, kind, number, text, handled_by };
        self.writes.push_back(Write::Receive(record));
    }

    /// A good text came: takes it or refuses it.
    fn take(&mut self, start: u64, end: u64, text: &Bytes, now: Duration) {
        let Some(text) = command::strip(text, &self.settings) else {
            return self.refuse("a text without the start character");
        };
        self.log_off_at = self.settings.idle_logoff.map(|span| now + span);
        match command::parse(&text, &self.settings) {
            None => self.refuse("a text that is no command"),
            Some(Parsed::Logon(id)) => {
                let is_right = self.settings.logon.as_ref() == Some(&id);
                if !is_right {
                    self.notices.push_back(Notice::Unexpected { what: "a logon by another name" });
                }
                self.log_on(is_right, "a logon by another name");
                self.receive(start, end, "LO".into(), None, text, HandledBy::Nobody);
                self.link.accept();
            }
            Some(Parsed::Logoff) => {
                self.log_on(false, "the billing system logged off");
                self.receive(start, end, "LF".into(), None, text, HandledBy::Nobody);
                self.link.accept();
            }
            Some(Parsed::Command(command)) => self.take_command(start, end, text, command),
        }
    }

    fn take_command(&mut self, start: u64, end: u64, text: Bytes, command: Command) {
        let number = command.number;
        let same = |last: &&Last| last.number == number && !self.is_refusal(last);
        let same = self.last.as_ref().filter(same);
        let is_conflict = same.is_some_and(|last| last.text != text);
        if same.is_some() && !is_conflict {
            return self.answer_again(number);
        }
        if self.awaits().is_some() {
            return self.refuse("a command before the last one was answered");
        }
        if is_conflict {
            let is_ours = command.is_ours(&self.settings);
            self.receive(start, end, command.kind, Some(number), text, HandledBy::Nobody);
            return self.object(is_ours);
        }
        let fault = if self.settings.logon.is_some() && !self.is_logged_on {
            Some(NO_LOGON)
        } else {
            command.fault
        };
        let by = if fault.is_some() { HandledBy::Nobody } else { HandledBy::Handler };
        let kind = match fault {
            Some(NO_LOGON) => BEFORE_LOGON.to_owned(),
            _ => command.kind.clone(),
        };
        self.receive(start, end, kind, Some(number), text.clone(), by);
        // A response to the command before is wanted no more.
        self.link.cancel();
        self.last = Some(Last { number, start, end, text, stage: Stage::Awaited });
        if let Some(why) = fault {
            self.respond(Reply::Error(why), command.is_ours(&self.settings));
        }
        self.link.accept();
    }

    /// Whether the command was answered only because nobody had logged on: that is no result.
    fn is_refusal(&self, last: &Last) -> bool {
        let refusal = command::response(last.number, Reply::Error(NO_LOGON), false);
        match &last.stage {
            Stage::Answering(response)
            | Stage::Answered(Some(response))
            | Stage::Objecting(Some(response)) => response.starts_with(&refusal),
            _ => false,
        }
    }

    /// Another text has the last command's number: it is refused, and the last one's result is kept.
    fn object(&mut self, is_ours: bool) {
        self.notices.push_back(Notice::Unexpected { what: "another command's number" });
        if is_ours {
            self.settle();
            if let Some(last) = &mut self.last
                && let Stage::Answered(response) = &last.stage
            {
                self.link.send(objection(last.number));
                last.stage = Stage::Objecting(response.clone());
            }
        }
        self.link.accept();
    }

    fn answer_again(&mut self, number: u64) {
        self.notices.push_back(Notice::Repeated { number: Some(number) });
        if let Some(last) = &mut self.last
            && let Stage::Answered(Some(response)) | Stage::Objecting(Some(response)) = &last.stage
        {
            let response = response.clone();
            self.link.send(response.clone());
            last.stage = Stage::Answering(response);
        }
        self.link.accept();
    }

    /// The last command has this result.
    fn respond(&mut self, reply: Reply, is_ours: bool) {
        let Some(last) = &mut self.last else { return };
        if !is_ours {
            last.stage = Stage::Answered(None);
            return;
        }
        let response = command::response(last.number, reply, self.is_new_here);
        self.is_new_here = false;
        self.link.send(response.clone());
        last.stage = Stage::Answering(response);
    }

    fn refuse(&mut self, what: &'static str) {
        self.notices.push_back(Notice::Unexpected { what });
        self.link.reject();
    }

    fn awaits(&self) -> Option<u64> {
        let last = self.last.as_ref().filter(|last| last.stage == Stage::Awaited);
        last.map(|last| last.number)
    }

    fn log_on(&mut self, on: bool, why: &'static str) {
        if self.settings.logon.is_some() && self.is_logged_on != on {
            self.is_logged_on = on;
            self.notices.push_back(if on { Notice::LinkUp } else { Notice::LinkDown { why } });
        }
        if !self.is_logged_on {
            self.log_off_at = None;
        }
    }

    fn set_up(&mut self, up: bool, why: &'static str) {
        let is_news = self.is_up != Some(up);
        self.is_up = Some(up);
        if is_news && self.settings.logon.is_none() {
            self.notices.push_back(if up { Notice::LinkUp } else { Notice::LinkDown { why } });
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
        match event {
            Event::Text { start, end, text } => self.take(start, end, &text, now),
            Event::Delivered => self.settle(),
            Event::GaveUp { silent } => {
                let number = self.last.as_ref().map(|last| last.number);
                self.notices.push_back(Notice::GaveUp { number });
                // The billing system asks again when it misses the response.
                self.settle();
                if silent {
                    self.set_up(false, "no answer to bids and texts");
                }
            }
            Event::Bidden | Event::Answered => self.set_up(true, ""),
            Event::BadCheck { start, end, .. } => {
                self.notices.push_back(Notice::BadCheck { start, end });
            }
            Event::Partial { start, end, .. } => {
                self.notices.push_back(Notice::Partial { start, end });
            }
            Event::Late { .. } => self.notices.push_back(Notice::Unexpected { what: "an answer" }),
            Event::Sending => {}
        }
    }

    fn settle(&mut self) {
        let Some(last) = &mut self.last else { return };
        match &last.stage {
            Stage::Answering(response) => last.stage = Stage::Answered(Some(response.clone())),
            Stage::Objecting(response) => last.stage = Stage::Answered(response.clone()),
            Stage::Awaited | Stage::Answered(_) => {}
        }
    }

    /// Bids if it can, and says what is news without a frame.
    fn advance(&mut self, now: Duration) {
        self.step(now);
        let note = self.note();
        self.outbox.bare(self.link.settled(), note);
    }

    fn step(&mut self, now: Duration) {
        self.drain(now);
        while self.link.advance(now) {
            self.drain(now);
        }
    }

    fn note(&self) -> Bytes {
        let (link, is_logged_on) = (self.link.state(), self.is_logged_on);
        Note { link, is_logged_on, last: self.last.clone() }.encode()
    }
}

impl crate::Gateway for Gateway {
    fn handle_input(&mut self, offset: u64, bytes: &[u8], now: Duration) {
        self.link.handle_gap(offset, now);
        self.step(now);
        let seen = usize::try_from(self.link.at().saturating_sub(offset)).unwrap_or(usize::MAX);
        for byte in bytes.iter().skip(seen) {
            self.link.handle_byte(*byte, now);
            self.step(now);
        }
        self.advance(now);
    }

    fn handle_line(&mut self, news: LineNews, now: Duration) {
        match news {
            LineNews::Gap { offset } => self.link.handle_gap(offset, now),
            LineNews::Damage => self.link.handle_damage(now),
            LineNews::Down => {
                self.link.handle_damage(now);
                self.set_up(false, "the device is gone");
            }
            LineNews::Up => {}
        }
        self.advance(now);
    }

    fn handle_written(&mut self, outputs: u64, now: Duration) {
        self.link.handle_written(outputs, now);
    }

    fn handle_charge(&mut self, _posting: Posting, _now: Duration) {
        self.notices.push_back(Notice::Unexpected { what: "a charge: cable posts none" });
    }

    fn handle_reply(&mut self, number: u64, reply: Reply, now: Duration) {
        if self.awaits() == Some(number) {
            let text = self.last.as_ref().map(|last| last.text.clone()).unwrap_or_default();
            let is_ours = match command::parse(&text, &self.settings) {
                Some(Parsed::Command(command)) => command.is_ours(&self.settings),
                _ => true,
            };
            self.respond(reply, is_ours);
        }
        self.advance(now);
    }

    fn handle_timeout(&mut self, now: Duration) {
        if self.log_off_at.is_some_and(|at| at <= now) {
            self.log_on(false, "nothing came for too long");
        }
        self.link.handle_timeout(now);
        self.advance(now);
    }

    fn set_wall_clock(&mut self, _wall: WallClock) {}

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
        [self.link.poll_timeout(), self.log_off_at].into_iter().flatten().min()
    }

    fn wants_charge(&self) -> bool {
        false
    }

    fn ledger(&self) -> Option<&Ledger> {
        None
    }

    fn awaits_reply(&self) -> Option<u64> {
        self.awaits()
    }
}

/// What another text with the last command's number is answered.
fn objection(number: u64) -> Bytes {
    command::response(number, Reply::Error(NUMBER_TAKEN), false)
}
