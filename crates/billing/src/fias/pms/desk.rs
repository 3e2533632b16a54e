//! What the billing system does about each record.
#![deny(clippy::disallowed_methods)]

use bytes::Bytes;

use super::super::posting::Request;
use super::super::record::on_line;
use super::*;

impl Pms {
    pub(super) fn take_record(&mut self, text: &Bytes) {
        let Some(record) = Record::read(text) else {
            self.events.push_back(SimEvent::Partial { bytes: text.clone() });
            return;
        };
        match (record.kind(), self.state) {
            // It knows the gateway, or wants it described.
            ("LS", State::Alive) if self.is_said("LA") => {}
            ("LS", State::Alive) => self.control.push_back("LA"),
            ("LS", _) => self.start_again(),
            ("LD", _) => self.set_state(State::Described),
            ("LR", _) => {}
            ("LA", State::Described) => {
                self.set_state(State::Alive);
                self.control.push_back("LA");
            }
            ("LA", State::Starting) => self.start_again(),
            ("LA", State::Alive | State::Ended) => {}
            ("LE", State::Ended) => {}
            // It ends the link, and hears the same; or this is its answer to ours.
            ("LE", _) if self.is_said("LE") => {}
            ("LE", _) => self.control.push_back("LE"),
            ("PS", State::Alive) => self.post(&record, text),
            ("PR", State::Alive) => self.look_up(&record, text),
            ("DR", State::Alive) => self.tell_guests(),
            // Nothing is looked at before the link is up; but somebody is there.
            ("PS" | "PR" | "DR", State::Starting) => self.start_again(),
            _ => {}
        }
    }

    /// Says `LS`, unless that is being said.
    fn start_again(&mut self) {
        if !self.is_said("LS") {
            self.start();
        }
    }

    fn is_said(&self, kind: &'static str) -> bool {
        self.sending == Some(Sending::Control(kind)) || self.control.contains(&kind)
    }

    /// A charge.
    fn post(&mut self, record: &Record<'_>, text: &Bytes) {
        let Some(number) = record.number() else {
            return self.decline(record, 0, Status::Unprocessable);
        };
        let content = content(text);
        self.judge_order(number);
        match self.known.get(&number) {
            Some((known, _)) if *known != content => {
                self.events.push_back(SimEvent::Conflict { number, text: text.clone() });
                return self.answer(record, Status::Unprocessable);
            }
            Some((_, Some(status))) => {
                let status = *status;
                self.events.push_back(SimEvent::Repeated { number });
                return self.answer(record, status);
            }
            Some((_, None)) | None => {}
        }
        let declined = match self.night_until {
            Some(_) => Some(Status::NightAudit),
            None => self.faults.take_status(),
        };
        let is_final = !matches!(declined, Some(Status::NightAudit | Status::Retry));
        let status = declined.unwrap_or(Status::Ok);
        self.known.insert(number, (content.clone(), is_final.then_some(status)));
        if self.known.len() > MAX_KNOWN {
            self.known.pop_first();
        }
        if declined.is_some() {
            return self.decline(record, number, status);
        }
        self.events.push_back(SimEvent::Posted { number, content, text: text.clone() });
        if !self.faults.take_commit() {
            self.answer(record, Status::Ok);
        }
    }

    /// Whether the number follows on those before.
    fn judge_order(&mut self, number: u64) {
        let Some(highest) = self.highest else {
            self.highest = Some(number);
            return;
        };
        let after = on_line(highest);
        // How far it is behind the last one, counted over a wrap.
        let ahead = (number + MAX_NUMBER - after) % MAX_NUMBER;
        if ahead <= MAX_NUMBER / 2 {
            let missing = ahead.saturating_sub(1);
            self.events.extend(self.refusals.explain(after, missing, TRIES));
            self.highest = Some(highest + ahead);
        } else if !self.known.contains_key(&number) {
            self.events.push_back(SimEvent::Reordered { number, after });
        }
    }

    fn decline(&mut self, record: &Record<'_>, number: u64, status: Status) {
        let answer = posting::answer(record, status, self.wall.show(self.now));
        self.events.push_back(SimEvent::Declined { number, answer: answer.clone() });
        self.queue_answer(answer);
    }

    fn answer(&mut self, record: &Record<'_>, status: Status) {
        self.queue_answer(posting::answer(record, status, self.wall.show(self.now)));
    }

    fn queue_answer(&mut self, answer: Bytes) {
        self.answers.push_back(answer);
        if self.answers.len() > MAX_ANSWERS {
            self.answers.pop_front();
        }
    }

    /// An inquiry, or a charge to a guest whom one has found.
    fn look_up(&mut self, record: &Record<'_>, text: &Bytes) {
        match Request::read(record) {
            Err(status) => self.decline(record, record.number().unwrap_or(0), status),
            Ok(Request::Charge(reservation)) => {
                // Without an inquiry before it, it is ignored.
                if self.inquired.contains(reservation) {
                    self.post(record, text);
                }
            }
            Ok(Request::Inquiry(about)) => {
                let stays = (0..GUESTS).map(|stay| generate::guest(self.seed, stay));
                let is_meant = |guest: &posting::Guest| {
                    guest.room.as_bytes() == about || guest.name.as_bytes().starts_with(about)
                };
                let guests: Vec<_> = stays.filter(is_meant).collect();
                if guests.is_empty() {
                    return self.answer(record, Status::NoGuest);
                }
                for guest in &guests {
                    self.inquired.insert(guest.reservation.to_string().into());
                }
                while self.inquired.len() > MAX_INQUIRED {
                    self.inquired.pop_first();
                }
                let at = self.wall.show(self.now);
                self.queue_answer(posting::guest_list(record, &guests, at));
            }
        }
    }

    /// All guests, each marked as told in a resync.
    fn tell_guests(&mut self) {
        let at = self.wall.show(self.now);
        self.queue_answer(record::plain("DS", at));
        for stay in 0..GUESTS {
            self.queue_answer(generate::told(self.seed, stay));
        }
        self.queue_answer(record::plain("DE", at));
    }
}
