//! One connection's place in the protocol, and what waits to be sent to it.

use std::collections::VecDeque;

use wire::handshake::Transcript;
use wire::{Claim, Frame, Key, Nonce, Time};

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
    /// Plain bytes both ways, for benches.
    Raw,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stage: Stage,
    /// When it came, or when its grant ended.
    pub(crate) since: Time,
    /// WELCOME, GRANT or REFUSE, REVOKED, ERROR: at most one of each, so it needs no bound.
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
}

/// How far a connection has come.
#[derive(Debug)]
pub(crate) enum Stage {
    /// HELLO is expected.
    Hello(Nonce),
    /// CLAIM is expected.
    Welcomed(Transcript),
    /// The claim is being looked at: its socket is read to the end first.
    Claiming(Box<(Claim, Key)>),
    /// It has, by the line protocol, the line.
    Holder,
    /// It has the line by connecting.
    Raw,
    /// Nothing is expected of it any more; what it still sends is counted and dropped.
    Ended,
}

impl Client {
    pub(crate) fn new(kind: ClientKind, now: Time) -> Self {
        let stage = match kind {
            ClientKind::Line { nonce } => Stage::Hello(nonce),
            ClientKind::Raw => Stage::Raw,
        };
        Self {
            stage,
            since: now,
            control: VecDeque::new(),
            renewed: None,
            written: false,
            drained_told: 0,
            first_position: 0,
            cursor: 0,
        }
    }

    /// The last frame it will get is `frame`.
    pub(crate) fn end(&mut self, frame: Frame, now: Time) {
        self.control.push_back(frame);
        self.stage = Stage::Ended;
        self.since = now;
    }
}
