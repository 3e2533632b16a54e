//! What the terminal server says.

use std::time::Duration;

use wire::frame::{EventKind, Grant, Input, LineEvent, Observing, Refuse, RevokeWhy, Written};
use wire::{Frame, SettingsChange, Time};

use super::{Hold, Outcome, RENEWALS_PER_LEASE, Session, Show, Stage};

impl Session {
    /// A frame came. `wall`: time since 1970, for the eyes only.
    pub fn handle_frame(&mut self, frame: Frame, wall: Duration, now: Time) {
        match frame {
            Frame::Observing(observing) => self.observing(&observing),
            Frame::Grant(grant) => self.granted(&grant, now),
            Frame::Refuse(refuse) => self.refused(&refuse),
            Frame::Input(input) => self.input(&input, wall),
            Frame::Event(event) => self.event(event),
            Frame::Written(written) => self.written(written, now),
            Frame::Settings(settings) => self.settings = Some(settings),
            Frame::Signals(signals) => self.signals = Some(signals),
            Frame::Break(ms) => self.notice(&format!("a break of {ms} ms has been sent")),
            Frame::Revoked(revoked) => self.revoked(revoked.why),
            Frame::Error(code, text) => {
                let line = &self.options.line;
                let text = format!("line {line}: the terminal server refuses: {text} ({code:?})");
                self.end(Outcome::Protocol(text));
            }
            // Answers to RENEW need nothing; other frames are of later versions.
            _ => {}
        }
    }

    fn observing(&mut self, observing: &Observing) {
        self.begin(observing.incarnation, observing.offset);
        self.stage = Stage::Observing;
        let text = match self.options.read_only {
            true => format!("observing {}, read-only", self.options.line),
            false => format!("observing {}", self.options.line),
        };
        self.connected(&text);
    }

    fn granted(&mut self, grant: &Grant, now: Time) {
        self.begin(grant.incarnation, grant.acked);
        let lease = Duration::from_millis(grant.lease_ms.into());
        let renewal = (!lease.is_zero()).then(|| (lease, now + lease / RENEWALS_PER_LEASE));
        let start = grant.position;
        self.stage = Stage::Holding(Hold {
            position: start,
            written: Written { accepted: start, drained: start },
            shown: grant.acked,
            acked: grant.acked,
            renewal,
            renewals: 0,
        });
        let text = format!("holding {}", self.options.line);
        self.connected(&text);
        self.look_for_the_end(now);
    }

    /// The line's bytes follow, from this offset of this stream.
    fn begin(&mut self, incarnation: u64, offset: u64) {
        match self.seen {
            Some((seen, next)) if seen == incarnation => {
                if offset > next {
                    self.notice(&format!("{} bytes of the line were missed", offset - next));
                    self.seen = Some((seen, offset));
                }
                // What is sent a second time was shown already: see `input`.
            }
            Some(_) => {
                self.notice("the line's input begins anew; some of it may be missing");
                self.seen = Some((incarnation, offset));
            }
            None => self.seen = Some((incarnation, offset)),
        }
    }

    fn connected(&mut self, text: &str) {
        self.failures = 0;
        self.refusal_said = false;
        if !self.options.interactive {
            return;
        }
        match std::mem::take(&mut self.lost) {
            true => self.notice(&format!("connected again: {text}")),
            false => self.notice(&format!("{text}; {} ? lists the commands", self.options.escape)),
        }
    }

    fn refused(&mut self, refuse: &Refuse) {
        let holder = match &refuse.status.holder {
            Some(holder) => format!("is held by {holder}"),
            None => "is held".to_owned(),
        };
        let line = &self.options.line;
        let text = format!("{line} {holder} ({:?})", refuse.why);
        if !self.options.interactive {
            let cure = "see: terminal-server clients, terminal-server kick";
            return self.end(Outcome::Refused(format!("{text}; {cure}")));
        }
        let again = format!("{} o asks again", self.options.escape);
        self.notice(&format!("{text}; observing it; {again}"));
        self.connect(false);
    }

    fn revoked(&mut self, why: RevokeWhy) {
        let text = format!("{} is no longer held: {}", self.options.line, revoked(why));
        if !self.options.interactive {
            return self.end(Outcome::Refused(text));
        }
        self.typed.clear();
        self.notice(&text);
        self.connect(false);
    }

    fn input(&mut self, input: &Input, wall: Duration) {
        let end = input.end();
        let (incarnation, next) = self.seen.unwrap_or((0, input.offset));
        // A new holder gets again what it has seen as an observer, to acknowledge it.
        let known = next.saturating_sub(input.offset).min(input.bytes.len() as u64);
        let new = &input.bytes[usize::try_from(known).unwrap_or(usize::MAX)..];
        let mut shown = Vec::new();
        if self.options.interactive || self.view.hex || self.view.stamps {
            self.view.show(input.offset + known, new, wall, &mut shown);
        } else {
            // Scripts get the line's own bytes, but for the mapping that they asked for.
            new.iter().for_each(|byte| self.options.mapping.input(*byte, &mut shown));
        }
        self.seen = Some((incarnation, next.max(end)));
        self.shows.push_back(Show::Line(shown, end));
    }

    fn event(&mut self, event: LineEvent) {
        let line = self.options.line.clone();
        match event.kind {
            EventKind::Down if std::mem::replace(&mut self.up, false) => {
                self.notice(&format!("{line} is down: its device has gone"));
            }
            EventKind::Up if !std::mem::replace(&mut self.up, true) => {
                self.notice(&format!("{line} is up again"));
            }
            EventKind::Down | EventKind::Up => {}
            EventKind::Gap(u64::MAX) => {
                self.notice("bytes of the line are lost, nobody knows how many")
            }
            EventKind::Gap(count) => self.notice(&format!("{count} bytes of the line are lost")),
            EventKind::Break => self.notice("the line sent a break"),
            EventKind::Parity | EventKind::Framing | EventKind::Overrun => {
                // One is said, and then they are counted: with a wrong speed there is no end.
                self.errors += 1;
                if self.errors == 1 {
                    let what = match event.kind {
                        EventKind::Overrun => "lost bytes in the UART (overrun)",
                        EventKind::Parity => "parity errors",
                        _ => "framing errors",
                    };
                    self.notice(&format!("{line} has {what}; is its speed right?"));
                }
            }
        }
        if let Some((incarnation, next)) = self.seen
            && matches!(event.kind, EventKind::Gap(_))
        {
            self.seen = Some((incarnation, next.max(event.offset)));
        }
    }

    fn written(&mut self, written: Written, now: Time) {
        if let Stage::Holding(hold) = &mut self.stage {
            hold.written.accepted = hold.written.accepted.max(written.accepted);
            hold.written.drained = hold.written.drained.max(written.drained);
            self.refusal_said &= self.typed.len() >= super::MAX_TYPED;
        }
        self.look_for_the_end(now);
    }
}

/// Settings as people write them.
pub(super) fn settings_text(settings: SettingsChange) -> String {
    match settings {
        SettingsChange {
            baud: Some(baud),
            data_bits: Some(data_bits),
            parity: Some(parity),
            stop_bits: Some(stop_bits),
            flow: Some(flow),
        } => wire::LineSettings { baud, data_bits, parity, stop_bits, flow }.to_string(),
        _ => "unknown settings".to_owned(),
    }
}

fn revoked(why: RevokeWhy) -> &'static str {
    match why {
        RevokeWhy::Expired => "the lease ran out",
        RevokeWhy::Replaced => "somebody else took it",
        RevokeWhy::Stopping => "the terminal server is stopping",
        RevokeWhy::Misuse => "the terminal server saw a misuse",
        #[allow(unreachable_patterns, reason = "more reasons may come")]
        _ => "the terminal server ended it",
    }
}
