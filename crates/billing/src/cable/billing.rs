//! The end that sends commands.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::bid::mischief::{Manner, Mischief, Outlet};
use crate::bid::{Event, Link};
use crate::billing_end::{BillingEnd, Misdeed, SimEvent};
use crate::civil::WallClock;
use crate::gateway::Reply;

use super::command::{self, NO_LOGON, Parsed};
use super::generate;
use super::settings::Settings;

/// The billing system's end of `cable`. It posts nothing, so the misdeeds of postings (`Retry`,
/// `Refuse`, `DropCommits`, `NightAudit`) have no form and are ignored; `EndLink` needs a logon.
///
/// A command is confirmed by its response. It is sent again, with the same number, when the link
/// gave it up or no response came.
#[derive(Debug)]
pub struct Billing {
    settings: Settings,
    seed: u64,
    link: Link,
    queue: VecDeque<Item>,
    sending: Option<Sending>,
    wait: Option<Wait>,
    is_logged_on: bool,
    /// No command was answered since the logon.
    is_logon_new: bool,
    /// Log off, and stay away for so long.
    leave: Option<Duration>,
    last_response: Bytes,
    mischief: Mischief,
    outlet: Outlet,
    events: VecDeque<SimEvent>,
    is_up: Option<bool>,
}

/// A command of the load; the front one is being dealt with.
#[derive(Debug)]
struct Item {
    serial: u64,
    number: u64,
    text: Bytes,
    attempts: u32,
    failures: u8,
}

/// What the link is sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Command,
    Logon,
    Logoff,
}

/// What the next command waits for, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Response(Duration),
    Pause(Duration),
}

impl Billing {
    /// A billing system with an empty load of this seed.
    pub fn new(settings: Settings, seed: u64, _wall: WallClock, _now: Duration) -> Self {
        Self {
            link: Link::new(settings.profile(true), 0),
            settings,
            seed,
            queue: VecDeque::new(),
            sending: None,
            wait: None,
            is_logged_on: false,
            is_logon_new: false,
            leave: None,
            last_response: Bytes::new(),
            mischief: Mischief::default(),
            outlet: Outlet::default(),
            events: VecDeque::new(),
            is_up: None,
        }
    }

    /// Hands the link what is next, if nothing is waited for.
    fn start(&mut self) {
        if self.sending.is_some() || self.wait.is_some() {
            return;
        }
        let needs_logon = self.settings.logon.is_some() && !self.is_logged_on;
        let (sending, text) = match (&self.settings.logon, self.queue.front()) {
            (Some(_), _) if self.leave.is_some() && self.is_logged_on => {
                (Sending::Logoff, Bytes::from_static(b"LF"))
            }
            (_, None) => return,
            (Some(id), Some(_)) if needs_logon => (Sending::Logon, format!("LO {id}").into()),
            (_, Some(item)) => (Sending::Command, item.text.clone()),
        };
        self.sending = Some(sending);
        self.link.send(command::dress(&text, &self.settings));
    }

    fn step(&mut self, now: Duration) {
        self.drain(now);
        self.start();
        while self.link.advance(now) {
            self.drain(now);
            self.start();
        }
    }

    fn drain(&mut self, now: Duration) {
        let mut due = None;
        let mut lost = false;
        while let Some(event) = self.link.poll_event() {
            match event {
                Event::Text { text, .. } => match self.mischief.on_text() {
                    Manner::Nak => self.link.reject(),
                    manner => {
                        self.take(text, now);
                        self.link.accept();
                        lost = manner == Manner::Lost;
                        if let Manner::Late(by) = manner {
                            due = Some(now + by);
                        }
                    }
                },
                Event::Bidden => {
                    due = self.mischief.on_bid().map(|by| now + by);
                    self.set_up(true);
                }
                event => self.hear(event, now),
            }
        }
        if lost {
            self.link.lose_transmit(now);
        } else if let Some(bytes) = self.link.take_transmit() {
            self.outlet.push(bytes, due);
        }
    }

    fn hear(&mut self, event: Event, now: Duration) {
        match event {
            Event::Sending => {
                if let Some(item) =
                    self.queue.front_mut().filter(|_| self.sending == Some(Sending::Command))
                {
                    item.attempts += 1;
                    let (serial, attempt) = (item.serial, item.attempts);
                    self.events.push_back(SimEvent::Sent { serial, attempt });
                }
            }
            Event::Delivered => self.delivered(now),
            Event::GaveUp { silent } => {
                if silent {
                    self.set_up(false);
                }
                self.wait = Some(Wait::Pause(now + self.settings.response_timeout));
                if self.sending.take() == Some(Sending::Command) {
                    self.failed();
                }
            }
            Event::Answered => self.set_up(true),
            Event::BadCheck { bytes, .. } => self.events.push_back(SimEvent::BadCheck { bytes }),
            Event::Partial { bytes, inside: true, .. } => {
                self.events.push_back(SimEvent::Interleave { bytes });
            }
            Event::Partial { bytes, inside: false, .. } => {
                self.events.push_back(SimEvent::Partial { bytes });
            }
            Event::Late { bytes } => self.events.push_back(SimEvent::LateAnswer { bytes }),
            Event::Text { .. } | Event::Bidden => {}
        }
    }

    fn delivered(&mut self, now: Duration) {
        match self.sending.take() {
            Some(Sending::Logon) => {
                (self.is_logged_on, self.is_logon_new) = (true, true);
                self.events.push_back(SimEvent::Link { up: true });
            }
            Some(Sending::Logoff) => {
                self.is_logged_on = false;
                self.wait = self.leave.take().map(|pause| Wait::Pause(now + pause));
                self.events.push_back(SimEvent::Link { up: false });
            }
            Some(Sending::Command) => {
                let parsed =
                    self.queue.front().map(|item| command::parse(&item.text, &self.settings));
                match parsed {
                    // Another unit's: carried out, and not answered.
                    Some(Some(Parsed::Command(command))) if !command.is_ours(&self.settings) => {
                        self.confirmed();
                    }
                    _ => self.wait = Some(Wait::Response(now + self.settings.response_timeout)),
                }
            }
            None => {}
        }
    }

    fn confirmed(&mut self) {
        (self.sending, self.wait) = (None, None);
        if let Some(Item { serial, .. }) = self.queue.pop_front() {
            self.events.push_back(SimEvent::Confirmed { serial });
        }
    }

    /// The link gave the command up or no response came: again, unless that was the last time.
    fn failed(&mut self) {
        let Some(item) = self.queue.front_mut() else { return };
        item.failures += 1;
        if item.failures > self.settings.resends {
            let serial = item.serial;
            self.queue.pop_front();
            self.events.push_back(SimEvent::GaveUp { serial });
        }
    }

    /// A good text came from the gateway.
    fn take(&mut self, text: Bytes, now: Duration) {
        let number = command::answered(&text);
        let current =
            self.queue.front().filter(|item| item.attempts > 0 && Some(item.number) == number);
        let Some(&Item { serial, number, .. }) = current else {
            return self.events.push_back(match number {
                Some(number) if self.last_response == text => SimEvent::Repeated { number },
                _ => SimEvent::LateAnswer { bytes: text },
            });
        };
        // It may come while the acknowledgement of the command is still asked for.
        self.link.cancel();
        let refusal = command::response(number, Reply::Error(NO_LOGON), false);
        if self.settings.logon.is_some() && text.starts_with(&refusal) {
            (self.is_logged_on, self.sending, self.wait) = (false, None, None);
            self.events.push_back(SimEvent::Link { up: false });
            // Right after a logon there is no sense in another one at once: the names may differ.
            if std::mem::take(&mut self.is_logon_new) {
                self.wait = Some(Wait::Pause(now + self.settings.response_timeout));
                self.failed();
            }
            return;
        }
        self.is_logon_new = false;
        self.last_response = text.clone();
        self.events.push_back(SimEvent::Answered { serial, text });
        self.confirmed();
    }

    fn set_up(&mut self, up: bool) {
        let is_news = self.is_up != Some(up);
        self.is_up = Some(up);
        if is_news && self.settings.logon.is_none() {
            self.events.push_back(SimEvent::Link { up });
        }
    }
}

impl BillingEnd for Billing {
    fn handle_bytes(&mut self, bytes: &[u8], now: Duration) {
        for byte in bytes {
            self.link.handle_byte(*byte, now);
            self.step(now);
        }
    }

    fn handle_damage(&mut self, now: Duration) {
        self.link.handle_damage(now);
        self.step(now);
    }

    fn handle_written(&mut self, transmits: u64, now: Duration) {
        self.link.handle_written(transmits, now);
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.outlet.handle_timeout(now);
        self.link.handle_timeout(now);
        self.drain(now);
        match self.wait {
            Some(Wait::Response(at)) if at <= now => {
                self.wait = None;
                self.failed();
            }
            Some(Wait::Pause(at)) if at <= now => self.wait = None,
            _ => {}
        }
        self.step(now);
    }

    /// Beyond `MAX_BACKLOG` an item is not taken: it is reported as overwritten.
    fn send(&mut self, serial: u64, now: Duration) {
        let text = generate::command(self.seed, serial, &self.settings);
        self.events.push_back(SimEvent::Queued { serial, text: text.clone() });
        if self.queue.len() >= MAX_BACKLOG {
            return self.events.push_back(SimEvent::Overwritten { serial });
        }
        let number = serial % generate::NUMBERS;
        self.queue.push_back(Item { serial, number, text, attempts: 0, failures: 0 });
        self.step(now);
    }

    fn backlog(&self) -> usize {
        self.queue.len()
    }

    fn has_room(&self) -> bool {
        self.queue.len() < MAX_BACKLOG
    }

    fn withdraw(&mut self) {
        let is_out = self.sending == Some(Sending::Command)
            || self.queue.front().is_some_and(|item| item.attempts > 0);
        self.queue.truncate(usize::from(is_out));
    }

    fn misbehave(&mut self, misdeed: Misdeed, now: Duration) {
        match misdeed {
            Misdeed::CorruptCheck { count } => self.link.spoil(count),
            Misdeed::EndLink { pause } if self.settings.logon.is_some() => self.leave = Some(pause),
            misdeed => self.mischief.take(misdeed),
        }
        self.step(now);
    }

    fn set_wall_clock(&mut self, _wall: WallClock) {}

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outlet.poll_transmit()
    }

    fn poll_event(&mut self) -> Option<SimEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Duration> {
        let (link, outlet) = (self.link.poll_timeout(), self.outlet.poll_timeout());
        let wait = self.wait.map(|(Wait::Response(at) | Wait::Pause(at))| at);
        [link, outlet, wait].into_iter().flatten().min()
    }

    /// With a logon: whether there is one. Without: `None` until the gateway was heard.
    fn is_link_up(&self) -> Option<bool> {
        if self.settings.logon.is_some() { Some(self.is_logged_on) } else { self.is_up }
    }

    fn is_own(&self, text: &[u8]) -> bool {
        let id = self.settings.logon.as_ref().map(String::as_bytes);
        id.is_some_and(|id| text == b"LF" || text.strip_prefix(b"LO ") == Some(id))
    }
}

/// Commands waiting: more than a long run needs, and a bound on what a wrong one takes.
const MAX_BACKLOG: usize = 100_000;
