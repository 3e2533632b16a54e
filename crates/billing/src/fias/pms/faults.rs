//! What a billing system was told to do wrong.
#![deny(clippy::disallowed_methods)]

use std::time::Duration;

use bytes::Bytes;

use super::super::record::Status;
use crate::billing_end::Misdeed;

/// Misdeeds to come, by what they strike.
#[derive(Debug, Default)]
pub(super) struct Faults {
    drops: u32,
    delays: (u32, Duration),
    naks: u32,
    corruptions: u32,
    late: (u32, Duration),
    retries: u32,
    refusals: u32,
    commits: u32,
    /// How long the link that is being ended stays so.
    pub(super) pause: Option<Duration>,
    /// The record to be answered late, and when.
    delayed: Option<(Duration, Bytes)>,
    /// When the enquiry is to be answered.
    enquired: Option<Duration>,
}

impl Faults {
    /// Notes a misdeed that strikes by count. The others are not for this place.
    pub(super) fn take(&mut self, misdeed: Misdeed) {
        match misdeed {
            Misdeed::DropAnswers { count } => self.drops = count,
            Misdeed::DelayAnswers { count, by } => self.delays = (count, by),
            Misdeed::Nak { count } => self.naks = count,
            Misdeed::CorruptCheck { count } => self.corruptions = count,
            Misdeed::LateEnq { count, by } => self.late = (count, by),
            Misdeed::Retry { count } => self.retries = count,
            Misdeed::Refuse { count } => self.refusals = count,
            Misdeed::DropCommits { count } => self.commits = count,
            Misdeed::EndLink { .. } | Misdeed::NightAudit { .. } => {}
        }
    }

    pub(super) fn take_nak(&mut self) -> bool {
        strikes(&mut self.naks)
    }

    pub(super) fn take_drop(&mut self) -> bool {
        strikes(&mut self.drops)
    }

    pub(super) fn take_corruption(&mut self) -> bool {
        strikes(&mut self.corruptions)
    }

    /// Whether a charge that was posted gets no answer.
    pub(super) fn take_commit(&mut self) -> bool {
        strikes(&mut self.commits)
    }

    /// What a charge is declined with.
    pub(super) fn take_status(&mut self) -> Option<Status> {
        if strikes(&mut self.refusals) {
            Some(Status::NoPost)
        } else {
            strikes(&mut self.retries).then_some(Status::Retry)
        }
    }

    /// Whether the record is to be answered later. One that is not answered yet gives way.
    pub(super) fn take_delay(&mut self, now: Duration, text: &Bytes) -> bool {
        let (count, by) = &mut self.delays;
        let by = *by;
        let strikes = strikes(count);
        self.delayed = strikes.then(|| (now + by, text.clone()));
        strikes
    }

    /// The record whose answer is due.
    pub(super) fn delayed(&mut self, now: Duration) -> Option<Bytes> {
        self.delayed.take_if(|(at, _)| *at <= now).map(|(_, text)| text)
    }

    /// Whether an enquiry is to be answered later.
    pub(super) fn late_enquiry(&mut self, now: Duration) -> bool {
        let (count, by) = &mut self.late;
        let by = *by;
        let strikes = strikes(count);
        if strikes {
            self.enquired = Some(now + by);
        }
        strikes
    }

    /// Whether the answer to an enquiry is due.
    pub(super) fn enquired(&mut self, now: Duration) -> bool {
        self.enquired.take_if(|at| *at <= now).is_some()
    }

    /// When something is due.
    pub(super) fn timeout(&self) -> Option<Duration> {
        [self.delayed.as_ref().map(|(at, _)| *at), self.enquired].into_iter().flatten().min()
    }
}

fn strikes(count: &mut u32) -> bool {
    let strikes = *count > 0;
    *count = count.saturating_sub(1);
    strikes
}
