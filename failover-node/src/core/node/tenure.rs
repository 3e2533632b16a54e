//! From a claim to its end: what happens to a grant, and to the other lines with the first.

use std::time::Duration;

use wire::{Grant, Guard, Mac, Name, RefuseWhy, RevokeWhy, Time, guard};

use super::{Action, LOCK, LineId, LinkEnd, Node, Occurrence, Phase, ResignCause};
use crate::core::config::{BACKOFF_MAX, BACKOFF_MIN, CONNECT_FAILED, STOP_PATIENCE};

impl Node {
    pub(super) fn granted(&mut self, line: LineId, grant: Box<Grant>, now: Time) {
        self.counters.grants += 1;
        let tenancy = &mut self.lines[line];
        tenancy.begin(grant.acked);
        tenancy.grant = grant.epoch;
        let lease = Duration::from_millis(grant.lease_ms.into());
        tenancy.evidence.handle_own_grant(&self.config.node, grant.epoch, lease, now);
        let in_doubt = grant.delivered.saturating_sub(grant.acked);
        self.report_of(line, Occurrence::Granted { epoch: grant.epoch, in_doubt });
        self.actions.push_back(Action::StartPayload(line, grant));
        if line == LOCK {
            self.connect_failed_until = Time::ZERO;
            self.keep_until = None;
            self.successors.came_back(now);
            for other in &mut self.lines[1..] {
                other.missed_since = (!other.is_held()).then_some(now);
            }
            self.beat(now);
        }
        // The connection may have been slow: a lease that is over already is no lease.
        self.check_lease(now);
        // The others follow at once.
        self.act(now);
    }

    pub(super) fn link_ended(&mut self, line: LineId, end: LinkEnd, now: Time) {
        match (&self.lines[line].phase, end) {
            (Phase::Candidate, LinkEnd::Refused(refuse)) => {
                self.counters.refused += 1;
                let holder = refuse.status.holder.clone();
                self.report_of(line, Occurrence::Refused { why: refuse.why, holder });
                let tenancy = &mut self.lines[line];
                match refuse.why {
                    RefuseWhy::Held | RefuseWhy::Reserved => tenancy.not_before = now + BACKOFF_MIN,
                    RefuseWhy::Stopping => tenancy.back_off(now),
                    _ => {
                        tenancy.not_before = now + BACKOFF_MAX;
                        if line == LOCK {
                            self.could_not_take(now);
                        }
                    }
                }
                let tenancy = &mut self.lines[line];
                // Where no key could be agreed the refusal is no evidence.
                if refuse.mac != Mac::default() {
                    tenancy.evidence.handle_status(refuse.status, now);
                }
                self.end_instance(line);
                self.lock_not_granted(line, now);
            }
            (Phase::Candidate, other) => self.attempt_failed(line, other.to_string(), now),
            (Phase::Held | Phase::Resigning { .. } | Phase::Waiting { .. }, end) => {
                self.lost(line, end, now);
            }
            // The terminal server closed the connection: it has read our RELEASE.
            (Phase::Releasing, _) => self.end_instance(line),
            (Phase::Idle | Phase::Ending, _) => {}
        }
    }

    /// I4: the leases are looked at before anything else is.
    pub(super) fn check_lease(&mut self, now: Time) {
        if !guard::on(Guard::WriteUnderLease) {
            return;
        }
        for line in 0..self.lines.len() {
            if self.lines[line].link.as_ref().is_some_and(|link| link.lease_over(now)) {
                match self.lines[line].phase {
                    Phase::Releasing => self.end_instance(line),
                    _ if self.lines[line].is_held() => {
                        self.lost(line, LinkEnd::LeaseExpired, now);
                    }
                    _ => {}
                }
            }
        }
    }

    pub(super) fn lost(&mut self, line: LineId, end: LinkEnd, now: Time) {
        self.counters.lost += 1;
        let (me, lease) = (&self.config.node, self.config.profile.lease);
        let tenancy = &mut self.lines[line];
        let epoch = tenancy.grant;
        // The terminal server has gone, or goes: we are its incumbent until it says otherwise.
        let server_gone = matches!(end, LinkEnd::Closed | LinkEnd::Revoked(RevokeWhy::Stopping));
        if server_gone {
            tenancy.evidence.handle_own_loss(me, epoch, lease, now);
        } else {
            tenancy.evidence.handle_own_release(me, epoch, None, lease, now);
        }
        tenancy.back_off(now);
        tenancy.missed_since = Some(now);
        if line == LOCK && !server_gone {
            self.hold_down(now);
        }
        self.report_of(line, Occurrence::Lost { epoch, end });
        self.end_instance(line);
        if line == LOCK {
            self.abandon_others(now);
            self.beat(now);
        }
    }

    pub(super) fn attempt_failed(&mut self, line: LineId, error: String, now: Time) {
        self.counters.failed += 1;
        self.lines[line].back_off(now);
        self.report_of(line, Occurrence::ConnectFailed { error });
        self.end_instance(line);
        if line == LOCK {
            self.could_not_take(now);
        }
        self.lock_not_granted(line, now);
    }

    /// An attempt has failed for a reason of ours: we go last for a while, longer if the line was
    /// kept for us.
    fn could_not_take(&mut self, now: Time) {
        self.connect_failed_until = now + CONNECT_FAILED;
        let status = self.lines[LOCK].evidence.status();
        if status.and_then(|s| s.reserved_for.as_ref()) == Some(&self.config.node) {
            self.hold_down(now);
        }
    }

    /// The lock was given back for our own payload's sake and is not ours again: the other lines
    /// go with it.
    pub(super) fn lock_not_granted(&mut self, line: LineId, now: Time) {
        if line == LOCK && self.keep_until.take().is_some() {
            self.abandon_others(now);
        }
    }

    pub(super) fn end_instance(&mut self, line: LineId) {
        self.lines[line].end();
        self.actions.push_back(Action::EndInstance(line));
    }

    /// The lock is lost: so are the others, at once. Their connections end, which frees them.
    pub(super) fn abandon_others(&mut self, now: Time) {
        self.keep_until = None;
        if !guard::on(Guard::LockFirst) {
            return;
        }
        for line in 1..self.lines.len() {
            let tenancy = &mut self.lines[line];
            if matches!(tenancy.phase, Phase::Idle | Phase::Ending) {
                continue;
            }
            if tenancy.is_held() {
                let (me, lease, epoch) =
                    (&self.config.node, self.config.profile.lease, tenancy.grant);
                tenancy.evidence.handle_own_release(me, epoch, None, lease, now);
                self.report_of(line, Occurrence::Abandoned { epoch });
            }
            self.end_instance(line);
        }
    }

    /// Gives all lines back in order: first the payloads end, then the lines are released, the
    /// first one last.
    pub(super) fn resign(&mut self, reserve_for: Option<Name>, cause: ResignCause, now: Time) {
        if !self.may_resign() {
            return;
        }
        for line in 0..self.lines.len() {
            match &mut self.lines[line].phase {
                Phase::Held => self.stop_payload(line, reserve_for.clone(), cause, now),
                // It was to be started again here.
                Phase::Resigning { reserve_for: kept } => kept.clone_from(&reserve_for),
                Phase::Candidate => self.end_instance(line),
                _ => {}
            }
        }
    }

    /// Whether the lines are this node's to give.
    pub(super) fn may_resign(&self) -> bool {
        matches!(self.lines[LOCK].phase, Phase::Held | Phase::Resigning { .. })
    }

    pub(super) fn stop_payload(
        &mut self,
        line: LineId,
        reserve_for: Option<Name>,
        cause: ResignCause,
        now: Time,
    ) {
        self.resigning(line, cause, reserve_for.clone());
        if !guard::on(Guard::PayloadFirst) {
            return self.release(line, reserve_for, now);
        }
        let tenancy = &mut self.lines[line];
        tenancy.phase = Phase::Resigning { reserve_for };
        tenancy.stall_at = None;
        tenancy.answer_by = Some(now + STOP_PATIENCE);
        self.actions.push_back(Action::StopPayload(line));
    }

    fn resigning(&mut self, line: LineId, cause: ResignCause, reserve_for: Option<Name>) {
        let epoch = self.lines[line].grant;
        self.report_of(line, Occurrence::Resigning { epoch, cause, reserve_for });
    }

    /// The payload that was told to stop is gone.
    pub(super) fn payload_gone(&mut self, line: LineId, reserve_for: Option<Name>, now: Time) {
        // Its payload is to run here again: the others are not touched.
        let ours = reserve_for.as_ref() == Some(&self.config.node);
        let others_first = line == LOCK && !ours && self.lines[1..].iter().any(|t| t.is_active());
        if others_first {
            self.lines[line].phase = Phase::Waiting { reserve_for };
            self.lines[line].answer_by = Some(now + STOP_PATIENCE);
        } else {
            self.release(line, reserve_for, now);
        }
    }

    /// The payload has ended by itself: it is started again under a new grant, unless that has
    /// happened too often and somebody else could do better.
    pub(super) fn payload_crashed(&mut self, line: LineId, now: Time) {
        let over = self.lines[line].count_crash(self.config.behaviour.restarts, now);
        let peer = over.then(|| self.better_peer(now)).flatten().filter(|_| self.may_resign());
        let (cause, reserve_for) = match peer {
            Some(peer) => (ResignCause::RestartBudget, peer),
            None => (ResignCause::PayloadCrashed, self.config.node.clone()),
        };
        self.resigning(line, cause, Some(reserve_for.clone()));
        self.lines[line].phase = Phase::Resigning { reserve_for: Some(reserve_for.clone()) };
        if cause == ResignCause::RestartBudget {
            self.hold_down(now);
            self.resign(Some(reserve_for.clone()), cause, now);
        }
        self.payload_gone(line, Some(reserve_for), now);
    }

    /// The last of the other lines has been given back: now the first.
    pub(super) fn release_lock_if_last(&mut self, now: Time) {
        if !self.lines[1..].iter().any(|tenancy| tenancy.is_active()) {
            self.release_lock(now);
        }
    }

    /// The first line is given back now, if that is what it waits for.
    pub(super) fn release_lock(&mut self, now: Time) {
        if let Phase::Waiting { reserve_for } = &self.lines[LOCK].phase {
            self.release(LOCK, reserve_for.clone(), now);
        }
    }

    pub(super) fn release(&mut self, line: LineId, reserve_for: Option<Name>, now: Time) {
        let reserve_for = self.still_able(reserve_for, now);
        let (me, lease) = (&self.config.node, self.config.profile.lease);
        let ours = reserve_for.as_ref() == Some(me);
        let reserved = reserve_for.clone();
        let tenancy = &mut self.lines[line];
        let epoch = tenancy.grant;
        let Some(link) = &mut tenancy.link else { return self.end_instance(line) };
        link.release(reserve_for.clone());
        tenancy.phase = Phase::Releasing;
        tenancy.stall_at = None;
        tenancy.answer_by = Some(now + lease);
        tenancy.evidence.handle_own_release(me, epoch, reserve_for, lease, now);
        self.report_of(line, Occurrence::Released { epoch });
        if line == LOCK {
            match &reserved {
                _ if ours => {
                    self.keep_until = Some(self.lines[LOCK].claims_from().max(now) + lease);
                }
                Some(node) => self.successors.give(node, now),
                None => {}
            }
            self.beat(now);
        }
    }

    /// The node that the line is kept for may have gone while the payload ended.
    fn still_able(&self, node: Option<Name>, now: Time) -> Option<Name> {
        let node = node?;
        let able = node == self.config.node || self.rivals(now).any(|rival| *rival.node == node);
        if able { Some(node) } else { self.best_peer(now).or(Some(node)) }
    }

    pub(super) fn stop_if_idle(&mut self, now: Time) {
        if self.stopping && !self.stopped && !self.lines.iter().any(|t| t.is_active()) {
            self.beat(now);
            self.stopped = true;
            self.actions.push_back(Action::Stopped);
        }
    }
}
