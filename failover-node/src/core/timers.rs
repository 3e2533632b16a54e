//! The named deadlines of a node. The next one is the only thing the driver waits for.

use wire::Time;

/// A deadline and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The next heartbeat is due.
    Heartbeat,
    /// A peer waits for our echo: a heartbeat out of turn.
    Echo,
    /// Maintenance ends.
    Maintenance,
}

const COUNT: usize = 3;

/// A deadline, or none, for each [`Timer`].
#[derive(Debug, Default)]
pub struct Timers([Option<Time>; COUNT]);

impl Timers {
    /// Arms it.
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = Some(at);
    }

    /// Arms it unless it would go off sooner anyway.
    pub(crate) fn set_sooner(&mut self, timer: Timer, at: Time) {
        let slot = &mut self.0[timer as usize];
        *slot = Some(slot.map_or(at, |armed| armed.min(at)));
    }

    /// Disarms it.
    pub(crate) fn clear(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// Whether it has come; it is disarmed then.
    pub(crate) fn expired(&mut self, timer: Timer, now: Time) -> bool {
        let slot = &mut self.0[timer as usize];
        let come = slot.is_some_and(|at| at <= now);
        if come {
            *slot = None;
        }
        come
    }

    /// The next deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        wire::time::earliest(self.0)
    }
}
