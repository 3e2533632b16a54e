//! What happens, as log lines: one per occurrence. The first word of each, its message, is stable,
//! as are its fields: the lab and scripts look for them.

use std::time::Duration;

use wire::{Epoch, FreeCause, Name, RefuseWhy, RevokeWhy, Time};

use super::options::Options;
use crate::component::framed::Mark;
use crate::core::{Counters, LinkEnd, Occurrence, Profile, ResignCause};

/// Writes the log lines of one node.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Late wake-ups that were counted, and when that was said last.
    late: u64,
    late_said: Option<Time>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { late: 0, late_said: None }
    }

    /// Sockets are open; the node listens.
    pub(crate) fn ready(&self, options: &Options) {
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            node = %options.node,
            group = %options.group,
            line = %options.lines[0].line,
            network = %options.networks[0],
            terminal_server = options.lines[0].terminal_server,
            profile = %options.profile,
            priority = options.behaviour.priority,
            "ready"
        );
    }

    pub(crate) fn payload_started(&self, line: &Name, epoch: Epoch, pid: u32) {
        tracing::info!(%line, %epoch, pid, "payload-started");
    }

    pub(crate) fn payload_gone(&self, line: &Name, epoch: Epoch, status: &str) {
        tracing::info!(%line, %epoch, status, "payload-gone");
    }

    pub(crate) fn instance_gone(&self, line: &Name) {
        tracing::info!(%line, "instance-gone");
    }

    /// Bytes have gone into the payload's standard input.
    pub(crate) fn reached(&self, line: &Name, epoch: Epoch, mark: Mark) {
        match mark {
            Mark::Serving => tracing::info!(%line, %epoch, "serving"),
            Mark::FirstInput => tracing::info!(%line, %epoch, "first-input"),
        }
    }

    /// Says that this host woke up too late for its profile before anything was to be done.
    pub(crate) fn late_at_start(&self, latest: Duration, profile: &Profile) {
        if latest > profile.lease / 4 {
            let max_us = u64::try_from(latest.as_micros()).unwrap_or(u64::MAX);
            tracing::warn!(max_us, %profile, advice = LATE_ADVICE, "late");
        }
    }

    /// Says, once a minute at most, that this host wakes up too late for its profile.
    pub(crate) fn late(&mut self, counters: &Counters, now: Time) {
        let again = self.late_said.is_none_or(|at| now.since(at) >= LATE_EVERY);
        if counters.late > self.late && again {
            let (count, max_us) = (counters.late - self.late, counters.late_max_us);
            tracing::warn!(count, max_us, advice = LATE_ADVICE, "late");
            self.late = counters.late;
            self.late_said = Some(now);
        }
    }

    pub(crate) fn report(&self, line: Option<&Name>, occurrence: &Occurrence) {
        use Occurrence as O;
        let line = line.map(tracing::field::display);
        match occurrence {
            O::Claiming { rank, cause } => {
                tracing::info!(line, rank, cause = cause_word(*cause), "claiming");
            }
            O::Granted { epoch, in_doubt } => tracing::info!(line, %epoch, in_doubt, "granted"),
            O::Refused { why, holder } => {
                let holder = holder.as_ref().map(tracing::field::display);
                match why {
                    // The ordinary end of a race for the line.
                    RefuseWhy::Held | RefuseWhy::Reserved | RefuseWhy::Stopping => {
                        tracing::info!(line, why = refusal_word(*why), holder, "refused");
                    }
                    _ => tracing::warn!(line, why = refusal_word(*why), holder, "refused"),
                }
            }
            O::ConnectFailed { error } => tracing::warn!(line, error, "connect-failed"),
            O::Lost { epoch, end } => {
                tracing::warn!(line, %epoch, end = end_word(end), detail = %end, "lost");
            }
            O::Resigning { epoch, cause, reserve_for } => {
                let reserve_for = reserve_for.as_ref().map(tracing::field::display);
                match cause {
                    ResignCause::Stop
                    | ResignCause::Handover
                    | ResignCause::Maintenance
                    | ResignCause::Preempted => {
                        tracing::info!(line, %epoch, cause = resign_word(*cause), reserve_for, "resigning");
                    }
                    _ => {
                        tracing::warn!(line, %epoch, cause = resign_word(*cause), reserve_for, "resigning");
                    }
                }
            }
            O::Released { epoch } => tracing::info!(line, %epoch, "released"),
            O::Abandoned { epoch } => tracing::warn!(line, %epoch, "abandoned"),
            O::Maintenance { on, length } => {
                let seconds = length.map(|length| length.as_secs());
                tracing::info!(on, seconds, "maintenance");
            }
            O::Health { fit: true } => tracing::info!("healthy"),
            O::Health { fit: false } => tracing::warn!("unhealthy"),
            O::BadPayload { error } => tracing::error!(line, error, "bad-payload"),
            O::MemberJoined(peer) => tracing::info!(%peer, "member-joined"),
            O::SettingsDiffer(peer) => {
                let advice = "line, profile and release must be the same on all nodes of a group";
                tracing::error!(%peer, advice, "settings-differ");
            }
            O::DuplicateName => {
                let advice = "another process uses this node's name; give each its own --node";
                tracing::error!(advice, "duplicate-name");
            }
        }
    }
}

/// The word for why the role changes, if this changes it.
pub(crate) fn cause_of(occurrence: &Occurrence) -> Option<&'static str> {
    match occurrence {
        Occurrence::Claiming { cause, .. } => Some(cause_word(*cause)),
        Occurrence::Lost { end, .. } => Some(end_word(end)),
        Occurrence::Resigning { cause, .. } => Some(resign_word(*cause)),
        _ => None,
    }
}

/// The word for a vacancy's cause.
pub(crate) fn cause_word(cause: Option<FreeCause>) -> &'static str {
    match cause {
        Some(FreeCause::Restarted) => "restarted",
        Some(FreeCause::Closed) => "closed",
        Some(FreeCause::Lease) => "lease",
        Some(FreeCause::Released) => "released",
        Some(FreeCause::Reserved) => "reserved",
        None => "silence",
    }
}

pub(crate) fn refusal_word(why: RefuseWhy) -> &'static str {
    match why {
        RefuseWhy::Held => "held",
        RefuseWhy::Reserved => "reserved",
        RefuseWhy::Group => "group",
        RefuseWhy::Mac => "mac",
        RefuseWhy::Stopping => "stopping",
        RefuseWhy::Storage => "storage",
    }
}

pub(crate) fn end_word(end: &LinkEnd) -> &'static str {
    match end {
        LinkEnd::Refused(_) => "refused",
        LinkEnd::Revoked(RevokeWhy::Expired) => "revoked-expired",
        LinkEnd::Revoked(RevokeWhy::Replaced) => "revoked-replaced",
        LinkEnd::Revoked(RevokeWhy::Stopping) => "revoked-stopping",
        LinkEnd::Revoked(RevokeWhy::Misuse) => "revoked-misuse",
        LinkEnd::Closed => "closed",
        LinkEnd::LeaseExpired => "lease",
        LinkEnd::Misuse(..) => "misuse",
        LinkEnd::FalseServer => "false-server",
        LinkEnd::Peer(_) => "peer",
        LinkEnd::PayloadRemains => "payload-remains",
    }
}

pub(crate) fn resign_word(cause: ResignCause) -> &'static str {
    match cause {
        ResignCause::Stop => "stop",
        ResignCause::Handover => "handover",
        ResignCause::PayloadCrashed => "payload-crashed",
        ResignCause::RestartBudget => "restart-budget",
        ResignCause::Stall => "stall",
        ResignCause::BadPayload => "bad-payload",
        ResignCause::GateFailed => "gate-failed",
        ResignCause::LineOutOfReach => "line-out-of-reach",
        ResignCause::Unhealthy => "unhealthy",
        ResignCause::Maintenance => "maintenance",
        ResignCause::Barred => "barred",
        ResignCause::Preempted => "preempted",
    }
}

const LATE_ADVICE: &str = "this host is too slow or too busy for its profile; take a slower one";
const LATE_EVERY: Duration = Duration::from_secs(60);
