//! How the link comes up, what is sent next, and what becomes of it.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;

use super::super::note::{Owed, Phase, Sending, Stage};
use super::super::record;
use super::Gateway;
use crate::gateway::Notice;

impl Gateway {
    /// What is to be sent next, and from when on it may be. `None`: nothing, or nothing yet.
    pub(super) fn due(&self) -> Option<(Duration, Sending)> {
        let ready = self.link.ready_at()?;
        let next = match (self.owed, self.phase) {
            (Some(Owed::Alive), _) => Some((ready, Sending::Alive)),
            (Some(Owed::End), _) => Some((ready, Sending::End)),
            (None, Phase::Starting) => self.phase_until.map(|at| (at, Sending::Start)),
            (None, Phase::Describing(part)) => Some((ready, Sending::Description(part))),
            (None, Phase::Alive) => self.due_while_alive(ready),
            (None, Phase::Listening | Phase::Finishing | Phase::Ended) => None,
        };
        next.map(|(at, sending)| (at.max(ready), sending))
    }

    fn due_while_alive(&self, ready: Duration) -> Option<(Duration, Sending)> {
        if self.resync_until.is_some() {
            return None;
        }
        if self.resync_due {
            return Some((ready, Sending::Resync));
        }
        let charge = match (self.ledger.outstanding(), self.stage) {
            (Some(_), Stage::Due) => Some(ready),
            (Some(_), Stage::Held) => self.stage_until,
            _ => None,
        };
        let check = match self.check_until {
            None => Some(self.heard + self.settings.alive_interval),
            Some(_) => None,
        };
        let charge = charge.map(|at| (at, Sending::Charge));
        [charge, check.map(|at| (at, Sending::Check))].into_iter().flatten().min_by_key(|due| due.0)
    }

    pub(super) fn compose(&self, sending: Sending) -> Bytes {
        let at = self.wall.show(self.now);
        match sending {
            Sending::Start | Sending::Check => record::plain("LS", at),
            Sending::Description(0) => {
                record::description(at, &self.settings.version, &self.settings.interface)
            }
            Sending::Description(part) => match self.settings.records.get(usize::from(part) - 1) {
                Some(kind) => record::link_record(kind),
                None => record::plain("LA", at),
            },
            Sending::Alive => record::plain("LA", at),
            Sending::End => record::plain("LE", at),
            Sending::Resync => record::plain("DR", at),
            Sending::Charge => {
                self.ledger.outstanding().map(|charge| charge.text.clone()).unwrap_or_default()
            }
        }
    }

    pub(super) fn delivered(&mut self) {
        self.failures = 0;
        let timeout = Some(self.now + self.settings.answer_timeout);
        match self.sending.take() {
            Some(Sending::Start) if self.phase == Phase::Starting => self.phase_until = timeout,
            Some(Sending::Description(part)) if self.phase == Phase::Describing(part) => {
                if usize::from(part) > self.settings.records.len() {
                    (self.phase, self.phase_until) = (Phase::Finishing, timeout);
                } else {
                    self.phase = Phase::Describing(part + 1);
                }
            }
            Some(Sending::Check) => self.check_until = timeout,
            Some(Sending::Resync) => self.resync_until = timeout,
            Some(Sending::Charge) => (self.stage, self.stage_until) = (Stage::Taken, timeout),
            _ => {}
        }
    }

    pub(super) fn gave_up(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let sending = self.sending.take();
        let is_charge = sending == Some(Sending::Charge);
        let outstanding = self.ledger.outstanding().filter(|_| is_charge);
        self.notices.push_back(Notice::GaveUp { number: outstanding.map(|charge| charge.number) });
        match sending {
            Some(Sending::Charge) => self.hold(),
            Some(Sending::Start) if self.phase == Phase::Starting => {
                self.phase_until = Some(self.now + self.settings.t1);
            }
            Some(Sending::Description(part)) if self.phase == Phase::Describing(part) => {
                self.restart("the link's description was not taken");
            }
            // The next check is due after the pause that a charge would make.
            Some(Sending::Check) => {
                let next = self.now + self.settings.retry_after;
                self.heard = next.saturating_sub(self.settings.alive_interval);
            }
            _ => {}
        }
        if self.failures >= self.settings.link_failures && self.phase == Phase::Alive {
            self.restart("the other end does not answer");
        }
    }

    /// Begins the link anew.
    pub(super) fn restart(&mut self, why: &'static str) {
        self.down(why);
        self.failures = 0;
        (self.phase, self.phase_until) = (Phase::Starting, Some(self.now + self.settings.t1));
    }

    pub(super) fn down(&mut self, why: &'static str) {
        if self.phase == Phase::Alive {
            self.notices.push_back(Notice::LinkDown { why });
        }
        (self.check_until, self.resync_until) = (None, None);
    }

    pub(super) fn up(&mut self) {
        (self.phase, self.phase_until) = (Phase::Alive, None);
        self.notices.push_back(Notice::LinkUp);
        // The other end took no notice of charges while the link was down.
        if self.stage == Stage::Taken {
            (self.stage, self.stage_until) = (Stage::Due, None);
        }
    }

    pub(super) fn hold(&mut self) {
        self.stage = Stage::Held;
        self.stage_until = Some(self.now + self.settings.retry_after);
    }
}
