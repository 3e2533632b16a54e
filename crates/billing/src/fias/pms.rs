//! The billing system: a property management system that posts charges to guests.
#![deny(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::frame::Check;
use super::link::{Event, Link, Memory};
use super::record::{self, MAX_NUMBER, Record, Status, content};
use super::settings::Settings;
use super::{generate, posting};
use crate::billing_end::{BillingEnd, Misdeed, Refusals, SimEvent};
use crate::civil::WallClock;

mod desk;
mod faults;

use faults::Faults;

/// The billing system's end: [`BillingEnd`] has the contract.
///
/// It starts the link, posts each number once, and answers a number that comes again with the
/// answer that it gave. Charges that come before the link is up are not looked at.
#[derive(Debug)]
pub struct Pms {
    settings: Settings,
    seed: u64,
    wall: WallClock,
    now: Duration,
    link: Link,
    state: State,
    /// When the state has lasted long enough.
    state_until: Option<Duration>,
    /// About the link; goes first.
    control: VecDeque<&'static str>,
    /// Answers, and what a resync tells.
    answers: VecDeque<Bytes>,
    load: VecDeque<(u64, Bytes)>,
    sending: Option<Sending>,
    /// Numbers that came, oldest first: their content and answer. `None`: it may come again.
    known: BTreeMap<u64, (Bytes, Option<Status>)>,
    /// The highest number that came, as it counts on over a wrap.
    highest: Option<u64>,
    /// Reservations that were inquired, which may be charged by `PR`.
    inquired: BTreeSet<Bytes>,
    /// The gateway acknowledged an answer since its last record: it knows what became of that.
    is_settled: bool,
    night_until: Option<Duration>,
    failures: u32,
    refusals: Refusals,
    faults: Faults,
    events: VecDeque<SimEvent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `LS` goes out until it is answered.
    Starting,
    /// `LD` came: `LA` will end the description.
    Described,
    Alive,
    /// `LE` was said; the link starts again in a while.
    Ended,
}

/// What waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Control(&'static str),
    Answer,
    Load(u64),
}

impl Pms {
    /// A billing system that has just started. Its load is made from the seed.
    pub fn new(settings: Settings, seed: u64, wall: WallClock, now: Duration) -> Self {
        let link = Link::new(settings.clone(), 0, Memory::None, now);
        let mut pms = Self {
            settings,
            seed,
            wall,
            now,
            link,
            state: State::Starting,
            state_until: None,
            control: VecDeque::from(["LS"]),
            answers: VecDeque::new(),
            load: VecDeque::new(),
            sending: None,
            known: BTreeMap::new(),
            highest: None,
            inquired: BTreeSet::new(),
            is_settled: true,
            night_until: None,
            failures: 0,
            refusals: Refusals::default(),
            faults: Faults::default(),
            events: VecDeque::new(),
        };
        pms.proceed();
        pms
    }

    fn proceed(&mut self) {
        self.take_events();
        if self.link.is_idle(self.now)
            && let Some((text, sending)) = self.next()
        {
            self.sending = Some(sending);
            self.link.send(&text);
            self.take_events();
        }
    }

    fn next(&mut self) -> Option<(Bytes, Sending)> {
        let at = self.wall.show(self.now);
        if let Some(kind) = self.control.pop_front() {
            return Some((record::plain(kind, at), Sending::Control(kind)));
        }
        if self.state != State::Alive {
            return None;
        }
        if let Some(text) = self.answers.pop_front() {
            return Some((text, Sending::Answer));
        }
        let (serial, text) = self.load.front()?;
        Some((text.clone(), Sending::Load(*serial)))
    }

    fn take_events(&mut self) {
        while let Some(event) = self.link.poll_event() {
            match event {
                Event::Record { text, .. } => self.hear(text),
                Event::Enquiry { late } => {
                    if self.link.is_last_acknowledged() && (late || self.is_settled) {
                        self.events.push_back(SimEvent::AnswerReplayed);
                    }
                    match self.faults.late_enquiry(self.now) {
                        true => {}
                        false => self.link.repeat(self.now),
                    }
                }
                Event::BadCheck { bytes, .. } => {
                    self.refusals.refuse();
                    self.events.push_back(SimEvent::BadCheck { bytes });
                }
                Event::Interleave { bytes, .. } => {
                    self.events.push_back(SimEvent::Interleave { bytes });
                }
                Event::Partial { bytes, .. } => self.events.push_back(SimEvent::Partial { bytes }),
                Event::Stray { byte } => {
                    let bytes = Bytes::copy_from_slice(&[byte]);
                    self.events.push_back(SimEvent::LateAnswer { bytes });
                }
                Event::Sent { attempt } => {
                    if let Some(Sending::Load(serial)) = self.sending {
                        self.events.push_back(SimEvent::Sent { serial, attempt });
                    }
                }
                Event::Delivered => self.delivered(),
                Event::GaveUp => self.gave_up(),
            }
        }
    }

    /// A good record: answers it as it should be, or as it was told to.
    fn hear(&mut self, text: Bytes) {
        self.is_settled = false;
        if self.faults.take_nak() {
            self.refusals.refuse();
            return self.link.reject();
        }
        if self.faults.take_delay(self.now, &text) {
            return;
        }
        if self.faults.take_drop() {
            self.link.withhold(self.now);
        } else {
            self.link.accept();
        }
        self.take_record(&text);
    }

    fn delivered(&mut self) {
        self.failures = 0;
        match self.sending.take() {
            Some(Sending::Control("LE")) => self.end(),
            Some(Sending::Control("LS")) => {
                self.state_until = Some(self.now + self.settings.answer_timeout);
            }
            Some(Sending::Answer) => self.is_settled = true,
            Some(Sending::Load(serial)) => {
                self.load.pop_front();
                self.events.push_back(SimEvent::Confirmed { serial });
            }
            Some(Sending::Control(_)) | None => {}
        }
    }

    fn gave_up(&mut self) {
        self.failures += 1;
        match self.sending.take() {
            Some(Sending::Control("LS")) if self.state == State::Starting => {
                self.state_until = Some(self.now + LS_PAUSE);
            }
            Some(Sending::Control("LE")) => self.end(),
            Some(Sending::Load(serial)) => {
                self.load.pop_front();
                self.events.push_back(SimEvent::GaveUp { serial });
            }
            Some(Sending::Control(_) | Sending::Answer) | None => {}
        }
        if self.failures >= self.settings.link_failures && self.state == State::Alive {
            self.start();
        }
    }

    /// The link begins anew.
    fn start(&mut self) {
        self.set_state(State::Starting);
        self.failures = 0;
        self.control.clear();
        self.control.push_back("LS");
    }

    /// The link ends; it begins anew in a while.
    fn end(&mut self) {
        self.set_state(State::Ended);
        let pause = self.faults.pause.take().unwrap_or(REOPEN);
        self.state_until = Some(self.now + pause);
    }

    fn set_state(&mut self, state: State) {
        let (was, is) = (self.state == State::Alive, state == State::Alive);
        if was != is {
            self.events.push_back(SimEvent::Link { up: is });
        }
        self.state = state;
        let waits = state == State::Described;
        self.state_until = waits.then_some(self.now + self.settings.answer_timeout);
    }

    fn is_over(&self, until: Option<Duration>) -> bool {
        until.is_some_and(|until| until <= self.now)
    }
}

impl BillingEnd for Pms {
    fn handle_bytes(&mut self, bytes: &[u8], now: Duration) {
        self.now = now;
        for byte in bytes {
            self.link.handle_byte(*byte, now);
            self.proceed();
        }
    }

    fn handle_damage(&mut self, now: Duration) {
        self.now = now;
        self.link.handle_damage();
        self.proceed();
    }

    fn handle_written(&mut self, transmits: u64, now: Duration) {
        self.now = now;
        self.link.handle_written(transmits, now);
        self.proceed();
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.now = now;
        self.link.handle_timeout(now);
        self.take_events();
        if self.is_over(self.state_until) && self.state != State::Alive {
            self.start();
        }
        if self.is_over(self.night_until) {
            self.night_until = None;
            self.answers.push_back(record::plain("NE", self.wall.show(now)));
        }
        if let Some(text) = self.faults.delayed(now) {
            self.link.accept();
            self.take_record(&text);
        }
        if self.faults.enquired(now) {
            self.link.repeat(now);
        }
        self.proceed();
    }

    /// At most `MAX_BACKLOG` items wait; the oldest that has not gone out makes room.
    fn send(&mut self, serial: u64, now: Duration) {
        self.now = now;
        let text = generate::item(self.seed, serial);
        if self.load.len() >= MAX_BACKLOG
            && let Some((serial, _)) = self.load.remove(1)
        {
            self.events.push_back(SimEvent::Overwritten { serial });
        }
        self.events.push_back(SimEvent::Queued { serial, text: text.clone() });
        self.load.push_back((serial, text));
        self.proceed();
    }

    fn backlog(&self) -> usize {
        self.load.len()
    }

    fn has_room(&self) -> bool {
        self.load.len() < MAX_BACKLOG
    }

    fn withdraw(&mut self) {
        let is_out = matches!(self.sending, Some(Sending::Load(_)));
        self.load.truncate(usize::from(is_out));
    }

    fn misbehave(&mut self, misdeed: Misdeed, now: Duration) {
        self.now = now;
        match misdeed {
            Misdeed::EndLink { pause } => {
                self.faults.pause = Some(pause);
                self.control.push_back("LE");
            }
            Misdeed::NightAudit { lasting } => {
                self.night_until = Some(now + lasting);
                self.answers.push_back(record::plain("NS", self.wall.show(now)));
            }
            other => self.faults.take(other),
        }
        self.proceed();
    }

    fn set_wall_clock(&mut self, wall: WallClock) {
        self.wall = wall;
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        let bytes = self.link.poll_transmit()?;
        let is_record = bytes.len() > 1;
        if is_record && self.settings.check == Check::Lrc && self.faults.take_corruption() {
            let mut bytes = BytesMut::from(&bytes[..]);
            if let Some(check) = bytes.last_mut() {
                *check ^= 0x01;
            }
            return Some(bytes.freeze());
        }
        Some(bytes)
    }

    fn poll_event(&mut self) -> Option<SimEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Duration> {
        let waits = !self.control.is_empty()
            || self.state == State::Alive && !(self.answers.is_empty() && self.load.is_empty());
        let ready = self.link.ready_at().filter(|_| waits);
        let state = self.state_until.filter(|_| self.state != State::Alive);
        let own = [ready, state, self.night_until, self.faults.timeout()];
        own.into_iter().chain([self.link.poll_timeout()]).flatten().min()
    }

    fn is_link_up(&self) -> Option<bool> {
        Some(self.state == State::Alive)
    }

    fn is_own(&self, text: &[u8]) -> bool {
        match Record::read(text).map(|record| record.kind()) {
            Some("PA" | "PL") => true,
            Some("GI") => (0..GUESTS).any(|stay| generate::told(self.seed, stay) == text),
            Some("LS" | "LA" | "LE" | "NS" | "NE" | "DS" | "DE") => record::is_plain(text),
            _ => false,
        }
    }
}

/// How often a gateway sends a record that is refused, by the protocol's rule.
const TRIES: u64 = 4;
/// Items of the load that may wait.
const MAX_BACKLOG: usize = 100_000;
/// Numbers remembered: more than any charge can be late.
const MAX_KNOWN: usize = 200_000;
/// Reservations remembered that were inquired.
const MAX_INQUIRED: usize = 1000;
/// Answers and told guests that may wait. A gateway waits for each, so a few are all there are.
const MAX_ANSWERS: usize = 1000;
/// Guests told in a resync.
const GUESTS: u64 = 5;
/// How long the port stays closed after the link was ended.
const REOPEN: Duration = Duration::from_secs(3);
/// From giving up `LS` to the next one.
const LS_PAUSE: Duration = Duration::from_secs(1);
