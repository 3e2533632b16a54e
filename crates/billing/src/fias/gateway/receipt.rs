//! What the gateway does about each record.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;

use super::super::note::{Owed, Phase, Sending, Stage};
use super::super::record::{Class, Record, on_line};
use super::Gateway;
use crate::gateway::{HandledBy, Notice, Outcome, Write};
use crate::ledger::{self, Outstanding};

impl Gateway {
    /// A good record. Its ACK follows.
    pub(super) fn receive(&mut self, start: u64, end: u64, text: Bytes) {
        self.heard = self.now;
        self.failures = 0;
        let Some(record) = Record::read(&text) else {
            self.notices.push_back(Notice::Unexpected { what: "a record without a type" });
            return self.keep(start, end, "?", None, text.clone(), HandledBy::Nobody);
        };
        let (kind, number) = (record.kind(), record.number());
        match kind {
            "LS" => {
                self.down("the other end starts the link");
                (self.phase, self.phase_until) = (Phase::Describing(0), None);
                (self.owed, self.last_record) = (None, (0, self.now));
            }
            "LA" => self.alive(),
            "LE" => {
                self.down("the other end has ended the link");
                (self.phase, self.owed) = (Phase::Ended, Some(Owed::End));
                self.phase_until = Some(self.now + self.settings.alive_interval);
            }
            "PA" => self.answered(&record, &text),
            "LD" | "LR" | "LC" | "PL" => {
                self.notices
                    .push_back(Notice::Unexpected { what: "a record that answers nothing" });
                self.keep(start, end, kind, number, text.clone(), HandledBy::Nobody);
            }
            _ => self.take_news(start, end, &record, &text),
        }
    }

    fn alive(&mut self) {
        self.check_until = None;
        let last = Sending::Description(self.settings.records.len() as u8 + 1);
        match self.phase {
            Phase::Alive => {}
            Phase::Finishing => self.up(),
            // The record before it was not seen to be acknowledged, but it was answered.
            Phase::Describing(_) if self.sending == Some(last) => {
                self.sending = None;
                self.link.forget(self.now);
                self.up();
            }
            Phase::Describing(_) => {}
            // It still knows what was described.
            Phase::Listening | Phase::Starting | Phase::Ended => {
                self.owed = Some(Owed::Alive);
                self.up();
            }
        }
    }

    /// A record for a handler.
    fn take_news(&mut self, start: u64, end: u64, record: &Record<'_>, text: &Bytes) {
        let (kind, number) = (record.kind(), record.number());
        if self.resync_until.is_some() || kind == "DS" {
            self.resync_until = Some(self.now + self.settings.answer_timeout);
        }
        match kind {
            "DE" => self.resync_until = None,
            "NE" if self.stage == Stage::Held => {
                (self.stage, self.stage_until) = (Stage::Due, None);
            }
            _ => {}
        }
        // The link may be taken to be up again, though `LS` was missed.
        if self.phase == Phase::Ended {
            (self.phase, self.phase_until) = (Phase::Starting, Some(self.now));
        }
        // One that follows on itself is that one sent again: its ACK was lost, or came too late.
        // Never 0, which is no record.
        let digest = ledger::digest(text).max(1);
        if self.last_record.0 == digest && self.now < self.last_record.1 {
            self.notices.push_back(Notice::Repeated { number });
            return;
        }
        self.last_record = (digest, self.now + self.repeat_window());
        self.keep(start, end, kind, number, text.clone(), HandledBy::Handler);
    }

    fn keep(
        &mut self,
        start: u64,
        end: u64,
        kind: &str,
        number: Option<u64>,
        text: Bytes,
        handled_by: HandledBy,
    ) {
        let kind = kind.to_owned();
        let record = crate::gateway::Record { start, end, kind, number, text, handled_by };
        self.writes.push_back(Write::Receive(record));
    }

    /// An answer to a charge.
    fn answered(&mut self, record: &Record<'_>, text: &Bytes) {
        let Some(status) = record.status().zip(record.number()) else {
            self.notices
                .push_back(Notice::Unexpected { what: "an answer without number or status" });
            return;
        };
        let (status, number) = status;
        let is_ours =
            self.ledger.outstanding().is_some_and(|charge| on_line(charge.number) == number);
        if !is_ours {
            let last = self.ledger.last();
            self.notices.push_back(if last > 0 && on_line(last) == number {
                Notice::Repeated { number: Some(last) }
            } else {
                Notice::Unexpected { what: "an answer to another charge" }
            });
            return;
        }
        if self.sending == Some(Sending::Charge) {
            self.sending = None;
            self.link.forget(self.now);
        }
        if self.is_other_room(record) {
            // Two charges with one number, one of them somebody else's? Told once more, the other
            // end has to say that it knows another one.
            self.is_doubted = true;
            (self.stage, self.stage_until) = (Stage::Due, None);
            self.notices.push_back(Notice::Unexpected { what: "an answer for another room" });
            return;
        }
        match status.class() {
            Class::Posted => self.settle(Outcome::Posted, text),
            Class::Refused => self.settle(Outcome::Refused, text),
            Class::Later | Class::Retry => self.hold(),
        }
    }

    fn is_other_room(&self, record: &Record<'_>) -> bool {
        let charge = self.ledger.outstanding().and_then(|charge| Record::read(&charge.text));
        let rooms = charge.and_then(|charge| charge.field("RN")).zip(record.field("RN"));
        rooms.is_some_and(|(charged, answered)| charged != answered) && !self.is_doubted
    }

    fn settle(&mut self, outcome: Outcome, answer: &Bytes) {
        let Some(Outstanding { number, .. }) = self.ledger.settle() else { return };
        (self.stage, self.stage_until, self.is_doubted) = (Stage::Due, None, false);
        self.writes.push_back(Write::Settle { number, outcome, answer: answer.clone() });
        self.notices.push_back(Notice::Settled { number, outcome });
    }

    /// How long the other end may still send a record again whose ACK it did not see.
    pub(super) fn repeat_window(&self) -> Duration {
        self.settings.enquiry_window() * self.settings.transmissions + self.settings.t1
    }
}
