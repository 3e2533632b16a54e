//! One line in a node's care: what is known about it, the connection, the grant, the payload.

use std::collections::VecDeque;
use std::time::Duration;

use wire::time::earliest;
use wire::{Epoch, EventKind, Frame, Name, Time};

use super::config::{BACKOFF_MAX, BACKOFF_MIN, RESTART_WINDOW};
use super::evidence::Evidence;
use super::link::Link;

/// One line of the group. The node decides; this remembers.
#[derive(Debug)]
pub struct Tenancy {
    pub(crate) line: Name,
    pub(crate) phase: Phase,
    pub(crate) evidence: Evidence,
    pub(crate) link: Option<Link>,
    /// INPUT, EVENT, WRITTEN on their way to the payload: bounded by the input window.
    pub(crate) payload: VecDeque<Frame>,
    /// The terminal server has taken too long to answer a claim, or a release; or the payload to
    /// end.
    pub(crate) answer_by: Option<Time>,
    /// The last grant of our own.
    pub(crate) grant: Epoch,
    /// The payload has left input unacknowledged for too long.
    pub(crate) stall_at: Option<Time>,
    /// Since when the coordinator is without this line, although it should have it.
    pub(crate) missed_since: Option<Time>,
    /// No claim before that: of this node's own accord, or since it was told no.
    pub(crate) not_before: Time,
    /// Nor before that: the last attempt failed.
    retry_at: Time,
    /// Attempts that have failed since the last grant.
    pub(crate) failures: u32,
    /// When the payload crashed, within the restart window.
    crashes: VecDeque<Time>,
    /// Input handed to the payload, and taken by it.
    delivered: u64,
    taken: u64,
    /// The line's device has gone: not this node's difficulty.
    line_down: bool,
    /// Nobody is there to take input, and nobody is missed: a bridge without a client.
    absent: bool,
}

/// Where a node stands with one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Only the heartbeat function.
    Idle,
    /// The instance has started; it connects and claims.
    Candidate,
    /// The line is ours and the payload runs.
    Held,
    /// The payload was told to stop; then the line is given back.
    Resigning { reserve_for: Option<Name> },
    /// The payload is gone; the first line is given back when the others are.
    Waiting { reserve_for: Option<Name> },
    /// The payload is gone; RELEASE is on its way.
    Releasing,
    /// The instance is being ended.
    Ending,
}

impl Tenancy {
    pub(crate) fn new(line: Name, not_before: Time) -> Self {
        Self {
            evidence: Evidence::new(line.clone()),
            line,
            phase: Phase::Idle,
            link: None,
            payload: VecDeque::new(),
            grant: Epoch::NONE,
            answer_by: None,
            stall_at: None,
            not_before,
            retry_at: not_before,
            missed_since: None,
            failures: 0,
            crashes: VecDeque::new(),
            delivered: 0,
            taken: 0,
            line_down: false,
            absent: false,
        }
    }

    /// A grant has begun; input before `acked` is settled.
    pub(crate) fn begin(&mut self, acked: u64) {
        self.phase = Phase::Held;
        self.failures = 0;
        self.missed_since = None;
        (self.delivered, self.taken) = (acked, acked);
        (self.line_down, self.absent) = (false, false);
        (self.answer_by, self.stall_at) = (None, None);
    }

    /// The instance is to end, whatever it was doing.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Ending;
        self.link = None;
        self.payload.clear();
        (self.answer_by, self.stall_at) = (None, None);
    }

    /// Whether there is an instance.
    pub(crate) fn is_active(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// Whether the line is ours.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Held | Phase::Resigning { .. } | Phase::Waiting { .. })
    }

    /// A frame goes to the payload.
    pub(crate) fn deliver(&mut self, frame: Frame, stall: Duration, now: Time) {
        let watch = match &frame {
            Frame::Input(input) => {
                let idle = self.taken >= self.delivered;
                self.delivered = input.end();
                idle
            }
            // Output that waited has gone on: from here on it is the payload's turn.
            Frame::Written(_) => true,
            Frame::Event(event) if matches!(event.kind, EventKind::Down | EventKind::Up) => {
                self.line_down = matches!(event.kind, EventKind::Down);
                true
            }
            _ => false,
        };
        if watch {
            self.watch_stall(stall, now);
        }
        self.payload.push_back(frame);
    }

    /// The payload has said something, and has taken all input before `offset`.
    pub(crate) fn take(&mut self, offset: u64, stall: Duration, now: Time) {
        let progress = offset > self.taken;
        self.taken = self.taken.max(offset);
        if progress || self.output_waits() {
            self.watch_stall(stall, now);
        }
    }

    fn output_waits(&self) -> bool {
        self.link.as_ref().is_some_and(Link::output_waits)
    }

    /// Whether somebody is there to take input.
    pub(crate) fn set_absent(&mut self, absent: bool, stall: Duration, now: Time) {
        self.absent = absent;
        self.watch_stall(stall, now);
    }

    /// The payload has `stall` from now on to take what was handed to it, if there is anything,
    /// the line is up and takes its output, and somebody is expected to be there.
    fn watch_stall(&mut self, stall: Duration, now: Time) {
        let waits = self.taken < self.delivered && !self.line_down && !self.absent;
        let waits = waits && !self.output_waits();
        self.stall_at = (waits && self.phase == Phase::Held).then(|| now + stall);
    }

    /// 20 ms, doubling to 1 s.
    pub(crate) fn back_off(&mut self, now: Time) {
        let wait = BACKOFF_MIN * 2u32.pow(self.failures.min(10));
        self.failures += 1;
        self.retry_at = now + wait.min(BACKOFF_MAX);
    }

    /// The terminal server has started anew: what failed with the one before says nothing.
    pub(crate) fn forget_failures(&mut self, now: Time) {
        self.failures = 0;
        self.retry_at = now;
    }

    /// No claim before that.
    pub(crate) fn claims_from(&self) -> Time {
        self.not_before.max(self.retry_at)
    }

    /// The payload has failed. Whether that has happened more than `forgiven` times; then this
    /// node waits, longer each time up to a second, before it claims the line for it again.
    pub(crate) fn count_crash(&mut self, forgiven: usize, now: Time) -> bool {
        self.crashes.retain(|at| now.since(*at) < RESTART_WINDOW);
        self.crashes.push_back(now);
        let Some(over) = self.crashes.len().checked_sub(forgiven + 1) else { return false };
        let wait = BACKOFF_MIN * 2u32.pow(over.min(10) as u32);
        self.not_before = self.not_before.max(now + wait.min(BACKOFF_MAX));
        true
    }

    /// When something is to be looked at here.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        earliest([self.answer_by, self.stall_at, self.link.as_ref().and_then(Link::poll_timeout)])
    }
}

/// Whether a deadline has come; it is disarmed then.
pub(crate) fn expired(deadline: &mut Option<Time>, now: Time) -> bool {
    deadline.take_if(|at| *at <= now).is_some()
}
