//! A console on a line: what its keys, the line and the terminal server's words come to. Sans-IO.
//!
//! After each `handle_*` drain [`Session::poll_frame`], [`Session::poll_show`] and
//! [`Session::poll_deed`]; then [`Session::poll_timeout`] is the next deadline.

mod frames;
mod menu;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use wire::frame::{MAX_OUTPUT, OUTPUT_WINDOW, Output, Written};
use wire::time::earliest;
use wire::{Frame, SettingsChange, Signals, Time};

use super::keys::Key;
use super::view::View;
use super::{Escape, Mapping};

/// What a console is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// The line's name, for people.
    pub line: String,
    /// Hold the line from the beginning.
    pub hold: bool,
    /// Never hold it.
    pub read_only: bool,
    /// A person types; else a script pipes.
    pub interactive: bool,
    /// The key before a command.
    pub escape: Escape,
    /// What becomes of line ends.
    pub mapping: Mapping,
    /// Begin with the hex view.
    pub hex: bool,
    /// Begin with times.
    pub stamps: bool,
    /// Show what is typed.
    pub echo: bool,
    /// How long a script's console goes on after its last output has left.
    pub linger: Duration,
}

/// Something to be shown, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// On standard output. When that has it, [`Session::handle_shown`] is to be told the offset.
    Line(Vec<u8>, u64),
    /// On standard output: typed bytes, line ends and control sequences of our own.
    Local(Vec<u8>),
    /// Words of our own, on standard error.
    Notice(String),
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Leave this connection, if there is one, and make a new one.
    Connect {
        /// To hold the line, and not only to observe.
        hold: bool,
        /// The stream, and the offset that was not shown yet; `None` as the user asked for.
        resume: Option<(u64, u64)>,
    },
    /// The console ends when all is shown.
    End(Outcome),
}

/// How a console ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// The line is not to be had now.
    Refused(String),
    /// The connection has gone.
    Gone(String),
    /// The other side does not keep the protocol.
    Protocol(String),
}

/// A console.
#[derive(Debug)]
pub struct Session {
    options: SessionOptions,
    stage: Stage,
    view: View,
    /// Name of the input stream, and the offset of the first byte that was not shown yet.
    seen: Option<(u64, u64)>,
    /// Typed and not sent yet.
    typed: BytesMut,
    /// Nothing more will be typed.
    keys_ended: bool,
    /// Frames beside OUTPUT and ACK. Each answers a key or a frame, so they stay few.
    frames: VecDeque<Frame>,
    shows: VecDeque<Show>,
    deeds: VecDeque<Deed>,
    settings: Option<SettingsChange>,
    signals: Option<Signals>,
    /// Whether the line's device is there, as far as was said.
    up: bool,
    /// Parity and framing errors, breaks and overruns.
    errors: u64,
    /// The connection was lost, and that was said.
    lost: bool,
    /// Connections in a row that failed.
    failures: u32,
    retry_at: Option<Time>,
    linger_until: Option<Time>,
    /// What was typed went nowhere, and that was said.
    refusal_said: bool,
}

/// How it stands with the terminal server.
#[derive(Debug)]
enum Stage {
    /// A connection is being made, or is to be made.
    Connecting { hold: bool },
    /// It sees the line.
    Observing,
    /// It has the line.
    Holding(Hold),
}

/// A grant.
#[derive(Debug)]
struct Hold {
    /// Position of the next output byte.
    position: u64,
    written: Written,
    /// Input before this offset is on the screen, and before the second one that was said.
    shown: u64,
    acked: u64,
    /// The lease and when it is to be renewed; a connection on this machine may have none.
    renewal: Option<(Duration, Time)>,
    renewals: u64,
}

impl Session {
    /// A console without a connection; its first deed is to make one.
    pub fn new(options: SessionOptions) -> Self {
        let view = View::new(options.hex, options.stamps, options.mapping);
        let hold = options.hold;
        Self {
            options,
            stage: Stage::Connecting { hold },
            view,
            seen: None,
            typed: BytesMut::new(),
            keys_ended: false,
            frames: VecDeque::new(),
            shows: VecDeque::new(),
            deeds: VecDeque::from([Deed::Connect { hold, resume: None }]),
            settings: None,
            signals: None,
            up: true,
            errors: 0,
            lost: false,
            failures: 0,
            retry_at: None,
            linger_until: None,
            refusal_said: false,
        }
    }

    /// The user typed, or a script piped.
    pub fn handle_keys(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match self.options.interactive {
                true => match self.options.escape.key(*byte) {
                    Some(Key::Plain(byte)) => self.plain(byte),
                    Some(Key::Command(command)) => self.command(command),
                    None => {}
                },
                false => self.plain(*byte),
            }
        }
    }

    /// Nothing more is typed: the terminal has gone, or the script is through.
    pub fn handle_keys_end(&mut self, now: Time) {
        self.keys_ended = true;
        if self.options.interactive {
            self.end(Outcome::Done);
        }
        self.look_for_the_end(now);
    }

    /// A signal ends the console.
    pub fn handle_stop(&mut self) {
        let unwritten = match &self.stage {
            Stage::Holding(hold) => !self.typed.is_empty() || hold.written.drained < hold.position,
            _ => self.options.hold,
        };
        self.end(match unwritten && !self.options.interactive {
            true => Outcome::Refused("stopped by a signal before all was written".to_owned()),
            false => Outcome::Done,
        });
    }

    /// The line's bytes before this offset are out of our hands.
    pub fn handle_shown(&mut self, offset: u64) {
        if let Stage::Holding(hold) = &mut self.stage {
            hold.shown = hold.shown.max(offset);
        }
    }

    /// The connection has ended, or could not be made, for this reason.
    pub fn handle_closed(&mut self, reason: &str, now: Time) {
        let hold = match &self.stage {
            Stage::Connecting { hold } => *hold,
            Stage::Observing => false,
            Stage::Holding(_) => true,
        };
        self.frames.clear();
        self.stage = Stage::Connecting { hold };
        if !self.options.interactive {
            return self.end(Outcome::Gone(reason.to_owned()));
        }
        if !std::mem::replace(&mut self.lost, true) {
            self.typed.clear();
            self.notice(&format!("{reason}; trying again until it is back"));
        }
        let pause = RETRY_FIRST * 2_u32.saturating_pow(self.failures.min(8));
        self.failures += 1;
        self.retry_at = Some(now + pause.min(RETRY_LONGEST));
    }

    /// A deadline may have come.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            if let Stage::Connecting { hold } = self.stage {
                self.connect(hold);
            }
        }
        if self.linger_until.is_some_and(|at| at <= now) {
            self.linger_until = None;
            self.end(Outcome::Done);
        }
        if let Stage::Holding(hold) = &mut self.stage
            && let Some((lease, at)) = &mut hold.renewal
            && *at <= now
        {
            *at = now + *lease / RENEWALS_PER_LEASE;
            hold.renewals += 1;
            self.frames.push_back(Frame::Renew(hold.renewals));
        }
    }

    /// When [`Session::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        let renewal = match &self.stage {
            Stage::Holding(hold) => hold.renewal.map(|(_, at)| at),
            _ => None,
        };
        earliest([self.retry_at, self.linger_until, renewal])
    }

    /// What is to be sent.
    pub fn poll_frame(&mut self) -> Option<Frame> {
        if let Some(frame) = self.frames.pop_front() {
            return Some(frame);
        }
        let Stage::Holding(hold) = &mut self.stage else { return None };
        if hold.shown > hold.acked {
            hold.acked = hold.shown;
            return Some(Frame::Ack(wire::frame::Ack { offset: hold.acked, note: None }));
        }
        let room = (hold.written.accepted + OUTPUT_WINDOW).saturating_sub(hold.position);
        let room = usize::try_from(room).unwrap_or(MAX_OUTPUT);
        let count = self.typed.len().min(MAX_OUTPUT).min(room);
        if count == 0 {
            return None;
        }
        let bytes: Bytes = self.typed.split_to(count).freeze();
        let position = hold.position;
        hold.position += count as u64;
        Some(Frame::Output(Output { position, ack: None, note: None, bytes }))
    }

    /// What is to be shown.
    pub fn poll_show(&mut self) -> Option<Show> {
        self.shows.pop_front()
    }

    /// What is to be done.
    pub fn poll_deed(&mut self) -> Option<Deed> {
        self.deeds.pop_front()
    }

    /// Whether there is room for more keys. Always for a person's: one of them may be the escape
    /// key.
    pub fn wants_keys(&self) -> bool {
        let holding = matches!(self.stage, Stage::Holding(_));
        self.options.interactive || (holding && self.typed.len() < MAX_OUTPUT)
    }

    fn plain(&mut self, byte: u8) {
        if !matches!(self.stage, Stage::Holding(_)) {
            if self.options.interactive && !std::mem::replace(&mut self.refusal_said, true) {
                let why = match (&self.stage, self.options.read_only) {
                    (Stage::Connecting { .. }, _) => "there is no connection".to_owned(),
                    (_, true) => "this console is read-only".to_owned(),
                    _ => format!("you only observe; {} o takes the line", self.options.escape),
                };
                self.notice(&format!("not sent: {why}"));
            }
            return;
        }
        if self.typed.len() >= MAX_TYPED {
            if !std::mem::replace(&mut self.refusal_said, true) {
                self.notice("the line takes no more; what is typed now is not sent");
            }
            return;
        }
        let mut mapped = Vec::new();
        self.options.mapping.output(byte, &mut mapped);
        self.typed.extend_from_slice(&mapped);
        if self.options.echo && self.options.interactive {
            self.shows.push_back(Show::Local(mapped));
        }
    }

    /// A script is through when its last byte has left the port, and after the wait for an answer.
    fn look_for_the_end(&mut self, now: Time) {
        let Stage::Holding(hold) = &self.stage else { return };
        let written = hold.written.drained >= hold.position && self.typed.is_empty();
        if self.keys_ended && !self.options.interactive && written && self.linger_until.is_none() {
            match self.options.linger {
                Duration::ZERO => self.end(Outcome::Done),
                linger => self.linger_until = Some(now + linger),
            }
        }
    }

    fn connect(&mut self, hold: bool) {
        self.stage = Stage::Connecting { hold };
        self.frames.clear();
        self.deeds.push_back(Deed::Connect { hold, resume: self.seen });
    }

    fn end(&mut self, outcome: Outcome) {
        self.deeds.push_back(Deed::End(outcome));
    }

    fn notice(&mut self, text: &str) {
        let mut fresh = Vec::new();
        self.view.fresh_line(&mut fresh);
        if self.options.interactive && !fresh.is_empty() {
            self.shows.push_back(Show::Local(fresh));
        }
        self.shows.push_back(Show::Notice(text.to_owned()));
    }
}

/// First pause before a new connection; doubled each time.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// A person who waits for a restart waits this much longer at most.
const RETRY_LONGEST: Duration = Duration::from_secs(2);
/// A renewal may be lost or late, and one more.
const RENEWALS_PER_LEASE: u32 = 3;
/// Typed bytes kept while the line takes none: a large paste.
const MAX_TYPED: usize = 64 * 1024;

#[cfg(test)]
mod tests;
