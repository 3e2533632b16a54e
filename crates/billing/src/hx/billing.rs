//! The end that posts charges.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::bid::mischief::{Manner, Mischief, Outlet};
use crate::bid::{Event, Link};
use crate::billing_end::{BillingEnd, Misdeed, Refusals, SimEvent};
use crate::civil::WallClock;

use super::number::{Finding, Sequence};
use super::record;
use super::settings::Settings;

/// The billing system's end of `hx`. It sends nothing of its own, so `send` does nothing.
///
/// A record with the number of another one is acknowledged and reported, not posted: a NAK would
/// make its sender repeat what can't become right. Misdeeds of the link are done; those of
/// postings (`Retry`, `Refuse`, `DropCommits`, `NightAudit`) and of a logon (`EndLink`) have no
/// form in this dialect and are ignored.
#[derive(Debug)]
pub struct Billing {
    settings: Settings,
    link: Link,
    sequence: Sequence,
    wall: WallClock,
    refusals: Refusals,
    mischief: Mischief,
    outlet: Outlet,
    events: VecDeque<SimEvent>,
    is_up: Option<bool>,
}

impl Billing {
    /// A billing system that has posted nothing. The seed is that of its load, which is empty.
    pub fn new(settings: Settings, _seed: u64, wall: WallClock, _now: Duration) -> Self {
        Self {
            settings,
            link: Link::new(settings.profile(true), 0),
            sequence: Sequence::new(settings.seq, settings.reset),
            wall,
            refusals: Refusals::default(),
            mischief: Mischief::default(),
            outlet: Outlet::default(),
            events: VecDeque::new(),
            is_up: None,
        }
    }

    fn drain(&mut self, now: Duration) {
        let mut due = None;
        let mut lost = false;
        while let Some(event) = self.link.poll_event() {
            match event {
                Event::Text { text, .. } => match self.mischief.on_text() {
                    Manner::Nak => {
                        self.refusals.refuse();
                        self.link.reject();
                    }
                    manner => {
                        self.take(text, now);
                        lost = manner == Manner::Lost;
                        if let Manner::Late(by) = manner {
                            due = Some(now + by);
                        }
                    }
                },
                Event::Bidden => {
                    due = self.mischief.on_bid().map(|by| now + by);
                    self.set_up();
                }
                Event::BadCheck { bytes, .. } => {
                    self.refusals.refuse();
                    self.events.push_back(SimEvent::BadCheck { bytes });
                }
                Event::Partial { bytes, inside: true, .. } => {
                    self.events.push_back(SimEvent::Interleave { bytes });
                }
                Event::Partial { bytes, inside: false, .. } => {
                    self.events.push_back(SimEvent::Partial { bytes });
                }
                Event::Late { bytes } => self.events.push_back(SimEvent::LateAnswer { bytes }),
                Event::Sending | Event::Delivered | Event::GaveUp { .. } | Event::Answered => {}
            }
        }
        if lost {
            self.link.lose_transmit(now);
        } else if let Some(bytes) = self.link.take_transmit() {
            self.outlet.push(bytes, due);
        }
    }

    /// A good text: compares its number, posts it if it is new, and acknowledges it.
    fn take(&mut self, text: Bytes, now: Duration) {
        let parts = record::split(&text);
        let numbered = parts.and_then(|(n, content)| Some((self.settings.seq.read(&n)?, content)));
        let Some((wire, content)) = numbered else {
            // Good on the link and no record: refusing it would only bring it again.
            self.events.push_back(SimEvent::Partial { bytes: text });
            return self.link.accept();
        };
        let last = self.sequence.last();
        match self.sequence.take(wire, &text, self.wall, now) {
            Finding::New { number, missing } => {
                let missing = if last.is_some() { missing } else { 0 };
                let tries = self.settings.text_tries.into();
                let after = last.unwrap_or_default();
                self.events.extend(self.refusals.explain(after, missing, tries));
                self.events.push_back(SimEvent::Posted { number, content, text });
            }
            Finding::Repeated { number } => self.events.push_back(SimEvent::Repeated { number }),
            Finding::Conflict { number } => {
                self.events.push_back(SimEvent::Conflict { number, text });
            }
            Finding::Reordered { number } => {
                let after = last.unwrap_or_default();
                self.events.push_back(SimEvent::Reordered { number, after });
                self.events.push_back(SimEvent::Posted { number, content, text });
            }
        }
        self.link.accept();
    }

    fn set_up(&mut self) {
        if self.is_up != Some(true) {
            self.is_up = Some(true);
            self.events.push_back(SimEvent::Link { up: true });
        }
    }
}

impl BillingEnd for Billing {
    fn handle_bytes(&mut self, bytes: &[u8], now: Duration) {
        for byte in bytes {
            self.link.handle_byte(*byte, now);
            self.drain(now);
        }
    }

    fn handle_damage(&mut self, now: Duration) {
        self.link.handle_damage(now);
        self.drain(now);
    }

    fn handle_written(&mut self, transmits: u64, now: Duration) {
        self.link.handle_written(transmits, now);
    }

    fn handle_timeout(&mut self, now: Duration) {
        self.outlet.handle_timeout(now);
        self.link.handle_timeout(now);
        self.drain(now);
    }

    fn send(&mut self, _serial: u64, _now: Duration) {}

    fn backlog(&self) -> usize {
        0
    }

    fn has_room(&self) -> bool {
        true
    }

    fn withdraw(&mut self) {}

    fn misbehave(&mut self, misdeed: Misdeed, _now: Duration) {
        self.mischief.take(misdeed);
    }

    fn set_wall_clock(&mut self, wall: WallClock) {
        self.wall = wall;
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outlet.poll_transmit()
    }

    fn poll_event(&mut self) -> Option<SimEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Duration> {
        [self.link.poll_timeout(), self.outlet.poll_timeout()].into_iter().flatten().min()
    }

    /// `None` until the gateway has bid.
    fn is_link_up(&self) -> Option<bool> {
        self.is_up
    }

    /// It only receives.
    fn is_own(&self, _text: &[u8]) -> bool {
        false
    }
}
