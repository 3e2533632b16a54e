//! What a billing system can be told to do wrong on the link, and frames that leave late.
#![deny(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::billing_end::Misdeed;

/// Misdeeds still to be done.
#[derive(Debug, Default)]
pub struct Mischief {
    drop: u32,
    nak: u32,
    delay: (u32, Duration),
    late: (u32, Duration),
}

/// How a good text is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As it ought to be.
    Good,
    /// As if it were damaged.
    Nak,
    /// It is taken, and the answer is lost.
    Lost,
    /// It is taken, and the answer comes late.
    Late(Duration),
}

impl Mischief {
    /// Takes a misdeed in answering. Others are their dialect's.
    pub fn take(&mut self, misdeed: Misdeed) {
        match misdeed {
            Misdeed::DropAnswers { count } => self.drop = count,
            Misdeed::Nak { count } => self.nak = count,
            Misdeed::DelayAnswers { count, by } => self.delay = (count, by),
            Misdeed::LateEnq { count, by } => self.late = (count, by),
            _ => {}
        }
    }

    /// How to answer this good text.
    pub fn on_text(&mut self) -> Manner {
        if spend(&mut self.nak) {
            Manner::Nak
        } else if spend(&mut self.drop) {
            Manner::Lost
        } else if spend(&mut self.delay.0) {
            Manner::Late(self.delay.1)
        } else {
            Manner::Good
        }
    }

    /// How late to answer this bid.
    pub fn on_bid(&mut self) -> Option<Duration> {
        spend(&mut self.late.0).then_some(self.late.1)
    }
}

/// One of those that are left.
pub fn spend(left: &mut u32) -> bool {
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}

/// Frames for the line in their order; a late one keeps those behind it.
#[derive(Debug, Default)]
pub struct Outlet {
    ready: VecDeque<Bytes>,
    late: VecDeque<(Duration, Bytes)>,
}

impl Outlet {
    /// A frame that may leave at `due`, or at once.
    pub fn push(&mut self, bytes: Bytes, due: Option<Duration>) {
        if due.is_none() && self.late.is_empty() {
            self.ready.push_back(bytes);
        } else {
            let last = self.late.back().map(|(due, _)| *due);
            self.late.push_back((due.max(last).unwrap_or_default(), bytes));
        }
    }

    /// Lets go what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        while self.late.front().is_some_and(|(due, _)| *due <= now) {
            self.ready.extend(self.late.pop_front().map(|(_, bytes)| bytes));
        }
    }

    /// When the next frame is due.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.late.front().map(|(due, _)| *due)
    }

    /// The next frame.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }
}
