//! From a claim to its end: what happens to a grant.

use std::time::Duration;

use wire::{Grant, Guard, Name, RefuseWhy, RevokeWhy, Time, guard};

use super::{Action, LinkEnd, Node, Occurrence, Phase, ResignCause, Timer};
use crate::core::config::{BACKOFF_MAX, BACKOFF_MIN, CONNECT_FAILED, HOLD_DOWN, RESTART_WINDOW};

impl Node {
    pub(super) fn granted(&mut self, grant: Box<Grant>, now: Time) {
        self.phase = Phase::Coordinator;
        self.grant = grant.epoch;
        self.failures = 0;
        self.connect_failed_until = Time::ZERO;
        self.counters.grants += 1;
        self.delivered = grant.acked;
        self.taken = grant.acked;
        self.line_down = false;
        self.timers.clear(Timer::Answer);
        self.timers.clear(Timer::Stall);
        let lease = Duration::from_millis(grant.lease_ms.into());
        self.evidence.handle_own_grant(&self.config.node, grant.epoch, lease, now);
        let in_doubt = grant.delivered.saturating_sub(grant.acked);
        self.report(Occurrence::Granted { epoch: grant.epoch, in_doubt });
        self.actions.push_back(Action::StartPayload(grant));
        self.beat(now);
        // The connection may have been slow: a lease that is over already is no lease.
        self.check_lease(now);
    }

    pub(super) fn link_ended(&mut self, end: LinkEnd, now: Time) {
        match self.phase {
            Phase::Candidate => match end {
                LinkEnd::Refused(refuse) => {
                    self.counters.refused += 1;
                    let holder = refuse.status.holder.clone();
                    self.report(Occurrence::Refused { why: refuse.why, holder });
                    let retry = match refuse.why {
                        RefuseWhy::Held | RefuseWhy::Reserved => BACKOFF_MIN,
                        RefuseWhy::Stopping => self.backoff(),
                        _ => BACKOFF_MAX,
                    };
                    // Where no key could be agreed the refusal is no evidence.
                    if refuse.mac != wire::Mac::default() {
                        self.evidence.handle_status(refuse.status, now);
                    }
                    self.not_before = now + retry;
                    self.end_instance();
                }
                other => self.attempt_failed(other.to_string(), now),
            },
            Phase::Coordinator | Phase::Resigning { .. } => self.lost(end, now),
            Phase::Releasing => {
                // The terminal server closed the connection: it has read our RELEASE.
                self.end_instance();
            }
            Phase::Standby | Phase::Ending | Phase::Stopped => {}
        }
    }

    pub(super) fn lost(&mut self, end: LinkEnd, now: Time) {
        self.counters.lost += 1;
        let me = &self.config.node;
        let lease = self.config.profile.lease;
        match end {
            // The terminal server has gone, or goes: we are its incumbent until it says otherwise.
            LinkEnd::Closed | LinkEnd::Revoked(RevokeWhy::Stopping) => {
                self.evidence.handle_own_loss(me, self.grant, lease, now);
            }
            _ => {
                self.evidence.handle_own_release(me, self.grant, None, lease, now);
                self.held_down_until = now + HOLD_DOWN;
            }
        }
        self.not_before = now + self.backoff();
        let epoch = self.grant;
        self.report(Occurrence::Lost { epoch, end });
        self.end_instance();
        self.beat(now);
    }

    /// I4: the lease is looked at before anything else is.
    pub(super) fn check_lease(&mut self, now: Time) {
        if !guard::on(Guard::WriteUnderLease) {
            return;
        }
        if self.link.as_ref().is_some_and(|link| link.lease_over(now)) {
            match self.phase {
                Phase::Releasing => self.end_instance(),
                Phase::Coordinator | Phase::Resigning { .. } => {
                    self.lost(LinkEnd::LeaseExpired, now);
                }
                _ => {}
            }
        }
    }

    pub(super) fn attempt_failed(&mut self, error: String, now: Time) {
        self.counters.failed += 1;
        self.connect_failed_until = now + CONNECT_FAILED;
        self.not_before = now + self.backoff();
        self.report(Occurrence::ConnectFailed { error });
        self.end_instance();
    }

    /// 20 ms, doubling to 1 s.
    pub(super) fn backoff(&mut self) -> Duration {
        let wait = BACKOFF_MIN * 2u32.pow(self.failures.min(10));
        self.failures += 1;
        wait.min(BACKOFF_MAX)
    }

    pub(super) fn end_instance(&mut self) {
        self.timers.clear(Timer::Answer);
        self.timers.clear(Timer::Stall);
        self.link = None;
        self.payload.clear();
        self.phase = Phase::Ending;
        self.actions.push_back(Action::EndInstance);
    }

    /// Gives the line back in order: first the payload ends, then the line is released.
    pub(super) fn resign(&mut self, reserve_for: Option<Name>, cause: ResignCause, now: Time) {
        if self.phase != Phase::Coordinator {
            return;
        }
        self.held_down_until = now + HOLD_DOWN;
        self.resigning(cause, reserve_for.clone());
        if !guard::on(Guard::PayloadFirst) {
            return self.release(reserve_for, now);
        }
        self.phase = Phase::Resigning { reserve_for };
        self.timers.clear(Timer::Stall);
        self.actions.push_back(Action::StopPayload);
    }

    pub(super) fn resigning(&mut self, cause: ResignCause, reserve_for: Option<Name>) {
        let epoch = self.grant;
        self.report(Occurrence::Resigning { epoch, cause, reserve_for });
    }

    /// The payload has ended by itself: it is started again under a new grant, unless that has
    /// happened too often and somebody else could do better.
    pub(super) fn after_crash(&mut self, now: Time) -> (ResignCause, Option<Name>) {
        if self.count_crash(now)
            && let Some(peer) = self.best_peer(now)
        {
            self.held_down_until = now + HOLD_DOWN;
            return (ResignCause::RestartBudget, Some(peer));
        }
        (ResignCause::PayloadCrashed, Some(self.config.node.clone()))
    }

    /// The payload breaks the protocol: another node's may do better, ours counts as crashed.
    pub(super) fn bad_payload(&mut self, error: String, now: Time) {
        if self.phase == Phase::Coordinator {
            self.report(Occurrence::BadPayload { error });
            self.count_crash(now);
            self.resign(None, ResignCause::BadPayload, now);
        }
    }

    /// The payload has failed. Whether that has happened too often; then this node waits, longer
    /// each time up to a second, before it claims the line for it again.
    pub(super) fn count_crash(&mut self, now: Time) -> bool {
        self.crashes.retain(|at| now.since(*at) < RESTART_WINDOW);
        self.crashes.push_back(now);
        let Some(over) = self.crashes.len().checked_sub(self.config.behaviour.restarts + 1) else {
            return false;
        };
        let wait = BACKOFF_MIN * 2u32.pow(over.min(10) as u32);
        self.not_before = self.not_before.max(now + wait.min(BACKOFF_MAX));
        true
    }

    pub(super) fn release(&mut self, reserve_for: Option<Name>, now: Time) {
        let epoch = self.grant;
        let Some(link) = &mut self.link else { return self.end_instance() };
        link.release(reserve_for.clone());
        self.phase = Phase::Releasing;
        self.timers.clear(Timer::Stall);
        let lease = self.config.profile.lease;
        self.timers.set(Timer::Answer, now + lease);
        self.evidence.handle_own_release(&self.config.node, epoch, reserve_for, lease, now);
        self.report(Occurrence::Released { epoch });
        self.beat(now);
    }

    pub(super) fn stopped(&mut self, now: Time) {
        self.beat(now);
        self.phase = Phase::Stopped;
        self.actions.push_back(Action::Stopped);
    }
}
