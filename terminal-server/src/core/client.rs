//! One connection's place in the protocol, and what waits to be sent to it.

use std::collections::VecDeque;

use bytes::Bytes;
use wire::handshake::Transcript;
use wire::{Claim, Frame, Key, Nonce, ObserveFrom, Signals, Time};

use super::telnet::{Session, TelnetOptions};

/// Names a connection within one line, given by the driver and never used twice.
pub type ClientId = u64;

/// What a connection speaks, decided by the listener it came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// The line protocol; our nonce for it was drawn by the driver.
    Line {
        /// Random, for this connection.
        nonce: Nonce,
    },
    /// Plain bytes both ways.
    Raw,
    /// Telnet, with RFC 2217 for those who ask for it.
    Telnet,
    /// An operator on this machine: frames of the line protocol without a claim, since whoever may
    /// open the socket is trusted.
    Console {
        /// It wants to write, too.
        hold: bool,
        /// Where the input is to begin.
        from: ObserveFrom,
    },
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) speech: Speech,
    pub(crate) stage: Stage,
    /// When it came, or when its grant ended.
    pub(crate) since: Time,
    /// Frames that overtake input: bounded by [`MAX_CONTROL`].
    pub(crate) control: VecDeque<Frame>,
    /// The newest RENEW to be answered; an older one need not be.
    pub(crate) renewed: Option<u64>,
    /// WRITTEN has news.
    pub(crate) written: bool,
    /// `drained` of the last WRITTEN.
    pub(crate) drained_told: u64,
    /// Position of its grant's first output byte; its window is counted from there.
    pub(crate) first_position: u64,
    /// Offset of the next input byte it gets.
    pub(crate) cursor: u64,
    /// An observer was told of the events up to this mark.
    pub(crate) marks_told: u64,
    /// The levels it was told last, once it has asked for them.
    pub(crate) signals_told: Option<Signals>,
    /// Bytes of it that do not fit into the output queue yet: at most one read.
    pub(crate) unread: Bytes,
}

/// What it speaks.
#[derive(Debug)]
pub(crate) enum Speech {
    /// Frames, after a handshake.
    Line,
    /// Frames, without one.
    Console,
    /// Bytes.
    Raw,
    /// Bytes, with commands among them.
    Telnet(Box<Session>),
}

/// How far a connection has come.
#[derive(Debug)]
pub(crate) enum Stage {
    /// HELLO is expected.
    Hello(Nonce),
    /// CLAIM or OBSERVE is expected.
    Welcomed(Transcript),
    /// The claim is being looked at: its socket is read to the end first.
    Claiming(Box<(Claim, Key)>),
    /// It has the line.
    Holder,
    /// It sees what comes from the line.
    Observer,
    /// Nothing is expected of it any more; what it still sends is counted and dropped.
    Ended,
}

impl Stage {
    /// For status.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) | Self::Welcomed(_) | Self::Claiming(_) => "arriving",
            Self::Holder => "holder",
            Self::Observer => "observer",
            Self::Ended => "ended",
        }
    }
}

impl Client {
    pub(crate) fn new(kind: ClientKind, telnet: &TelnetOptions, now: Time) -> Self {
        let (speech, stage) = match kind {
            ClientKind::Line { nonce } => (Speech::Line, Stage::Hello(nonce)),
            ClientKind::Console { .. } => (Speech::Console, Stage::Observer),
            ClientKind::Raw => (Speech::Raw, Stage::Observer),
            ClientKind::Telnet => {
                (Speech::Telnet(Box::new(Session::new(telnet.clone()))), Stage::Observer)
            }
        };
        Self {
            speech,
            stage,
            since: now,
            control: VecDeque::new(),
            renewed: None,
            written: false,
            drained_told: 0,
            first_position: 0,
            cursor: 0,
            marks_told: 0,
            signals_told: None,
            unread: Bytes::new(),
        }
    }

    /// Whether it has shown no key: by connecting alone it is what it is.
    pub(crate) fn is_plain(&self) -> bool {
        !matches!(self.speech, Speech::Line)
    }

    /// Whether it is sent bytes and not frames.
    pub(crate) fn speaks_bytes(&self) -> bool {
        matches!(self.speech, Speech::Raw | Speech::Telnet(_))
    }

    /// The last frame it will get is `frame`.
    pub(crate) fn end(&mut self, frame: Frame, now: Time) {
        self.control.push_back(frame);
        self.stage = Stage::Ended;
        self.since = now;
    }
}

/// Answers that wait for one client: as many as there may be tasks, and the few frames that come
/// once in a connection.
pub(crate) const MAX_CONTROL: usize = super::output::MAX_TASKS + 8;
