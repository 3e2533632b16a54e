//! Counts bytes, commits and frames, and says when something happens to the holder.

use std::collections::VecDeque;
use std::time::Duration;

/// Something that happens once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// When, counted from the run's start, from 1.
    pub at: u64,
    /// Of what.
    pub moment: Moment,
    /// What.
    pub what: What,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A byte has arrived at either end of the cable.
    Byte,
    /// A commit is about to be made.
    Write,
    /// A commit was made, and nothing was released.
    Commit,
    /// A frame was released, and the process does not come to writing it.
    Unsent,
    /// A frame has reached the terminal server, whose line takes nothing just then.
    Held,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The holder's process ends, as by `kill -9`.
    Kill,
    /// The holder is stopped and goes on so long after its successor has been granted the line.
    Pause {
        /// After the successor's grant.
        wakes: Duration,
    },
    /// The terminal server's process ends, and starts again a second later.
    Restart {
        /// To whom it gives the line then.
        next: Next,
    },
}

/// Who gets the line after a restart of the terminal server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Who had it, as the terminal server prefers.
    Incumbent,
    /// Another: the incumbent died, too.
    Other,
}

/// What is left to happen, and the counts.
#[derive(Debug, Default)]
pub struct Faults {
    plan: VecDeque<Fault>,
    counts: [u64; 5],
    due: Option<Fault>,
}

impl Fault {
    /// The holder ends there.
    pub fn kill(moment: Moment, at: u64) -> Self {
        Self { at, moment, what: What::Kill }
    }
}

impl Faults {
    /// In this order; one that can't come any more keeps those behind it from coming.
    pub fn new(plan: &[Fault]) -> Self {
        Self { plan: plan.iter().copied().collect(), ..Self::default() }
    }

    /// The moment has come once more. Whether it is one of the plan.
    pub fn hits(&mut self, moment: Moment) -> bool {
        self.counts[moment as usize] += 1;
        let count = self.counts[moment as usize];
        let hit = self.plan.front().is_some_and(|f| f.moment == moment && f.at <= count);
        if hit {
            self.due = self.plan.pop_front();
        }
        hit
    }

    /// What has come due and was not carried out.
    pub fn take_due(&mut self) -> Option<Fault> {
        self.due.take()
    }

    /// How often the moment has come.
    pub fn count(&self, moment: Moment) -> u64 {
        self.counts[moment as usize]
    }

    /// Whether all has happened.
    pub fn are_over(&self) -> bool {
        self.plan.is_empty() && self.due.is_none()
    }
}
